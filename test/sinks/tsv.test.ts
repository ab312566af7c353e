import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {Table} from '../../src/model/types.ts';
import {batchOf} from '../../src/sinks/tables.ts';
import {encodeTsv, encodeTsvChunks, type TsvDialect} from '../../src/sinks/tsv.ts';

const dialect: TsvDialect = {
  deleted: ['f', 't'],
  nonFinite: {nan: 'NaN', plus: 'Infinity', minus: '-Infinity'},
  nul: '\uFFFD',
  zone: '+00',
};
const tableOf = (type: 'timestamp' | 'string'): Table => ({
  namespace: 'shop',
  name: 'visit',
  kind: 'raw',
  columns: [{name: 'value', type, nullable: true}],
  key: ['value'],
});

test('times are written as ISO 8601 says, over days, months, leap years and 1970', () => {
  const times = [
    0, 1, -1, -86_400_001, 951_782_399_999, 951_782_400_000, 951_868_800_000, 253_402_300_799_999,
  ];
  for (let index = 0; index < 2_000; index++) times.push((index * 7_919 * 86_399_377) % 4_102_444_800_000);
  const table = tableOf('timestamp');
  const lines = encodeTsv(
    table,
    batchOf(
      table,
      times.map((value) => [value]),
    ),
    dialect,
  ).split('\n');
  for (const [index, value] of times.entries())
    assert.equal(lines[index], `${new Date(value).toISOString().slice(0, -1).replace('T', ' ')}+00`);
});

test('bytes are the text in UTF-8, however wide its characters and however long its rows', () => {
  const table = tableOf('string');
  const values = [
    '',
    'a\tb\\c\n',
    '\0',
    'é\u2028👩‍🚀',
    null,
    '\ud800',
    '€'.repeat(200_000),
    'x'.repeat(70_000),
  ];
  const rows = Array.from({length: 300}, (_, index) => [values[index % values.length]!]);
  const batch = batchOf(table, rows);
  const bytes = Buffer.concat(
    Array.from(encodeTsvChunks(table, batch, dialect), (chunk) => Buffer.from(chunk)),
  );
  assert.ok(bytes.equals(Buffer.from(encodeTsv(table, batch, dialect))));
});
