/**
 * What of an outbox arrived in a partition of Kafka, when that is unknown: after a crash, an answer that was lost for good, a
 * producer that the broker forgot.
 *
 *   1. a batch of one record without a value, the fence, is written with a higher epoch of the producer: from then on the leader
 *      refuses whatever of lower epochs is still on its way
 *   2. what lies between the last place that is known and the fence is read (before-fence.ts): batches that name the outbox say what
 *      arrived
 *   3. everything behind that is sent again
 *
 * So nothing is lost and nothing is sent twice, also when the process was killed between sending and the answer.
 */
import {PlatformError} from '../../errors.ts';
import {failpoint} from '../../failpoint.ts';
import type {Stream} from '../chain.ts';
import type {Outbox} from '../outbox.ts';
import type {OutboxHead} from '../outbox-tables.ts';
import {BatchFailure, batchAt, type KafkaBatch} from './batch-header.ts';
import {checkCrc, recordBytes} from './batch-read.ts';
import {type EncodedBatch, encodeEmpty, setProducer} from './batch-write.ts';
import type {KafkaClient} from './client.ts';
import {isMoved, kafkaError} from './codes.ts';
import {fetchRecords} from './fetch.ts';
import type {Lane} from './lane.ts';
import {askOffsets} from './offsets.ts';
import {isOwn} from './own.ts';
import {answerError, missingAnswer, produce} from './produce.ts';
import {fenceHeader, offsetHeader, outboxHeader, recordAt} from './record.ts';

/** A batch of a partition, and the outbox that wrote it. */
export type TailBatch = {
  batch: KafkaBatch;
  /** Its bytes lie there, as the broker sent them. */
  bytes: Uint8Array;
  /** The outbox that it names; undefined: somebody else's. */
  outbox: string | undefined;
  /** Offset of its first record there; undefined for a fence. */
  first: number | undefined;
  /** Of a fence: the epoch that it names. */
  fence: string | undefined;
};

const fetchBytesMax = 4 * 1024 * 1024;
const outOfRange = 1;
const replicasMs = 10_000;
/** What the partition is said to have comes within this time, or is asked for again another time, ms. */
const silentMsMax = 5_000;

/** The partition ends before the offset that was asked for. */
export class BeyondEnd extends PlatformError {}

/**
 * Batches of data of a partition in [from, to), whatever became of their transactions. Offsets of batches have no checksum: where one is
 * missing between two it is asked again, and two answers that agree are believed.
 * @throws BeyondEnd, KAFKA_*, LOG_CORRUPT; KAFKA_UNAVAILABLE where it does not go as far as `to`
 */
export async function* tailOf(
  client: KafkaClient,
  place: {topic: string; partition: number},
  from: number,
  to: number,
  bytesMax = fetchBytesMax,
): AsyncGenerator<TailBatch> {
  let lastMs = performance.now();
  let gap: {from: number; to: number} | undefined;
  for (let offset = from; offset < to; ) {
    const {bytes, start} = await fetchTail(client, place, offset, bytesMax);
    const asked = offset;
    if (start > offset) offset = start;
    for (const found of batchesOf(bytes, place)) {
      const {baseOffset, nextOffset, isControl} = found.batch;
      if (nextOffset <= offset) break;
      if (baseOffset > offset && (gap?.from !== offset || gap.to !== baseOffset)) {
        gap = {from: offset, to: baseOffset};
        break;
      }
      offset = nextOffset;
      if (baseOffset >= to) return;
      if (!isControl && nextOffset > from) yield found;
    }
    if (offset > asked) lastMs = performance.now();
    else if (performance.now() - lastMs > silentMsMax) throw notThere(place, offset);
  }
}

const notThere = ({topic, partition}: {topic: string; partition: number}, offset: number): PlatformError =>
  new PlatformError(
    'KAFKA_UNAVAILABLE',
    `${topic} partition ${partition}: an answer said that it goes beyond offset ${offset}, and nothing is read there`,
    {place: `${topic}/${partition}@${offset}`},
  );

/** What lies in a partition from an offset on; `start`: where it begins, if that is further on. Throws BeyondEnd, KAFKA_*. */
async function fetchTail(
  client: KafkaClient,
  {topic, partition}: {topic: string; partition: number},
  offset: number,
  bytesMax: number,
): Promise<{bytes: Uint8Array; start: number}> {
  const leader = client.partition(topic, partition)?.leader ?? -1;
  if (leader < 0)
    throw new PlatformError('KAFKA_UNAVAILABLE', `${topic} partition ${partition} has no leader`);
  const [answer] = await fetchRecords(
    client,
    [{topic, partition, offset, leaderEpoch: -1, lastEpoch: -1, bytesMax}],
    {broker: leader, lane: 'tail', waitMs: 1_000, bytesMax, uncommitted: true},
  );
  if (!answer || answer.topic !== topic || answer.partition !== partition)
    throw new PlatformError('KAFKA_PROTOCOL', `the answer says nothing of ${topic}/${partition}`);
  if (answer.code === 0) return {bytes: answer.bytes, start: 0};
  const place = `${topic}/${partition}@${offset}`;
  if (answer.code === outOfRange) {
    const start = await edgeOf(client, {topic, partition}, 'start');
    if (start > offset) return {bytes: new Uint8Array(0), start};
    if ((await edgeOf(client, {topic, partition}, 'end')) < offset)
      throw new BeyondEnd('KAFKA_LOST', `${topic} partition ${partition} ends before offset ${offset}`, {
        place,
      });
    // The two answers do not agree: it is asked again.
    return {bytes: new Uint8Array(0), start: 0};
  }
  if (isMoved(answer.code)) await client.refreshMetadata();
  throw kafkaError(answer.code, `reading ${topic} partition ${partition}`, place);
}

/** First or next offset of a partition, also of open transactions. Throws KAFKA_*. */
export async function edgeOf(
  client: KafkaClient,
  {topic, partition}: {topic: string; partition: number},
  kind: 'start' | 'end',
): Promise<number> {
  const leader = client.partition(topic, partition)?.leader ?? -1;
  const [answer] = await askOffsets(client, leader, [{topic, partition}], kind, 'all');
  if (answer?.code === 0 && answer.offset >= 0) return answer.offset;
  throw kafkaError(answer?.code ?? -1, `asking for the ${kind} of ${topic} partition ${partition}`);
}

function* batchesOf(
  bytes: Uint8Array,
  {topic, partition}: {topic: string; partition: number},
): Generator<TailBatch> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; ; ) {
    let place = '';
    try {
      const batch = batchAt(bytes, view, at);
      if (!batch) return;
      place = `${topic}/${partition}@${batch.baseOffset}`;
      at = batch.end;
      checkCrc(bytes, batch);
      yield {
        batch,
        bytes,
        ...(batch.isControl ? nobody : writerOf(bytes, batch)),
      };
    } catch (error) {
      if (!(error instanceof BatchFailure)) throw error;
      throw new PlatformError(
        'LOG_CORRUPT',
        `a record batch of ${topic} partition ${partition}: ${error.message}`,
        {
          place,
          hint: 'compare the replicas of the partition; the batch was damaged on its way or in the broker',
        },
      );
    }
  }
}

type Writer = Pick<TailBatch, 'outbox' | 'first' | 'fence'>;
const nobody: Writer = {outbox: undefined, first: undefined, fence: undefined};

/** What the first record of a batch says of its outbox. */
function writerOf(bytes: Uint8Array, batch: KafkaBatch): Writer {
  if (batch.count === 0) return nobody;
  const records = recordBytes(bytes, batch);
  const record = recordAt(records.bytes, records.from, records.to);
  const text = (name: string) => {
    const value = record?.headers.find((header) => header.name === name)?.value;
    return value ? Buffer.from(value).toString() : undefined;
  };
  const first = text(offsetHeader);
  return {
    outbox: text(outboxHeader),
    first: first === undefined ? undefined : Number(first),
    fence: text(fenceHeader),
  };
}

/** A fence that may have been sent: until it is answered the same one is sent again. */
export type Fence = {id: number; epoch: number; batch: EncodedBatch};

export function createFence(outbox: string, id: number, epoch: number, timeMs: number): Fence {
  return {id, epoch, batch: fenceBatch(outbox, String(epoch), {id, epoch, sequence: 0}, timeMs)};
}

/** A batch of one record without a value that an outbox writes for its place alone. @param says in the header that fences have */
export function fenceBatch(
  outbox: string,
  says: string,
  producer: Parameters<typeof setProducer>[1],
  timeMs: number,
): EncodedBatch {
  const headers: [string, string][] = [
    [outboxHeader, outbox],
    [fenceHeader, says],
  ];
  const batch = encodeEmpty({headers, timeMs, compression: 'none'});
  setProducer(batch, producer);
  return batch;
}

/** From now on the lane's batches are of this producer and epoch; where something of it may be on its way, behind a fence. */
export function beginEpoch(
  lane: Lane,
  {producerId: id, epoch, name}: OutboxHead,
  fences: Map<Lane, Fence>,
  nowMs: number,
): void {
  lane.setProducer(id, epoch, 0);
  if (lane.state === 'unknown') fences.set(lane, createFence(name, id, epoch, nowMs));
}

/** Writes the fence. @returns its offset. Throws KAFKA_*; what was not answered is to be sent again. */
export async function writeFence(client: KafkaClient, {stream}: Lane, {batch}: Fence): Promise<number> {
  const {topic, partition} = stream;
  const leader = client.partition(topic, partition)?.leader ?? -1;
  if (leader < 0)
    throw new PlatformError('KAFKA_UNAVAILABLE', `${topic} partition ${partition} has no leader`);
  failpoint('kafka.before-fence');
  const [answer] = await produce(client, leader, [{topic, partition, bytes: batch.bytes}], replicasMs);
  failpoint('kafka.after-fence');
  if (answer?.code === 0 && answer.baseOffset >= 0) return answer.baseOffset;
  throw answer ? answerError(answer) : missingAnswer(topic, partition);
}

/** What of the outbox lies in [from, to) of a partition, in order, and whether something of other outboxes does. */
export async function arrivedIn(
  {client, outbox}: {client: KafkaClient; outbox: Outbox},
  stream: Readonly<Stream>,
  from: number,
  to: number,
): Promise<{arrived: {first: number; next: number; kafka: number}[]; hasOthers: boolean}> {
  const arrived: {first: number; next: number; kafka: number}[] = [];
  let hasOthers = false;
  const {topic, partition} = stream;
  for await (const found of tailOf(client, {topic, partition}, from, to)) {
    const {batch, outbox: writer, first} = found;
    if (writer === undefined || first === undefined) continue;
    if (isOwn(outbox, stream, found))
      arrived.push({first, next: first + batch.count, kafka: batch.baseOffset});
    else hasOthers = true;
  }
  return {arrived, hasOthers};
}
