/** A scanned record as a transform gets it: its fields as values, and whatever else it says. */
import {formatDate} from '../expr/calendar.ts';
import type {Value, ValueType} from '../expr/types.ts';
import {formatCents} from '../expr/values.ts';
import type {Input} from '../model/types.ts';
import {convertedBytesMax} from './convert.ts';
import {reasonCode, reasonNumber} from './reasons.ts';
import {nested, type RecordScanner, type RecordSource} from './records.ts';
import type {Untransformed} from './transformed.ts';
import {eventIdBytesMax, type IsNull, type Plan, type RowEncoder, type RowOptions} from './validate.ts';

export type TransformInputReader = {
  /**
   * Values in the order of the fields, or the number of the reason why one cannot be read as its type. Whether a required
   * field has one, ranges of time and checks are left to what the transform returns; but id and time are always there.
   */
  values(scanner: RecordScanner, row: number): unknown[] | number;
  /** Columns of a CSV record that no field is made of; null when there are none, or for other formats. */
  others(scanner: RecordScanner): Record<string, string | null> | null;
};

const {REQUIRED, TYPE, EVENT_ID} = reasonNumber;

/** Money as exact decimal text, a date as people write it, everything else as it is. */
export function inputValue(type: ValueType, value: Value): unknown {
  if (type === 'money') return formatCents(value as number | bigint);
  return type === 'date' ? formatDate(value as number) : value;
}

export function transformInputs(
  {ids, incoming, input}: RowOptions,
  plans: readonly Plan[],
  columns: readonly string[],
  isNull: IsNull,
  readTime: (bytes: Uint8Array, start: number, end: number) => number,
  state: {field: number},
): TransformInputReader {
  let scratch = new Uint8Array(1024);
  const used = new Set(plans.map(({slot}) => slot));
  const others =
    input.format === 'csv' ? columns.flatMap((name, slot) => (used.has(slot) ? [] : [{name, slot}])) : [];

  /** Why the last value could not be read; 0 when it could. */
  let reason = 0;
  const failed = (number: number): null => {
    reason = number;
    return null;
  };
  const read = ({field, slot, converter}: Plan, scanner: RecordScanner, row: number): unknown => {
    const start = slot < 0 ? -1 : scanner.starts[slot]!;
    if (start === nested) return failed(TYPE);
    const end = start < 0 ? -1 : scanner.ends[slot]!;
    const {buffer} = scanner;
    if (start < 0 || isNull(buffer, start, end)) {
      if (field.role === 'id') return slot < 0 || incoming ? ids.of(row) : failed(REQUIRED);
      if (field.role === 'time') return incoming ? incoming.nowMs() : failed(REQUIRED);
      return null;
    }
    if (field.role === 'time') {
      const timeMs = readTime(buffer, start, end);
      return Number.isNaN(timeMs) ? failed(TYPE) : timeMs;
    }
    if (field.role === 'id' && incoming && (start === end || end - start > eventIdBytesMax))
      return failed(EVENT_ID);
    // Any text is text.
    if (field.type !== 'string') {
      if (scratch.length < convertedBytesMax(end - start))
        scratch = new Uint8Array(2 * convertedBytesMax(end - start));
      const problem = converter.write(buffer, start, end, scratch, 0);
      if (problem < 0) return failed(problem);
    }
    return inputValue(field.type, converter.read(buffer, start, end));
  };
  return {
    values(scanner, row) {
      const values: unknown[] = [];
      for (let index = 0; index < plans.length; index++) {
        values.push(read(plans[index]!, scanner, row));
        if (reason === 0) continue;
        const number = reason;
        reason = 0;
        state.field = index;
        return number;
      }
      return values;
    },
    others(scanner) {
      if (others.length === 0) return null;
      const record: Record<string, string | null> = Object.create(null);
      for (const {name, slot} of others) {
        const start = scanner.starts[slot]!;
        const end = scanner.ends[slot]!;
        record[name] =
          start < 0 || isNull(scanner.buffer, start, end)
            ? null
            : Buffer.prototype.utf8Slice.call(scanner.buffer, start, end);
      }
      return record;
    },
  };
}

/** A record of a file that waits for its transform, with the id that a column gives. */
export type WaitingRow = Pick<RecordSource, 'row' | 'raw'> & {given: string | undefined};

/** The record that `source` stands at, ready to wait: its bytes are copied. @param encoder of an event type with a transform */
export function untransformed(
  source: RecordSource,
  encoder: RowEncoder,
  input: Input,
): Untransformed<WaitingRow> {
  const {scanner, row, reason, size: bytes, detail} = source;
  const raw = Uint8Array.from(source.raw());
  const bad = reason < 0;
  const record = {row, raw: () => raw, given: bad ? undefined : encoder.givenId(scanner)};
  if (bad)
    return {record, bytes, eventId: '', problem: {code: reasonCode(reason), message: detail, stage: 'parse'}};
  const values = encoder.inputs!.values(scanner, row);
  if (typeof values === 'number')
    return {record, bytes, eventId: '', problem: {...encoder.explain(scanner, values), stage: 'validate'}};
  const extra = input.format === 'csv' ? encoder.inputs!.others(scanner) : Buffer.from(raw).toString('utf8');
  return {record, bytes, eventId: String(values[0]), input: {values, extra}};
}
