/**
 * Records that wait in an outbox while another process appends. A sender that was not answered here has sent them there: whatever
 * the other one brought to Kafka is withdrawn here, before this process ships again.
 */
import type {OutboxWriter} from '../group.ts';
import type {Outbox} from '../outbox.ts';
import {framesOf} from '../records.ts';
import {idOfFrame, idsOfOthers} from './adopt.ts';
import type {KafkaClient} from './client.ts';
import type {Lane} from './lane.ts';

/** Ids that are compared at once. */
const idsMax = 500_000;
const readBytes = 4 * 1024 * 1024;
const noFrame = new Uint8Array(0);

/**
 * Withdraws records of the lane from offset `next` on whose ids other outboxes wrote to [from, to) of the partition, and remembers
 * the ids as theirs. @returns how many records. Throws KAFKA_*, LOG_CORRUPT.
 */
export async function withdrawKnown(
  parts: {client: KafkaClient; outbox: Outbox; log: OutboxWriter},
  lane: Lane,
  {next, from, to}: {next: number; from: number; to: number},
): Promise<number> {
  const {outbox, log} = parts;
  const {topic, partition} = lane.stream;
  let withdrawn = 0;
  for (let offset = next; offset < lane.end; ) {
    const own = idsFrom(outbox, lane, offset);
    const found: {id: string; offset: number}[] = [];
    for await (const {ids} of idsOfOthers(parts, lane.stream, from, to))
      for (const each of ids) if (own.ids.has(each.id)) found.push(each);
    if (found.length > 0) {
      const records = new Map(found.map(({id}) => own.ids.get(id)!));
      // An attempt before, which did not come to its end, may have withdrawn some of them.
      for (const each of records.keys()) if (outbox.isRefused(lane.stream.id, each)) records.delete(each);
      outbox.withdraw(lane.stream, records);
      log.adopt(topic, partition, {ids: found});
      withdrawn += records.size;
    }
    offset = own.next;
  }
  return withdrawn;
}

/** Ids of records of the outbox from `offset` on, with their offsets and, of letters, their frames; `next`: where to go on. */
function idsFrom(
  outbox: Outbox,
  {stream, end}: Lane,
  offset: number,
): {ids: Map<string, [offset: number, frame: Uint8Array]>; next: number} {
  const ids = new Map<string, [number, Uint8Array]>();
  let next = offset;
  // Of other records nobody asks what they say, and their bytes would be held.
  const isLetters = stream.topic.startsWith('dlq.');
  while (next < end && ids.size < idsMax)
    for (const {baseOffset, count, markMs, bytes} of outbox.batchesFrom(stream, next, readBytes)) {
      let at = baseOffset;
      if (markMs === undefined)
        for (const frame of framesOf(bytes)) {
          const id = at < offset ? undefined : idOfFrame(frame);
          if (id !== undefined) ids.set(id, [at, isLetters ? frame : noFrame]);
          at++;
        }
      next = baseOffset + count;
    }
  return {ids, next};
}
