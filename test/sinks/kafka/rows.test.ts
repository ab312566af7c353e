import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {Table} from '../../../src/model/types.ts';
import {schemaIdOf} from '../../../src/schema/frame.ts';
import {Book, bookEntryOf} from '../../../src/sinks/kafka/book.ts';
import {rowEncoder, rowReader, rowSchema, rowsTopic} from '../../../src/sinks/kafka/rows.ts';

const table: Table = {
  namespace: 'shop',
  name: 'per_day__r3',
  kind: 'query',
  columns: [
    {name: 'window_start', type: 'timestamp', nullable: false},
    {name: 'window_end', type: 'timestamp', nullable: false},
    {name: 'category', type: 'string', nullable: true, dimension: true},
    {name: 'number', type: 'long', nullable: true, dimension: true},
    {name: 'weight', type: 'double', nullable: true, dimension: true},
    {name: 'revenue_cents', type: 'money', nullable: true},
    {name: 'first_day', type: 'date', nullable: true},
    {name: 'events', type: 'long', nullable: false},
    {name: 'closed', type: 'boolean', nullable: false},
    {name: 'deleted', type: 'boolean', nullable: false},
    {name: 'version', type: 'long', nullable: false},
  ],
  key: ['window_start', 'category', 'number', 'weight'],
};
const columns = [
  [0, 60_000],
  [60_000, 120_000],
  ['Bücher "1"', null],
  [2n ** 62n, null],
  [0.5, Number.NaN],
  [-12_345_678_901n, null],
  [20_000, null],
  [3, 1],
  [true, false],
  [false, true],
  [7, 2n ** 63n - 1n],
];

test('rows come back as they were, int64 to the last digit', () => {
  const records = rowEncoder(table, 258)({count: 2, columns});
  const reader = rowReader(table);
  for (const {value} of records) {
    assert.equal(schemaIdOf(value, 0, value.length), 258);
    reader.add(value, 0, value.length);
  }
  assert.equal(reader.count, 2);
  const read = reader.take();
  assert.equal(read.count, 2);
  const {value} = records[0]!;
  assert.throws(() => reader.add(Uint8Array.of(1, ...value.subarray(1)), 0, value.length), {
    reason: 'FRAME_INVALID',
  });
  assert.deepEqual(
    read.columns.map((values) => values.map((value) => (value === null ? null : String(value)))),
    columns.map((values) => values.map((value) => (value === null ? null : String(value)))),
  );
  assert.equal(reader.count, 0);
});

test('keys are texts that tell groups apart, NULL from empty and large integers from their neighbours', () => {
  const records = rowEncoder(table, 1)({count: 2, columns});
  assert.deepEqual(
    records.map(({key}) => key.toString()),
    ['[0,"Bücher \\"1\\"","4611686018427387904",0.5]', '[60000,null,null,"NaN"]'],
  );
});

test('topic and schema carry the names of query and revision', () => {
  assert.equal(rowsTopic(table), 'agg.shop.per_day.r3');
  const {name, namespace, fields} = rowSchema(table);
  assert.deepEqual([name, namespace], ['per_day__r3', 'agg.shop']);
  assert.deepEqual(fields[2], {name: 'category', type: ['null', 'string'], default: null});
});

test('what others write into the book of rows topics is passed over', () => {
  const book = new Book();
  const {namespace, name} = table;
  const entries = [
    '',
    'x',
    'null',
    '[]',
    '{"kind":"__proto__"}',
    '{"kind":"table"}',
    '{"kind":"table","table":{}}',
    ...[
      {namespace: 'shop"'},
      {name: 'a; drop table b__r1'},
      {kind: 'raw'},
      {columns: [null]},
      {columns: [{name: 5, type: 'long', nullable: true}]},
      {columns: table.columns.map((column) => ({...column, type: 'constructor'}))},
      {columns: table.columns.map((column) => ({...column, type: 'long) ; select 1; --'}))},
      {columns: []},
      {key: []},
      {key: ['nope']},
      {view: {name: 'per_day', columns: [null]}},
      {view: 5},
    ].map((odd) => JSON.stringify({kind: 'table', table: {...table, ...odd}})),
    '{"kind":"mark","table":"shop.per_day__r3","epoch":-1,"ends":[]}',
    '{"kind":"mark","table":"shop.per_day__r3","epoch":1,"ends":["x"]}',
    '{"kind":"view","view":"shop.per_day","table":"shop.per_day__r3","ends":[null]}',
    '{"kind":"mark","table":3}',
    '{"kind":"view","view":"shop.per_day"}',
    JSON.stringify({kind: 'table', table, topicId: 5}),
    JSON.stringify({kind: 'table', table}),
  ];
  for (const entry of entries) book.take(bookEntryOf(Buffer.from(entry)));
  assert.deepEqual(book.entries(), [{kind: 'table', table}]);
  book.take(bookEntryOf(Buffer.from(JSON.stringify({kind: 'drop', table: `${namespace}.${name}`}))));
  assert.equal(book.tables.size, 0);
});
