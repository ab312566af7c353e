/** One append transaction, carried out inside the writer's SQLite transaction; see `AppendTransaction`. */
import assert from 'node:assert/strict';
import type {DatabaseSync} from 'node:sqlite';
import {batchCrc, rowCrc, type Stream} from './chain.ts';
import type {IdIndex} from './ids/remember.ts';
import type {StoredBatch} from './outbox-tables.ts';
import {withoutRecords} from './records.ts';
import {ledgerCrc} from './streams.ts';
import {transformedStatements} from './transformed.ts';
import type {Append, AppendResult, AppendTransaction, IngestCounts, TransformCounts} from './types.ts';

/** What `apply` changes beside the database; given to the writer only when the commit succeeded. */
export type Streams = {
  /** The stream to change: a copy that belongs to the running SQLite transaction. */
  change(topic: string, partition: number): Stream;
  /** Told of every batch that is written. */
  stored?(batch: StoredBatch): void;
};

/** Prepared statements of an append. `apply` runs inside a transaction; when that is rolled back nothing remains of it. */
export function appendStatements(database: DatabaseSync, index: IdIndex) {
  const insertBatch = database.prepare(
    `INSERT INTO batches (stream, base_offset, count, kind, append_ms, mark_ms, prev_crc, crc, ids, bytes)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const setProgress = database.prepare(
    'INSERT INTO progress VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET position = excluded.position, crc = excluded.crc',
  );
  const getLedger = database.prepare(
    'SELECT received, appended, duplicate, rejected, crc FROM ledger WHERE domain = ? AND event_type = ? AND source = ?',
  );
  const addTransformed = transformedStatements(database);
  const setLedger = database.prepare('INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)');

  let told: Streams['stored'];

  function insert(
    stream: Stream,
    count: number,
    appendMs: number,
    markMs: number | undefined,
    ids: Uint8Array | null,
    bytes: Uint8Array,
  ): void {
    const header = {
      baseOffset: stream.endOffset,
      count,
      kind: markMs === undefined ? 0 : 1,
      appendMs,
      markMs: markMs ?? 0,
    };
    const crc = batchCrc(stream.endCrc, header, ids, bytes);
    const {baseOffset, kind} = header;
    insertBatch.run(
      stream.id,
      baseOffset,
      count,
      kind,
      appendMs,
      header.markMs,
      stream.endCrc,
      crc,
      ids,
      bytes,
    );
    const {id: streamId, topic, partition} = stream;
    told?.({streamId, topic, partition, baseOffset, count, appendMs, markMs, bytes});
    stream.endOffset += count;
    stream.appendMs = appendMs;
    stream.endCrc = crc;
  }

  function append(stream: Stream, batch: Append, appendMs: number): AppendResult['appends'][number] {
    const baseOffset = stream.endOffset;
    const {ids} = batch;
    if (ids === undefined) {
      if (batch.count > 0) insert(stream, batch.count, appendMs, undefined, null, batch.bytes);
      return {baseOffset, appended: batch.count, duplicate: 0};
    }
    // A record that is kept takes the next offset.
    let next = baseOffset;
    const dropped = ids.map((id) => {
      const isNew = index.add(stream, id, next);
      if (isNew) next++;
      return !isNew;
    });
    const kept = ids.filter((_, index) => !dropped[index]);
    const duplicate = ids.length - kept.length;
    const bytes = duplicate === 0 ? batch.bytes : withoutRecords(batch.bytes, dropped);
    if (kept.length > 0)
      insert(stream, kept.length, appendMs, undefined, Buffer.from(JSON.stringify(kept)), bytes);
    return {baseOffset, appended: kept.length, duplicate, ...(duplicate === 0 ? {} : {dropped})};
  }

  function addToLedger(counts: IngestCounts): void {
    const {domain, eventType, source} = counts;
    const old = getLedger.get(domain, eventType, source) as IngestCounts | undefined;
    const sum: IngestCounts = {
      domain,
      eventType,
      source,
      received: (old?.received ?? 0) + counts.received,
      appended: (old?.appended ?? 0) + counts.appended,
      duplicate: (old?.duplicate ?? 0) + counts.duplicate,
      rejected: (old?.rejected ?? 0) + counts.rejected,
    };
    const {received, appended, duplicate, rejected} = sum;
    setLedger.run(domain, eventType, source, received, appended, duplicate, rejected, ledgerCrc(sum));
  }

  return {
    apply(transaction: AppendTransaction, nowMs: number, streams: Streams): AppendResult {
      told = streams.stored;
      const touched = [...transaction.appends, ...(transaction.marks ?? [])];
      // One time for the whole transaction: that of the clock, unless a partition of it has already seen a later one.
      const appendTimeMs = touched.reduce(
        (ms, {topic, partition}) => Math.max(ms, streams.change(topic, partition).appendMs),
        nowMs,
      );
      const duplicates = new Map<string, number>();
      const appends = transaction.appends.map((batch) => {
        const result = append(streams.change(batch.topic, batch.partition), batch, appendTimeMs);
        if (result.duplicate > 0)
          duplicates.set(batch.topic, (duplicates.get(batch.topic) ?? 0) + result.duplicate);
        return result;
      });
      for (const {topic, partition, timeMs} of transaction.marks ?? [])
        insert(streams.change(topic, partition), 1, appendTimeMs, timeMs, null, new Uint8Array(0));
      for (const {source, position} of transaction.progress ?? [])
        setProgress.run(source, position, rowCrc(source, position));
      for (const counts of transaction.transformed ?? [])
        addTransformed(withoutKnown(counts, transaction, appends));
      for (const counts of transaction.ledger ?? []) {
        const duplicate = duplicates.get(`${counts.domain}.${counts.eventType}`) ?? 0;
        const known = knownLetters(transaction, counts, duplicates);
        addToLedger({
          ...counts,
          appended: counts.appended - duplicate,
          duplicate: counts.duplicate + duplicate + known,
          rejected: counts.rejected - known,
        });
      }
      return {appends, appendTimeMs};
    },
  };
}

/** Counts without the records that the transform rejected before. */
function withoutKnown(
  {letters = [], ...counts}: TransformCounts,
  {appends}: AppendTransaction,
  results: AppendResult['appends'],
): TransformCounts {
  const at = appends.findIndex(({topic}) => topic === `dlq.${counts.domain}`);
  const {dropped} = results[at] ?? {};
  const known = dropped ? letters.filter((index) => dropped[index]).length : 0;
  return {...counts, in: counts.in - known, rejected: counts.rejected - known};
}

/**
 * Records that were rejected before, by the same request or file: their dead letters are there, so they are duplicates now. Only
 * where one line of the transaction has rejected any: else it is not known whose they are.
 */
function knownLetters(
  {ledger = []}: AppendTransaction,
  {domain, rejected}: IngestCounts,
  duplicates: ReadonlyMap<string, number>,
): number {
  const lines = ledger.filter((each) => each.domain === domain && each.rejected > 0);
  return rejected > 0 && lines.length === 1 ? Math.min(rejected, duplicates.get(`dlq.${domain}`) ?? 0) : 0;
}

/** Our own mistakes in a transaction: thrown to the caller before anything of it reaches the database. */
export function checkTransaction(
  transaction: AppendTransaction,
  partitions: (topic: string) => number,
): void {
  for (const {topic, partition} of [...transaction.appends, ...(transaction.marks ?? [])])
    assert.ok(
      Number.isInteger(partition) && partition >= 0 && partition < partitions(topic),
      `topic ${topic} partition ${partition} exists`,
    );
  for (const {count, ids} of transaction.appends) {
    assert.ok(Number.isInteger(count) && count >= 0, 'a batch has a count');
    assert.ok(ids === undefined || ids.length === count, 'one id a record');
  }
  const rows = transaction.ledger ?? [];
  const withIds = new Set(transaction.appends.filter(({ids}) => ids !== undefined).map(({topic}) => topic));
  const named = rows
    .map(({domain, eventType}) => `${domain}.${eventType}`)
    .filter((topic) => withIds.has(topic));
  assert.equal(new Set(named).size, named.length, 'one ledger row for each topic whose ids are given');
}
