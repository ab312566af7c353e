import type {QueryPlan} from '../plan/nodes.ts';
import type {LookupSwitch} from './checkpoint.ts';
import {lookupsOf} from './lookup-journal.ts';
import type {Merger} from './merger.ts';

/**
 * Newer snapshots of a query's lookups, and their way into it: the feeds hold, the merger journals the switch with a
 * checkpoint of exactly those offsets, and when that is committed the feeds go on with the new snapshots.
 */
export class LookupSwitches {
  #names: Set<string>;
  #startEnds: LookupSwitch['places'] = [];
  /** Lookup -> id of its newest snapshot, as far as one was told. */
  #newest = new Map<string, string>();
  #underWay: Record<string, string> = {};
  /** Epoch of the checkpoint that makes the switch effective; 0 when none is under way. */
  #epoch = 0;

  constructor(plan: QueryPlan) {
    this.#names = new Set(lookupsOf(plan));
  }

  /** The query begins, or begins again. @param startEnds what the log holds, if it has read before; else empty */
  opened(startEnds: LookupSwitch['places']): void {
    this.#epoch = 0;
    this.#startEnds = startEnds;
  }

  /** Also while the query is stopped: it switches when it runs again. */
  want(name: string, id: string): void {
    if (this.#names.has(name)) this.#newest.set(name, id);
  }

  isWanted(merger: Merger): boolean {
    return this.#wanted(merger).length > 0;
  }

  get isUnderWay(): boolean {
    return this.#epoch > 0;
  }

  /**
   * Before the query began again, records up to the log's end of that moment may have been read with the journalled snapshot,
   * and rows of them may have left: until they are read again, nothing switches.
   */
  mayBegin(merger: Merger): boolean {
    if (this.#epoch > 0 || !this.isWanted(merger)) return false;
    return this.#startEnds.every((end) => {
      const state = merger.time.partitions.find(
        ({topic, partition}) => topic === end.topic && partition === end.partition,
      );
      return !state || state.offset >= end.offset;
    });
  }

  /**
   * All feeds hold: the merger's next checkpoint names the switch.
   * @returns the lookups that switch; none when the old snapshot came back meanwhile
   */
  begin(merger: Merger): string[] {
    this.#underWay = Object.fromEntries(this.#wanted(merger));
    for (const [lookup, id] of Object.entries(this.#underWay)) merger.switchLookup(lookup, id);
    if (Object.keys(this.#underWay).length > 0) this.#epoch = merger.nextEpoch;
    return Object.keys(this.#underWay);
  }

  /** @returns lookup -> id to go on with, once the checkpoint is committed */
  finished(committedEpoch: number): Record<string, string> | undefined {
    if (this.#epoch === 0 || committedEpoch < this.#epoch) return undefined;
    this.#epoch = 0;
    return this.#underWay;
  }

  #wanted({lookups}: Merger): [lookup: string, id: string][] {
    return [...this.#newest].filter(([lookup, id]) => lookups[lookup] !== id);
  }
}
