import type {QueryPlan} from '../plan/nodes.ts';
import {windowsOf} from './kernel-window.ts';
import {PlaceSet} from './replay-places.ts';
import type {StatePut} from './state.ts';
import type {SideRecord} from './types.ts';

/** What a checkpoint says of replays. */
export type ReplayHeader = {
  /** Next offset of `replay.<domain>.<query>` to be merged. */
  offset: number;
  /** State that ended at or before this may be gone, epoch ms. */
  deletedMs: number;
};

/** What an event that is replayed had been: set aside as late or dead; undefined when the query counted it, or never read it. */
export type AsideKind = 'late' | 'dead';

/** Of a query: which of its events it set aside, which of these were counted by replay since, and how far replays are merged. */
export class ReplayState {
  #offset: number;
  #copiedOffset: number;
  /** State that ended at or before this may be gone, epoch ms. */
  deletedMs: number;
  /** Least event time among replays that are in the log and not merged: their windows must stay. */
  waitingMs = Infinity;
  #aside: PlaceSet;
  #counted: PlaceSet;

  constructor(saved?: {header: ReplayHeader; keys: string[]; read(key: string): Uint8Array | undefined}) {
    this.#offset = this.#copiedOffset = saved?.header.offset ?? 0;
    this.deletedMs = saved?.header.deletedMs ?? -Infinity;
    const {keys = [], read = () => undefined} = saved ?? {};
    this.#aside = new PlaceSet('aside', keys, read);
    this.#counted = new PlaceSet('counted', keys, read);
  }

  /** Next offset of the query's replay topic to be merged. */
  get offset(): number {
    return this.#offset;
  }

  mergedThrough(offset: number): void {
    this.#offset = offset;
  }

  /** Whether a checkpoint would say another offset. */
  get hasMoved(): boolean {
    return this.#offset !== this.#copiedOffset;
  }

  setAside(side: SideRecord[]): void {
    for (const {kind, topic, partition, offset} of side) this.#aside.add(kind, topic, partition, offset);
  }

  /** What the event at a place is counted as now, if it can be replayed. */
  kindOf(topic: string, partition: number, offset: number): AsideKind | undefined {
    const has = (kind: AsideKind) => this.#aside.has(kind, topic, partition, offset);
    const kind = has('dead') ? 'dead' : has('late') ? 'late' : undefined;
    return kind && !this.#counted.has(kind, topic, partition, offset) ? kind : undefined;
  }

  /** The event is counted by replay from now on. */
  counted(kind: AsideKind, topic: string, partition: number, offset: number): void {
    this.#counted.add(kind, topic, partition, offset);
  }

  /** What state may be deleted: `floorMs` as the watermarks say, but nothing that a waiting replay needs. */
  floor(floorMs: number): number {
    const allowedMs = Math.min(floorMs, this.waitingMs);
    this.deletedMs = Math.max(this.deletedMs, allowedMs);
    return allowedMs;
  }

  /** Nothing waits: what was read back for look-ups leaves memory. */
  rest(): void {
    this.waitingMs = Infinity;
    this.#aside.unload();
    this.#counted.unload();
  }

  copy(puts: StatePut[]): ReplayHeader {
    this.#aside.copy(puts);
    this.#counted.copy(puts);
    this.#copiedOffset = this.#offset;
    return {offset: this.#offset, deletedMs: this.deletedMs};
  }

  committed(): void {
    this.#aside.committed();
    this.#counted.committed();
  }

  get bytes(): number {
    return this.#aside.bytes + this.#counted.bytes;
  }
}

/** Whether the state of every window of an event is still whole, when what ended at or before `deletedMs` may be gone. */
export function hasWindows({window}: QueryPlan, eventTimeMs: number, deletedMs: number): boolean {
  // A session that the event can join ends at the event or later.
  if (window.type === 'session') return eventTimeMs >= deletedMs;
  return windowsOf(window, eventTimeMs).every(({endMs}) => endMs > deletedMs);
}

/** An event that is counted by replay: where it lies in the log, and its class of the ledger before and after. */
export type ReplayMove = {
  topic: string;
  partition: number;
  offset: number;
  from: AsideKind;
  to: 'aggregated' | 'filtered';
};
