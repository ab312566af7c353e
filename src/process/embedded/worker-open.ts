import {PlatformError} from '../../errors.ts';
import {checkLog, type LookupSwitch, logName, readCheckpoint, stateName} from './checkpoint.ts';
import {completeJournal} from './lookup-journal.ts';
import {Merger} from './merger.ts';
import type {PartitionPlace} from './merger-time.ts';
import {ReplayFeed} from './replay-feed.ts';
import {checkTopics, topicsRead} from './topics-read.ts';
import {beginsOf, type OwnerOptions} from './worker-feeds.ts';

/** A query's state as its checkpoint says, or empty. */
export type OpenedQuery = {
  merger: Merger;
  replay: ReplayFeed;
  /** What feeds that read again have to follow. */
  journal: LookupSwitch[];
  hasCheckpoint: boolean;
  /** Records may have been read before. */
  hasRead: boolean;
};

/** @throws PlatformError QUERY_FAILED, QUERY_CHANGED, LOG_OTHER, TOPIC_OTHER, CHECKPOINT_* */
export function openQuery(
  options: OwnerOptions,
  places: PartitionPlace[],
  firstSequence: number,
): OpenedQuery {
  const {start, store, clock, log} = options;
  const {plan} = start;
  if (places.length === 0)
    throw new PlatformError('QUERY_FAILED', `${plan.id} reads topics that the log does not have`);
  const saved = readCheckpoint(store, plan);
  if (saved) checkLog(plan, saved.header, log);
  if (saved) checkTopics(plan, log, saved.header.topics);
  const {lookups = start.lookups, starts = beginsOf(places)} = saved?.header ?? {};
  // A partition that the checkpoint does not know came later: all of it is new.
  const known = saved && new Set(saved.header.cuts.map(({topic, partition}) => `${topic}/${partition}`));
  const from = places.map((place) =>
    known && !known.has(`${place.topic}/${place.partition}`) ? {...place, startOffset: 0} : place,
  );
  const {entries, unwritten, hasRead} = completeJournal(store, plan, lookups, starts);
  const merger = new Merger({
    plan,
    places: from,
    nowMs: clock.now(),
    log: logName(log),
    topics: topicsRead(plan, log, saved?.header.topics),
    saved,
    epoch: start.epoch,
    firstSequence,
    lookups,
    journal: unwritten,
    read: (key) => store.get(stateName(plan), key),
  });
  const {schemas, snapshotOf} = options;
  const replay = new ReplayFeed({
    plan,
    log,
    merger,
    journal: entries,
    schemas,
    snapshotOf: (lookup, id) => snapshotOf(plan.domain, lookup, id),
  });
  return {merger, replay, journal: entries, hasCheckpoint: saved !== undefined, hasRead};
}
