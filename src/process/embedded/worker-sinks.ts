import type {QueryPlan} from '../plan/nodes.ts';
import type {Merger} from './merger.ts';

/** Rows that take longer than that to be acknowledged wait for a slow sink, ms. */
const slowMs = 5_000;
/** Of a limit: what is on its way when reading pauses still has room. */
const shareMax = 0.75;

/** What is said of a query that waits. */
export const sinkWait = {
  code: 'SINK_SLOW',
  message: 'reading waits until its sinks have taken the rows of what was read',
  hint: 'reading goes on by itself; see the sinks in `millrace status`, and millrace_sink_write_seconds',
} as const;

/**
 * Whether a query should read no more because its rows do not leave as fast as it reads: rows are away for too long, or what only
 * their delivery can take out of memory would pass the query's limits otherwise.
 */
export class SinkGate {
  readonly #limits: QueryPlan['limits'];
  #isWaiting = false;
  /** What stays in memory when everything is delivered: a query may live near its limit. */
  #restBytes = 0;
  #restGroups = 0;

  constructor({limits}: QueryPlan) {
    this.#limits = limits;
  }

  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  /** Nothing waits any more: the query begins anew. */
  forget(): void {
    this.#isWaiting = false;
  }

  /**
   * @param sentMs when the rows left that are away; undefined when none are
   * @param hasGrown whether something was added since the last look
   * @returns whether the answer changed
   */
  look(merger: Merger, sentMs: number | undefined, nowMs: number, hasGrown: boolean): boolean {
    const was = this.#isWaiting;
    const isSlow = sentMs !== undefined && nowMs - sentMs > slowMs;
    this.#isWaiting =
      ((was || isSlow) && !merger.isClean()) ||
      ((was || hasGrown) && this.#isNearLimit(merger) && !this.#isAtRest(merger));
    return this.#isWaiting !== was;
  }

  /** Whether a mark and a checkpoint have let everything leave memory that can. */
  #isAtRest(merger: Merger): boolean {
    if (!merger.isSettled()) return false;
    this.#restBytes = merger.bytes();
    this.#restGroups = merger.groups.count;
    return true;
  }

  #isNearLimit(merger: Merger): boolean {
    const {groups, memoryBytes} = this.#limits;
    return (
      merger.groups.count > nearOf(groups, this.#restGroups) ||
      merger.bytes() > nearOf(memoryBytes, this.#restBytes)
    );
  }
}

const nearOf = (limit: number, rest: number): number => Math.max(limit * shareMax, (limit + rest) / 2);
