/**
 * The index of ids as the log's file has it; what it is made of is said in `remember.ts`. Every row has a checksum, and `meta` has
 * one of all that is to be there: what is damaged or lost is found when it is needed.
 */
import type {DatabaseSync} from 'node:sqlite';
import {crc32} from 'node:zlib';
import {PlatformError} from '../../errors.ts';
import {rowCrc} from '../chain.ts';
import {type Belongs, bytesOf, entryBytes, findIn, type Key, type Place, wordsOf} from './entries.ts';
import {Filter, pieceBuckets} from './filter.ts';

export const idsSchema = `
  CREATE TABLE id_tail (sequence INTEGER PRIMARY KEY, crc INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE id_runs (id INTEGER PRIMARY KEY, live INTEGER NOT NULL, count INTEGER NOT NULL, bits INTEGER NOT NULL,
    blocks INTEGER NOT NULL, ends TEXT NOT NULL, crc INTEGER NOT NULL) STRICT;
  CREATE TABLE id_buckets (place INTEGER PRIMARY KEY, crc INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE id_filters (place INTEGER PRIMARY KEY, crc INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
`;

/** A run: 2 ** `bits` buckets of entries by the first bits of their hash. */
export type Run = {
  id: number;
  /** 0: being made, or to be deleted. */
  live: number;
  /** Entries. */
  count: number;
  bits: number;
  /** Blocks of the filter for each bucket. */
  blocks: number;
  /** JSON of [stream, an offset that no record of the run reaches][]. */
  ends: string;
  crc: number;
};

/** LOG_CORRUPT for a part of the index. */
export function corruptIds(part: string, what: string): PlatformError {
  return new PlatformError('LOG_CORRUPT', `the index of event ids, ${part}: ${what}`, {
    hint: 'restore the log directory from a backup, or start a new log',
    place: `ids/${part}`,
  });
}

/** Key of a bucket, or of a piece of the filter. */
const placeIn = (run: number, part: number): number => run * 2 ** 32 + part;
const seed = new Float64Array(2);
const seedBytes = new Uint8Array(seed.buffer);
function partCrc(run: number, part: number, bytes: Uint8Array): number {
  seed[0] = run;
  seed[1] = part;
  return crc32(bytes, crc32(seedBytes));
}

const runCrc = ({id, live, count, bits, blocks, ends}: Run): number =>
  rowCrc(id, live, count, bits, blocks, ends);

/** Checksum of the tail after one more row. */
export const tailCrc = (before: number, sequence: number, bytes: Uint8Array): number =>
  partCrc(before, sequence, bytes);

/** Checksum of all that the index is to have: what `meta` holds. */
export const indexCrc = (live: Run[], tail: number): number => rowCrc(tail, ...live.map(({crc}) => crc));

/** `meta`'s checksum of an index without ids. */
export const emptyIndexCrc = indexCrc([], 0);

type Row = {crc: number; bytes: Uint8Array};

/** Reads the index; for readers and for the writer. Everything throws LOG_CORRUPT. */
export function idQueries(database: DatabaseSync) {
  const meta = database.prepare('SELECT sequence, ids_crc AS crc FROM meta');
  const runs = database.prepare('SELECT * FROM id_runs ORDER BY id');
  const tail = database.prepare('SELECT sequence, crc, bytes FROM id_tail ORDER BY sequence');
  const bucket = database.prepare('SELECT crc, bytes FROM id_buckets WHERE place = ?');
  const piece = database.prepare('SELECT crc, bytes FROM id_filters WHERE place = ?');
  const queries = {
    /** Commits of the log: the index is as it was while their number is. */
    sequence: (): number => (meta.get() as {sequence: number}).sequence,
    /** All runs, also those that are not live, and the entries of the tail; compared with what `meta` says. */
    read(): {runs: Run[]; tail: Uint32Array[]; tailCrc: number} {
      const all = runs.all() as unknown as Run[];
      for (const run of all)
        if (runCrc(run) !== run.crc) throw corruptIds(`run ${run.id}`, 'its checksum differs');
      const rows = tail.all() as unknown as (Row & {sequence: number})[];
      const sum = rows.reduce((before, {sequence, bytes}) => tailCrc(before, sequence, bytes), 0);
      const {crc} = meta.get() as {crc: number};
      const live = all.filter((run) => run.live === 1);
      if (sum !== (rows.at(-1)?.crc ?? 0) || indexCrc(live, sum) !== crc)
        throw corruptIds('tail', 'something of it is missing, or a checksum differs');
      return {runs: all, tail: rows.map(({bytes}) => wordsOf(bytes)), tailCrc: sum};
    },
    /** The entries of a bucket. */
    bucket(run: Run, number: number): Uint32Array {
      const row = bucket.get(placeIn(run.id, number)) as Row | undefined;
      if (!row) throw corruptIds(`run ${run.id} bucket ${number}`, 'it is missing');
      if (partCrc(run.id, number, row.bytes) !== row.crc || row.bytes.length % entryBytes !== 0)
        throw corruptIds(`run ${run.id} bucket ${number}`, 'its checksum differs');
      return wordsOf(row.bytes);
    },
    find: (run: Run, key: Key, belongs: Belongs): Place | undefined =>
      findIn(queries.bucket(run, key[0]! >>> (32 - run.bits)), key, belongs),
    /** The stored filter of a run; made anew from its entries when a piece is missing or damaged. */
    filter(run: Run): Filter {
      const filter = new Filter(run.bits, run.blocks);
      const bytes = bytesOf(filter.words);
      const pieces = 2 ** run.bits / pieceBuckets;
      for (let number = 0; number < pieces; number++) {
        const row = piece.get(placeIn(run.id, number)) as Row | undefined;
        const isWhole = row?.bytes.length === 4 * filter.pieceWords;
        if (!isWhole || partCrc(run.id, number, row!.bytes) !== row!.crc) {
          for (let i = 0; i < pieceBuckets; i++) filter.add(queries.bucket(run, number * pieceBuckets + i));
        } else bytes.set(row!.bytes, number * 4 * filter.pieceWords);
      }
      return filter;
    },
  };
  return queries;
}

/** Changes of the index, inside the caller's transaction. */
export function idChanges(database: DatabaseSync) {
  const insertTail = database.prepare('INSERT INTO id_tail VALUES (?, ?, ?)');
  const clearTail = database.prepare('DELETE FROM id_tail');
  const insertRun = database.prepare(
    'INSERT INTO id_runs (live, count, bits, blocks, ends, crc) VALUES (?, ?, ?, ?, ?, 0)',
  );
  const updateRun = database.prepare(
    'UPDATE id_runs SET live = ?, count = ?, ends = ?, crc = ? WHERE id = ?',
  );
  const removeRun = database.prepare('DELETE FROM id_runs WHERE id = ?');
  const insertBucket = database.prepare('INSERT INTO id_buckets VALUES (?, ?, ?)');
  const insertPiece = database.prepare('INSERT INTO id_filters VALUES (?, ?, ?)');
  const removeBuckets = database.prepare('DELETE FROM id_buckets WHERE place >= ? AND place < ?');
  const removePiece = database.prepare('DELETE FROM id_filters WHERE place = ?');
  const changes = {
    /** @returns the tail's checksum with it */
    addTail(sequence: number, before: number, entries: Uint32Array): number {
      const bytes = bytesOf(entries);
      const crc = tailCrc(before, sequence, bytes);
      insertTail.run(sequence, crc, bytes);
      return crc;
    },
    clearTail: (): void => void clearTail.run(),
    /** A run without buckets that is not live. */
    createRun(bits: number, blocks: number): Run {
      const {lastInsertRowid} = insertRun.run(0, 0, bits, blocks, '[]');
      const run = {id: Number(lastInsertRowid), live: 0, count: 0, bits, blocks, ends: '[]', crc: 0};
      return changes.updateRun(run);
    },
    /** Stores the row with its new checksum, and returns it. */
    updateRun(run: Run): Run {
      const changed = {...run, crc: runCrc(run)};
      updateRun.run(run.live, run.count, run.ends, changed.crc, run.id);
      return changed;
    },
    /** Stores a bucket, and the piece of the filter that it completes. */
    addBucket(run: Run, number: number, entries: Uint32Array, filter: Filter): void {
      filter.add(entries);
      const bytes = bytesOf(entries);
      insertBucket.run(placeIn(run.id, number), partCrc(run.id, number, bytes), bytes);
      if ((number + 1) % pieceBuckets !== 0) return;
      const piece = (number + 1) / pieceBuckets - 1;
      const words = filter.words.subarray(piece * filter.pieceWords, (piece + 1) * filter.pieceWords);
      insertPiece.run(placeIn(run.id, piece), partCrc(run.id, piece, bytesOf(words)), bytesOf(words));
    },
    /** Deletes the buckets of a piece of the filter, and the piece. */
    removePiece({id}: Run, piece: number): void {
      removeBuckets.run(placeIn(id, piece * pieceBuckets), placeIn(id, (piece + 1) * pieceBuckets));
      removePiece.run(placeIn(id, piece));
    },
    removeRun: ({id}: Run): void => void removeRun.run(id),
  };
  return changes;
}
