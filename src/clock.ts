/** Time as a parameter, so that tests decide what it is. All times are UTC epoch milliseconds. */
export type Clock = {
  /** Wall clock, epoch ms. */
  now(): number;
  /** Resolves after `ms`; rejects with `signal.reason` when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
};

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort, {once: true});
    }),
};

/**
 * For how long something takes or waits: where `clock` is set back it goes on from where it stood, so that nobody waits until a time
 * of before has come again. Its times are no times of day.
 */
export function onward(clock: Clock): Clock {
  let lastMs = -Infinity;
  let aheadMs = 0;
  return {
    now() {
      const nowMs = clock.now();
      if (nowMs + aheadMs < lastMs) aheadMs = lastMs - nowMs;
      lastMs = nowMs + aheadMs;
      return lastMs;
    },
    sleep: (ms, signal) => clock.sleep(ms, signal),
  };
}

/** A clock that moves only when told: `advance(ms)` wakes the sleepers whose time has come, in order. */
export type TestClock = Clock & {advance(ms: number): Promise<void>};

export function testClock(startMs = 0): TestClock {
  let nowMs = startMs;
  const sleepers: {atMs: number; wake: () => void}[] = [];
  return {
    now: () => nowMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const sleeper = {atMs: nowMs + ms, wake: () => resolve()};
        sleepers.push(sleeper);
        signal?.addEventListener(
          'abort',
          () => {
            const at = sleepers.indexOf(sleeper);
            if (at >= 0) sleepers.splice(at, 1);
            reject(signal.reason);
          },
          {once: true},
        );
      }),
    async advance(ms) {
      const untilMs = nowMs + ms;
      for (;;) {
        sleepers.sort((a, b) => a.atMs - b.atMs);
        const next = sleepers[0];
        if (!next || next.atMs > untilMs) break;
        sleepers.shift();
        nowMs = Math.max(nowMs, next.atMs);
        next.wake();
        await new Promise((resolve) => setImmediate(resolve));
      }
      nowMs = untilMs;
    },
  };
}
