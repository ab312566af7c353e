/** What a broker refuses as a whole is divided, down to the one record that it refuses. */
import {failpoint} from '../../failpoint.ts';
import type {Outbox} from '../outbox.ts';
import type {StoredBatch} from '../outbox-tables.ts';
import type {Lane, Sent} from './lane.ts';

/**
 * The next batch of the lane has half of the records; a refused one of a single record is given up once `refused` has made it
 * durable elsewhere. Nothing of the lane may be under way. @throws PlatformError what `refused` rejects with
 */
export async function divide(
  lane: Lane,
  {batch}: Sent,
  outbox: Outbox,
  refused: (record: StoredBatch) => Promise<void>,
): Promise<void> {
  lane.takeBack();
  if (batch.count > 1) {
    lane.countMax = Math.ceil(batch.count / 2);
    return;
  }
  await refused(firstRecord(lane, outbox));
  failpoint('kafka.refused');
  outbox.refuse(lane.stream.id, lane.acknowledged);
  passOver(lane, outbox, lane.acknowledged + 1);
  lane.countMax = Number.POSITIVE_INFINITY;
}

/** What is not settled below `next` takes no place in Kafka: the record there follows the one before. Nothing may be under way. */
export function passOver(lane: Lane, outbox: Outbox, next: number): void {
  const {id} = lane.stream;
  const {kafkaNext} = outbox.position(id)!;
  lane.restart(next);
  outbox.settle(id, next, kafkaNext);
}

/** The first record that is not settled. */
function firstRecord({stream, acknowledged}: Lane, outbox: Outbox): StoredBatch {
  const [batch] = outbox.batchesFrom(stream, acknowledged, 1);
  const {bytes, baseOffset} = batch!;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  for (let skip = acknowledged - baseOffset; skip > 0; skip--) at += 4 + view.getUint32(at, true);
  const end = at + 4 + view.getUint32(at, true);
  return {...batch!, baseOffset: acknowledged, count: 1, bytes: bytes.slice(at, end)};
}
