/** Signals that end a run. A module of its own, small: it listens before the rest of the program is loaded. */

/** Exit codes of a drain that was cut short, by the signal that did it. */
export const cutCodes = {SIGHUP: 129, SIGINT: 130, SIGTERM: 143} as const;
export type StopSignal = keyof typeof cutCodes;

/** What was heard since `listenForStop`. */
export type Stop = {
  /** Resolves with the first signal: drain. */
  first: Promise<void>;
  /** Resolves with another one, later: cut it short. */
  second: Promise<void>;
  /** The last one that counted. */
  signal(): StopSignal | undefined;
  /** Listens no more: a signal then ends the process at once. */
  release(): void;
};

/** Signals that come together (a terminal and a launcher both send one) count as one. */
const sameSignalMs = 500;
const signals = Object.keys(cutCodes) as StopSignal[];

let listening: Stop | undefined;

/** Hears signals from now on; the same until it is released. */
export function listenForStop(): Stop {
  if (listening) return listening;
  let seen: StopSignal | undefined;
  let firstMs = 0;
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  const heard = (signal: StopSignal) => {
    const nowMs = performance.now();
    if (seen === undefined) {
      seen = signal;
      firstMs = nowMs;
      first.resolve();
    } else if (nowMs - firstMs > sameSignalMs) {
      seen = signal;
      second.resolve();
    }
  };
  for (const signal of signals) process.on(signal, heard);
  listening = {
    first: first.promise,
    second: second.promise,
    signal: () => seen,
    release() {
      for (const signal of signals) process.off(signal, heard);
      listening = undefined;
    },
  };
  return listening;
}

/**
 * Ends this process as a signal would when the launcher that started it is gone, killed say: what it was told to pass on would
 * never come. Started without one, it does nothing.
 */
export function endWithLauncher(env: NodeJS.ProcessEnv = process.env): void {
  const isLaunched = env.MILLRACE_LAUNCHER === String(process.ppid) && process.channel;
  // What this process starts has no launcher.
  delete env.MILLRACE_LAUNCHER;
  if (!isLaunched) return;
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  // A command that is done ends, whoever listens.
  process.channel?.unref();
}
