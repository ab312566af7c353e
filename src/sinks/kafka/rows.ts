/** Rows of queries as records of a topic: an Avro value in Confluent's wire format, its key a JSON list of the row's key. */
import type {Value, ValueType} from '../../expr/types.ts';
import type {Column, Table} from '../../model/types.ts';
import {compileDecoder, type Decoder} from '../../schema/decode.ts';
import {compileEncoder} from '../../schema/encode.ts';
import {frameHeaderBytes, schemaIdOf} from '../../schema/frame.ts';
import type {AvroField, AvroRecord, AvroSchema} from '../../schema/types.ts';
import {columnIndex, revisionOf} from '../tables.ts';
import type {RowBatch} from '../types.ts';

/** `agg.<domain>.<query>.r<n>`, the topic of a query's revision. */
export function rowsTopic(table: Pick<Table, 'namespace' | 'name'>): string {
  const {query, revision} = revisionOf(table.name) ?? {query: table.name, revision: 0};
  return `agg.${table.namespace}.${query}.r${revision}`;
}

/** `<domain>.<query>` of a revision's table. */
export const queryOf = ({namespace, name}: Pick<Table, 'namespace' | 'name'>): string =>
  `${namespace}.${revisionOf(name)?.query ?? name}`;

const avroTypes: Record<ValueType, AvroSchema> = {
  string: 'string',
  enum: 'string',
  int: 'int',
  long: 'long',
  double: 'double',
  boolean: 'boolean',
  money: 'long',
  timestamp: {type: 'long', logicalType: 'timestamp-millis'},
  date: {type: 'int', logicalType: 'date'},
  uuid: {type: 'string', logicalType: 'uuid'},
};

/** Whether columns of rows have that type. */
export const isRowType = (type: string): boolean => Object.hasOwn(avroTypes, type);

/** The Avro record of a table's rows: a field a column, in order; money in hundredths. */
export function rowSchema({namespace, name, columns}: Table): AvroRecord {
  return {type: 'record', name, namespace: `agg.${namespace}`, fields: columns.map(fieldOf)};
}

function fieldOf({name, type, nullable}: Column): AvroField {
  const money = type === 'money' ? {'millrace.type': 'money'} : {};
  return nullable
    ? {name, type: ['null', avroTypes[type]], default: null, ...money}
    : {name, type: avroTypes[type], ...money};
}

/** A record of a topic of rows. */
export type RowRecord = {key: Buffer; value: Buffer};

/** Records of a batch's rows, in their order. */
export type RowEncoder = (batch: Pick<RowBatch, 'count' | 'columns'>) => RowRecord[];

/** @param schemaId of `rowSchema` of the table */
export function rowEncoder(table: Table, schemaId: number): RowEncoder {
  const encoder = compileEncoder(rowSchema(table), schemaId);
  const keys = table.key.map((name) => columnIndex(table, name));
  const values: Value[] = table.columns.map(() => null);
  return ({count, columns}) => {
    const records: RowRecord[] = [];
    for (let row = 0; row < count; row++) {
      columns.forEach((column, index) => {
        values[index] = column[row]!;
      });
      const buffer = Buffer.allocUnsafe(encoder.sizeMax(values));
      const end = encoder.encode(values, buffer, 0);
      records.push({key: keyOf(keys.map((index) => values[index]!)), value: buffer.subarray(0, end)});
    }
    return records;
  };
}

/** Integers that JSON's readers would round, and numbers that it has not, are texts. */
const keyOf = (values: Value[]): Buffer => Buffer.from(JSON.stringify(values.map(keyPart)));

const keyPart = (value: Value): Value =>
  typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value)) ? String(value) : value;

/** Columns of rows that are read one after another. */
export type RowReader = {
  /** Takes the frame in [start, end). @throws DecodeFailure for bytes that are no row of the table */
  add(bytes: Uint8Array, start: number, end: number): void;
  readonly count: number;
  /** What was added, and forgets it. */
  take(): Pick<RowBatch, 'count' | 'columns'>;
};

export function rowReader(table: Table): RowReader {
  const decode: Decoder = compileDecoder(rowSchema(table));
  let columns: Value[][] = table.columns.map(() => []);
  let count = 0;
  return {
    add(bytes, start, end) {
      // Bytes of anything else may happen to be a body.
      schemaIdOf(bytes, start, end);
      const values = decode(bytes, start + frameHeaderBytes, end) as Value[];
      values.forEach((value, index) => {
        columns[index]!.push(value);
      });
      count++;
    },
    get count() {
      return count;
    },
    take() {
      const taken = {count, columns};
      columns = table.columns.map(() => []);
      count = 0;
      return taken;
    },
  };
}
