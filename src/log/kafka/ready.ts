/** What of the lanes of one broker goes into its next request. */
import type {KafkaClient} from './client.ts';
import {passOver} from './divide.ts';
import type {ForwarderOptions} from './forwarder-types.ts';
import type {Lane, Sent} from './lane.ts';
import type {Outgoing, ProduceAnswer} from './produce.ts';
import {produceLane} from './produce.ts';

/** A batch of a lane that is under way. */
export type Entry = {lane: Lane; sent: Sent};

/** As it is sent. */
export const outgoing = ({lane: {stream}, sent}: Entry): Outgoing => ({
  topic: stream.topic,
  partition: stream.partition,
  bytes: sent.batch.bytes,
});

/** A request takes no further partition beyond this. */
const requestBytesMax = 2 * 1024 * 1024;

type Options = Pick<ForwarderOptions, 'outbox' | 'batchBytesMax' | 'changed'>;

/** How many records of the lane can be sent before one that was withdrawn (withdraw.ts). */
const beforeWithdrawn = ({stream, offset}: Lane, {outbox}: Options): number =>
  (outbox.withdrawnFrom(stream.id, offset)?.first ?? Number.POSITIVE_INFINITY) - offset;

/**
 * Lanes with a failed batch wait until nothing of theirs is under way: then it is sent again, before anything else. So does the second
 * batch of a producer that the broker may not know.
 */
export function isReady(lane: Lane, options: Options): boolean {
  if (lane.state !== 'open') return false;
  if (lane.hasFailed || !lane.isKnown) {
    if (lane.underWay > 0) return false;
    if (lane.hasFailed) return true;
  }
  const {outbox, changed} = options;
  if (beforeWithdrawn(lane, options) <= 0) {
    // What is before it arrives first.
    if (lane.acknowledged < lane.offset) return false;
    passOver(lane, outbox, outbox.withdrawnFrom(lane.stream.id, lane.offset)!.next);
    changed(lane);
  }
  if (!lane.hasWaiting) return false;
  lane.load((stream, offset, bytesMax) => outbox.batchesFrom(stream, offset, bytesMax));
  return true;
}

/** @param ready lanes that are, one at least */
export function nextBatches(ready: readonly Lane[], options: Options): Entry[] {
  const entries: Entry[] = [];
  let bytes = 0;
  for (const lane of ready) {
    if (bytes >= requestBytesMax) break;
    const sent = lane.again() ?? lane.encode(options.batchBytesMax, beforeWithdrawn(lane, options));
    bytes += sent.batch.bytes.length;
    entries.push({lane, sent});
  }
  return entries;
}

/** Answers by `topic/partition`; none where one partition is answered twice: then nobody knows which is which. */
export function answersByPlace(answers: readonly ProduceAnswer[]): Map<string, ProduceAnswer> {
  const byPlace = new Map(answers.map((answer) => [`${answer.topic}/${answer.partition}`, answer]));
  return byPlace.size === answers.length ? byPlace : new Map();
}

/** How long the broker reads no batches yet, since this client is over a quota, ms. */
export const restMs = (client: KafkaClient, broker: number): number => client.restMs(broker, produceLane);
