/** avsc with 64-bit longs as our values have them: number while |x| <= 2^53, bigint beyond. */
import avsc from 'avsc';
import type {AvroSchema, AvroValue} from '../../src/schema/types.ts';

const exact = (value: bigint): number | bigint =>
  value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : value;

const longType = avsc.types.LongType.__with({
  fromBuffer: (buffer: Buffer) => exact(buffer.readBigInt64LE()),
  toBuffer: (value: number | bigint) => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigInt64LE(BigInt(value));
    return buffer;
  },
  fromJSON: (json: number) => json,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === 'bigint' || Number.isInteger(value),
  compare: (a: number | bigint, b: number | bigint) => (a < b ? -1 : a > b ? 1 : 0),
} as never);

/** `{type: 'long', logicalType: ...}` would go around the registry's long. */
const withoutLogicalTypes = (schema: AvroSchema): unknown =>
  JSON.parse(JSON.stringify(schema), (_key, value) =>
    value !== null && typeof value === 'object' && 'logicalType' in value ? value.type : value,
  );

export const avscType = (schema: AvroSchema): avsc.Type =>
  avsc.Type.forSchema(withoutLogicalTypes(schema) as avsc.Schema, {
    registry: {long: longType as avsc.Type},
  });

/** A record's values in the order of the schema's fields. */
export const valuesOf = (record: object): AvroValue[] =>
  Object.values(record).map((value) => (value instanceof Uint8Array ? new Uint8Array(value) : value));
