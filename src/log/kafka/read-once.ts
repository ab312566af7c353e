/** One answer, for who looks at one place only: nothing is read ahead. */
import {PlatformError} from '../../errors.ts';
import type {RecordBatch} from '../types.ts';
import {BatchFailure} from './batch-header.ts';
import {chunkOf, takeFrom} from './chunk.ts';
import type {KafkaClient} from './client.ts';
import {isTransient, kafkaError} from './codes.ts';
import {fetchRecords} from './fetch.ts';
import {trimmed, unreadable} from './reader-errors.ts';

const outOfRange = 1;

/** Batches from the one that holds `offset` on. Throws LOG_TRIMMED, LOG_CORRUPT, KAFKA_* */
export async function readOnce(
  client: KafkaClient,
  topic: string,
  partition: number,
  offset: number,
  bytesMax: number,
): Promise<RecordBatch[]> {
  const known = client.partition(topic, partition);
  const what = `reading ${topic}/${partition}`;
  const place = {topic, partition, offset, lastEpoch: -1, bytesMax, leaderEpoch: known?.leaderEpoch ?? -1};
  const options = {broker: known?.leader ?? -1, lane: 'look', waitMs: 0, bytesMax};
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
