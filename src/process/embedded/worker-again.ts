import type {Failure} from './worker-messages.ts';

/** A query that stopped for what passes by itself begins again from its last checkpoint after so long. */
const retryAfterMs: Partial<Record<string, number>> = {CHECKPOINT_DISK_FULL: 5_000, KAFKA_UNAVAILABLE: 1_000};
/** Whether a query that stopped for this begins again by itself. */
export const passesByItself = (code: string | null | undefined): boolean =>
  code !== undefined && code !== null && Object.hasOwn(retryAfterMs, code);

/** One that has nothing to commit and runs for so long has come through. */
const steadyMs = 2_000;

/** A stop that passes by itself: told once when it begins and once when it is over, however often it was tried in between. */
export class StopAndAgain {
  #trouble: {failure: Failure; sinceMs: number} | undefined;
  #retryMs = Infinity;
  #begunMs = Infinity;

  /** The query stopped. @returns whether that was told before, for what it is tried again since */
  stopped(failure: Failure, nowMs: number): boolean {
    const retryMs = retryAfterMs[failure.code ?? ''];
    const isTold = retryMs !== undefined && this.#trouble?.failure.code === failure.code;
    const sinceMs = isTold ? this.#trouble!.sinceMs : nowMs;
    this.#trouble = retryMs === undefined ? undefined : {failure, sinceMs};
    this.#retryMs = retryMs === undefined ? Infinity : nowMs + retryMs;
    this.#begunMs = Infinity;
    return isTold;
  }

  /** Whether to try now; true once for a stop. */
  isDue(nowMs: number): boolean {
    if (this.#retryMs > nowMs) return false;
    this.#retryMs = Infinity;
    return true;
  }

  /** It is about to begin from its checkpoint, by itself or because somebody asked for it. */
  tried(): void {
    this.#retryMs = Infinity;
  }

  /** It has its state and reads: how long that took says nothing. */
  begun(nowMs: number): void {
    this.#begunMs = nowMs;
  }

  /** Why it stopped, while nobody knows whether that is over. */
  get reason(): Failure | undefined {
    return this.#trouble?.failure;
  }

  /** Whether it runs for so long that it has come through. */
  isSteady(nowMs: number): boolean {
    return this.#trouble !== undefined && nowMs - this.#begunMs >= steadyMs;
  }

  /** It has come through. @returns what there is to tell, if it had stopped */
  over(nowMs: number): {code: string; seconds: number} | undefined {
    const trouble = this.#trouble;
    this.#trouble = undefined;
    this.#begunMs = Infinity;
    return trouble && {code: trouble.failure.code!, seconds: (nowMs - trouble.sinceMs) / 1_000};
  }
}
