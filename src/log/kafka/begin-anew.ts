/**
 * Topics that were deleted and made anew since an outbox shipped to them. What they had is gone, and who sends it again means it:
 * its ids are forgotten, own ones and those that others had brought. What waits goes into the topic that there is now.
 */
import type {Stream} from '../chain.ts';
import {nothingCounts, partitionOfOthers} from '../group.ts';
import type {Range} from '../outbox-tables.ts';
import {remade} from '../topic-ids.ts';
import type {Parts} from './connect.ts';
import {arrivedIn} from './recover.ts';

/** Where a partition begins and ends now, and up to where its stream was shipped before that was asked. */
export type AnewPlace = {stream: Stream; start: number; end: number; shipped: number};

/** Whether some topic of the outbox is another one now, as of the client's last look. */
export const hasRemade = ({client, outbox, topics}: Parts): boolean =>
  topics.some(({name}) => {
    const was = outbox.topics.idOf(name);
    const is = client.metadata.topicIds.get(name);
    return was !== undefined && is !== undefined && was !== is;
  });

/** Brings the outbox's places in line with the topics that there are, and notes their ids. Throws KAFKA_*, LOG_CORRUPT. */
export async function beginAnew(parts: Parts, places: readonly AnewPlace[]): Promise<void> {
  const {client, outbox, telemetry, write} = parts;
  for (const [topic, of] of Map.groupBy(places, ({stream}) => stream.topic)) {
    const is = client.metadata.topicIds.get(topic);
    const was = outbox.topics.idOf(topic);
    if (is === undefined || is === was) continue;
    if (was !== undefined) for (const place of of) await anew(parts, place);
    outbox.topics.note(topic, is);
    if (was === undefined) continue;
    // From here on ids of what is gone are not known.
    await write();
    const {message} = remade(topic, {was, is});
    telemetry.emit('Log', {
      level: 'error',
      message: `${message}. What it had is gone; ids of its records are forgotten, so that they can be sent again; what waits goes into the new one`,
    });
  }
}

async function anew(parts: Parts, {stream, start, end, shipped}: AnewPlace): Promise<void> {
  const {outbox, log} = parts;
  if (!outbox.position(stream.id)) return;
  // A process that did not notice at once has shipped to the new one: the end of that says what.
  const {arrived} = await arrivedIn(parts, stream, start, end);
  const own: Range[] = arrived.filter(({next}) => next <= outbox.position(stream.id)!.shipped);
  const last = own.at(-1);
  outbox.beginAnew(stream.id, last?.next ?? shipped, own);
  const kafkaNext = last ? last.kafka + last.next - last.first : start;
  outbox.settle(stream.id, outbox.position(stream.id)!.shipped, kafkaNext, Math.min(start, end));
  const hasOthers = [...log.streams()].some(
    ({topic, partition}) =>
      topic === stream.topic && partition < 0 && partitionOfOthers(partition) === stream.partition,
  );
  if (hasOthers) log.adopt(stream.topic, stream.partition, {start: nothingCounts, ids: []});
}
