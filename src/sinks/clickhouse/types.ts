import type {Column, Table} from '../../model/types.ts';

/** ClickHouse's types of ours, without Nullable, spelled as system.columns does. */
export const plainTypes = {
  string: 'String',
  enum: 'String',
  int: 'Int32',
  long: 'Int64',
  money: 'Int64',
  double: 'Float64',
  boolean: 'Bool',
  timestamp: "DateTime64(3, 'UTC')",
  date: 'Date32',
  uuid: 'UUID',
} as const;

/** ClickHouse's type of a column, spelled as system.columns does. */
export function columnType(table: Table, column: Column): string {
  if (table.kind === 'query' && column.name === 'version') return 'UInt64';
  if (table.kind === 'query' && column.name === 'deleted') return 'UInt8';
  const plain = plainTypes[column.type];
  const nullable = column.nullable ? `Nullable(${plain})` : plain;
  return column.dimension && plain === 'String' ? `LowCardinality(${nullable})` : nullable;
}

const lowCardinality = /^LowCardinality\((.*)\)$/;

/** The type that takes NULL as well. */
export const nullableType = (type: string): string => {
  const inner = lowCardinality.exec(type)?.[1];
  return inner === undefined ? `Nullable(${type})` : `LowCardinality(Nullable(${inner}))`;
};

/** The type without Nullable and LowCardinality. */
export const plainType = (type: string): string => {
  const inner = lowCardinality.exec(type)?.[1] ?? type;
  return /^Nullable\((.*)\)$/.exec(inner)?.[1] ?? inner;
};

/** Whether a type is one of ours, without Nullable: another, as of a column that somebody added, is left as it is. */
export const isOurs = (type: string): boolean =>
  (Object.values(plainTypes) as string[]).includes(plainType(type));
