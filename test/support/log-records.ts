/** Records of texts: into a log, and out of one. */
import {framesOf} from '../../src/log/records.ts';
import type {LogReader, RecordBatch} from '../../src/log/types.ts';
import {packRecords} from '../../src/schema/frame.ts';

const text = new TextEncoder();

/** A batch of records whose frames are the texts. */
export const batchOf = (...texts: string[]) => ({
  count: texts.length,
  bytes: packRecords(texts.map((each) => text.encode(each))),
});

/** The texts of all records in the batches. */
export const textsOf = (batches: RecordBatch[]): string[] =>
  batches.flatMap(({bytes}) => [...framesOf(bytes)].map((frame) => Buffer.from(frame).toString()));

/** Everything in a partition from `offset` on, default: from its start. */
export async function readAll(
  reader: LogReader,
  topic: string,
  partition: number,
  offset?: number,
): Promise<RecordBatch[]> {
  await reader.refresh([topic]);
  const all: RecordBatch[] = [];
  for (let at = offset ?? reader.startOffset(topic, partition); ; ) {
    const batches = await reader.read(topic, partition, at, 1 << 20);
    if (batches.length === 0) return all;
    all.push(...batches);
    at = batches.at(-1)!.baseOffset + batches.at(-1)!.count;
  }
}
