/** Retention of the embedded log: whole batches leave from the start of a partition, and their ids are forgotten. */
import type {DatabaseSync} from 'node:sqlite';
import {corrupt, type Stream} from './chain.ts';
import type {IdIndex} from './ids/remember.ts';

/** Batches deleted in one call, so that a trim never holds the writer's thread for long. */
const batchesMax = 256;

/** A batch that is to be deleted. */
export type OldBatch = {id: number; baseOffset: number; count: number; appendMs: number; crc: number};

/** Prepared statements of a trim. */
export function trimStatements(database: DatabaseSync, index: Pick<IdIndex, 'trim'>) {
  const first = database.prepare(
    `SELECT id, base_offset AS baseOffset, count, append_ms AS appendMs, crc FROM batches
     WHERE stream = ? ORDER BY base_offset LIMIT ${batchesMax}`,
  );
  const removeBatch = database.prepare('DELETE FROM batches WHERE id = ?');
  return {
    /** Batches at the start of the stream that are older than `beforeMs` and end at or below `belowOffset`. */
    find(stream: Stream, options: {beforeMs: number; belowOffset: number}): OldBatch[] {
      const batches = first.all(stream.id) as unknown as OldBatch[];
      const kept = batches.findIndex(
        ({baseOffset, count, appendMs}) =>
          appendMs >= options.beforeMs || baseOffset + count > options.belowOffset,
      );
      return kept < 0 ? batches : batches.slice(0, kept);
    },
    /** Deletes them, inside the caller's transaction, and moves the start of `stream`. Throws LOG_CORRUPT. */
    remove(stream: Stream, batches: OldBatch[]): void {
      for (const {id, baseOffset, count, crc} of batches) {
        if (baseOffset !== stream.startOffset)
          throw corrupt(stream.topic, stream.partition, stream.startOffset, 'the batch is missing');
        removeBatch.run(id);
        stream.startOffset = baseOffset + count;
        stream.startCrc = crc;
      }
      index.trim(stream);
    },
  };
}
