/** Bringing an outbox and a cluster together: topics, partitions, what others wrote meanwhile, a producer. */
import {PlatformError} from '../../errors.ts';
import type {Telemetry} from '../../telemetry.ts';
import type {Stream} from '../chain.ts';
import {type OutboxWriter, partitionOfOthers} from '../group.ts';
import type {Outbox} from '../outbox.ts';
import {tellPassedOver} from '../passed-over.ts';
import {adoptIds} from './adopt.ts';
import {readBeforeFence} from './before-fence.ts';
import {beginAnew, hasRemade} from './begin-anew.ts';
import type {KafkaClient} from './client.ts';
import {kafkaError} from './codes.ts';
import {foreignersOf} from './foreign.ts';
import type {Forwarder} from './forwarder.ts';
import type {Lane} from './lane.ts';
import {askOffsets} from './offsets.ts';
import {initProducer} from './produce.ts';
import {createFence, type Fence, writeFence} from './recover.ts';
import {ensureTopics} from './topics.ts';
import {withdrawKnown} from './withdraw.ts';
import type {KafkaWriterOptions} from './writer-options.ts';

/** How often the reading of others' ids is told, ms. */
const tellMs = 2_000;

/** What is brought together. */
export type Parts = {
  client: KafkaClient;
  outbox: Outbox;
  log: OutboxWriter;
  topics: KafkaWriterOptions['topics'];
  dir: string;
  telemetry: Telemetry;
  /** Makes what changed in the outbox durable. */
  write: () => Promise<unknown>;
  /** Nothing can be appended any more. */
  fail: (error: PlatformError) => void;
  /** Whether one process at a time appends, whichever copy of the outbox it has. */
  isLeased: boolean;
};

/**
 * Makes missing topics, gives every partition a stream, reads the ids that other outboxes brought, and begins a new epoch of the
 * producer. @throws KAFKA_*, OUTBOX_OTHER when the outbox belongs to another cluster
 */
export async function connectOutbox(parts: Parts): Promise<void> {
  const {client, outbox, topics, dir, telemetry} = parts;
  for (const {topic, what, is, wanted, command} of await ensureTopics(client, topics))
    telemetry.emit('Log', {
      level: 'warn',
      message: `topic ${topic}: ${what} is ${is}, not ${wanted}${command === undefined ? '' : `: ${command}`}`,
    });
  const {clusterId, topics: found} = client.metadata;
  const {cluster} = outbox.head;
  if (cluster !== '' && cluster !== clusterId)
    throw new PlatformError(
      'OUTBOX_OTHER',
      `the outbox in ${dir} belongs to Kafka cluster ${cluster}, the brokers are of ${clusterId}`,
      {
        hint: 'check log.kafka.brokers, or choose another log.kafka.spool.dir for this cluster',
        place: dir,
      },
    );
  outbox.setHead({cluster: clusterId});
  for (const {name} of topics) parts.log.ensureTopic(name, found.get(name)?.length ?? 0);
  const streams = await learn(parts);
  const isEmpty = streams.every(({id, endOffset}) => outbox.position(id)?.shipped === endOffset);
  const old = outbox.head;
  if (old.producerId < 0) tellMoved(parts);
  // With nothing on its way a start is a producer of its own: a copy of the outbox that is put back would count on from the same
  // epoch, and the broker takes batches with numbers that it has seen for repetitions and acknowledges them without writing them.
  const isNew = old.producerId < 0 || isEmpty;
  outbox.setHead(isNew ? {producerId: await initProducer(client), epoch: 0} : {epoch: old.epoch + 1});
  await parts.write();
}

/** A directory that was in another place before may be a copy, or may have been moved: both is told, since only people know. */
function tellMoved({outbox: {identity}, telemetry}: Parts): void {
  const [before] = identity.former;
  if (!identity.isMoved || !before) return;
  // A disk that is mounted again may have another number.
  const level = before.where === identity.where ? 'info' : 'warn';
  telemetry.emit('Log', {
    level,
    message: `the outbox in ${identity.where} was used in ${before.where} before: it goes on as another one, in case that one is still used`,
  });
}

/** As the outbox knows the topic; 0: it does not. */
export function partitionsOf(log: OutboxWriter, topic: string): number {
  // Streams of others' ids keep the number that the topic had when they were made.
  for (const stream of log.streams())
    if (stream.topic === topic && stream.partition >= 0) return stream.partitions;
  return 0;
}

/** Looks at every partition, and reads the ids that other outboxes brought since. @returns the streams of all topics. Throws KAFKA_*. */
export async function learn(
  parts: Parts,
  onOther: (topic: string, outbox: string) => void = () => {},
): Promise<Stream[]> {
  const {log, topics} = parts;
  const names = new Set(topics.map(({name}) => name));
  const appended = new Set(topics.flatMap(({name, isAppended = true}) => (isAppended ? [name] : [])));
  const streams = [...log.streams()].filter(({topic, partition}) => partition >= 0 && names.has(topic));
  await meet(parts, streams, appended, onOther);
  return streams;
}

/** The same, where others may have written since; a failure is for the next time. */
export async function learnMore(parts: Parts): Promise<void> {
  const {outbox, log, topics} = parts;
  const mayHaveOthers = topics.some(({isLeased, isAppended = true}) => isAppended && !isLeased);
  const isBehind = [...log.streams()].some(({id}) => {
    const position = outbox.position(id);
    return position !== undefined && position.known < position.kafkaNext;
  });
  if (!mayHaveOthers && !isBehind && !hasRemade(parts)) return;
  try {
    const foreigners = foreignersOf(parts);
    await learn(parts, foreigners.saw);
    foreigners.tell();
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
  }
}

/** A topic was made anew while this runs: what is on its way may have come into the new one. */
export function noteRemade(topic: string, forwarder: Forwarder, parts: Parts): void {
  for (const {stream} of forwarder.lanes) if (stream.topic === topic) parts.outbox.lookFromStart(stream.id);
  forwarder.suspect();
  void learnMore(parts);
}

/** Compares what the outbox knows of the partitions with what they have. */
async function meet(
  parts: Parts,
  streams: Stream[],
  appended: ReadonlySet<string>,
  onOther: (topic: string, outbox: string) => void,
): Promise<void> {
  const {client, outbox, log, topics, telemetry} = parts;
  // Everybody may write to topics of events.
  const isOurs = new Set(topics.flatMap(({name, isLeased}) => (isLeased ? [] : [name])));
  // As of before it is asked: what one broker tells may be older than what arrives until all have answered.
  const [shipped, written] = [
    streams.map(({id}) => outbox.position(id)?.shipped ?? 0),
    streams.map(({id}) => outbox.position(id)?.kafkaNext ?? 0),
  ];
  const starts = await offsetsOf(client, streams, 'start');
  const ends = await offsetsOf(client, streams, 'end');
  const placeOf = (stream: Stream, index: number) => {
    const key = `${stream.topic}/${stream.partition}`;
    return {stream, start: starts.get(key) ?? 0, end: ends.get(key) ?? 0, shipped: shipped[index]!};
  };
  await beginAnew(parts, streams.map(placeOf));
  let toRead = 0;
  const behind: {stream: Stream; start: number; from: number; to: number}[] = [];
  for (const [index, stream] of streams.entries()) {
    const key = `${stream.topic}/${stream.partition}`;
    const [start, end] = [starts.get(key) ?? 0, ends.get(key) ?? 0];
    const position = outbox.position(stream.id);
    if (!position) outbox.settle(stream.id, stream.startOffset, end, Math.min(start, end));
    else if (end < Math.min(written[index]!, position.kafkaNext)) {
      telemetry.emit('Log', {
        level: 'error',
        message: `${stream.topic} partition ${stream.partition} ends at offset ${end}, and this process had written up to ${written[index]}: the brokers lost acknowledged records (an unclean election, or the topic was made anew)`,
      });
      // While something waits the place stays as it is known: it is looked at closely before anything is sent.
      const next = position.shipped < stream.endOffset ? position.kafkaNext : end;
      outbox.settle(stream.id, position.shipped, next, Math.min(position.known, end));
    }
    outbox.forget(stream.id, start);
    const from = Math.max(outbox.position(stream.id)!.known, start);
    if (from >= end || !appended.has(stream.topic)) continue;
    behind.push({stream, start, from, to: end});
    toRead += end - from;
  }
  let read = 0;
  let toldMs = performance.now();
  for (const {stream, start, from, to} of behind) {
    const {ids, foreign} = await adoptIds(
      parts,
      stream,
      {start, from, to},
      {
        onOther: (other) => onOther(stream.topic, other),
        onProgress(records) {
          read += records;
          if (performance.now() - toldMs < tellMs) return;
          toldMs = performance.now();
          telemetry.emit('Log', {
            level: 'info',
            message: `reading ids that other processes wrote to Kafka: ${read} of ${toRead} records`,
          });
        },
      },
    );
    const {shipped, kafkaNext} = outbox.position(stream.id)!;
    outbox.settle(stream.id, shipped, kafkaNext, to);
    if (ids > 0) outbox.setHead({rebuilt: true});
    if (isOurs.has(stream.topic)) tellPassedOver(telemetry, stream.topic, foreign);
  }
  trimOthers(log, starts);
}

/** Ids of others' records are forgotten with them. */
function trimOthers(log: OutboxWriter, starts: ReadonlyMap<string, number>): void {
  for (const {topic, partition, startOffset} of [...log.streams()]) {
    if (partition >= 0) continue;
    const own = partitionOfOthers(partition);
    const start = starts.get(`${topic}/${own}`) ?? 0;
    if (start > startOffset) log.adopt(topic, own, {start, end: start, ids: []});
  }
}

async function offsetsOf(
  client: KafkaClient,
  streams: readonly Stream[],
  which: 'start' | 'end',
): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  const byLeader = Map.groupBy(
    streams,
    ({topic, partition}) => client.partition(topic, partition)?.leader ?? -1,
  );
  for (const [leader, led] of byLeader) {
    if (leader < 0)
      throw new PlatformError(
        'KAFKA_UNAVAILABLE',
        `${led[0]!.topic} partition ${led[0]!.partition} has no leader`,
      );
    for (const {topic, partition, code, offset} of await askOffsets(client, leader, led, which, 'all')) {
      if (code !== 0) throw kafkaError(code, `asking for offsets of ${topic} partition ${partition}`);
      found.set(`${topic}/${partition}`, offset);
    }
  }
  return found;
}

/** Looks up what of a lane arrived, and lets it go on behind that; see recover.ts. @throws KAFKA_*, LOG_FENCED */
export async function recoverLane(
  lane: Lane,
  {
    client,
    outbox,
    log,
    fences,
    nowMs,
    write,
    lost,
    withdrawn,
  }: {
    client: KafkaClient;
    outbox: Outbox;
    log: OutboxWriter;
    /** Fences that may be on their way. */
    fences: Map<Lane, Fence>;
    nowMs: number;
    write: () => Promise<unknown>;
    lost: (message: string) => void;
    /** So many records that wait were brought to Kafka by others meanwhile. */
    withdrawn: (records: number) => void;
  },
): Promise<void> {
  const {topic, partition, id: stream} = lane.stream;
  let fence = fences.get(lane);
  if (!fence) {
    outbox.setHead({epoch: outbox.head.epoch + 1});
    // Before it is used: a process that is killed must not use it a second time.
    await write();
    const {name, producerId, epoch} = outbox.head;
    fence = createFence(name, producerId, epoch, nowMs);
    fences.set(lane, fence);
  }
  const {id, epoch} = fence;
  let said: number;
  try {
    said = await writeFence(client, lane, fence);
  } catch (error) {
    // One that was refused will be refused again: the next attempt has a higher epoch.
    if (error instanceof PlatformError && error.code === 'KAFKA_REFUSED') fences.delete(lane);
    throw error;
  }
  const {kafkaNext, shipped} = outbox.position(stream)!;
  const {
    offset: end,
    from,
    arrived,
    hasOthers,
    reached,
  } = await readBeforeFence({client, outbox}, lane.stream, fence, said);
  if (end < kafkaNext && reached < shipped)
    lost(
      `${topic} partition ${partition} went back from offset ${kafkaNext} to ${end}: the brokers lost acknowledged records (an unclean election)`,
    );
  let next = shipped;
  for (const range of arrived) {
    if (range.next <= next) continue;
    outbox.shipped(stream, range.first, range.next, range.kafka);
    next = range.next;
  }
  if (hasOthers) {
    const count = await withdrawKnown({client, outbox, log}, lane, {next, from, to: end});
    if (count > 0) withdrawn(count);
  }
  const {known} = outbox.position(stream)!;
  outbox.settle(stream, next, end + 1, known === end ? end + 1 : known);
  fences.delete(lane);
  lane.restart(next);
  lane.setProducer(id, epoch, 1);
}
