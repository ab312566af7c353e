/** Columns of records that anybody may have written: what is no frame, no record or torn has none, which is no failure. */
import {PlatformError} from '../errors.ts';
import {compileDecoder} from './decode.ts';
import {frameHeaderBytes, isFrame, schemaIdOf} from './frame.ts';
import {DecodeFailure} from './read.ts';
import type {AvroRecord, AvroSchema, AvroValue} from './types.ts';

/** Values of the columns in the frame's body in [pos, end); undefined when the bytes are not what the schema says. */
export type ColumnsReader = (bytes: Uint8Array, pos: number, end: number) => AvroValue[] | undefined;

/** The schema, if it is one of a record. */
export const recordOf = (schema: AvroSchema | undefined): AvroRecord | undefined =>
  typeof schema === 'object' && !Array.isArray(schema) && schema.type === 'record'
    ? (schema as AvroRecord)
    : undefined;

/** Id of the schema that the frame in [pos, end) names; undefined for what is no frame. */
export const frameIdOf = (bytes: Uint8Array, pos: number, end: number): number | undefined =>
  isFrame(bytes, pos, end) ? schemaIdOf(bytes, pos, end) : undefined;

/** @param names all by default @returns undefined for a schema that does not have all of them as columns */
export function columnsReader(
  schema: AvroSchema | undefined,
  names?: readonly string[],
): ColumnsReader | undefined {
  const record = recordOf(schema);
  if (!record || names?.some((name) => !record.fields.some((field) => field.name === name))) return undefined;
  try {
    const decode = compileDecoder(record, names);
    return (bytes, pos, end) => {
      try {
        return decode(bytes, pos + frameHeaderBytes, end);
      } catch (error) {
        if (error instanceof DecodeFailure) return undefined;
        throw error;
      }
    };
  } catch (error) {
    if (error instanceof PlatformError) return undefined;
    throw error;
  }
}
