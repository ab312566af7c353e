/** A domain for a CSV file: types and roles of its columns guessed from its first rows. */
import {basename, relative, resolve} from 'node:path';
import {isReservedDomain, nameHint, nameProblem, reservedNames} from '../config/names.ts';
import {PlatformError} from '../errors.ts';
import {parseTimestamp} from '../expr/calendar.ts';
import {CsvScanner, readCsvHeader} from '../ingest/csv.ts';
import {contentName, openFile, textOnly} from '../ingest/open.ts';
import {StreamRecords} from '../ingest/records.ts';

/** Rows that are looked at. */
const rowsMax = 5_000;
/** Text with at most this many values is what rows are grouped by. */
const dimensionValuesMax = 50;

type Column = {
  /** As in the file. */
  header: string;
  /** As in the configuration. */
  name: string;
  values: Map<string, number>;
  nulls: number;
};

type Field = {column: Column; type: string};

/**
 * Text of a domain file that reads the CSV file at `path`.
 * @param at directory of the domain file, which the path is relative to.
 * @throws INPUT_MISSING, INPUT_FORMAT, INPUT_HEADER; USAGE when no column holds times.
 */
export async function domainOfCsv(domain: string, path: string, at: string): Promise<string> {
  const {columns, rows} = await look(path);
  const time = columns.find((column) => everyValue(column, (text) => timeKind(text) !== undefined));
  if (!time)
    throw new PlatformError('USAGE', `no column of ${basename(path)} holds times`, {
      place: path,
      hint:
        separatorHint(columns) ??
        'a column with timestamps (2026-01-05T10:00:00Z, 2026-01-05 10:00:00, 2026-01-05 or epoch ms) says when each event happened; columns are separated by commas',
    });
  const fields = columns
    .filter((column) => column !== time)
    .map((column) => ({column, type: typeOf(column)}));
  const isMetric = ({type, column}: Field) =>
    ['int', 'long', 'double', 'money'].includes(type) &&
    !/(^|_)(id|no|nr|code|year|month|day|hour|zip)$/i.test(column.name);
  const metrics = fields.filter(isMetric);
  const dimensions = fields.filter(
    (field) =>
      !metrics.includes(field) &&
      ['string', 'boolean'].includes(field.type) &&
      field.column.values.size <= dimensionValuesMax &&
      field.column.values.size < Math.max(2, rows / 2),
  );
  const attributes = fields.filter((field) => !metrics.includes(field) && !dimensions.includes(field));
  const eventType = identifier(contentName(path).replace(/\.[^.]*$/, '')) ?? 'event';
  return text({domain, eventType, path: relative(at, resolve(path)), time, attributes, dimensions, metrics});
}

/** What a file whose columns are separated by something else looks like: one column with several names. */
function separatorHint([first, second]: Column[]): string | undefined {
  const found = [';', '\t', '|'].find((separator) => first?.header.includes(separator));
  if (second !== undefined || found === undefined) return undefined;
  const name = found === '\t' ? 'tabs' : `"${found}"`;
  return `its columns are separated by ${name}; commas are read: save it with commas, or convert it (decimal commas become points)`;
}

async function look(path: string): Promise<{columns: Column[]; rows: number}> {
  const file = await openFile(path);
  const records = new StreamRecords(textOnly(file.chunks, path), new CsvScanner([]));
  try {
    const scanner = await readCsvHeader(records, path);
    const taken = new Set<string>();
    const columns = scanner.columns.map((header, index): Column => {
      const wanted = identifier(header) ?? `column_${index + 1}`;
      let name = wanted;
      for (let n = 2; taken.has(name); n++) name = `${wanted}_${n}`;
      taken.add(name);
      return {header, name, values: new Map(), nulls: 0};
    });
    let rows = 0;
    while (rows < rowsMax && (await records.fill()))
      while (rows < rowsMax && records.next()) {
        if (records.reason !== 0) continue;
        rows++;
        for (const [slot, column] of columns.entries()) {
          const start = scanner.starts[slot]!;
          const value =
            start < 0 ? '' : Buffer.from(scanner.buffer.subarray(start, scanner.ends[slot])).toString();
          if (value === '' || value === 'NA' || value === 'NULL') column.nulls++;
          else column.values.set(value, (column.values.get(value) ?? 0) + 1);
        }
      }
    return {columns, rows};
  } finally {
    await records.close();
  }
}

/** A word that can be a name: `Order ID` -> `order_id`. */
function identifier(header: string): string | undefined {
  const name = header
    .trim()
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/[^A-Za-z0-9]+/g, '_')
    .replace(/^[^A-Za-z]+|_+$/g, '')
    .toLowerCase()
    .slice(0, 48);
  const free = reservedNames.has(name) || isReservedDomain(name) ? `${name}_field` : name;
  return nameProblem(free) === undefined ? free : nameHint(free)?.replace('for example ', '');
}

const everyValue = ({values}: Column, fits: (text: string) => boolean): boolean =>
  values.size > 0 && [...values.keys()].every(fits);

/** Epoch ms counts as a time only where it is of this century. */
function timeKind(text: string): 'zoned' | 'local' | undefined {
  if (/^1[0-9]{12}$/.test(text)) return 'zoned';
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return undefined;
  const iso = text.replace(' ', 'T');
  if (/(Z|[+-]\d\d:?\d\d)$/.test(iso) && iso.length > 16)
    return parseTimestamp(iso) === undefined ? undefined : 'zoned';
  const seconds = iso.length === 10 ? `${iso}T00:00:00` : iso.length === 16 ? `${iso}:00` : iso;
  return parseTimestamp(`${seconds}Z`) === undefined ? undefined : 'local';
}

function typeOf(column: Column): string {
  const every = (pattern: RegExp) => everyValue(column, (text) => pattern.test(text));
  if (every(/^(true|false)$/i)) return 'boolean';
  // A leading zero is part of a text: numbers of houses, codes.
  if (every(/^-?(0|[1-9]\d{0,8})$/)) return 'int';
  if (every(/^-?(0|[1-9]\d{0,17})$/)) return 'long';
  const isAmount = /amount|price|total|cost|revenue|fee|paid|budget/i.test(column.name);
  if (isAmount && every(/^-?(0|[1-9]\d{0,14})(\.\d{1,2})?$/)) return 'money';
  if (every(/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/)) return 'double';
  if (every(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i)) return 'uuid';
  return everyValue(column, (text) => timeKind(text) === 'zoned') ? 'timestamp' : 'string';
}

type Parts = {
  domain: string;
  eventType: string;
  path: string;
  time: Column;
  attributes: Field[];
  dimensions: Field[];
  metrics: Field[];
};

/** A name as YAML reads it: quotes where it would mean something else. */
const scalar = (name: string): string =>
  /^[A-Za-z_][\w -]*$/.test(name) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(name)
    ? name.trim()
    : JSON.stringify(name);

function text({domain, eventType, path, time, attributes, dimensions, metrics}: Parts): string {
  const short = (field: Field) => {
    const {column, type} = field;
    // Metrics are required unless something else is said.
    const open = metrics.includes(field) && column.nulls > 0 ? ', required: false' : '';
    return type === 'string' ? column.name : `{name: ${column.name}, type: ${type}${open}}`;
  };
  const list = (key: string, fields: Field[]) =>
    fields.length === 0 ? [] : [`    ${key}:`, ...fields.map((field) => `      - ${short(field)}`)];
  const renamed = [...attributes, ...dimensions, ...metrics].filter(
    ({column}) => column.header !== column.name,
  );
  const map = renamed.map(({column}) => `${column.name}: ${scalar(column.header)}`);
  const local = [...time.values.keys()].some((value) => timeKind(value) === 'local');
  const [group] = dimensions;
  const measures = [
    'count: count()',
    ...metrics
      .slice(0, 3)
      .flatMap(({column: {name}, type}) => [
        `${name}_sum: sum(${name})`,
        ...(type === 'money' ? [] : [`${name}_average: avg(${name})`]),
      ]),
  ];
  return `# Made from the first rows of ${basename(path)}: look at the types, and name what you measure.
domain: ${domain}
event_types:
  - name: ${eventType}
${[...list('attributes', attributes), ...list('dimensions', dimensions), ...list('metrics', metrics)].join('\n')}
inputs:
  - name: ${eventType}_file
    event_type: ${eventType}
    from: ${JSON.stringify(path)}
    format: csv
    timestamp: ${scalar(time.header)}
    null: [NA, "NULL", ""]${local ? '\n    timezone: UTC                # of times without a zone in the file' : ''}${map.length > 0 ? `\n    map: {${map.join(', ')}}` : ''}
aggregations:
  - name: ${eventType}_per_hour
    from: ${eventType}
    window: {type: tumbling, size: 1h}${group ? `\n    group_by: [${group.column.name}]` : ''}
    measures:
${measures.map((measure) => `      ${measure}`).join('\n')}
  - name: ${eventType}_per_day
    from: ${eventType}
    window: {type: calendar, unit: day, timezone: UTC}
    measures:
${measures.map((measure) => `      ${measure}`).join('\n')}
`;
}
