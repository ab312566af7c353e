/** What every sink promises; `test/sinks/<sink>.test.ts` runs it over each of them. */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {after, before, describe, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {PlatformError} from '../../src/errors.ts';
import type {Value, ValueType} from '../../src/expr/types.ts';
import type {BackendChoice, Column, Table} from '../../src/model/types.ts';
import {type HostedSink, openSink} from '../../src/sinks/host.ts';
import {batchOf, tableId, tombstoneVersion} from '../../src/sinks/tables.ts';
import type {RawBatch, RowTopics} from '../../src/sinks/types.ts';

export type Row = Record<string, Value>;

export type Subject = {
  /** The sink over a directory. */
  choice(dir: string): BackendChoice;
  /** Rows of a physical table: of every key the highest version, without tombstones; values as in `Value`. */
  latest(sink: HostedSink, dir: string, table: Table): Promise<Row[]>;
  /** Number of rows that a raw table holds, repeated ones counted. */
  count(sink: HostedSink, dir: string, table: Table): Promise<number>;
  /** Of a sink that writes into topics. */
  topics?(dir: string): RowTopics;
  /** Queries that would read or write something else than tables. */
  reaching?: string[];
  /** What a text that the store cannot hold becomes. */
  stored?(text: string): string;
  /** Runs a statement that an error names, as its reader would: of sinks over a server. */
  mend?(statement: string): Promise<unknown>;
};

const long = (name: string): Column => ({name, type: 'long', nullable: true});

/** A query table with dimensions `dims`, measures `measures`, and the columns that every query table has. */
export function queryTable(
  name: string,
  dims: Record<string, ValueType>,
  measures: Column[] = [long('total')],
): Table {
  const columns: Column[] = [
    {name: 'window_start', type: 'timestamp', nullable: false},
    {name: 'window_end', type: 'timestamp', nullable: false},
    ...Object.entries(dims).map(
      ([dim, type]): Column => ({name: dim, type, nullable: true, dimension: true}),
    ),
    ...measures,
    {name: 'events', type: 'long', nullable: false},
    {name: 'closed', type: 'boolean', nullable: false},
    {name: 'deleted', type: 'boolean', nullable: false},
    {name: 'version', type: 'long', nullable: false},
  ];
  const hidden = ['deleted', 'version'];
  return {
    namespace: 'shop',
    name: `${name}__r1`,
    kind: 'query',
    columns,
    key: ['window_start', ...Object.keys(dims)],
    view: {name, columns: columns.map((column) => column.name).filter((column) => !hidden.includes(column))},
  };
}

/** A table of raw events with a text and a money field. */
export function rawTable(name: string): Table {
  return {
    namespace: 'shop',
    name,
    kind: 'raw',
    columns: [
      {name: 'event_id', type: 'string', nullable: false},
      {name: 'timestamp', type: 'timestamp', nullable: false},
      {name: 'note', type: 'string', nullable: true},
      {name: 'amount_cents', type: 'money', nullable: false},
      {name: '_partition', type: 'int', nullable: false},
      {name: '_offset', type: 'long', nullable: false},
      {name: '_appended_at', type: 'timestamp', nullable: false},
    ],
    key: ['event_id'],
  };
}

const minute = 60_000;
const t0 = Date.UTC(2026, 0, 31, 12);

/** A row of `queryTable(name, {country: 'string'})`. */
export const countryRow = (
  country: string | null,
  total: Value,
  version: Value,
  deleted = false,
): Value[] => [t0, t0 + minute, country, total, 1, false, deleted, version];

/** Offsets `from`..`to` of a partition; event ids are `<partition>-<offset>` unless `ids` says otherwise. */
export function rawBatch(
  table: Table,
  partition: number,
  from: number,
  to: number,
  ids?: string[],
): RawBatch {
  const rows: Value[][] = [];
  for (let offset = from; offset < to; offset++) {
    const id = ids?.[offset - from] ?? `${partition}-${offset}`;
    rows.push([
      id,
      t0 + offset,
      offset % 3 === 0 ? null : `note ${offset}`,
      offset * 100 + 1,
      partition,
      offset,
      t0,
    ]);
  }
  return {...batchOf(table, rows), topic: `shop.${table.name}`, partition, fromOffset: from, toOffset: to};
}

const hostile = [
  '',
  "it's",
  '"double"',
  '`tick`',
  'tab\there',
  'line\nbreak\r\n',
  'back\\slash \\N \\t \\.',
  '\\N',
  'NULL',
  'null',
  '\u2028\u2029',
  'zwj 👩‍🚀 é',
  '\u0001\u0008\u000c\u001f',
  'nul\u0000inside',
  '{"json": [1]}',
  "'; DROP TABLE x; --",
  '$1 {p:String} %s $' + '{x}',
  '__proto__',
  ' leading and trailing ',
];

const sorted = (rows: Row[], ...names: string[]) =>
  rows
    .map((row) => names.map((name) => row[name]!))
    .sort((a, b) => (JSON.stringify(a.map(String)) < JSON.stringify(b.map(String)) ? -1 : 1));

const objects = (table: Table, rows: Value[][]): Row[] =>
  rows.map((row) => Object.fromEntries(table.columns.map(({name}, index) => [name, row[index]!])));

const isPlatformError = (code: string) => (error: unknown) => {
  assert.ok(error instanceof PlatformError, `${error}`);
  assert.equal(error.code, code, error.message);
  assert.ok(error.hint, 'it names the way out');
  return true;
};

/** The suite over one instance of the sink; re-opened where a test says so. */
export function testSink(name: string, subject: Subject): void {
  describe(name, () => {
    const dir = mkdtempSync(join(tmpdir(), 'millrace-sink-'));
    const open = () =>
      openSink({
        name: 'subject',
        choice: subject.choice(dir),
        root: dir,
        ...(subject.topics ? {topics: subject.topics(dir)} : {}),
      });
    let sink: HostedSink;
    const latest = (table: Table) => subject.latest(sink, dir, table);
    before(async () => {
      sink = await open();
    });
    const changedRowsAreThere = async (table: Table) =>
      assert.deepEqual(
        sorted(await latest(table), 'event_id', 'total_cents', 'pieces', 'ratio', 'note', 'color'),
        [
          ['0-0', 100, 7, 3, 'note', null],
          ['0-1', 101, 7, 3, 'note', null],
          ['0-2', 102, 5_000_000_000, 2.5, null, 'red'],
          ['0-3', 103, 5_000_000_000, 2.5, null, 'red'],
        ],
      );
    after(async () => {
      await sink.close();
      rmSync(dir, {recursive: true, force: true});
    });

    test('the highest version of a key wins, however batches are repeated and reordered', async () => {
      const table = queryTable('versions', {country: 'string'});
      await sink.ensure(table);
      const first = batchOf(table, [countryRow('DE', 1, 2), countryRow('FR', 1, 2)]);
      const third = batchOf(table, [countryRow('DE', 3, 6)]);
      for (const batch of [first, third, batchOf(table, [countryRow('DE', 2, 4)]), first, third])
        await sink.write(table, batch);
      assert.deepEqual(sorted(await latest(table), 'country', 'total', 'version'), [
        ['DE', 3, 6],
        ['FR', 1, 2],
      ]);
    });

    test('a tombstone removes a row for good', async () => {
      const table = queryTable('tombstones', {country: 'string'});
      await sink.ensure(table);
      await sink.write(table, batchOf(table, [countryRow('DE', 1, 2), countryRow('FR', 1, 2)]));
      await sink.write(table, batchOf(table, [countryRow('DE', 1, tombstoneVersion, true)]));
      await sink.write(table, batchOf(table, [countryRow('DE', 2, 4)]));
      assert.deepEqual(sorted(await latest(table), 'country'), [['FR']]);
    });

    test('a NULL dimension is a group of its own, distinct from the empty text', async () => {
      const table = queryTable('nulls', {country: 'string'});
      await sink.ensure(table);
      await sink.write(table, batchOf(table, [countryRow(null, 1, 2), countryRow('', 2, 2)]));
      await sink.write(table, batchOf(table, [countryRow(null, 3, 4)]));
      assert.deepEqual(sorted(await latest(table), 'country', 'total'), [
        ['', 2],
        [null, 3],
      ]);
    });

    test('every type keeps its values, int64 and money to the last digit', async () => {
      const types: ValueType[] = [
        'string',
        'int',
        'long',
        'double',
        'boolean',
        'timestamp',
        'date',
        'uuid',
        'money',
        'enum',
      ];
      const measures = types.map((type): Column => ({name: `m_${type}`, type, nullable: true}));
      const dims = Object.fromEntries(types.map((type) => [`d_${type}`, type]));
      const table = queryTable('types', dims, measures);
      await sink.ensure(table);
      const uuid = '0190163d-8694-739b-aea5-966c26f8ad91';
      const cases: Value[][] = [
        ['a', 1, 2, 1.5, true, t0 + 1, 20_484, uuid, 1234, 'gold'],
        [
          'b',
          -2_147_483_648,
          -9_223_372_036_854_775_808n,
          -0.1,
          false,
          0,
          0,
          uuid,
          -9_223_372_036_854_775_808n,
          'x',
        ],
        [
          'c',
          2_147_483_647,
          9_223_372_036_854_775_807n,
          1e300,
          true,
          t0,
          1,
          uuid,
          9_223_372_036_854_775_807n,
          'y',
        ],
        ['d', 0, 9_007_199_254_740_993n, 5e-324, false, t0, 1, uuid, 9_007_199_254_740_993n, 'z'],
        types.map(() => null),
      ];
      const rows = cases.map((values, index): Value[] => [
        t0 + index * minute,
        t0 + (index + 1) * minute,
        ...values,
        ...values,
        1,
        true,
        false,
        2,
      ]);
      await sink.write(table, batchOf(table, rows));
      const names = table.columns.map((column) => column.name);
      if (sink.spec.capabilities.durable) {
        await sink.close();
        sink = await open();
      }
      assert.deepEqual(
        (await latest(table))
          .map((row) => names.map((each) => row[each]!))
          .sort((a, b) => Number(a[0]) - Number(b[0])),
        rows,
      );
    });

    test('doubles that are no finite numbers are kept', async () => {
      const table = queryTable('doubles', {country: 'string'}, [
        {name: 'ratio', type: 'double', nullable: true},
      ]);
      await sink.ensure(table);
      const values = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
      await sink.write(
        table,
        batchOf(
          table,
          values.map((value) => countryRow(String(value), value, 2)),
        ),
      );
      for (const row of await latest(table)) assert.equal(String(row.ratio), row.country);
    });

    test('times that no calendar has and UUIDs that are none, as others may write them, are kept or refused with their row', async () => {
      const table = queryTable('beyond', {country: 'string'}, [
        {name: 'at', type: 'timestamp', nullable: true},
        {name: 'day', type: 'date', nullable: true},
        {name: 'id', type: 'uuid', nullable: true},
      ]);
      await sink.ensure(table);
      const write = (version: number, ...values: Value[]) =>
        sink.write(table, batchOf(table, [[t0, t0 + minute, 'DE', ...values, 1, false, false, version]]));
      const odd: Value[][] = [
        ...[2n ** 62n, -(2n ** 62n), 8.64e15 + 1, 8.64e15, -8.64e15].map((at) => [at, null, null]),
        ...[2 ** 31 - 1, -(2 ** 31), 3_000_000, -800_000].map((day) => [null, day, null]),
        ...['', "x'); drop table x; --", 'z'.repeat(36)].map((id) => [null, null, id]),
      ];
      for (const values of odd)
        await write(2, ...values).catch((error) =>
          assert.equal(error.code, 'SINK_ROW', `${values}: ${error.stack}`),
        );
      const id = '0190163d-8694-739b-aea5-966c26f8ad91';
      await write(4, t0, 1, id);
      assert.deepEqual(sorted(await latest(table), 'at', 'day', 'id'), [[t0, 1, id]]);
    });

    test('hostile texts are data, in dimensions and in measures', async () => {
      const table = queryTable('hostile', {text: 'string'}, [{name: 'copy', type: 'string', nullable: true}]);
      await sink.ensure(table);
      await sink.write(
        table,
        batchOf(
          table,
          hostile.map((text) => countryRow(text, text, 2)),
        ),
      );
      await sink.write(
        table,
        batchOf(
          table,
          hostile.map((text) => countryRow(text, text, 4)),
        ),
      );
      const stored = subject.stored ?? ((text: string) => text);
      assert.deepEqual(
        new Set((await latest(table)).map((row) => JSON.stringify([row.text, row.copy, row.version]))),
        new Set(hostile.map((text) => JSON.stringify([stored(text), stored(text), 4]))),
      );
    });

    test('a large batch is one write, and the same as many small ones', async () => {
      const table = queryTable('large', {text: 'string'});
      await sink.ensure(table);
      const rows = Array.from({length: 2_500}, (_, index) =>
        countryRow(`${index} ${hostile[index % 13]}`, index, 4),
      );
      rows.push(countryRow(null, 1, 4), countryRow('', 1, 4));
      await sink.write(
        table,
        batchOf(
          table,
          rows.map((row) => [...row.slice(0, -1), 2]),
        ),
      );
      await sink.write(table, batchOf(table, rows));
      await sink.write(
        table,
        batchOf(
          table,
          rows.slice(0, 2_000).map((row) => [...row.slice(0, -1), 3]),
        ),
      );
      const found = await latest(table);
      assert.deepEqual(
        sorted(found, 'text', 'total', 'version'),
        sorted(objects(table, rows), 'text', 'total', 'version'),
      );
    });

    test('a table that differs is refused with the difference and the statement that mends it', async (t) => {
      const table = queryTable('differs', {country: 'string'});
      await sink.ensure(table);
      await sink.ensure(table);
      const other = queryTable('differs', {country: 'string'}, [
        {name: 'total', type: 'double', nullable: true},
        long('added'),
      ]);
      if (!sink.spec.capabilities.durable) return t.skip('this sink remembers nothing');
      await assert.rejects(sink.ensure(other), (error: PlatformError) => {
        isPlatformError('SINK_TABLE_DIFFERS')(error);
        assert.match(error.message, /total/);
        assert.match(error.message, /added/);
        return true;
      });
      await assert.rejects(
        sink.ensure({...table, key: ['window_start']}),
        isPlatformError('SINK_TABLE_DIFFERS'),
      );
      if (!subject.mend) return;
      await sink.write(table, batchOf(table, [countryRow('DE', 1, 2)]));
      // A column more keeps the rows, another type begins anew.
      const more = queryTable('differs', {country: 'string'}, [long('total'), long('added')]);
      for (const [wanted, rows] of [
        [more, [['DE', null]]],
        [other, []],
      ] as const) {
        const hint = await sink.ensure(wanted).then(
          () => assert.fail('it differs'),
          (error: PlatformError) => error.hint ?? '',
        );
        const [, statement] =
          /^(.*?)(?: \(.*\))?; then: npx millrace resume$/.exec(hint) ?? assert.fail(hint);
        await subject.mend(statement!);
        await sink.ensure(wanted);
        assert.deepEqual(sorted(await latest(wanted), 'country', 'added'), rows);
      }
    });

    test('a table of raw events gets a column that may be NULL: rows that are there read NULL', async (t) => {
      if (!sink.spec.capabilities.raw) return t.skip('this sink takes no raw events');
      if (!sink.spec.capabilities.durable) return t.skip('this sink remembers nothing');
      const before = rawTable('raw_grows');
      await sink.ensure(before);
      await sink.writeRaw!(before, rawBatch(before, 0, 0, 2));
      const at = before.columns.findIndex(({name}) => name === '_partition');
      const added: Column[] = [
        {name: 'color', type: 'string', nullable: true, dimension: true},
        {name: 'weight', type: 'double', nullable: true},
        {name: 'seen', type: 'timestamp', nullable: true},
      ];
      const after: Table = {...before, columns: before.columns.toSpliced(at, 0, ...added)};
      await sink.ensure(after);
      await sink.ensure(after);
      const batch = rawBatch(before, 0, 2, 3);
      const columns = batch.columns.toSpliced(at, 0, ['red'], [1.5], [t0]);
      await sink.writeRaw!(after, {...batch, columns});
      const found = sorted(await latest(after), 'event_id', 'color', 'weight', 'seen', '_offset');
      assert.deepEqual(found, [
        ['0-0', null, null, null, 0],
        ['0-1', null, null, null, 1],
        ['0-2', 'red', 1.5, t0, 2],
      ]);
      const required: Column = {name: 'must', type: 'long', nullable: false};
      await assert.rejects(
        sink.ensure({...after, columns: [...after.columns, required]}),
        isPlatformError('SINK_TABLE_DIFFERS'),
      );
    });

    test('columns of raw events are renamed, widened, made optional, left behind and added; rows keep their values', async (t) => {
      if (!sink.spec.capabilities.raw) return t.skip('this sink takes no raw events');
      if (!sink.spec.capabilities.durable) return t.skip('this sink remembers nothing');
      const {before, after} = changedRaw('raw_changes');
      await sink.ensure(before);
      await sink.writeRaw!(before, changedRows(before, 0, 2));
      await sink.ensure(after);
      await sink.ensure(after);
      await sink.writeRaw!(after, changedRows(after, 2, 4));
      await changedRowsAreThere(after);
      assert.deepEqual(
        sorted(await latest({...after, columns: [...after.columns, before.columns[2]!]}), 'event_id', 'gone'),
        [
          ['0-0', 'gone 0'],
          ['0-1', 'gone 1'],
          ['0-2', null],
          ['0-3', null],
        ],
      );
      assert.deepEqual(await sink.rawOffsets!(after), new Map([[0, 4]]));
      const narrower = after.columns.map(
        (column): Column => ({
          ...column,
          type: column.name === 'pieces' ? 'int' : column.type,
        }),
      );
      const other = after.columns.map(
        (column): Column => ({
          ...column,
          type: column.name === 'total_cents' ? 'string' : column.type,
        }),
      );
      for (const columns of [narrower, other])
        await assert.rejects(sink.ensure({...after, columns}), isPlatformError('SINK_TABLE_DIFFERS'));
      await changedRowsAreThere(after);
    });

    test('a kill between two alterations of a raw table is gone on with', async (t) => {
      if (!sink.spec.capabilities.raw) return t.skip('this sink takes no raw events');
      if (!sink.spec.capabilities.durable) return t.skip('this sink remembers nothing');
      if (!sink.spec.capabilities.query) return t.skip('this sink changes one small file, at once');
      const {before, after} = changedRaw('raw_killed');
      await sink.ensure(before);
      await sink.writeRaw!(before, changedRows(before, 0, 2));
      for (const step of [2, 3]) {
        await sink.close();
        const said = await changeUntilKilled(subject.choice(dir), dir, 'raw_killed', step);
        sink = await open();
        assert.notEqual(said, 'done');
      }
      await sink.ensure(after);
      await sink.writeRaw!(after, changedRows(after, 2, 4));
      await changedRowsAreThere(after);
    });

    test('the highest mark of a table is kept', async () => {
      assert.equal(await sink.marked('shop.marks__r1'), undefined);
      await sink.mark([
        {table: 'shop.marks__r1', epoch: 0},
        {table: 'shop.other__r1', epoch: 7},
      ]);
      assert.equal(await sink.marked('shop.marks__r1'), 0);
      await sink.mark([{table: 'shop.marks__r1', epoch: 12}]);
      await sink.mark([{table: 'shop.marks__r1', epoch: 11}]);
      assert.equal(await sink.marked('shop.marks__r1'), 12);
      assert.equal(await sink.marked('shop.other__r1'), 7);
    });

    test('raw events arrive once, whatever is repeated', async (t) => {
      if (!sink.spec.capabilities.raw) return t.skip('this sink takes no raw events');
      const table = rawTable('raw_once');
      await sink.ensure(table);
      assert.deepEqual(await sink.rawOffsets!(table), new Map());
      await sink.writeRaw!(table, rawBatch(table, 0, 0, 10));
      await sink.writeRaw!(table, rawBatch(table, 0, 0, 10));
      await sink.writeRaw!(table, rawBatch(table, 0, 5, 15));
      await sink.writeRaw!(table, rawBatch(table, 1, 0, 3));
      assert.equal(await subject.count(sink, dir, table), 18);
      assert.deepEqual(
        await sink.rawOffsets!(table),
        new Map([
          [0, 15],
          [1, 3],
        ]),
      );
    });

    test('raw events of before keep the values of columns that are not wanted any more', async (t) => {
      if (!sink.spec.capabilities.raw) return t.skip('this sink takes no raw events');
      const wide = rawTable('raw_narrower');
      wide.columns.splice(
        3,
        0,
        {name: 'size', type: 'enum', nullable: false, dimension: true},
        {name: 'count', type: 'long', nullable: true},
      );
      const table = rawTable('raw_narrower');
      const rows = (from: number, to: number) => {
        const batch = rawBatch(table, 0, from, to);
        batch.columns.splice(
          3,
          0,
          ...[(n: number) => `s${n}`, (n: number) => n].map((make) =>
            Array.from({length: to - from}, (_, index) => make(from + index)),
          ),
        );
        return batch;
      };
      await sink.ensure(wide);
      await sink.writeRaw!(wide, rows(0, 2));
      await sink.ensure(table);
      const loose = {
        ...wide,
        columns: wide.columns.map((column) => ({
          ...column,
          nullable: column.nullable || column.name === 'size',
        })),
      };
      await sink.ensure(loose);
      await sink.writeRaw!(loose, rows(2, 3));
      await sink.ensure(table);
      await sink.writeRaw!(table, rawBatch(table, 0, 3, 4));
      if (name === 'stdout') return;
      assert.deepEqual(sorted(await latest(loose), '_offset', 'size', 'count'), [
        [0, 's0', 0],
        [1, 's1', 1],
        [2, 's2', 2],
        [3, null, null],
      ]);
    });

    test('a raw batch that is written again counts below the durable offset, which stays where it is', async (t) => {
      if (!sink.spec.capabilities.raw) return t.skip('this sink takes no raw events');
      const table = rawTable('raw_again');
      await sink.ensure(table);
      await sink.writeRaw!(table, rawBatch(table, 0, 4, 8));
      await sink.writeRaw!(table, {...rawBatch(table, 0, 1, 3), fromOffset: 0, toOffset: 0, again: true});
      assert.equal(await subject.count(sink, dir, table), 6);
      assert.deepEqual(await sink.rawOffsets!(table), new Map([[0, 8]]));
      if (name === 'stdout') return;
      await sink.writeRaw!(table, {...rawBatch(table, 0, 0, 8), fromOffset: 0, toOffset: 0, again: true});
      const offsets = (await latest(table)).map(({_offset}) => Number(_offset)).sort((a, b) => a - b);
      assert.deepEqual(offsets, [0, 1, 2, 3, 4, 5, 6, 7]);
    });

    test('raw events are read back by offset as they were written, each once', async (t) => {
      if (!sink.readRaw) return t.skip('this sink cannot be read');
      const table = rawTable('raw_read');
      await sink.ensure(table);
      const columns = table.columns.map(({name: column}) => column);
      const written = rawBatch(table, 0, 0, 6);
      await sink.writeRaw!(table, written);
      await sink.writeRaw!(table, {...rawBatch(table, 0, 0, 4), fromOffset: 0, toOffset: 0, again: true});
      await sink.writeRaw!(table, rawBatch(table, 0, 6, 8, ['0-1', 'later']));
      await sink.writeRaw!(table, rawBatch(table, 1, 0, 2));
      const read = await sink.readRaw(table, {partition: 0, from: 1, to: 5}, columns);
      assert.deepEqual(
        read.columns,
        written.columns.map((values) => values.slice(1, 5)),
      );
      const rest = await sink.readRaw(table, {partition: 0, from: 5, to: 100}, ['_offset', 'event_id']);
      assert.deepEqual(rest.columns, [
        [5, 7],
        ['0-5', 'later'],
      ]);
      assert.equal((await sink.readRaw(table, {partition: 7, from: 0, to: 9}, columns)).count, 0);
      const all: [Column['type'], Value[]][] = [
        ['int', [-2_147_483_648, 7]],
        ['long', [9_223_372_036_854_775_807n, -3]],
        ['money', [-9_007_199_254_740_993n, 199]],
        ['double', [0.1, -1e300]],
        ['boolean', [true, false]],
        ['timestamp', [t0 + 7, 1]],
        ['date', [20_484, 0]],
        ['uuid', ['0198c7f0-1111-7222-8333-444455556666', '00000000-0000-4000-8000-000000000000']],
        ['enum', ['BIG', 'small']],
        ['string', ['it\'s "a"\t\\N\n', '']],
      ];
      const typed = rawTable('raw_types');
      typed.columns.splice(4, 0, ...all.map(([type]): Column => ({name: `a_${type}`, type, nullable: true})));
      await sink.ensure(typed);
      const batch = rawBatch(rawTable('raw_types'), 0, 0, 3);
      batch.columns.splice(4, 0, ...all.map(([, values]) => [...values, null]));
      await sink.writeRaw!(typed, batch);
      const names = typed.columns.map(({name: column}) => column);
      const back = await sink.readRaw(typed, {partition: 0, from: 0, to: 3}, names);
      assert.deepEqual(back.columns, batch.columns);
    });

    if (name !== 'stdout')
      test('a raw event id at another offset changes nothing', async (t) => {
        if (!sink.spec.capabilities.raw) return t.skip('this sink takes no raw events');
        const table = rawTable('raw_ids');
        await sink.ensure(table);
        await sink.writeRaw!(table, rawBatch(table, 0, 0, 3));
        await sink.writeRaw!(table, rawBatch(table, 0, 3, 6, ['new', '0-1', 'newer']));
        const rows = await latest(table);
        assert.deepEqual(sorted(rows, 'event_id', '_offset'), [
          ['0-0', 0],
          ['0-1', 1],
          ['0-2', 2],
          ['new', 3],
          ['newer', 5],
        ]);
        assert.deepEqual(await sink.rawOffsets!(table), new Map([[0, 6]]));
      });

    test('a view shows the rows of the revision it is switched to, without version and deleted', async (t) => {
      if (!sink.spec.capabilities.views || !sink.query) return t.skip('this sink has no views to be asked');
      const table = queryTable('viewed', {country: 'string'});
      const next: Table = {...table, name: 'viewed__r2'};
      await sink.ensure(table);
      await sink.write(table, batchOf(table, [countryRow('DE', 1, 2), countryRow('XX', 1, 2)]));
      await sink.write(table, batchOf(table, [countryRow('XX', 1, tombstoneVersion, true)]));
      await sink.ensure(next);
      await sink.write(next, batchOf(next, [countryRow('DE', 2, 4)]));
      const totals = async () => (await sink.query!('SELECT * FROM shop.viewed')).rows.map((row) => row[3]);
      assert.deepEqual(await totals(), [1]);
      await sink.switchView!(next);
      assert.deepEqual(await totals(), [2]);
      await sink.switchView!(table);
      const {columns} = await sink.query!('SELECT * FROM shop.viewed');
      assert.deepEqual(
        columns.map((column) => column.name),
        ['window_start', 'window_end', 'country', 'total', 'events', 'closed'],
      );
    });

    if (name !== 'stdout')
      test('revisions of a query are found, and dropped', async () => {
        const table = queryTable('revised', {country: 'string'});
        await sink.ensure(table);
        await sink.ensure({...table, name: 'revised__r12'});
        await sink.ensure(queryTable('revised_more', {country: 'string'}));
        assert.deepEqual(await sink.revisions!('shop', 'revised'), [1, 12]);
        await sink.drop!('shop.revised__r12');
        assert.deepEqual(await sink.revisions!('shop', 'revised'), [1]);
        assert.deepEqual(await sink.revisions!('nowhere', 'revised'), []);
      });

    test('queries only read', async (t) => {
      if (!sink.spec.capabilities.query) return t.skip('this sink has no queries');
      const table = queryTable('readonly', {country: 'string'});
      await sink.ensure(table);
      await sink.write(table, batchOf(table, [countryRow('DE', 9_007_199_254_740_993n, 2)]));
      const {columns, rows} = await sink.query!('SELECT country, total FROM shop.readonly');
      assert.deepEqual(
        columns.map((column) => column.name),
        ['country', 'total'],
      );
      assert.deepEqual(rows, [['DE', 9_007_199_254_740_993n]]);
      await assert.rejects(sink.query!('DROP TABLE shop.readonly__r1'), isPlatformError('SINK_QUERY'));
      await assert.rejects(sink.query!('SELECT FROM WHERE'), isPlatformError('SINK_QUERY'));
      await assert.rejects(sink.query!('SELECT * FROM shop.nothing'), isPlatformError('SINK_QUERY'));
      for (const sql of subject.reaching ?? [])
        await assert.rejects(sink.query!(sql), isPlatformError('SINK_QUERY'), sql);
      assert.equal((await latest(table)).length, 1);
    });

    test('rows, marks and raw offsets survive a restart', async (t) => {
      if (!sink.spec.capabilities.raw) return t.skip('this sink takes no raw events');
      if (!sink.spec.capabilities.durable) return t.skip('this sink remembers nothing');
      const table = queryTable('restart', {country: 'string'});
      const raw = rawTable('raw_restart');
      for (const each of [table, raw]) await sink.ensure(each);
      await sink.write(table, batchOf(table, [countryRow('DE', 1, 2)]));
      await sink.writeRaw!(raw, rawBatch(raw, 2, 0, 4));
      await sink.mark([{table: tableId(table), epoch: 5}]);
      await sink.close();
      sink = await open();
      for (const each of [table, raw]) await sink.ensure(each);
      assert.equal(await sink.marked(tableId(table)), 5);
      assert.deepEqual(await sink.rawOffsets!(raw), new Map([[2, 4]]));
      await sink.writeRaw!(raw, rawBatch(raw, 2, 2, 6));
      assert.equal(await subject.count(sink, dir, raw), 6);
      await sink.write(table, batchOf(table, [countryRow('DE', 2, 4)]));
      assert.deepEqual(sorted(await latest(table), 'country', 'total'), [['DE', 2]]);
    });

    test('kill -9 of the process loses nothing acknowledged, and a retry repeats nothing', async (t) => {
      if (!sink.spec.capabilities.raw) return t.skip('this sink takes no raw events');
      if (!sink.spec.capabilities.durable) return t.skip('this sink remembers nothing');
      await sink.close();
      const acknowledged = await writeUntilKilled(subject.choice(dir), dir, 12);
      sink = await open();
      const {table, raw} = killTables;
      for (const each of [table, raw]) await sink.ensure(each);
      const offset = (await sink.rawOffsets!(raw)).get(0) ?? 0;
      assert.ok(offset >= acknowledged * 10, `${offset} >= ${acknowledged * 10}`);
      const rows = (await latest(table)).length;
      assert.ok(rows >= acknowledged, `${rows} >= ${acknowledged}`);
      // What was in flight is sent again, as the delivery does, with rows that were already there.
      for (let index = 0; index < acknowledged + 5; index++) {
        await sink.write(table, killBatch(index));
        await sink.writeRaw!(raw, rawBatch(raw, 0, index * 10, index * 10 + 10));
      }
      assert.equal(await subject.count(sink, dir, raw), Math.max(offset, (acknowledged + 5) * 10));
      assert.equal((await latest(table)).length, Math.max(rows, acknowledged + 5));
    });

    test('a sink whose process is killed is opened again by the next call', async (t) => {
      const pid = sink.pid();
      if (pid === undefined) return t.skip('this sink has no process of its own');
      const table = queryTable('killed', {country: 'string'});
      await sink.ensure(table);
      const batch = batchOf(table, [countryRow('DE', 1, 2)]);
      const writing = sink.write(table, batch);
      process.kill(pid, 'SIGKILL');
      await assert.rejects(writing, isPlatformError('SINK_LOST'));
      await sink.write(table, batch);
      assert.deepEqual(sorted(await latest(table), 'country', 'total'), [['DE', 1]]);
      assert.notEqual(sink.pid(), pid);
    });
  });
}

/** A raw table before and after every change that is made in place. */
export function changedRaw(name: string): {before: Table; after: Table} {
  const table = rawTable(name);
  const start = table.columns.slice(0, 2);
  const end = table.columns.slice(-3);
  const required = (column: string, type: ValueType): Column => ({name: column, type, nullable: false});
  const before = [
    {...required('gone', 'string'), dimension: true},
    required('amount_cents', 'money'),
    required('quantity', 'int'),
    required('ratio', 'long'),
    required('note', 'string'),
  ];
  const after: Column[] = [
    {...required('total_cents', 'money'), aliases: ['amount_cents']},
    {...required('pieces', 'long'), aliases: ['items', 'quantity']},
    {name: 'ratio', type: 'double', nullable: true},
    {name: 'note', type: 'string', nullable: true},
    {name: 'color', type: 'string', nullable: true, dimension: true},
  ];
  return {
    before: {...table, columns: [...start, ...before, ...end]},
    after: {...table, columns: [...start, ...after, ...end]},
  };
}

function changedRows(table: Table, from: number, to: number): RawBatch {
  const values: Row = {
    timestamp: t0,
    quantity: 7,
    pieces: 5_000_000_000,
    color: 'red',
    _partition: 0,
    _appended_at: t0,
  };
  const isOld = table.columns.some(({name}) => name === 'quantity');
  const rows: Value[][] = [];
  for (let offset = from; offset < to; offset++) {
    const row: Row = {
      ...values,
      event_id: `0-${offset}`,
      gone: `gone ${offset}`,
      amount_cents: 100 + offset,
      total_cents: 100 + offset,
      ratio: isOld ? 3 : 2.5,
      note: isOld ? 'note' : null,
      _offset: offset,
    };
    rows.push(table.columns.map(({name}) => row[name]!));
  }
  return {...batchOf(table, rows), topic: `shop.${table.name}`, partition: 0, fromOffset: from, toOffset: to};
}

/** Runs `sink-change.ts`, killed before alteration `step`. @returns what it said, '' when it was killed itself */
async function changeUntilKilled(
  choice: BackendChoice,
  root: string,
  name: string,
  step: number,
): Promise<string> {
  const script = fileURLToPath(new URL('./sink-change.ts', import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify(choice), root, name], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: {...process.env, MILLRACE_FAILPOINT: `table.before-step:${step}`},
  });
  let said = '';
  for await (const line of createInterface({input: child.stdout})) said += line;
  return said;
}

/** Tables that `sink-writer.ts` writes until it is killed. */
export const killTables = {table: queryTable('kill', {country: 'string'}), raw: rawTable('raw_kill')};
/** Batch `index` of the writer: one row of a key of its own. */
export const killBatch = (index: number) => batchOf(killTables.table, [countryRow(`c${index}`, index, 2)]);

/** Runs the writer and kills it (SIGKILL) in the midst of the write after the `count`th acknowledged one. @returns acknowledged. */
async function writeUntilKilled(choice: BackendChoice, root: string, count: number): Promise<number> {
  const writer = fileURLToPath(new URL('./sink-writer.ts', import.meta.url));
  const child = spawn(process.execPath, [writer, JSON.stringify(choice), root], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let acknowledged = 0;
  for await (const line of createInterface({input: child.stdout})) {
    acknowledged = Number(line) + 1;
    if (acknowledged === count) child.kill('SIGKILL');
  }
  return acknowledged;
}
