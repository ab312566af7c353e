import type {QueryPlan} from '../plan/nodes.ts';
import type {QueryCounts} from '../types.ts';
import type {PartitionCut} from './types.ts';

/** Where a query stands in one (topic, partition). */
export type PartitionState = QueryCounts & {
  /** Next offset to be merged. */
  offset: number;
  /** Running maximum of event time in the prefix, epoch ms. */
  maxTimeMs: number;
  /** Offset the log's next record will get, as far as known. */
  endOffset: number;
  /** When this partition last moved, wall clock. */
  movedMs: number;
};

export type PartitionPlace = {
  topic: string;
  partition: number;
  startOffset: number;
  /** Running maximum of event time there, epoch ms; default: none. */
  startMaxMs?: number;
};

/**
 * Event time of one query: running maxima and offsets of its partitions, what closes and what may be deleted.
 *
 * - An event is judged by its own partition's watermark; that is the kernel's matter.
 * - Windows close by the minimum over the partitions that are not idle; when all are idle, by the maximum.
 * - State is deleted by the minimum over all partitions, idle and empty ones included.
 */
export class EventTime {
  readonly partitions: PartitionState[];
  #byPlace = new Map<string, PartitionState>();
  #plan: QueryPlan;
  #watermarkMs: number;
  #idleMs: number;
  #closedThroughMs = -Infinity;

  constructor(plan: QueryPlan, places: PartitionPlace[], nowMs: number) {
    this.#plan = plan;
    this.#watermarkMs = plan.watermarkMs;
    this.#idleMs = plan.idleMs;
    this.partitions = places.map(({topic, partition, startOffset, startMaxMs = -Infinity}) => ({
      topic,
      partition,
      offset: startOffset,
      maxTimeMs: startMaxMs,
      endOffset: startOffset,
      movedMs: nowMs,
      read: 0,
      aggregated: 0,
      corrected: 0,
      lateInPart: 0,
      filtered: 0,
      duplicate: 0,
      late: 0,
      dead: 0,
      replayed: 0,
    }));
    for (const state of this.partitions) this.#byPlace.set(`${state.topic}/${state.partition}`, state);
  }

  /** Takes over offset, maximum and counts of a checkpoint. Unknown places are ignored: their topic left the plan. */
  restore(cuts: PartitionCut[], closedThroughMs: number): void {
    this.#closedThroughMs = closedThroughMs;
    for (const cut of cuts) {
      const state = this.#byPlace.get(`${cut.topic}/${cut.partition}`);
      if (state) Object.assign(state, cut, {endOffset: cut.offset});
    }
  }

  advance(cuts: PartitionCut[], nowMs: number): void {
    for (const cut of cuts) {
      const state = this.#byPlace.get(`${cut.topic}/${cut.partition}`);
      if (!state)
        throw new Error(`a delta names ${cut.topic}/${cut.partition}, which the query does not read`);
      if (cut.offset < state.offset)
        throw new Error(
          `a delta goes back in ${cut.topic}/${cut.partition}: ${cut.offset} after ${state.offset}`,
        );
      if (cut.offset > state.offset) state.movedMs = nowMs;
      state.offset = cut.offset;
      state.endOffset = Math.max(state.endOffset, cut.offset);
      state.maxTimeMs = Math.max(state.maxTimeMs, cut.maxTimeMs);
      state.read += cut.read;
      state.aggregated += cut.aggregated;
      state.corrected += cut.corrected;
      state.lateInPart += cut.lateInPart;
      state.filtered += cut.filtered;
      state.duplicate += cut.duplicate;
      state.late += cut.late;
      state.dead += cut.dead;
    }
  }

  /** An event that was set aside is counted by replay: it changes its class, and is still counted once. */
  replayed(topic: string, partition: number, from: 'late' | 'dead', to: 'aggregated' | 'filtered'): void {
    const state = this.#byPlace.get(`${topic}/${partition}`)!;
    state[from]--;
    state[to]++;
    state.replayed++;
  }

  /** Whether the query has merged the record there; undefined when it does not read that partition. */
  hasMerged(topic: string, partition: number, offset: number): boolean | undefined {
    const state = this.#byPlace.get(`${topic}/${partition}`);
    return state && state.offset > offset;
  }

  observeEnd(topic: string, partition: number, endOffset: number): void {
    const state = this.#byPlace.get(`${topic}/${partition}`);
    if (state) state.endOffset = Math.max(state.endOffset, endOffset);
  }

  /**
   * What is closed at `nowMs`. It never goes back: a partition that wakes with older events holds up newer windows, and
   * events it brings for closed ones are corrections of closed rows.
   */
  closedThrough(nowMs: number): number {
    let least = Infinity;
    let most = -Infinity;
    for (const state of this.partitions) {
      const watermarkMs = state.maxTimeMs - this.#watermarkMs;
      most = Math.max(most, watermarkMs);
      const isIdle = state.offset >= state.endOffset && nowMs - state.movedMs >= this.#idleMs;
      if (!isIdle) least = Math.min(least, watermarkMs);
    }
    const through = least === Infinity ? most : least;
    this.#closedThroughMs = Math.max(this.#closedThroughMs, through);
    return this.#closedThroughMs;
  }

  /** The last answer of `closedThrough`. */
  get closedThroughMs(): number {
    return this.#closedThroughMs;
  }

  /** Smallest watermark over all partitions; -Infinity while one is empty. */
  leastWatermark(): number {
    return this.slowest().maxTimeMs - this.#watermarkMs;
  }

  /** State that ended at or before it is wanted by no event any more, epoch ms. */
  floorMs(): number {
    const {countAllBelow = [], late, correctForMs} = this.#plan;
    const isBehind = countAllBelow.some(({topic, partition, offset}) => {
      const state = this.#byPlace.get(`${topic}/${partition}`);
      return state !== undefined && state.offset < offset;
    });
    // What counts whatever its lateness still finds its window.
    return isBehind ? -Infinity : this.leastWatermark() - (late === 'correct' ? correctForMs : 0);
  }

  /** Running maximum of event time in a partition, epoch ms; -Infinity before the first event. */
  maxOf(topic: string, partition: number): number {
    return this.#byPlace.get(`${topic}/${partition}`)?.maxTimeMs ?? -Infinity;
  }

  /** The partition that holds state longest. */
  slowest(): PartitionState {
    return this.partitions.reduce((least, state) => (state.maxTimeMs < least.maxTimeMs ? state : least));
  }

  /** Largest watermark, null before the first event. */
  watermark(): number | null {
    const most = Math.max(...this.partitions.map(({maxTimeMs}) => maxTimeMs));
    return most === -Infinity ? null : most - this.#watermarkMs;
  }

  /** Copies for a checkpoint. */
  cuts(): PartitionCut[] {
    return this.partitions.map(({endOffset, movedMs, ...cut}) => cut);
  }
}
