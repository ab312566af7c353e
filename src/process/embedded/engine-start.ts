import {PlatformError} from '../../errors.ts';
import {openLog} from '../../log/open.ts';
import type {LogReader} from '../../log/types.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import type {LookupSnapshot} from '../types.ts';
import {
  type CheckpointHeader,
  checkFingerprint,
  type LookupSwitch,
  readCheckpoint,
  type SavedState,
  stateName,
} from './checkpoint.ts';
import type {EngineOptions} from './engine-options.ts';
import {lastSnapshot, lookupsOf, readJournal, stepsFrom} from './lookup-journal.ts';
import type {StateStore} from './statestore.ts';
import {beginsOf, placesOf} from './worker-feeds.ts';
import type {DomainSnapshot, QueryStart} from './worker-messages.ts';

export type PrepareOptions = Pick<
  EngineOptions,
  'log' | 'lookup' | 'marked' | 'onReset' | 'openLog' | 'telemetry'
> & {
  store: StateStore;
};

/**
 * Decides how a query begins: from its checkpoint; from the log's start when it has none, or when a sink lost what it had
 * acknowledged. Where the log is read again, its lookups are those of the journal. `newer`: snapshots to switch to when that is allowed. @throws PlatformError QUERY_CHANGED, QUERY_STATE_LOST, QUERY_LOOKUP_MISSING, CHECKPOINT_CORRUPT
 */
export async function prepareQuery(
  plan: QueryPlan,
  options: PrepareOptions,
): Promise<{start: QueryStart; snapshots: DomainSnapshot[]; newer: DomainSnapshot[]}> {
  const {store, marked} = options;
  let saved = readCheckpoint(store, plan);
  const hadState = saved !== undefined;
  if (saved) checkFingerprint(plan, saved.header);
  // What cannot keep a mark cannot be asked whether it lost something.
  const known = await marked?.(plan);
  const sinkEpoch = known === null ? (saved?.header.markedEpoch ?? 0) : (known ?? 0);
  let epoch = 0;
  if (saved && saved.header.markedEpoch > sinkEpoch) {
    await checkLogIsWhole(plan, saved.header.starts, options);
    epoch = saved.header.epoch;
    await store.drop(stateName(plan));
    saved = undefined;
  }
  if (!saved) {
    // Rows without a state: they can only be made again by a log that begins where they began, so from the first record.
    if (epoch === 0 && sinkEpoch > 0) await checkLogIsWhole(plan, await startsOf(plan, options), options);
    epoch = Math.max(epoch, sinkEpoch);
    if (epoch > 0)
      options.telemetry?.emit('Log', {
        level: 'warn',
        message: `${plan.id}: ${hadState ? 'its sink lacks rows that it had acknowledged (lost, or an older copy)' : 'its checkpoint is gone'}; its rows are made again from the log`,
      });
    if (epoch > 0 && plan.window.type === 'session') await options.onReset?.(plan);
  }
  const {entries} = readJournal(store, plan);
  const snapshots = await snapshotsOf(plan, saved, entries, options);
  const lookups = Object.fromEntries(snapshots.map(({snapshot}) => [snapshot.name, snapshot.id]));
  const earlier = await earlierOf(plan, saved, entries, lookups, options);
  const hasRead = saved !== undefined || entries.length > 0;
  const current = hasRead ? await snapshotsOf(plan, undefined, [], options) : [];
  const newer = current.filter(({snapshot}) => snapshot.id !== lookups[snapshot.name]);
  return {start: {plan, lookups, epoch}, snapshots: [...snapshots, ...earlier], newer};
}

/** Brokers that do not answer are not waited for longer here: the query begins later. */
const patienceMs = 2_000;

const opened = ({log, openLog: open = openLog}: PrepareOptions): Promise<LogReader> =>
  open(log, {patienceMs});

/** A replay makes the same rows only while the log still begins where the revision did. */
async function checkLogIsWhole(
  plan: QueryPlan,
  starts: CheckpointHeader['starts'],
  options: PrepareOptions,
): Promise<void> {
  const log = await opened(options);
  try {
    for (const {topic, partition, offset} of starts) {
      const startOffset = log.startOffset(topic, partition);
      if (startOffset <= offset) continue;
      throw new PlatformError(
        'QUERY_STATE_LOST',
        `the rows of ${plan.id} have to be made again, and ${topic}/${partition} begins at ${startOffset} now, not at ${offset}`,
        {hint: `restore the sink, or accept what the log still holds: npx millrace rebuild ${plan.id}`},
      );
    }
  } finally {
    log.close();
  }
}

async function startsOf(plan: QueryPlan, options: PrepareOptions): Promise<CheckpointHeader['starts']> {
  const log = await opened(options);
  try {
    return placesOf(plan, log).map(({topic, partition}) => ({topic, partition, offset: 0}));
  } finally {
    log.close();
  }
}

/** The snapshots that the checkpoint names, else those that the journal names last, else the current ones. */
const snapshotsOf = (
  plan: QueryPlan,
  saved: SavedState | undefined,
  entries: LookupSwitch[],
  options: PrepareOptions,
): Promise<DomainSnapshot[]> =>
  Promise.all(
    lookupsOf(plan).map((name) =>
      loadSnapshot(plan, name, saved?.header.lookups[name] ?? lastSnapshot(entries, name) ?? null, options),
    ),
  );

/** The others that records see which are to be read again. */
async function earlierOf(
  plan: QueryPlan,
  saved: SavedState | undefined,
  entries: LookupSwitch[],
  lookups: Record<string, string>,
  options: PrepareOptions,
): Promise<DomainSnapshot[]> {
  // No need to open the log then, which may be on another machine.
  if (entries.length === 0) return [];
  const steps = stepsFrom(entries, await readsFrom(plan, saved, options), lookups);
  const wanted = new Map(steps.map((step) => [`${step.lookup} ${step.snapshot}`, step]));
  return Promise.all(
    [...wanted.values()]
      .filter(({lookup, snapshot}) => lookups[lookup] !== snapshot)
      .map(({lookup, snapshot}) => loadSnapshot(plan, lookup, snapshot, options)),
  );
}

/** Where the query goes on reading. */
async function readsFrom(
  plan: QueryPlan,
  saved: SavedState | undefined,
  options: PrepareOptions,
): Promise<CheckpointHeader['starts']> {
  const log = await opened(options);
  try {
    return beginsOf(placesOf(plan, log)).map((place) => {
      const {topic, partition} = place;
      return saved?.header.cuts.find((cut) => cut.topic === topic && cut.partition === partition) ?? place;
    });
  } finally {
    log.close();
  }
}

/** @param id null: the current one. @throws PlatformError QUERY_LOOKUP_MISSING */
async function loadSnapshot(
  plan: QueryPlan,
  name: string,
  id: string | null,
  {lookup}: PrepareOptions,
): Promise<DomainSnapshot> {
  const snapshot: LookupSnapshot | undefined = await lookup?.(plan.domain, name, id);
  if (snapshot) return {domain: plan.domain, snapshot};
  const which = id === null ? '' : ` of content ${id}`;
  throw new PlatformError('QUERY_LOOKUP_MISSING', `${plan.id} needs a snapshot${which} of lookup ${name}`, {
    hint:
      id === null
        ? 'see why the lookup does not load'
        : `put ${id}.csv back from a backup; without it, rename the query: it then begins with today's lookup`,
  });
}
