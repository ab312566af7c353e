/** One answer, for who looks at one place only: nothing is read ahead. */
import {setTimeout as sleep} from 'node:timers/promises';
import {PlatformError} from '../../errors.ts';
import type {Reread} from '../rereads.ts';
import type {RecordBatch} from '../types.ts';
import {BatchFailure} from './batch-header.ts';
import {chunkOf, takeFrom} from './chunk.ts';
import type {KafkaClient} from './client.ts';
import {isTransient, kafkaError} from './codes.ts';
import {rereadPauseMs, rereadsMax} from './doubt.ts';
import {fetchRecords} from './fetch.ts';
import {trimmed, unreadable} from './reader-errors.ts';

const outOfRange = 1;
const lane = 'look';

export type OncePlace = {topic: string; partition: number; offset: number; bytesMax: number};

/** Batches from the one that holds `offset` on. @param reread told of what came damaged and is asked for again. Throws LOG_TRIMMED, LOG_CORRUPT, KAFKA_* */
export async function readOnce(
  client: KafkaClient,
  place: OncePlace,
  reread: (told: Reread) => void,
): Promise<RecordBatch[]> {
  for (let times = 1; ; times++)
    try {
      return await attempt(client, place);
    } catch (error) {
      const isDamaged =
        error instanceof PlatformError && (error.code === 'LOG_CORRUPT' || error.code === 'KAFKA_REFUSED');
      if (!isDamaged || times > rereadsMax) throw error;
      const {topic, partition, offset} = place;
      reread({topic, partition, offset, message: error.message});
      client.renew(client.partition(topic, partition)?.leader ?? -1, lane);
      await sleep(rereadPauseMs(times));
    }
}

async function attempt(
  client: KafkaClient,
  {topic, partition, offset, bytesMax}: OncePlace,
): Promise<RecordBatch[]> {
  const known = client.partition(topic, partition);
  const what = `reading ${topic}/${partition}`;
  const place = {topic, partition, offset, lastEpoch: -1, bytesMax, leaderEpoch: known?.leaderEpoch ?? -1};
  const options = {broker: known?.leader ?? -1, lane, waitMs: 0, bytesMax};
  const [answer] = await fetchRecords(client, [place], options);
  if (!answer) throw new PlatformError('KAFKA_UNAVAILABLE', `${what}: the broker did not answer it`);
  if (isTransient(answer.code)) await client.refreshMetadata();
  if (answer.code === outOfRange) throw trimmed(topic, partition, offset, answer.startOffset);
  if (answer.code !== 0) throw kafkaError(answer.code, what);
  try {
    const chunk = chunkOf(answer, offset);
    const batches: RecordBatch[] = [];
    if (chunk) takeFrom(chunk, {topic, partition, batches}, offset, bytesMax);
    return batches;
  } catch (error) {
    if (error instanceof BatchFailure) throw unreadable(topic, partition, offset, error.message);
    throw error;
  }
}
