import {createHash} from 'node:crypto';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import {failpoint} from '../failpoint.ts';
import {convertedBytesMax, converterOf} from '../ingest/convert.ts';
import {CsvScanner, readCsvHeader, shownColumns} from '../ingest/csv.ts';
import {StreamRecords} from '../ingest/records.ts';
import {timeZone} from '../ingest/time.ts';
import {replaceFile} from '../log/directory.ts';
import {nullOfRows} from '../model/lookups.ts';
import type {Field, Lookup} from '../model/types.ts';
import {checkPlain} from '../plain-file.ts';
import type {LookupSnapshot} from '../process/types.ts';
import {formatBytes} from '../quantity.ts';
import type {Ask} from './ask.ts';
import {lookupPlace, readRows} from './lookup-rows.ts';

/**
 * Lookup snapshots by content: `<id>.csv` as the file was, `<id>.rows.csv` the rows of a database. Every snapshot that was ever used is kept as a file, since a replay of the log must see what
 * the rows were made with.
 */
export type LookupStore = {
  /**
   * The snapshot of that id, or the file or table as it is now; undefined for a lost id.
   * @throws LOOKUP_INVALID for what is there now, SINK_UNAVAILABLE while its database is down
   */
  get(lookup: Lookup, id: string | null): Promise<LookupSnapshot | undefined>;
  /** The snapshot that the file or table gave when it was good for the last time; undefined when that never was, or does not fit the lookup of today. */
  last(lookup: Lookup): Promise<LookupSnapshot | undefined>;
};

/** A lookup is held in memory as a whole. */
const fileBytesMax = 256 * 1024 * 1024;

/** Names the snapshot that was good last. */
const lastName = 'last';

/** @param ask answers for lookups that come from a sink; without it what they gave last is what they say now */
export function createLookupStore(dir: string, ask?: Ask): LookupStore {
  const homeOf = ({domain, name}: Lookup) => join(dir, domain, name);
  const kept = (lookup: Lookup, id: string): {bytes: Buffer; nulls: string[]} | undefined => {
    const home = homeOf(lookup);
    const file = readIfThere(join(home, `${id}.csv`));
    const rows = file ? undefined : readIfThere(join(home, `${id}.rows.csv`));
    const bytes = file ?? rows;
    if (!bytes || idOf(bytes) !== id) return undefined;
    // A lookup that came from a file once, and from a sink today: its texts for NULL are not known any more.
    const nullsOfFile = lookup.csv === null ? [''] : lookup.nulls;
    return {bytes, nulls: rows ? [nullOfRows] : nullsOfFile};
  };
  const now = async (lookup: Lookup): Promise<Buffer> => {
    if (lookup.csv === null) return readRows(lookup, ask!);
    try {
      const stats = checkPlain(lookup.csv);
      if (stats.size > fileBytesMax) throw new Error(`it has more than ${formatBytes(fileBytesMax)}`);
      return readFileSync(lookup.csv);
    } catch (cause) {
      throw invalid(lookup, `the file cannot be read: ${(cause as Error).message}`, cause);
    }
  };
  const last = async (lookup: Lookup): Promise<LookupSnapshot | undefined> => {
    const id = readIfThere(join(homeOf(lookup), lastName))?.toString() ?? '';
    const found = /^[0-9a-f]{32}$/.test(id) ? kept(lookup, id) : undefined;
    return found && parseSnapshot(lookup, found.bytes, {nulls: found.nulls}).catch(() => undefined);
  };
  return {
    last,
    async get(lookup, id) {
      if (id !== null) {
        const found = kept(lookup, id);
        return found && parseSnapshot(lookup, found.bytes, {missing: 'null', nulls: found.nulls});
      }
      if (lookup.csv === null && !ask) {
        const known = await last(lookup);
        if (known) return known;
        throw invalid(lookup, 'its rows were not read yet: a platform that runs reads them');
      }
      const bytes = await now(lookup);
      const snapshot = await parseSnapshot(lookup, bytes);
      const home = homeOf(lookup);
      keep(home, `${snapshot.id}.${lookup.csv === null ? 'rows.csv' : 'csv'}`, bytes);
      if (readIfThere(join(home, lastName))?.toString() !== snapshot.id)
        replace(join(home, lastName), Buffer.from(snapshot.id));
      return snapshot;
    },
  };
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const idOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex').slice(0, 32);

function keep(home: string, name: string, bytes: Uint8Array): void {
  const path = join(home, name);
  if (existsSync(path)) return;
  replace(path, bytes);
}

/** The file as a whole, or as it was. */
const replace = (path: string, bytes: Uint8Array): void =>
  replaceFile(path, bytes, {
    before: () => failpoint('lookup.before-keep'),
    after: () => failpoint('lookup.after-keep'),
  });

const invalid = (lookup: Lookup, message: string, cause?: unknown) =>
  new PlatformError('LOOKUP_INVALID', `lookup ${lookup.domain}.${lookup.name}: ${message}`, {
    place: lookupPlace(lookup),
    hint: `mend the ${lookup.csv === null ? 'table' : 'file'}, then start the platform again`,
    ...(cause === undefined ? {} : {cause}),
  });

/**
 * A snapshot from the text of a CSV file. `missing: null`: a file of before may lack a column of today, whose values are NULL.
 * `nulls`: texts that mean NULL in it; default those of the lookup.
 * @throws LOOKUP_INVALID naming the row: a missing column, a key that is NULL or stands twice, a value of a wrong type.
 */
export async function parseSnapshot(
  lookup: Lookup,
  bytes: Uint8Array,
  {missing = 'refuse', nulls = lookup.nulls}: {missing?: 'refuse' | 'null'; nulls?: string[]} = {},
): Promise<LookupSnapshot> {
  const records = new StreamRecords(
    (async function* () {
      yield bytes;
    })(),
    new CsvScanner([]),
  );
  const scanner = await readCsvHeader(records, lookupPlace(lookup));
  /** Rows of a database have no numbers. */
  const rowName = () => (lookup.csv === null ? 'a row' : `row ${records.row}`);
  const readerOf = (name: string, type: Lookup['keyType']) => {
    const slot = scanner.columns.indexOf(name);
    if (slot < 0)
      throw invalid(lookup, `there is no column "${name}" (there are ${shownColumns(scanner.columns)})`);
    const field: Field = {name, column: name, role: 'attribute', type, required: false, aliases: []};
    const converter = converterOf(field, {zone: timeZone('UTC'), timestampFormat: null});
    const scratch = new Uint8Array(1 << 16);
    return (): Value => {
      const start = scanner.starts[slot]!;
      const end = scanner.ends[slot]!;
      if (start < 0) return null;
      const text = Buffer.from(
        scanner.buffer.buffer,
        scanner.buffer.byteOffset + start,
        end - start,
      ).toString();
      if (nulls.includes(text)) return null;
      const fits = convertedBytesMax(end - start) <= scratch.length;
      if (!fits || converter.write(scanner.buffer, start, end, scratch, 0) < 0)
        throw invalid(lookup, `${rowName()}: "${text.slice(0, 60)}" in column "${name}" is no ${type}`);
      return converter.read(scanner.buffer, start, end);
    };
  };
  const readKey = readerOf(lookup.key, lookup.keyType);
  const columns = lookup.columns.filter(({name}) => missing === 'refuse' || scanner.columns.includes(name));
  const readers = columns.map(({name, type}) => readerOf(name, type));
  const rows = new Map<Value, Value[]>();
  while (await records.fill())
    while (records.next()) {
      if (records.reason !== 0)
        throw invalid(lookup, `row ${records.row}: ${records.detail || 'it cannot be read'}`);
      const key = readKey();
      if (key === null) throw invalid(lookup, `${rowName()}: the key "${lookup.key}" is NULL`);
      if (rows.has(key)) throw invalid(lookup, `${rowName()}: the key "${key}" stands twice`);
      rows.set(
        key,
        readers.map((read) => read()),
      );
    }
  return {name: lookup.name, id: idOf(bytes), columns: columns.map(({name}) => name), rows};
}
