import type {RowBuilder} from './emit.ts';
import type {PendingRows, RestoredRows} from './state-codec.ts';
import type {PaneDelta, SessionDelta} from './types.ts';

/** What the state of a query has in common, whether it is kept in panes or in sessions. The merger drives it. */
export type QueryState = {
  /** Adds a delta; `gidOf` maps the kernel's group ids to ours. */
  apply(delta: {panes: PaneDelta[]; sessions: SessionDelta[]}, gidOf: Int32Array): void;
  /** Everything that ends at or before `ms` is closed from now on; it never opens again. */
  closeThrough(ms: number): void;
  /** Whether a row waits to leave. */
  hasDirty(): boolean;
  /** Moves up to `rowsMax` changed rows into the builder and remembers them as in flight. @returns rows taken */
  take(builder: RowBuilder, rowsMax: number): number;
  /** What was taken is durable in the sinks, as far as they can say. */
  acknowledged(): void;
  /** The sinks are about to write a mark after everything acknowledged so far. */
  beginMark(): void;
  /** They wrote it: a sink that still has the mark still has those rows. */
  marked(): void;
  /** Nothing changed and nothing in flight. */
  isClean(): boolean;
  /** Copies what changed since the last copy; `floorMs`: state that ended at or before it is deleted. */
  copy(into: StateCopy, floorMs: number): void;
  /** The last copy is durable: what is closed and clean leaves memory. */
  committed(): void;
  restore(saved: RestoredState): void;
  openWindows(): number;
  bytes(): number;
};

/** A piece of state on its way to the store. */
export type StatePut = {key: string; bytes: Uint8Array<ArrayBuffer>};

/** A copy of changed state. */
export type StateCopy = {
  puts: StatePut[];
  deletes: string[];
  /** Rows that a sink may lack: changed, in flight, or acknowledged without a mark after them. */
  pending: PendingRows[];
  tombstones: PendingRows[];
};

/** What `restore` gets; pieces are read when they are needed. */
export type RestoredState = {
  closedThroughMs: number;
  /** Keys of the stored pieces. */
  keys: string[];
  /** A committed piece; undefined when there is none of that key. */
  read(key: string): Uint8Array | undefined;
  pending: RestoredRows[];
  tombstones: RestoredRows[];
};
