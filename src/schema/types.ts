import type {Value} from '../expr/types.ts';

/** Avro schemas as JSON, as far as Millrace generates and reads them (specification 1.12). */
export type AvroPrimitive = 'null' | 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' | 'string';
export type AvroSchema =
  | AvroPrimitive
  /** Name of a type that the schema defines. */
  | (string & {})
  | AvroSchema[]
  | {type: AvroPrimitive; logicalType?: string; [key: string]: unknown}
  | {
      type: 'enum';
      name: string;
      symbols: string[];
      namespace?: string;
      aliases?: string[];
      default?: string;
      [key: string]: unknown;
    }
  | {
      type: 'record';
      name: string;
      namespace?: string;
      doc?: string;
      aliases?: string[];
      fields: AvroField[];
      [key: string]: unknown;
    }
  | {type: 'array'; items: AvroSchema; [key: string]: unknown}
  | {type: 'map'; values: AvroSchema; [key: string]: unknown}
  | {type: 'fixed'; name: string; size: number; [key: string]: unknown};
export type AvroField = {
  name: string;
  type: AvroSchema;
  default?: unknown;
  doc?: string;
  aliases?: string[];
  [key: string]: unknown;
};
export type AvroRecord = Extract<AvroSchema, {type: 'record'}>;

/** A registered schema. Ids are unique in the registry, stable for ever; the same text under two subjects has one id. */
export type RegisteredSchema = {id: number; subject: string; version: number; schema: AvroSchema};

/** A value that a codec reads or writes: a column's value, bytes as they are, or an array of numbers or texts. */
export type AvroValue = Value | Uint8Array | AvroValue[];
