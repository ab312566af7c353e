import {join} from 'node:path';
import type {Value} from '../../src/expr/types.ts';
import type {Column} from '../../src/model/types.ts';
import {dateDays} from '../../src/sinks/tables.ts';
import {testSink} from '../conformance/sink.ts';

testSink('chdb', {
  choice: (dir) => ({backend: 'chdb', options: {dir: join(dir, 'clickhouse')}}),
  async latest(sink, _, table) {
    const hide = table.kind === 'query' ? 'WHERE deleted = 0' : '';
    const {rows} = await sink.query!(
      `SELECT ${table.columns.map(({name}) => `"${name}"`).join(', ')} FROM ${table.namespace}.${table.name} FINAL ${hide}`,
    );
    return rows.map((row) =>
      Object.fromEntries(table.columns.map((column, index) => [column.name, fromText(column, row[index]!)])),
    );
  },
  async count(sink, _, table) {
    const {rows} = await sink.query!(`SELECT count() FROM ${table.namespace}.${table.name}`);
    return Number(rows[0]![0]);
  },
});

/** ClickHouse prints times as `2026-01-31 12:00:00.000`. */
function fromText({type, name}: Column, value: Value): Value {
  if (value === null) return null;
  if (type === 'timestamp') return Date.parse(`${String(value).replace(' ', 'T')}Z`);
  if (type === 'date') return dateDays(String(value));
  return name === 'deleted' ? value === 1 : value;
}
