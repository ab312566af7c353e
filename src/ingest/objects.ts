/**
 * One object -> one record of the log, validated, by code generated for an event type: what a transform returns, what a fix
 * made of a dead letter, what a test gives. The codes and messages are those of `validate.ts`; how values are read is in
 * `object-values.ts`.
 */
import type {Value} from '../expr/types.ts';
import {partitionOf} from '../log/partition.ts';
import type {EventType, Field} from '../model/types.ts';
import {writeDouble, writeLong, writeText} from '../schema/write.ts';
import {compileRowChecks} from './checks.ts';
import {explainValue} from './convert.ts';
import {type ReadState, readerOf, showValue, timestampMax, trimmed, writeUuid} from './object-values.ts';
import {reasonCode, reasonNumber} from './reasons.ts';
import {recordBytesMax} from './records.ts';

/** An event as a plain object, by field name; keys that are no field are not looked at. Or its values in the order of the fields. */
export type EventObject = Readonly<Record<string, unknown>> | readonly unknown[];

export type ObjectEncoder = {
  /**
   * Validates an event and writes its record (length and frame) at `position`.
   * @param latestMs the latest event time that is believed, epoch ms.
   * @returns the position behind it; `noRoom` when it may not fit (grow the buffer and call again: with `roomMax` free bytes
   * it does not come); or the number of the reason why the event is bad.
   */
  encode(event: EventObject, latestMs: number, out: Uint8Array, position: number): number;
  /** Code and message of the reason that `encode` returned last, for the same event. */
  explain(event: EventObject, reason: number): {code: string; message: string};
  /** Event time of the event that was written last, epoch ms. */
  lastTimeMs(): number;
  /** Partition of the event that was written last: by its key, or by its id where it has none. */
  lastPartition(partitions: number): number;
};

/** `encode` needs a larger buffer; no reason has this number. */
export const noRoom = -1000;
/** Free bytes with which every event that is not too large fits: three a UTF-16 unit of the largest record. */
export const roomMax = 3 * recordBytesMax + 64 * 1024;

type State = ReadState & {field: number; timeMs: number; key: Value; id: string; bytes: number};

/**
 * Compiles the encoder of an event type.
 * @param layout `object`: fields by name; `list`: values in the order of the fields.
 */
export function compileObjectEncoder(
  eventType: EventType,
  schemaId: number,
  layout: 'object' | 'list' = 'object',
): ObjectEncoder {
  const {fields} = eventType;
  const state: State = {reason: 0, field: 0, timeMs: 0, key: null, id: '', bytes: 0};
  const told = {check: '', detail: ''};
  const checks = compileRowChecks(eventType, told);
  const row: Record<string, Value> = {};
  const isHidden = fields.some(({pii}) => pii);
  const valueAt = (event: EventObject, index: number): unknown =>
    layout === 'list'
      ? (event as readonly unknown[])[index]
      : (event as Readonly<Record<string, unknown>>)[fields[index]!.name];
  const write = generate(eventType, schemaId, layout, state, row, checks?.wanted ?? new Set());
  return {
    encode(event, latestMs, out, position) {
      const end = write(event, latestMs, out, position);
      if (end < 0 || checks === undefined) return end;
      return checks.check(row) || end;
    },
    explain(event, reason) {
      const code = reasonCode(reason);
      if (code === 'CHECK')
        return {code: `CHECK:${told.check}`, message: `the check ${told.check} is false: ${told.detail}`};
      if (code === 'EXPRESSION') return {code, message: told.detail};
      if (code === 'RECORD_TOO_LARGE') return {code, message: `the record has ${state.bytes} bytes`};
      const field = fields[state.field]!;
      if (code === 'UTF8') return {code, message: `${field.name}: half of a surrogate pair`};
      return {code, message: explainValue(code, field, showValue(valueAt(event, state.field)), isHidden)};
    },
    lastTimeMs: () => state.timeMs,
    lastPartition: (partitions) =>
      partitions === 1 ? 0 : partitionOf(state.key === null ? null : String(state.key), state.id, partitions),
  };
}

type Write = (event: EventObject, latestMs: number, out: Uint8Array, position: number) => number;

/** Bytes of a field at most, without the text that is checked when it is written. */
const fieldBytesMax = 48;
/** Characters up to which a loop is faster than a call that leaves JavaScript. */
const loopMax = 64;

/**
 * The writer's source: one straight line of code a field. Of the configuration only names of fields go into it, which match
 * the pattern of names, as JSON text; everything else is numbers.
 */
function generate(
  eventType: EventType,
  schemaId: number,
  layout: 'object' | 'list',
  state: State,
  row: Record<string, Value>,
  wanted: ReadonlySet<string>,
): Write {
  const {fields, key} = eventType;
  const header = [24, 16, 8, 0].map((shift, i) => `out[at + ${5 + i}] = ${(schemaId >>> shift) & 255};`);
  const lines = fields.map((field, index) => {
    const name = JSON.stringify(field.name);
    // A field may be called constructor or toString: what every object inherits is no value of the event.
    const load =
      layout === 'list'
        ? `event[${index}]`
        : field.name in {}
          ? `(Object.hasOwn(event, ${name}) ? event[${name}] : undefined)`
          : `event[${name}]`;
    const keep = (value: string) =>
      (wanted.has(field.name) ? `row[${name}] = ${value};` : '') +
      (field.name === key && field.role !== 'id' ? `state.key = ${value};` : '') +
      (field.role === 'id' ? `state.id = ${value};` : '');
    const fail = (reason: number | string) => `{ state.field = ${index}; return ${reason}; }`;
    const missing = field.required ? fail(reasonNumber.REQUIRED) : `{ ${keep('null')} out[p++] = 0; }`;
    const branch = field.required ? '' : 'out[p++] = 2;';
    const rest = (fields.length - index) * fieldBytesMax;
    return `v = ${load};
      if (v === undefined || v === null) ${missing}
      else { ${branch} ${valueCode(field, index, rest, keep, fail)} }`;
  });
  const source = `${fields.map((_, index) => `const r${index} = readers[${index}];`).join('\n')}
    return (event, latestMs, out, at) => {
      const room = out.length;
      if (at + ${9 + fields.length * fieldBytesMax} > room) return ${noRoom};
      let v, n = 0, i = 0, c = 0, q = 0, p = at + 9;
      out[at + 4] = 0; ${header.join(' ')}
      ${lines.join('\n')}
      const length = p - at - 4;
      if (length > ${recordBytesMax}) { state.bytes = length; return ${reasonNumber.RECORD_TOO_LARGE}; }
      out[at] = length; out[at + 1] = length >>> 8; out[at + 2] = length >>> 16; out[at + 3] = length >>> 24;
      return p;
    };`;
  const readers = fields.map((field) => readerOf(field));
  return new Function(
    'readers',
    'state',
    'row',
    'writeLong',
    'writeText',
    'writeDouble',
    'writeUuid',
    'trimmed',
    source,
  )(readers, state, row, writeLong, writeText, writeDouble, writeUuid, trimmed) as Write;
}

/** Values below 2^28 in magnitude are most of them. */
const smallCode = (value: string): string =>
  `n = (${value} << 1) ^ (${value} >> 31); while (n > 127) { out[p++] = n | 128; n >>>= 7; } out[p++] = n;`;

/** Code that reads, keeps and writes `v`, which is not NULL. @param rest bytes that this field and those after it need at most. */
function valueCode(
  field: Field,
  index: number,
  rest: number,
  keep: (value: string) => string,
  fail: (reason: number | string) => string,
): string {
  const read = `{ v = r${index}(v, state); if (state.reason !== 0) { n = state.reason; state.reason = 0; ${fail('n')} } }`;
  const integer = `${keep('v')} if (typeof v === 'number' && (v | 0) === v && v < 0x10000000 && v >= -0x10000000) { ${smallCode('v')} } else p = writeLong(v, out, p);`;
  switch (field.type) {
    case 'string':
      return `if (typeof v !== 'string') ${read} ${keep('v')} ${textCode(rest, fail)}`;
    case 'int':
    case 'long':
      return `if (typeof v !== 'number' || (v | 0) !== v) ${read} ${integer}`;
    case 'money':
      // Up to 15 digits a double names one decimal number: if the cents give it back, they are what was meant.
      return `if (typeof v === 'number' && (c = Math.round(v * 100)) / 100 === v && c < 1e15 && c > -1e15) v = c; else ${read} ${integer}`;
    case 'double':
      return `if (typeof v !== 'number' || v - v !== 0) ${read} ${keep('v')} p = writeDouble(v, out, p);`;
    case 'boolean':
      return `if (v !== true && v !== false) ${read} ${keep('v')} out[p++] = v === true ? 1 : 0;`;
    case 'timestamp':
      return field.role === 'time'
        ? `if (typeof v !== 'number' || !Number.isInteger(v)) ${read}
           if (v < 0) ${fail(reasonNumber.TIMESTAMP_RANGE)}
           if (v > latestMs) ${fail(reasonNumber.TIMESTAMP_FUTURE)}
           ${keep('v')} state.timeMs = v; p = writeLong(v, out, p);`
        : `if (typeof v !== 'number' || !Number.isInteger(v) || v > ${timestampMax} || v < ${-timestampMax}) ${read}
           ${keep('v')} p = writeLong(v, out, p);`;
    case 'date':
      return `${read} ${integer}`;
    case 'uuid':
      return `p = writeUuid(v, out, p); if (p < 0) ${fail(reasonNumber.TYPE)} ${keep('trimmed(v).toLowerCase()')}`;
    case 'enum': {
      const symbols = JSON.stringify(field.symbols ?? []);
      return `${read} ${keep(`${symbols}[v]`)} ${smallCode('v')}`;
    }
  }
}

/** Short ASCII text is copied by a loop, anything else by `writeText`. */
const textCode = (rest: number, fail: (reason: number) => string): string =>
  `n = v.length; if (p + 3 * n + ${rest} > room) { if (n > ${recordBytesMax}) { state.bytes = n; return ${reasonNumber.RECORD_TOO_LARGE}; } return ${noRoom}; }
   i = 0;
   if (n < ${loopMax}) {
     q = p + 1;
     for (; i < n; i++) { c = v.charCodeAt(i); if (c > 127) break; out[q + i] = c; }
   }
   if (n < ${loopMax} && i === n) { out[p] = n << 1; p = q + n; }
   else { if (!v.isWellFormed()) ${fail(reasonNumber.UTF8)} p = writeText(v, out, p); }`;
