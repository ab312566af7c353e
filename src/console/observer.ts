/** Looks at a platform's Kafka every second: reading and describing only. */
import {setTimeout as sleep} from 'node:timers/promises';
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import {KafkaClient} from '../log/kafka/client.ts';
import {leaseHolder} from '../log/kafka/group-offsets.ts';
import {listOffsets, type Partition} from '../log/kafka/offsets.ts';
import {hiddenTopics, saidOfHidden} from '../log/kafka/rights.ts';
import type {KafkaSettings} from '../log/kafka/settings.ts';
import {tellReread} from '../log/rereads.ts';
import type {Platform} from '../model/types.ts';
import {lookAtLease, showCheckpoints} from '../platform/ownership.ts';
import type {PlatformDirs} from '../platform/places.ts';
import {sinkLeaseGroup} from '../platform/sink-leases.ts';
import {describeHolder, isGone} from '../process/embedded/state-lease.ts';
import {replayJournalTopic, replayTopic} from '../schema/replay.ts';
import {bookTopic} from '../sinks/kafka/book.ts';
import {rowsTopic} from '../sinks/kafka/rows.ts';
import type {Telemetry} from '../telemetry.ts';
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
  telemetry: Telemetry;
};

/** After a look the next one is so much later. */
const lookMs = 1_000;
/** In a bucket questions cost. */
const bucketMs = 10_000;

/** Begins to look; nothing has to answer yet. */
export function startObserver(platform: Platform, options: ObserverOptions): Observer {
  const {kafka: settings, dirs, clock, say, telemetry} = options;
  const client = new KafkaClient(settings);
  const times = new AppendTimes(client, (told) => tellReread(telemetry, told));
  const ending = new AbortController();
  const sinks = sinksOf(platform);
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
    const ofSinks = await Promise.all(
      sinks.map((sink) => leaseOf(client, `sink ${sink}`, sinkLeaseGroup(settings.clientId, sink))),
    );
    // Where the sinks are in one process with the engine, there are no leases of their rows; in one process of all roles none at all.
    const withRows = new Set(
      view.sinks.filter(({topics}) => topics.length > 0).map(({name}) => `sink ${name}`),
    );
    leases = [
      await leaseOf(client, 'ingest', `${settings.clientId}.ingest`),
      ...ofSinks.filter(({what, holder, message}) => withRows.has(what) || holder !== null || message),
      checkpoints,
    ];
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
  const expected = platform.domains.flatMap((domain) => expectedOf(domain));
  const hidden = await hiddenTopics(
    client,
    [...expected, bookTopic(clientId)].filter((topic) => !topics.has(topic)),
  );
  const own = topicsOf(platform, clientId, [...topics.keys(), ...hidden]);
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
  const asked = {client, starts, ends, times, nowMs, hidden};
  const queries = platform.domains.flatMap(({name, aggregations, eventTypes}) =>
    aggregations.map((query) => ({
      name: `${name}.${query.name}`,
      group: `${clientId}.${name}.${query.name}`,
      reads: eventTypes.filter((each) => query.from.includes(each.name)).map(({topic}) => topic),
    })),
  );
  const rows = platform.domains.flatMap(({name, aggregations}) =>
    aggregations.flatMap((query) => query.sinks.map((sink) => ({sink, topic: firstRows(name, query.name)}))),
  );
  const sinks = [...Map.groupBy(rows, ({sink}) => sink)].map(([name, own]) => ({
    name,
    group: `${clientId}.sinks.${name}`,
    reads: own.map(({topic}) => topic),
  }));
  return {
    state: 'answering',
    asOfMs: nowMs,
    cluster: clusterId,
    queries: await lookAtGroups(asked, queries),
    sinks: await lookAtGroups(asked, sinks),
    topics: own.map((topic) => seenTopic(topic, topics.get(topic)?.length ?? 0, starts, ends, hidden)),
  };
}

/** All that something is written into: rows or raw events. */
const sinksOf = ({domains}: Platform): string[] => [
  ...new Set(
    domains.flatMap(({aggregations, defaults}) => [
      ...aggregations.flatMap((query) => query.sinks),
      ...(defaults.raw === null ? [] : [defaults.raw]),
    ]),
  ),
];

/** Rows of the first revision of a query. */
const firstRows = (domain: string, query: string): string =>
  rowsTopic({namespace: domain, name: `${query}__r1`});

/** Topics that a domain has, or may have: those of rows only where engine and sinks are apart. */
function expectedOf({name, eventTypes, aggregations}: Platform['domains'][number]): string[] {
  const queries = aggregations.flatMap((query) => {
    const id = `${name}.${query.name}`;
    return [`late.${id}`, replayTopic(id), firstRows(name, query.name)];
  });
  return [...eventTypes.map(({topic}) => topic), `dlq.${name}`, replayJournalTopic(name), ...queries];
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
  hidden: ReadonlySet<string>,
): SeenTopic {
  const of = (offsets: ReadonlyMap<string, number>) =>
    Array.from({length: partitions}, (_, partition) => offsets.get(`${topic}/${partition}`) ?? null);
  const [from, to] = [of(starts), of(ends)];
  const isHidden = hidden.has(topic);
  const isKnown = !isHidden && ![...from, ...to].includes(null);
  const records = isKnown ? to.reduce<number>((sum, end, index) => sum + end! - from[index]!, 0) : null;
  const message = isHidden ? {message: `KAFKA_ACCESS ${saidOfHidden([topic])}`} : {};
  return {topic, partitions, records, starts: from, ends: to, ...message};
}

const unasked = (error: unknown): {holder: null; message: string} => {
  if (!(error instanceof PlatformError)) throw error;
  return {holder: null, message: `${error.code} ${error.message}`};
};

/** Which process appends events, or writes into a sink. */
async function leaseOf(client: KafkaClient, what: string, group: string): Promise<SeenLease> {
  const about = {what, place: `group ${group}`};
  try {
    return {...about, holder: (await leaseHolder(client, group)) ?? null};
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
