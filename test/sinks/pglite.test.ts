import {join} from 'node:path';
import type {Value} from '../../src/expr/types.ts';
import type {Column} from '../../src/model/types.ts';
import {dateDays} from '../../src/sinks/tables.ts';
import {testSink} from '../conformance/sink.ts';

testSink('pglite', {
  choice: (dir) => ({backend: 'pglite', options: {dir: join(dir, 'postgres')}}),
  // PostgreSQL has no U+0000 in texts.
  stored: (text) => text.replaceAll('\u0000', '\uFFFD'),
  async latest(sink, _, table) {
    const hide = table.kind === 'query' ? 'WHERE NOT deleted' : '';
    const {rows} = await sink.query!(
      `SELECT ${table.columns.map(({name}) => `"${name}"`).join(', ')} FROM ${table.namespace}.${table.name} ${hide}`,
    );
    return rows.map((row) =>
      Object.fromEntries(table.columns.map((column, index) => [column.name, fromText(column, row[index]!)])),
    );
  },
  async count(sink, _, table) {
    const {rows} = await sink.query!(`SELECT count(*) FROM ${table.namespace}.${table.name}`);
    return Number(rows[0]![0]);
  },
});

/** Times come as `2026-01-31 12:00:00.000`. */
function fromText({type}: Column, value: Value): Value {
  if (value === null) return null;
  if (type === 'timestamp') return Date.parse(`${String(value).replace(' ', 'T')}Z`);
  return type === 'date' ? dateDays(String(value)) : value;
}
