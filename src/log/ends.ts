/** The writer's look at the end of every partition before it continues there. */
import type {DatabaseSync} from 'node:sqlite';
import {batchCrc, corrupt, type Stream} from './chain.ts';

/** The last batch of every partition is what its row in `streams` says. Throws LOG_CORRUPT. */
export function checkEnds(database: DatabaseSync, streams: Stream[]): void {
  const last = database.prepare(
    `SELECT base_offset AS baseOffset, count, kind, append_ms AS appendMs, mark_ms AS markMs, prev_crc AS prevCrc, ids, bytes
     FROM batches WHERE stream = ? ORDER BY base_offset DESC LIMIT 1`,
  );
  for (const {id, topic, partition, startOffset, endOffset, endCrc} of streams) {
    // A stream below 0 has ids of records that others wrote (group.ts), and no batches.
    if (startOffset === endOffset || partition < 0) continue;
    const batch = last.get(id) as
      | {baseOffset: number; count: number; kind: number; appendMs: number; markMs: number}
      | undefined;
    const {prevCrc, ids, bytes} = (batch ?? {}) as {
      prevCrc: number;
      ids: Uint8Array | null;
      bytes: Uint8Array;
    };
    if (!batch || batch.baseOffset + batch.count !== endOffset)
      throw corrupt(topic, partition, endOffset, 'the last batch is missing');
    if (batchCrc(prevCrc, batch, ids, bytes) !== endCrc)
      throw corrupt(topic, partition, batch.baseOffset, 'the checksum of the batch differs');
  }
}
