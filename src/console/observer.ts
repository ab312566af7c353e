/** Looks at a platform's Kafka every second: reading and describing only. */
import {setTimeout as sleep} from 'node:timers/promises';
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import {KafkaClient} from '../log/kafka/client.ts';
import {leaseHolder} from '../log/kafka/group-offsets.ts';
import {listOffsets, type Partition} from '../log/kafka/offsets.ts';
import type {KafkaSettings} from '../log/kafka/settings.ts';
import type {Platform} from '../model/types.ts';
import {lookAtLease, showCheckpoints} from '../platform/ownership.ts';
import type {PlatformDirs} from '../platform/places.ts';
import {describeHolder, isGone} from '../process/embedded/state-lease.ts';
import {bookTopic} from '../sinks/kafka/book.ts';
import {AppendTimes, lookAtGroups} from './groups.ts';
import type {KafkaView, SeenLease, SeenTopic} from './types.ts';

export type Observer = {
  /** As of the last look. */
  kafka(): KafkaView;
  leases(): SeenLease[];
  close(): Promise<void>;
};

export type ObserverOptions = {
  kafka: KafkaSettings;
  dirs: PlatformDirs;
  clock: Clock;
  /** Told in words when Kafka goes away and when it is back. */
  say(text: string): void;
};

/** After a look the next one is so much later. */
const lookMs = 1_000;
/** In a bucket questions cost. */
const bucketMs = 10_000;

/** Begins to look; nothing has to answer yet. */
export function startObserver(platform: Platform, options: ObserverOptions): Observer {
  const {kafka: settings, dirs, clock, say} = options;
  const client = new KafkaClient(settings);
  const times = new AppendTimes(client);
  const ending = new AbortController();
  let leases: SeenLease[] = [];
  let checkpoints: SeenLease | undefined;
  let checkpointsAt = 0;
  let view: KafkaView = {
    state: 'starting',
    asOfMs: null,
    cluster: '',
    queries: [],
    sinks: [],
    topics: [],
  };
  const look = async () => {
    try {
      const next = await lookAtKafka(platform, client, times, clock.now());
      if (view.state !== 'answering') say(`Kafka answers: cluster ${next.cluster}`);
      view = next;
    } catch (error) {
      if (!(error instanceof PlatformError)) throw error;
      if (ending.signal.aborted) return;
      const {code, message, hint} = error;
      if (view.state !== 'away') say(`warn: Kafka cannot be asked: ${code} ${message}`);
      view = {...view, state: 'away', message: `${code} ${message}`, ...(hint ? {hint} : {})};
    }
    if (!checkpoints || !platform.engine.bucket || performance.now() - checkpointsAt > bucketMs) {
      checkpoints = await checkpointLease(platform, dirs);
      checkpointsAt = performance.now();
    }
    leases = [await ingestLease(client, settings), checkpoints];
  };
  const running = (async () => {
    while (!ending.signal.aborted) {
      await look();
      await sleep(lookMs, undefined, {signal: ending.signal}).catch(() => {});
    }
  })();
  return {
    kafka: () => view,
    leases: () => leases,
    async close() {
      ending.abort();
      client.close();
      await running;
    },
  };
}

/** One look. @throws KAFKA_* */
async function lookAtKafka(
  platform: Platform,
  client: KafkaClient,
  times: AppendTimes,
  nowMs: number,
): Promise<KafkaView> {
  const {topics, clusterId} = await client.refreshMetadata();
  const {clientId} = client.settings;
  const own = topicsOf(platform, clientId, [...topics.keys()]);
  const all: Partition[] = own.flatMap((topic) =>
    Array.from(topics.get(topic) ?? [], (_, partition) => ({topic, partition})),
  );
  const starts = new Map<string, number>();
  const ends = new Map<string, number>();
  const noting = (into: Map<string, number>) => (place: Partition, offset: number) =>
    void into.set(`${place.topic}/${place.partition}`, offset);
  await Promise.all([
    listOffsets(client, all, 'start', noting(starts)),
    listOffsets(client, all, 'end', noting(ends)),
  ]);
  times.begin();
  const asked = {client, starts, ends, times, nowMs};
  const queries = platform.domains.flatMap(({name, aggregations}) =>
    aggregations.map((aggregation) => `${name}.${aggregation.name}`),
  );
  const sinks = new Set(
    platform.domains.flatMap(({aggregations}) => aggregations.flatMap((each) => each.sinks)),
  );
  return {
    state: 'answering',
    asOfMs: nowMs,
    cluster: clusterId,
    queries: await lookAtGroups(
      asked,
      queries.map((name) => ({name, group: `${clientId}.${name}`})),
    ),
    sinks: await lookAtGroups(
      asked,
      [...sinks].map((name) => ({name, group: `${clientId}.sinks.${name}`})),
    ),
    topics: own.map((topic) => seenTopic(topic, topics.get(topic)?.length ?? 0, starts, ends)),
  };
}

/** The platform's own topics: those of its event types, also where they do not exist, and those that it makes beside them. */
function topicsOf({domains}: Platform, clientId: string, existing: readonly string[]): string[] {
  const found = new Set(domains.flatMap(({eventTypes}) => eventTypes.map(({topic}) => topic)));
  const exact = new Set([bookTopic(clientId)]);
  const prefixes: string[] = [];
  for (const {name} of domains) {
    exact.add(`dlq.${name}`).add(`replay.${name}`);
    prefixes.push(`late.${name}.`, `replay.${name}.`, `agg.${name}.`);
  }
  for (const topic of existing)
    if (exact.has(topic) || prefixes.some((prefix) => topic.startsWith(prefix))) found.add(topic);
  return [...found].sort();
}

function seenTopic(
  topic: string,
  partitions: number,
  starts: ReadonlyMap<string, number>,
  ends: ReadonlyMap<string, number>,
): SeenTopic {
  const of = (offsets: ReadonlyMap<string, number>) =>
    Array.from({length: partitions}, (_, partition) => offsets.get(`${topic}/${partition}`) ?? null);
  const [from, to] = [of(starts), of(ends)];
  const isKnown = ![...from, ...to].includes(null);
  const records = isKnown ? to.reduce<number>((sum, end, index) => sum + end! - from[index]!, 0) : null;
  return {topic, partitions, records, starts: from, ends: to};
}

const unasked = (error: unknown): {holder: null; message: string} => {
  if (!(error instanceof PlatformError)) throw error;
  return {holder: null, message: `${error.code} ${error.message}`};
};

/** Which process appends events. */
async function ingestLease(client: KafkaClient, {clientId}: KafkaSettings): Promise<SeenLease> {
  const about = {what: 'ingest', place: `group ${clientId}.ingest`};
  try {
    return {...about, holder: (await leaseHolder(client, `${clientId}.ingest`)) ?? null};
  } catch (error) {
    return {...about, ...unasked(error)};
  }
}

/** Which process commits checkpoints; of a directory of another machine nothing is known. */
async function checkpointLease(platform: Platform, dirs: PlatformDirs): Promise<SeenLease> {
  const about = {what: 'checkpoints', place: showCheckpoints(platform, dirs)};
  try {
    const lease = await lookAtLease(platform, dirs);
    if (lease?.holder && isGone(lease.holder))
      return {...about, holder: describeHolder(lease.holder), message: 'it does not run any more'};
    if (lease) return {...about, holder: lease.holder && describeHolder(lease.holder)};
    return {
      ...about,
      holder: null,
      message: platform.engine.bucket ? 'there are none yet' : 'there are none on this machine',
    };
  } catch (error) {
    return {...about, ...unasked(error)};
  }
}
