/** One record of a file -> one frame of the log, by code generated for (event type, columns of the file). */
import {PlatformError} from '../errors.ts';
import {partitionOfBytes} from '../log/partition.ts';
import {timestampFormatProblem} from '../model/timestamp-format.ts';
import type {EventType, Field, Input} from '../model/types.ts';
import type {Uuid5} from '../schema/uuid5.ts';
import {writeLong, writeText} from '../schema/write.ts';
import {compileChecks} from './checks.ts';
import {type Converter, convertedBytesMax, converterOf, explainValue, timestampReader} from './convert.ts';
import {shownColumns} from './csv.ts';
import {reasonCode, reasonNumber} from './reasons.ts';
import {absent, nested, type RecordScanner} from './records.ts';
import {timeZone, type Zone} from './time.ts';
import {type TransformInputReader, transformInputs} from './transform-input.ts';

/** What a file's record is checked against and written as. */
export type RowOptions = {
  eventType: EventType;
  input: Input;
  schemaId: number;
  partitions: number;
  /** Ids of rows, where no column gives one. */
  ids: Uuid5;
  /** Where records come one by one, each with or without an id and a time; absent for files. */
  incoming?: {
    /** The time of an event that has none, epoch ms. */
    nowMs(): number;
    /** How times without a zone are read. */
    zone: Zone;
  };
};

/** Longest event id that a sender may choose, bytes: the log remembers every one of them. */
export const eventIdBytesMax = 256;

export type RowEncoder = {
  /** Position behind the record (length and frame) that was written at `position`, or the number of the reason why not. */
  encode(scanner: RecordScanner, row: number, latestMs: number, out: Uint8Array, position: number): number;
  /** Partition of the scanned record, by its key. */
  partition(scanner: RecordScanner, row: number): number;
  /** Free bytes that `encode` needs for a record of `size` bytes. */
  room(size: number): number;
  /** Event time of the scanned record, epoch ms; NaN when it has none that can be read. */
  timeOf(scanner: RecordScanner): number;
  /** Event time of the record that `encode` wrote last, epoch ms. */
  lastTimeMs(): number;
  /** The id that a column gives; undefined when rows have generated ones. */
  givenId(scanner: RecordScanner): string | undefined;
  /** Whether ids come from a column. */
  readonly idsGiven: boolean;
  /** Of an event type with a transform: records as that gets them; `explain` tells its reasons, too. */
  readonly inputs: TransformInputReader | undefined;
  /** Code and message of the reason that `encode` returned last. */
  explain(scanner: RecordScanner, reason: number): {code: string; message: string};
};

/** A field, the column it comes from (-1: none) and its conversion. */
export type Plan = {field: Field; slot: number; converter: Converter};

/** Columns of a file that the fields come from: what a JSONL scanner has to look for. */
export const wantedColumns = (eventType: EventType, input: Input): string[] => [
  ...new Set(eventType.fields.map((field) => columnOf(field, input))),
];

/** The column of a field: the one that is mapped, else the one of its name. */
export const columnOf = (field: Field, input: Input): string =>
  Object.hasOwn(input.map, field.name) ? input.map[field.name]! : field.name;

/**
 * Compiles the encoder of an input's records.
 * @param columns of the file (CSV), or those that are looked for (JSONL), by slot.
 * @throws PlatformError INPUT_COLUMNS when a column is missing that is mapped or required, CONFIG_INVALID for a
 * `timestamp_format` that is none.
 */
export function compileRows(options: RowOptions, columns: readonly string[], place: string): RowEncoder {
  const {eventType, input} = options;
  const problem = input.timestampFormat === null ? undefined : timestampFormatProblem(input.timestampFormat);
  if (problem !== undefined)
    throw new PlatformError('CONFIG_INVALID', `timestamp_format of the input ${input.name}: ${problem}`, {
      place: 'timestamp_format',
    });
  const convert = {
    zone: options.incoming?.zone ?? timeZone(input.timezone),
    timestampFormat: input.timestampFormat,
  };
  const plans: Plan[] = eventType.fields.map((field) => ({
    field,
    slot: columns.indexOf(columnOf(field, input)),
    converter: converterOf(field, convert),
  }));
  if (input.format === 'csv') checkColumns(plans, columns, input, place, eventType.transform !== undefined);
  else {
    // In JSONL every record may have other keys: an id counts as given only where the configuration says so.
    const id = plans.find(({field}) => field.role === 'id');
    if (id !== undefined && !Object.hasOwn(input.map, id.field.name)) id.slot = -1;
  }
  const state = {field: 0, timeMs: 0, check: '', detail: ''};
  const isNull = nullTokens(input.nulls);
  const time = plans.find(({field}) => field.role === 'time')!;
  const readTime = timestampReader(convert);
  const checks = compileChecks(eventType, plans, isNull, state);
  const generated = generate(options, plans, isNull, readTime, state);
  const isHidden = eventType.fields.some(({pii}) => pii);
  const id = plans.find(({field}) => field.role === 'id')!;
  const uses = Math.max(1, ...plans.map((a) => plans.filter((b) => b.slot >= 0 && b.slot === a.slot).length));
  return {
    encode(scanner, row, latestMs, out, position) {
      const end = generated(scanner.buffer, scanner.starts, scanner.ends, row, latestMs, out, position);
      return end < 0 || checks === undefined ? end : checks(scanner) || end;
    },
    partition: partitioner(options, plans, isNull),
    room: (size) =>
      uses * size + plans.length * convertedBytesMax(0) + 64 + (options.incoming ? 3 * eventIdBytesMax : 0),
    timeOf(scanner) {
      const start = time.slot < 0 ? absent : scanner.starts[time.slot]!;
      const end = scanner.ends[time.slot]!;
      return start < 0 || isNull(scanner.buffer, start, end)
        ? Number.NaN
        : readTime(scanner.buffer, start, end);
    },
    lastTimeMs: () => state.timeMs,
    givenId: (scanner) => (id.slot < 0 ? undefined : textOf(scanner, id.slot, isNull)),
    idsGiven: id.slot >= 0,
    inputs: eventType.transform && transformInputs(options, plans, columns, isNull, readTime, state),
    explain(scanner, reason) {
      const code = reasonCode(reason);
      if (code === 'CHECK')
        return {code: `CHECK:${state.check}`, message: `the check ${state.check} is false: ${state.detail}`};
      if (code === 'EXPRESSION') return {code, message: state.detail};
      const {field, slot} = plans[state.field]!;
      const shown =
        slot < 0
          ? undefined
          : scanner.starts[slot] === nested
            ? 'an object or array'
            : textOf(scanner, slot, () => false);
      return {code, message: explainValue(code, field, shown ?? '', isHidden)};
    },
  };
}

/** @param transformed a transform may give what the file has not. */
function checkColumns(
  plans: readonly Plan[],
  columns: readonly string[],
  input: Input,
  place: string,
  transformed: boolean,
): void {
  const missing = plans
    .filter(({field, slot}) => slot < 0 && field.role !== 'id')
    .filter(
      ({field}) =>
        (field.required && !transformed) || field.role === 'time' || Object.hasOwn(input.map, field.name),
    )
    .map(({field}) => `${columnOf(field, input)} (for ${field.name})`);
  const id = plans.find(
    ({field, slot}) => field.role === 'id' && slot < 0 && Object.hasOwn(input.map, field.name),
  );
  if (id !== undefined) missing.push(columnOf(id.field, input));
  if (missing.length === 0) return;
  // One long name with other separators in it: the file is no CSV as we read it.
  const separated = columns.length === 1 && /[;\t|]/.test(columns[0]!);
  throw new PlatformError(
    'INPUT_COLUMNS',
    `the file has no column ${missing.join(', ')}; it has ${shownColumns(columns)}`,
    {
      place,
      hint: separated
        ? 'separate the columns by commas'
        : `map the fields to the file's columns under map: of the input ${input.name}`,
    },
  );
}

/** Whether a text stands for NULL. */
export type IsNull = (bytes: Uint8Array, start: number, end: number) => boolean;

/** Whether a text is one of the input's tokens for NULL. */
function nullTokens(tokens: readonly string[]): IsNull {
  const list = tokens.map((token) => Buffer.from(token));
  const byLength = new Map<number, Buffer[]>();
  for (const token of list) byLength.set(token.length, [...(byLength.get(token.length) ?? []), token]);
  const lengthMax = Math.max(-1, ...byLength.keys());
  return (bytes, start, end) => {
    const length = end - start;
    if (length > lengthMax) return false;
    const candidates = byLength.get(length);
    if (candidates === undefined) return false;
    for (const token of candidates) {
      let same = true;
      for (let i = 0; i < length && same; i++) same = bytes[start + i] === token[i];
      if (same) return true;
    }
    return false;
  };
}

function textOf(scanner: RecordScanner, slot: number, isNull: IsNull): string | undefined {
  const start = scanner.starts[slot]!;
  const end = scanner.ends[slot]!;
  if (start < 0 || isNull(scanner.buffer, start, end)) return undefined;
  return Buffer.from(scanner.buffer.subarray(start, end)).toString('utf8');
}

type Encode = (
  bytes: Uint8Array,
  starts: Int32Array,
  ends: Int32Array,
  row: number,
  latestMs: number,
  out: Uint8Array,
  position: number,
) => number;

/** Numbers of reasons as they stand in generated code. */
const {REQUIRED, TYPE, TIMESTAMP_RANGE, TIMESTAMP_FUTURE, EVENT_ID} = reasonNumber;

/**
 * The encoder's source: one straight line of code a field, so that each call of a converter has one target and can be
 * inlined. Only numbers go into the text; names of the configuration never do.
 */
function generate(
  options: RowOptions,
  plans: readonly Plan[],
  isNull: IsNull,
  readTime: (bytes: Uint8Array, start: number, end: number) => number,
  state: {field: number; timeMs: number},
): Encode {
  const header = [24, 16, 8, 0].map(
    (shift, i) => `out[at + ${5 + i}] = ${(options.schemaId >>> shift) & 255};`,
  );
  const fields = plans.map(({field, slot}, index) => {
    const fail = (reason: number | string) => `{ state.field = ${index}; return ${reason}; }`;
    if (slot < 0 && field.role === 'id') return 'out[p] = 72; p = ids.write(row, out, p + 1);';
    if (slot < 0) return field.required ? fail(REQUIRED) : 'out[p++] = 0;';
    const missing =
      options.incoming && field.role === 'id'
        ? 'p = writeText(ids.of(row), out, p);'
        : options.incoming && field.role === 'time'
          ? 't = incoming.nowMs(); state.timeMs = t; p = writeLong(t, out, p);'
          : field.required || field.role === 'time' || field.role === 'id'
            ? fail(REQUIRED)
            : 'out[p++] = 0;';
    const length =
      options.incoming && field.role === 'id'
        ? `if (e === s || e - s > ${eventIdBytesMax}) ${fail(EVENT_ID)}`
        : '';
    const branch = field.required ? '' : 'out[p++] = 2;';
    const write =
      field.role === 'time'
        ? `t = readTime(bytes, s, e);
           if (t !== t) ${fail(TYPE)}
           if (t < 0) ${fail(TIMESTAMP_RANGE)}
           if (t > latestMs) ${fail(TIMESTAMP_FUTURE)}
           state.timeMs = t;
           p = writeLong(t, out, p);`
        : `p = w${index}(bytes, s, e, out, p); if (p < 0) ${fail('p')}`;
    return `s = starts[${slot}]; e = ends[${slot}];
      if (s === ${nested}) ${fail(TYPE)}
      if (s < 0 || isNull(bytes, s, e)) { ${missing} } else { ${length} ${branch} ${write} }`;
  });
  const source = `${plans.map((_, index) => `const w${index} = writers[${index}];`).join('\n')}
    return (bytes, starts, ends, row, latestMs, out, at) => {
      let s = 0, e = 0, p = at + 9, t = 0;
      out[at + 4] = 0; ${header.join(' ')}
      ${fields.join('\n')}
      const length = p - at - 4;
      out[at] = length; out[at + 1] = length >>> 8; out[at + 2] = length >>> 16; out[at + 3] = length >>> 24;
      return p;
    };`;
  const writers = plans.map(({converter}) => converter.write);
  return new Function(
    'writers',
    'isNull',
    'readTime',
    'writeLong',
    'writeText',
    'ids',
    'state',
    'incoming',
    source,
  )(writers, isNull, readTime, writeLong, writeText, options.ids, state, options.incoming) as Encode;
}

/** The key's text as UTF-8 decides, as in Kafka; a record without a key goes by its event id. */
function partitioner(options: RowOptions, plans: readonly Plan[], isNull: IsNull): RowEncoder['partition'] {
  const {partitions, eventType, ids} = options;
  if (partitions === 1) return () => 0;
  const key = plans.find(({field}) => field.name === eventType.key)!;
  const id = plans.find(({field}) => field.role === 'id')!;
  const scratch = new Uint8Array(3 * eventIdBytesMax);
  const byId: RowEncoder['partition'] = (scanner, row) => {
    if (id.slot >= 0 && scanner.starts[id.slot]! >= 0)
      return partitionOfBytes(scanner.buffer, partitions, scanner.starts[id.slot], scanner.ends[id.slot]);
    return partitionOfBytes(scratch, partitions, 0, ids.write(row, scratch, 0));
  };
  if (key.slot < 0 || key === id) return byId;
  const {slot, field, converter} = key;
  return (scanner, row) => {
    const start = scanner.starts[slot]!;
    const end = scanner.ends[slot]!;
    const {buffer} = scanner;
    if (start < 0 || isNull(buffer, start, end)) return byId(scanner, row);
    if (field.type === 'string') return partitionOfBytes(buffer, partitions, start, end);
    // One value may be written in several ways (1, 01, 1.0): its usual text decides. One that is none is refused later.
    const room = new Uint8Array(convertedBytesMax(end - start));
    if (converter.write(buffer, start, end, room, 0) < 0) return 0;
    const text = Buffer.from(String(converter.read(buffer, start, end)));
    return partitionOfBytes(text, partitions, 0, text.length);
  };
}
