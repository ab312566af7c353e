import {failpoint} from '../../failpoint.ts';
import {commitOf} from './checkpoint.ts';
import type {Merger} from './merger.ts';
import type {StateStore} from './statestore.ts';
import type {SideGate} from './worker-side.ts';

/** `places`: next offset of every partition that is not in the checkpoint. */
export type Written = {
  epoch: number;
  bytes: number;
  pauseSeconds: number;
  seconds: number;
  places: {topic: string; partition: number; offset: number}[];
};

/**
 * Copies what changed, on this thread and between two deltas, and has it committed by the writer's.
 * @returns its epoch and size, how long the copy held this thread, and how long it took until it was durable; undefined when
 * the query stopped before what it had set aside was durable, so that nothing may be committed
 * @throws PlatformError CHECKPOINT_DISK_FULL, CHECKPOINT_IO: the query goes on from its last checkpoint
 */
export async function writeCheckpoint(
  merger: Merger,
  store: StateStore,
  side: SideGate,
): Promise<Written | undefined> {
  failpoint('checkpoint.before-copy');
  const startedMs = performance.now();
  const copy = merger.checkpoint();
  const commit = commitOf(merger.plan, copy);
  const pauseSeconds = (performance.now() - startedMs) / 1000;
  const bytes = commit.puts.reduce((sum, put) => sum + put.bytes.length, 0);
  // What was set aside below these offsets must be durable first: a restart would not come by it again.
  if (!(await side.settled())) return undefined;
  failpoint('checkpoint.before-commit');
  await store.commit(commit);
  failpoint('checkpoint.after-commit');
  const seconds = (performance.now() - startedMs) / 1000;
  const places = copy.header.cuts.map(({topic, partition, offset}) => ({topic, partition, offset}));
  return {epoch: commit.epoch, bytes, pauseSeconds, seconds, places};
}
