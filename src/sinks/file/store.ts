import {mkdir, readdir, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {PlatformError} from '../../errors.ts';
import type {Table} from '../../model/types.ts';
import {columnIndex, tableId} from '../tables.ts';
import type {RawBatch, RowBatch} from '../types.ts';
import {changedDefinition} from './definition.ts';
import {type Appender, openAppender, readJson, readLines, replaceFile, syncDirectory} from './disk.ts';
import {decodeLine, encodeLines} from './lines.ts';
import {writeParquet} from './parquet.ts';

/**
 * Files of one table under `<dir>/<namespace>/`:
 *   <table>.table.json            its columns and key
 *   <table>.offsets.json          raw tables: {segment, bytes, offsets}: what is known up to a byte of a journal
 *   <table>.jsonl                 format jsonl: all rows
 *   <table>/000001.parquet, ...   format parquet: finished segments
 *   <table>/000002.jsonl          format parquet: the journal of the segment that is open
 * A journal that stands beside its finished segment was rolled just before a crash and is removed.
 */
export type Format = 'jsonl' | 'parquet';

export const segmentBytesMax = 128 * 1024 * 1024;
export const segmentMsMax = 60_000;
/** A raw journal is scanned from its last note of offsets; one is written each time this many bytes were added. */
const noteBytes = 64 * 1024 * 1024;

type OffsetsNote = {segment: number; bytes: number; offsets: Record<string, number>};

export const segmentName = (segment: number): string => String(segment).padStart(6, '0');
export const definitionPath = (dir: string, table: Table): string =>
  join(dir, table.namespace, `${table.name}.table.json`);

/**
 * Writes the table's definition, or compares it with the one that exists (SINK_TABLE_DIFFERS). That of a table of raw events
 * follows what is wanted: lines and segments of before stay as they are, and are read by it.
 */
export async function ensureDefinition(dir: string, table: Table): Promise<void> {
  const path = definitionPath(dir, table);
  const existing = await readJson<Table>(path);
  const {differences, definition} = changedDefinition(table, existing);
  if (differences.length > 0)
    throw new PlatformError('SINK_TABLE_DIFFERS', `${tableId(table)}: ${differences.join('; ')}`, {
      place: path,
      hint: `move ${join(dir, table.namespace, table.name)}* away, then: npx millrace rebuild ${tableId(table)}`,
    });
  if (definition) await replaceFile(path, `${JSON.stringify(definition)}\n`);
}

/** An open table: appends rows, knows the raw offsets that its lines hold, rolls Parquet segments. */
export type Store = {
  /** A raw batch moves `offsets` too. */
  append(batch: RowBatch | RawBatch): Promise<void>;
  /** Partition -> next offset wanted. */
  offsets: Map<number, number>;
  /** Turns the journal into a Parquet segment if it has rows. */
  roll(): Promise<void>;
  /** ms since the open journal got its first row; undefined while it is empty. */
  journalAgeMs(nowMs: number): number | undefined;
  journalBytes(): number;
  close(): Promise<void>;
};

export async function openStore(
  dir: string,
  table: Table,
  format: Format,
  nowMs: () => number,
): Promise<Store> {
  const folder = join(dir, table.namespace, table.name);
  // What was written before has columns that rows of now may lack.
  const stored = (await readJson<Table>(definitionPath(dir, table))) ?? table;
  const journalPath = (segment: number) =>
    format === 'jsonl' ? `${folder}.jsonl` : join(folder, `${segmentName(segment)}.jsonl`);
  const notePath = `${folder}.offsets.json`;
  if (format === 'parquet') await mkdir(folder, {recursive: true});
  let segment = format === 'parquet' ? await openSegment(folder) : 0;
  const known = table.kind === 'raw' ? await knownOffsets(table, notePath, journalPath, segment) : undefined;
  const offsets = known?.offsets ?? new Map<number, number>();
  let notedBytes = known?.notedBytes ?? 0;
  if (format === 'parquet') await removeRolled(folder, segment);
  let journal: Appender = await openAppender(journalPath(segment));
  let firstRowMs = journal.length() > 0 ? nowMs() : undefined;

  const note = async (noteSegment: number, bytes: number) => {
    if (table.kind !== 'raw') return;
    const text: OffsetsNote = {segment: noteSegment, bytes, offsets: Object.fromEntries(offsets)};
    await replaceFile(notePath, `${JSON.stringify(text)}\n`);
    notedBytes = bytes;
  };
  return {
    offsets,
    async append(batch) {
      if (batch.count > 0) {
        await journal.append(encodeLines(table, batch));
        firstRowMs ??= nowMs();
      }
      if ('toOffset' in batch)
        offsets.set(batch.partition, Math.max(offsets.get(batch.partition) ?? 0, batch.toOffset));
      if (table.kind === 'raw' && journal.length() - notedBytes >= noteBytes)
        await note(segment, journal.length());
    },
    async roll() {
      if (journal.length() === 0) return;
      await journal.close();
      await writeParquet(stored, journalPath(segment), join(folder, `${segmentName(segment)}.parquet`));
      // The note comes before the journal goes: the rows' offsets are always known from one of the two.
      await note(segment + 1, 0);
      await rm(journalPath(segment));
      segment += 1;
      firstRowMs = undefined;
      journal = await openAppender(journalPath(segment));
    },
    journalAgeMs: (now) => (firstRowMs === undefined ? undefined : now - firstRowMs),
    journalBytes: () => journal.length(),
    async close() {
      try {
        if (journal.length() > notedBytes) await note(segment, journal.length());
      } finally {
        await journal.close();
      }
    },
  };
}

async function openSegment(folder: string): Promise<number> {
  const segments = (await readdir(folder))
    .filter((name) => name.endsWith('.parquet'))
    .map((name) => Number.parseInt(name, 10));
  return Math.max(0, ...segments) + 1;
}

async function removeRolled(folder: string, segment: number): Promise<void> {
  const finished = (await readdir(folder)).filter(
    (name) => name.endsWith('.tmp') || (name.endsWith('.jsonl') && Number.parseInt(name, 10) < segment),
  );
  for (const name of finished) await rm(join(folder, name));
  if (finished.length > 0) await syncDirectory(folder);
}

/** From the last note and the lines behind it, in the segment it names and in the open one. */
async function knownOffsets(
  table: Table,
  notePath: string,
  journalPath: (segment: number) => string,
  segment: number,
): Promise<{offsets: Map<number, number>; notedBytes: number}> {
  const note = await readJson<OffsetsNote>(notePath);
  const offsets = new Map<number, number>(
    Object.entries(note?.offsets ?? {}).map(([partition, offset]) => [Number(partition), offset]),
  );
  const partition = columnIndex(table, '_partition');
  const offset = columnIndex(table, '_offset');
  const from = note?.segment ?? Math.max(0, segment - 1);
  for (let each = from; each <= segment; each++) {
    const bytes = note?.segment === each ? note.bytes : 0;
    for await (const line of readLines(journalPath(each), bytes)) {
      const row = decodeLine(table, line);
      const next = (row[offset] as number) + 1;
      const key = row[partition] as number;
      offsets.set(key, Math.max(next, offsets.get(key) ?? 0));
    }
  }
  return {offsets, notedBytes: note?.segment === segment ? note.bytes : 0};
}
