/** The first lines of the CSV files that a domain names, against what the domain says of them. */
import type {Path} from '../config/diagnostics.ts';
import {suggest} from '../config/nearest.ts';
import {quote} from '../config/nodes.ts';
import {PlatformError} from '../errors.ts';
import type {Reporter} from '../model/reporter.ts';
import type {Domain, EventType, Input, Lookup} from '../model/types.ts';
import {CsvScanner, readCsvHeader} from './csv.ts';
import {contentName, openFile} from './open.ts';
import {StreamRecords} from './records.ts';
import {columnOf} from './validate.ts';

/**
 * Reports every column that a `map`, `timestamp`, `key` or `columns` names and the file lacks, and those that a required field
 * needs. A file that is not there is no mistake here: it may come later.
 */
export async function checkHeaders(domain: Domain, reporter: Reporter): Promise<void> {
  for (const [index, input] of domain.inputs.entries()) {
    const path: Path = ['inputs', index];
    const {from} = input;
    if (from === null || input.format !== 'csv') continue;
    const eventType = domain.eventTypes.find(({name}) => name === input.eventType)!;
    await within(reporter, [...path, 'from'], from, (columns) =>
      checkInput(input, eventType, columns, contentName(from), path, reporter),
    );
  }
  for (const [index, lookup] of domain.lookups.entries()) {
    const path: Path = ['lookups', index];
    const {csv} = lookup;
    if (csv !== null)
      await within(reporter, [...path, 'from', 'csv'], csv, (columns) =>
        checkLookup(lookup, columns, contentName(csv), path, reporter),
      );
  }
}

/** Hands over the columns of a file; one that is there and cannot be read is an error at `path`. */
async function within(
  reporter: Reporter,
  path: Path,
  file: string,
  work: (columns: readonly string[]) => void,
): Promise<void> {
  try {
    const {chunks} = await openFile(file);
    const records = new StreamRecords(chunks, new CsvScanner([]));
    try {
      work((await readCsvHeader(records, file)).columns);
    } finally {
      await records.close();
    }
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    if (error.code === 'INPUT_MISSING') return;
    reporter.error(path, 'FILE_UNREADABLE', `${file}: ${error.message}`, {hint: error.hint});
  }
}

function checkInput(
  input: Input,
  eventType: EventType,
  columns: readonly string[],
  file: string,
  path: Path,
  reporter: Reporter,
): void {
  for (const field of eventType.fields) {
    const column = columnOf(field, input);
    if (columns.includes(column)) continue;
    const isMapped = Object.hasOwn(input.map, field.name);
    const message = `${file} has no column ${quote(column)}`;
    if (isMapped) {
      // `timestamp: <column>` is a mapping with a key of its own.
      const at: Path[] = [[...path, 'map', field.name]];
      if (field.role === 'time') at.unshift([...path, 'timestamp']);
      const place = at.find((each) => reporter.has(each)) ?? path;
      reporter.error(place, 'FILE_COLUMN', message, {hint: suggest(column, columns)});
    } else if (field.role !== 'id' && (field.required || field.role === 'time'))
      reporter.error([...path, 'from'], 'FILE_COLUMN', `${message}, which every ${eventType.name} needs`, {
        hint: mapHint(field.name, field.role === 'time', suggest(column, columns)),
      });
  }
}

const mapHint = (field: string, isTime: boolean, found: string | undefined): string => {
  const name = /^did you mean (.+)\?$/.exec(found ?? '')?.[1];
  const line = isTime ? `timestamp: ${name ?? '<column>'}` : `map: {${field}: ${name ?? '<column>'}}`;
  return `add ${line}${name === undefined && found !== undefined ? `; ${found}` : ''}`;
};

function checkLookup(
  lookup: Lookup,
  columns: readonly string[],
  file: string,
  path: Path,
  reporter: Reporter,
): void {
  const check = (column: string, at: Path, onKey: boolean) => {
    if (!columns.includes(column))
      reporter.error(at, 'FILE_COLUMN', `${file} has no column ${quote(column)}`, {
        onKey,
        hint: suggest(column, columns),
      });
  };
  check(lookup.key, [...path, 'key', 'name'], false);
  for (const {name} of lookup.columns) check(name, [...path, 'columns', name], true);
}
