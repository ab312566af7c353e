/** Reading topics from where somebody stands to their ends. */
import type {Decoder} from '../schema/decode.ts';
import {walkDecoded} from '../schema/frame.ts';
import type {AvroValue} from '../schema/types.ts';
import type {LogReader, RecordBatch} from './types.ts';

const bytesMax = 1024 * 1024;

/** Batches of a partition from the one that holds `from` on, marks included. Throws LOG_CORRUPT, LOG_TRIMMED. */
export async function* batchesFrom(
  log: LogReader,
  topic: string,
  partition: number,
  from: number,
): AsyncGenerator<RecordBatch> {
  for (let offset = from; ; ) {
    const batches = await log.read(topic, partition, offset, bytesMax);
    if (batches.length === 0) return;
    for (const batch of batches) {
      offset = batch.baseOffset + batch.count;
      yield batch;
    }
  }
}

/** Batches of all that the log has of a topic, partition after partition; none of a topic that does not exist. Throws LOG_CORRUPT, KAFKA_UNAVAILABLE. */
export async function* batchesOf(log: LogReader, topic: string): AsyncGenerator<RecordBatch> {
  await log.refresh([topic]);
  yield* batchesSeen(log, topic);
}

/** The same as of the last look at the log: for one that was just opened, where each look asks for the ends of all partitions. */
export async function* batchesSeen(log: LogReader, topic: string): AsyncGenerator<RecordBatch> {
  for (let partition = 0; partition < log.partitions(topic); partition++)
    yield* batchesFrom(log, topic, partition, log.startOffset(topic, partition));
}

/** Records of a topic of one schema, decoded, with their places, without those that others wrote. Throws LOG_CORRUPT. */
export async function* decodedRecords(
  log: LogReader,
  topic: string,
  decode: Decoder,
): AsyncGenerator<{partition: number; offset: number; values: AvroValue[]}> {
  for await (const {kind, partition, baseOffset, bytes, count} of batchesOf(log, topic)) {
    if (kind !== 'data') continue;
    const found: {partition: number; offset: number; values: AvroValue[]}[] = [];
    walkDecoded({bytes, count}, decode, (index, values) => {
      found.push({partition, offset: baseOffset + index, values});
    });
    yield* found;
  }
}
