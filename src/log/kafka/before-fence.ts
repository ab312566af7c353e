/**
 * What of an outbox lies before its fence in a partition. Where that begins is known from answers of brokers, and no answer is
 * believed alone: the fence counts where it is read, not where the leader said that it is, and reading begins where a record of the outbox
 * lies that is known to have arrived. Where none does, it begins further back.
 */
import {PlatformError} from '../../errors.ts';
import type {Stream} from '../chain.ts';
import type {Outbox} from '../outbox.ts';
import type {KafkaClient} from './client.ts';
import {isOwn} from './own.ts';
import {BeyondEnd, edgeOf, type Fence, tailOf} from './recover.ts';

/** Reading begins so many records further back the first time that it has to; then eight times as many. */
const backFirst = 1_000;
const backFactor = 8;
/** More steps than any partition needs: what brokers say of where it begins and ends does not fit together. */
const stepsMax = 16;

/** A range of the outbox that arrived, and its place in Kafka. */
export type Arrived = {first: number; next: number; kafka: number};

export type BeforeFence = {
  /** Of the fence. */
  offset: number;
  /** Everything of the outbox that may have arrived unseen lies behind it. */
  from: number;
  /** In order. */
  arrived: Arrived[];
  /** Others wrote between. */
  hasOthers: boolean;
  /** Up to where records that name this outbox were found, whether they are still at hand to be compared or not. */
  reached: number;
};

/**
 * Reads up to the fence, which was answered.
 * @param said where the answer says that the fence is
 * @throws KAFKA_*, LOG_CORRUPT; KAFKA_UNAVAILABLE where the fence is not found
 */
export async function readBeforeFence(
  parts: {client: KafkaClient; outbox: Outbox},
  stream: Readonly<Stream>,
  fence: Fence,
  said: number,
): Promise<BeforeFence> {
  const {client, outbox} = parts;
  const {kafkaNext} = outbox.position(stream.id)!;
  // The last record that arrived lies before that place, unless others told it.
  const isExpected = outbox.endsAt(stream.id, kafkaNext);
  let from = Math.max(0, Math.min(said, isExpected ? kafkaNext - 1 : kafkaNext));
  for (let step = 0, back = backFirst; step < stepsMax; step++, back *= backFactor) {
    const found = await upToFence(parts, stream, fence, from);
    const isTrusted = step === 0 && !isExpected && kafkaNext <= (found?.offset ?? -1);
    if (found && (found.isAnchored || isTrusted || from === 0)) return found;
    // That nothing lies further back has to be said twice.
    const starts = [await edgeOf(client, stream, 'start'), await edgeOf(client, stream, 'start')];
    const [start, end] = [Math.min(...starts), await edgeOf(client, stream, 'end')];
    if (start > Math.min(said, found?.offset ?? said)) throw missing(stream, said);
    if (found && from <= start) return found;
    from = Math.max(start, Math.min(from, end) - back, 0);
  }
  throw missing(stream, said);
}

const missing = ({topic, partition}: Readonly<Stream>, offset: number): PlatformError =>
  new PlatformError(
    'KAFKA_UNAVAILABLE',
    `${topic} partition ${partition}: what was written at offset ${offset} by the leader's answer is not there yet`,
    {place: `${topic}/${partition}@${offset}`},
  );

/** @returns undefined when the partition ends before `from`. `isAnchored`: it begins with what is known to have arrived */
async function upToFence(
  {client, outbox}: {client: KafkaClient; outbox: Outbox},
  stream: Readonly<Stream>,
  fence: Fence,
  from: number,
): Promise<(BeforeFence & {isAnchored: boolean}) | undefined> {
  const {shipped} = outbox.position(stream.id)!;
  const found = {from, arrived: [] as Arrived[], hasOthers: false, reached: 0, isAnchored: false};
  try {
    for await (const each of tailOf(client, stream, from, Number.POSITIVE_INFINITY)) {
      const {batch, outbox: writer, first, fence: epoch} = each;
      if (epoch === String(fence.epoch) && batch.producerId === BigInt(fence.id))
        return {...found, offset: batch.baseOffset};
      if (writer === undefined || first === undefined) continue;
      const next = first + batch.count;
      if (outbox.identity.isName(writer)) found.reached = Math.max(found.reached, next);
      if (isOwn(outbox, stream, each)) {
        found.isAnchored ||= found.arrived.length === 0 && first < shipped;
        found.arrived.push({first, next, kafka: batch.baseOffset});
      } else found.hasOthers = true;
    }
  } catch (error) {
    if (error instanceof BeyondEnd) return undefined;
    throw error;
  }
  throw missing(stream, from);
}
