/**
 * Records that other programs appended to a topic, judged as ingestion would have judged them: the event time, then the checks of the
 * event type. A record without a schema that can be read, or without a time, is left to whoever reads it: it is dead there.
 */
import {AssertionError} from 'node:assert';
import type {Value, ValueType} from '../expr/types.ts';
import type {CheckedType} from '../model/checked.ts';
import type {Field} from '../model/types.ts';
import {isToken} from '../privacy/tokens.ts';
import {compileDecoder, type Decoder} from '../schema/decode.ts';
import {branchesOf, collectNames} from '../schema/flat.ts';
import {frameHeaderBytes, isFrame, schemaIdOf} from '../schema/frame.ts';
import {unprotected} from '../schema/protected.ts';
import {DecodeFailure} from '../schema/read.ts';
import {avroAliases, fieldIndexOf, unreadable} from '../schema/readable.ts';
import type {AvroRecord, AvroSchema, AvroValue} from '../schema/types.ts';
import {compileRowChecks} from './checks.ts';
import {reasonCode} from './reasons.ts';

/** Why a record is refused, and at which stage of a dead letter. A failed check has the code `CHECK:<name>`. */
export type Refusal = {
  stage: 'decode' | 'check';
  code: 'DECODE' | 'TIMESTAMP_RANGE' | 'TIMESTAMP_FUTURE' | 'EXPRESSION' | `CHECK:${string}`;
  message: string;
};

/**
 * Judges the frame in [start, end). @param latestMs event time that it may have at most, epoch ms
 * @returns undefined for what passes, and for what is left to the reader. Throws what `schemaOf` throws.
 */
export type Judge = (bytes: Uint8Array, start: number, end: number, latestMs: number) => Refusal | undefined;

/** Latest instant of JavaScript's dates, epoch ms. */
export const timeMsMax = 8.64e15;

/** The latest event time, epoch ms, of a record that was appended at `appendTimeMs`; some programs leave that out: 0. */
export const latestMsOf = (appendTimeMs: number, futureMaxMs: number): number =>
  appendTimeMs > 0 ? appendTimeMs + futureMaxMs : timeMsMax;

/** Why a record cannot be counted at its time, epoch ms; undefined when it can. @param latestMs that it may have */
export function oddTime(timeMs: number | bigint, latestMs: number): Refusal | undefined {
  if (timeMs < 0 || timeMs > timeMsMax)
    return {
      stage: 'decode',
      code: 'TIMESTAMP_RANGE',
      message: `timestamp ${timeMs} is before 1970 or no date`,
    };
  if (timeMs <= latestMs) return undefined;
  const message = `timestamp ${timeMs} is too far ahead of when the record was appended: future_max allows up to ${latestMs}`;
  return {stage: 'decode', code: 'TIMESTAMP_FUTURE', message};
}

/** How the records of one writer's schema are read. */
type Reader = {
  decode: Decoder;
  /** By wanted field: its place among the decoded values, -1: the writer does not have it. */
  places: number[];
  /** By wanted field: why the writer's values cannot be read. */
  problems: (string | undefined)[];
};

/** @param schemaOf writer's schema by id; undefined when it is not known */
export function compileJudge(type: CheckedType, schemaOf: (id: number) => AvroSchema | undefined): Judge {
  const told = {check: '', detail: ''};
  const checks = compileRowChecks(type, told);
  const time = type.fields.find(({role}) => role === 'time')!;
  const fields = [time, ...type.fields.filter((field) => field !== time && checks?.wanted.has(field.name))];
  const readers = new Map<number, Reader | undefined>();
  const row: Record<string, Value> = {};
  const readerOf = (id: number): Reader | undefined => {
    if (readers.has(id)) return readers.get(id);
    const schema = schemaOf(id);
    if (typeof schema !== 'object' || Array.isArray(schema) || schema.type !== 'record') return undefined;
    const made = compileReader(schema as AvroRecord, id, fields);
    readers.set(id, made);
    return made;
  };
  return (bytes, start, end, latestMs) => {
    const reader = isFrame(bytes, start, end) ? readerOf(schemaIdOf(bytes, start, end)) : undefined;
    if (!reader || reader.places[0]! < 0) return undefined;
    let values: AvroValue[];
    try {
      values = reader.decode(bytes, start + frameHeaderBytes, end);
    } catch (error) {
      if (!(error instanceof DecodeFailure)) throw error;
      // Also for a text that no query looks at: what cannot be judged does not pass.
      return {stage: 'decode', code: 'DECODE', message: error.message};
    }
    const timeMs = values[reader.places[0]!] as number | bigint | null;
    if (timeMs === null) return undefined;
    const odd = oddTime(timeMs, latestMs);
    if (odd || !checks) return odd;
    for (let index = 0; index < fields.length; index++) {
      const field = fields[index]!;
      const place = reader.places[index]!;
      const given = place < 0 ? null : values[place]!;
      const problem = reader.problems[index] ?? problemOf(field, given);
      if (problem !== undefined) return {stage: 'decode', code: 'DECODE', message: problem};
      const value = exprValue(field.type, given);
      // Only ingestion protects values: it has judged the record before.
      if (field.pii && typeof value === 'string' && isToken(value)) return undefined;
      row[field.name] = value;
    }
    const reason = checks.check(row);
    if (reason === 0) return undefined;
    if (reasonCode(reason) === 'EXPRESSION')
      return {stage: 'check', code: 'EXPRESSION', message: told.detail};
    return {
      stage: 'check',
      code: `CHECK:${told.check}`,
      message: `the check ${told.check} is false: ${told.detail}`,
    };
  };
}

/** Undefined for a schema that cannot be understood: whoever reads its records says so. */
function compileReader(schema: AvroRecord, id: number, fields: readonly Field[]): Reader | undefined {
  try {
    const writer = unprotected(schema);
    const names = collectNames(writer);
    const space = writer.namespace ?? '';
    const flats = writer.fields.map(({type}) => branchesOf(type, names, space));
    const wanted: string[] = [];
    const places: number[] = [];
    const problems = fields.map((field) => {
      const index = fieldIndexOf(writer, {column: field.column, aliases: avroAliases(field)});
      const problem = unreadable(field, index, flats[index] ?? [], id);
      places.push(index < 0 || problem !== undefined ? -1 : wanted.push(writer.fields[index]!.name) - 1);
      return problem;
    });
    return {decode: compileDecoder(writer, wanted), places, problems};
  } catch (error) {
    if (error instanceof AssertionError) throw error;
    return undefined;
  }
}

/** A decoded value as expressions see it. */
function exprValue(type: ValueType, value: AvroValue): Value {
  if (value === null) return null;
  if (type === 'double') {
    const number = Number(value);
    return Number.isNaN(number) ? null : number;
  }
  return value instanceof Uint8Array ? Buffer.from(value).toString() : (value as Value);
}

/** Why a value is none of its field's; it is not shown: it may be personal. */
function problemOf({column, required, symbols}: Field, value: AvroValue): string | undefined {
  if (value === null) return required ? `field ${column} is required, and the record has none` : undefined;
  return symbols && !symbols.includes(value as string)
    ? `field ${column} holds a symbol that its type does not have`
    : undefined;
}
