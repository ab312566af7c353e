import type {QueryPlan} from '../plan/nodes.ts';
import type {QueryStatus, WaitsFor} from '../types.ts';
import type {Merger} from './merger.ts';
import type {Failure} from './worker-messages.ts';

/** Age in ms of the record at an offset. */
export type LagOf = (topic: string, partition: number, offset: number) => Promise<number>;

export type OwnerState = {
  state: QueryStatus['state'];
  reason: Failure | undefined;
  isSettled: boolean;
  waitsFor: WaitsFor[];
  /** Events of the query's replay topic that it has not come by. */
  unreadReplays: number;
  nowMs: number;
};

/** What there is to say of a query; a stopped one has no merger. */
export async function statusOf(
  plan: QueryPlan,
  merger: Merger | undefined,
  {state, reason, isSettled, waitsFor, unreadReplays, nowMs}: OwnerState,
  lagMsOf: LagOf,
): Promise<QueryStatus> {
  const partitions = merger?.time.partitions ?? [];
  const behind = partitions.filter(({offset, endOffset}) => offset < endOffset);
  const ages = behind.map(({topic, partition, offset}) => lagMsOf(topic, partition, offset));
  // All but the ages is of one moment: the query goes on while they are looked up.
  const status = {
    query: plan.id,
    state,
    ...(reason
      ? {
          reason: {
            code: reason.code ?? 'QUERY_FAILED',
            message: reason.message,
            ...(reason.hint ? {hint: reason.hint} : {}),
            ...(reason.place ? {place: reason.place} : {}),
          },
        }
      : {}),
    counts: partitions.map(({offset, maxTimeMs, endOffset, movedMs, ...counts}) => counts),
    watermarkMs: merger?.time.watermark() ?? null,
    lagEvents: behind.reduce((sum, {offset, endOffset}) => sum + endOffset - offset, unreadReplays),
    lagMs: 0,
    groups: merger?.groups.count ?? 0,
    openWindows: merger?.openWindows() ?? 0,
    memoryBytes: merger?.bytes() ?? 0,
    checkpointEpoch: merger?.committedEpoch ?? 0,
    positions: partitions.map(({topic, partition, offset}) => ({topic, partition, offset})),
    observedMs: nowMs,
    settled: isSettled && behind.length === 0 && unreadReplays === 0,
    isClean: merger?.isClean() ?? false,
    ...(waitsFor.length > 0 ? {waitsFor} : {}),
  };
  return {...status, lagMs: Math.max(0, ...(await Promise.all(ages)))};
}
