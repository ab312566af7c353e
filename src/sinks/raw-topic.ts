/** Which topic a raw table's offsets are of: one that was deleted and made anew begins at 0 again, and the table's offsets mean nothing in it. */

import type {RawJob} from './raw.ts';
import {openRawWriter, type RawBooks, type RawWriter} from './raw-apart.ts';
import type {RawSource} from './raw-source.ts';
import {tableId} from './tables.ts';
import type {Sink} from './types.ts';

/** Where a delivery stands in the topic as it is now. */
export type RawPlace = {
  /** Of the topic; undefined where topics have none. */
  topicId: string | undefined;
  /** Partition -> next offset that the sink wants. */
  offsets: Map<number, number>;
  writer: RawWriter;
};

/**
 * Asks the sink how far it is, and whether that is of the topic that there is now.
 * @throws the sink's errors, TOPIC_OTHER when the table has offsets of another one
 */
export async function placeOfRaw(
  job: RawJob,
  {log}: RawSource,
  sink: Sink,
  books: RawBooks | undefined,
): Promise<RawPlace> {
  const topicId = log.topicId?.(job.topic);
  // Somebody may have given the table another name, so that its offsets begin anew.
  await sink.ensure(job.table);
  const offsets = await sink.rawOffsets!(job.table);
  if (topicId !== undefined)
    await books?.topic(
      tableId(job.table),
      job.topic,
      topicId,
      [...offsets.values()].every((next) => next === 0),
    );
  return {topicId, offsets, writer: await openRawWriter(job, sink, books)};
}

/** Whether the topic is still the one of the place, as of the log's last look. */
export function isSameTopic({topic}: RawJob, {log}: RawSource, {topicId}: RawPlace): boolean {
  const now = log.topicId?.(topic);
  return now === undefined || topicId === undefined || now === topicId;
}
