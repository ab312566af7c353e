import type {QueryPlan} from '../plan/nodes.ts';
import {lookupsOf} from './lookup-journal.ts';
import type {Merger} from './merger.ts';
import type {OpenPlace} from './worker-messages.ts';

/**
 * Newer snapshots of a query's lookups, and their way into it: the feeds hold, the merger journals the switch with a
 * checkpoint of exactly those offsets, and when that is committed the feeds go on with the new snapshots.
 */
export class LookupSwitches {
  #names: Set<string>;
  #startEnds: OpenPlace[];
  /** Lookup -> id of its newest snapshot. */
  #wanted = new Map<string, string>();
  #underWay: Record<string, string> = {};
  /** Epoch of the checkpoint that makes the switch effective; 0 when none is under way. */
  #epoch = 0;

  /** @param startEnds what the log held when a query that had read before was started; empty for one that began */
  constructor(plan: QueryPlan, startEnds: OpenPlace[]) {
    this.#names = new Set(lookupsOf(plan));
    this.#startEnds = startEnds;
  }

  want(merger: Merger, name: string, id: string): void {
    if (this.#names.has(name) && merger.lookups[name] !== id) this.#wanted.set(name, id);
  }

  get isWanted(): boolean {
    return this.#wanted.size > 0;
  }

  get isUnderWay(): boolean {
    return this.#epoch > 0;
  }

  /**
   * Before the restart, records up to the log's end of that moment may have been read with the journalled snapshot, and rows
   * of them may have left: until they are read again, nothing switches.
   */
  mayBegin(merger: Merger): boolean {
    if (this.#wanted.size === 0 || this.#epoch > 0) return false;
    return this.#startEnds.every((end) => {
      const state = merger.time.partitions.find(
        ({topic, partition}) => topic === end.topic && partition === end.partition,
      );
      return !state || state.offset >= end.offset;
    });
  }

  /** All feeds hold: the merger's next checkpoint names the switch. @returns the lookups that switch */
  begin(merger: Merger): string[] {
    this.#underWay = Object.fromEntries(this.#wanted);
    this.#wanted.clear();
    for (const [lookup, id] of Object.entries(this.#underWay)) merger.switchLookup(lookup, id);
    this.#epoch = merger.nextEpoch;
    return Object.keys(this.#underWay);
  }

  /** @returns lookup -> id to go on with, once the checkpoint is committed */
  finished(committedEpoch: number): Record<string, string> | undefined {
    if (this.#epoch === 0 || committedEpoch < this.#epoch) return undefined;
    this.#epoch = 0;
    return this.#underWay;
  }

  /** The query begins again from its last checkpoint. */
  forget(): void {
    for (const [lookup, id] of Object.entries(this.#underWay))
      if (this.#epoch > 0 && !this.#wanted.has(lookup)) this.#wanted.set(lookup, id);
    this.#epoch = 0;
  }
}
