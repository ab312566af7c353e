/** The sink's promises over a real server. */
import {after, before} from 'node:test';
import type {Value} from '../../src/expr/types.ts';
import type {Column} from '../../src/model/types.ts';
import {dateDays} from '../../src/sinks/tables.ts';
import {testSink} from '../conformance/sink.ts';
import {startPostgres, type TestServer} from '../support/postgres-server.ts';

let server: TestServer;
before(async () => {
  server = await startPostgres();
  for (const name of ['days', 'whole']) server.sql(`CREATE DATABASE ${name}`);
});
after(() => server.stop());

for (const [name, partition_by] of [
  ['days', 'day'],
  ['whole', 'none'],
] as const)
  testSink(`postgres, raw events by ${partition_by}`, {
    choice: () => ({
      backend: 'postgres',
      options: {
        url: `postgres://app@127.0.0.1:${server.port}/${name}`,
        password: server.password,
        raw: {partition_by},
      },
    }),
    // PostgreSQL has no U+0000 in texts.
    stored: (text) => text.replaceAll('\u0000', '\uFFFD'),
    async latest(sink, _, table) {
      const hide = table.kind === 'query' ? 'WHERE NOT deleted' : '';
      const {rows} = await sink.query!(
        `SELECT ${table.columns.map((column) => `"${column.name}"`).join(', ')} FROM ${table.namespace}.${table.name} ${hide}`,
      );
      return rows.map((row) =>
        Object.fromEntries(
          table.columns.map((column, index) => [column.name, fromText(column, row[index]!)]),
        ),
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
