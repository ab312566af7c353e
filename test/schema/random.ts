/** Seeded random event types and values of the kinds that Millrace writes. */
import type {Value, ValueType} from '../../src/expr/types.ts';
import type {EventType, Field} from '../../src/model/types.ts';
import {field as plainField} from '../support/fields.ts';
import type {Random} from '../support/random.ts';

export const valueTypes: readonly ValueType[] = [
  'string',
  'int',
  'long',
  'double',
  'boolean',
  'timestamp',
  'date',
  'uuid',
  'money',
  'enum',
];

export const field = (name: string, type: ValueType, options: Partial<Field> = {}): Field =>
  plainField(name, type, {...(type === 'enum' ? {symbols: ['red', 'green', 'blue']} : {}), ...options});

export function eventType(name: string, fields: Field[]): EventType {
  return {
    domain: 'shop',
    name,
    topic: `shop.${name}`,
    key: 'event_id',
    fields: [
      field('event_id', 'string', {role: 'id', required: true}),
      field('timestamp', 'timestamp', {role: 'time', required: true}),
      ...fields,
    ],
    derive: [],
    enrich: [],
    checks: [],
  };
}

/** An event type with up to 12 fields of any type. */
export function randomEventType(name: string, chance: Random): EventType {
  const fields = Array.from({length: chance.int(13)}, (_, index) => {
    const type = chance.pick(valueTypes);
    const symbols = Array.from({length: 1 + chance.int(chance.pick([3, 200]))}, (_, i) => `S${i}`);
    return field(`f${index}`, type, {
      required: chance.int(2) === 0,
      ...(type === 'enum' ? {symbols} : {}),
    });
  });
  return eventType(name, fields);
}

const texts = [
  '',
  'a',
  'US',
  'é',
  '日本語',
  '😀',
  'x'.repeat(63),
  'x'.repeat(64),
  '\u0000\n"',
  '\ufeffBOM',
  'é'.repeat(200),
];
const longs: Value[] = [
  0,
  -1,
  1,
  63,
  64,
  -64,
  -65,
  2 ** 27 - 1,
  2 ** 27,
  -(2 ** 27) - 1,
  2 ** 28,
  2 ** 31,
  2 ** 34,
  1767225600000,
  2 ** 53 - 1,
  2 ** 53,
  -(2 ** 53),
  2n ** 53n + 1n,
  -(2n ** 53n) - 1n,
  2n ** 62n,
  2n ** 63n - 1n,
  -(2n ** 63n),
];
const ints = [0, 1, -1, 63, 64, 127, 128, 2 ** 28 - 1, 2 ** 28, -(2 ** 28) - 1, 2 ** 31 - 1, -(2 ** 31)];
const doubles = [
  0,
  -0,
  1.5,
  -1e300,
  5e-324,
  Number.MAX_VALUE,
  0.1,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
];

/** A value of a field, extremes included; null one time in four where it may be. */
export function randomValue(of: Field, chance: Random): Value {
  if (!of.required && chance.int(4) === 0) return null;
  switch (of.type) {
    case 'string':
      return chance.int(40) === 0 ? 'long text, ünïcödé '.repeat(200 + chance.int(200)) : chance.pick(texts);
    case 'uuid':
      return `2ed6657d-e927-568b-95e1-${String(chance.int(1e9)).padStart(12, '0')}`;
    case 'enum':
      return chance.pick(of.symbols!);
    case 'boolean':
      return chance.int(2) === 0;
    case 'double':
      return chance.int(2) === 0 ? chance.pick(doubles) : (chance.int(2 ** 31) - 2 ** 30) / 7;
    case 'int':
    case 'date':
      return chance.int(2) === 0 ? chance.pick(ints) : chance.int(2 ** 31) - 2 ** 30;
    default:
      return chance.int(2) === 0 ? chance.pick(longs) : chance.int(2 ** 31) * chance.pick([1, -1, 1000]);
  }
}
