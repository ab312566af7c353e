import type {Value} from '../../expr/types.ts';
import {int64} from '../tables.ts';

const text = (value: string): Value => value;
const time = (value: string): Value =>
  // As ClickHouse prints it; what is beyond four-digit years stays as PostgreSQL prints it.
  /^\d{4}-.*\+00$/.test(value) ? new Date(value).toISOString().slice(0, -1).replace('T', ' ') : value;

/** PostgreSQL's numbers of types, those that have a form of their own here. */
const oids = {
  bool: 16,
  int8: 20,
  int2: 21,
  int4: 23,
  oid: 26,
  float4: 700,
  float8: 701,
  timestamptz: 1184,
} as const;
const alsoText = {json: 114, date: 1082, timestamp: 1114, jsonb: 3802};

/** By a type's number: its text as PostgreSQL sends it -> `Value`. What is no number, boolean or time is text. */
export const parsers: Record<number, (value: string) => Value> = {
  [oids.bool]: (value) => value === 't',
  [oids.int8]: (value) => int64(value),
  [oids.int2]: Number,
  [oids.int4]: Number,
  [oids.oid]: Number,
  [oids.float4]: Number,
  [oids.float8]: Number,
  [oids.timestamptz]: time,
  ...Object.fromEntries(Object.values(alsoText).map((oid) => [oid, text])),
};

/** JSON text of what is neither text, number nor boolean. */
export const plain = (value: unknown): Value =>
  typeof value === 'object' && value !== null ? JSON.stringify(value) : (value as Value);
