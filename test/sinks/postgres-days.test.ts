/** Raw events by day in a PostgreSQL server: what a repeated event is over days, retention, partitions made and dropped. */
import assert from 'node:assert/strict';
import {after, before, type TestContext, test} from 'node:test';
import type {Value} from '../../src/expr/types.ts';
import type {Table} from '../../src/model/types.ts';
import {connectServer} from '../../src/sinks/postgres/server.ts';
import {settingsOf} from '../../src/sinks/postgres/settings.ts';
import {createPostgresSink} from '../../src/sinks/postgres/sink.ts';
import {batchOf} from '../../src/sinks/tables.ts';
import type {RawBatch, Sink} from '../../src/sinks/types.ts';
import {changedRaw, rawTable} from '../conformance/sink.ts';
import {describeWithPostgres, postgresServer, type TestServer} from '../support/postgres.ts';

const dayMs = 86_400_000;
const hourMs = 3_600_000;
const day0 = Date.UTC(2026, 0, 31);

describeWithPostgres('raw events by day in a PostgreSQL server', () => {
  let server: TestServer;
  before(async () => {
    server = await postgresServer();
  });
  after(() => server.stop());

  type World = {sink: Sink; setNow(ms: number): void};

  /** A sink by day whose wall clock is a parameter. */
  async function openAt(t: TestContext, nowMs: number, retentionDays?: number): Promise<World> {
    let now = nowMs;
    const settings = settingsOf(server.choice().options);
    const connection = await connectServer(settings, {readOnly: false});
    const sink = await createPostgresSink(connection, String, {
      raw: {partitionBy: 'day', retentionMs: retentionDays === undefined ? null : retentionDays * dayMs},
      now: () => now,
    });
    t.after(() => sink.close());
    return {
      sink,
      setNow: (ms) => {
        now = ms;
      },
    };
  }

  type Event = {id: string; appendedMs: number; timestampMs?: number};

  /** Events at offsets from `from` on; their event time is the time of appending unless said otherwise. */
  function batch(table: Table, from: number, events: Event[], partition = 0): RawBatch {
    const rows = events.map(({id, appendedMs, timestampMs = appendedMs}, index): Value[] => [
      id,
      timestampMs,
      null,
      from + index,
      partition,
      from + index,
      appendedMs,
    ]);
    return {
      ...batchOf(table, rows),
      topic: `shop.${table.name}`,
      partition,
      fromOffset: from,
      toOffset: from + events.length,
    };
  }

  const partitionsOf = async (table: Table): Promise<string[]> =>
    (
      await server.sql(`SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'shop.${table.name}'::regclass ORDER BY 1`)
    ).map(([name]) => String(name).replace(`${table.name}__d`, ''));

  const idsIn = async (table: Table): Promise<string[]> =>
    (
      await server.sql(
        `SELECT event_id || ' at ' || _offset FROM shop.${table.name} ORDER BY _offset, event_id`,
      )
    ).map(([text]) => String(text));

  test('partitions of today and tomorrow are made ahead, those of other days when their events come', async (t) => {
    const {sink, setNow} = await openAt(t, day0 + 12 * hourMs);
    const table = rawTable('ahead');
    await sink.ensure(table);
    assert.deepEqual(await partitionsOf(table), ['20260131', '20260201']);
    await sink.writeRaw!(
      table,
      batch(table, 0, [
        {id: 'a', appendedMs: day0 - 3 * dayMs},
        {id: 'b', appendedMs: day0},
      ]),
    );
    assert.deepEqual(await partitionsOf(table), ['20260128', '20260131', '20260201']);
    setNow(day0 + dayMs + 1);
    await sink.writeRaw!(table, batch(table, 2, [{id: 'c', appendedMs: day0 + dayMs}]));
    assert.deepEqual(await partitionsOf(table), ['20260128', '20260131', '20260201', '20260202']);
    assert.deepEqual(await idsIn(table), ['a at 0', 'b at 1', 'c at 2']);
    const indexes = await server.sql(
      `SELECT count(*) FROM pg_indexes WHERE tablename LIKE 'ahead\\_\\_d%' AND indexdef LIKE '%brin (_partition, _offset)%'`,
    );
    assert.deepEqual(
      indexes.map(([count]) => Number(count)),
      [4],
      'every day has the index that finds offsets',
    );
    const [[routed]] = (await server.sql('SELECT count(*) FROM shop.ahead__d20260201')) as [Value[]];
    assert.equal(Number(routed), 1);
  });

  test('an event that comes again changes nothing, on its day and on every later one that is kept', async (t) => {
    const {sink} = await openAt(t, day0 + 40 * dayMs);
    const table = rawTable('again');
    await sink.ensure(table);
    const first = day0 + 12 * hourMs;
    const event = {id: 'a', appendedMs: first};
    await sink.writeRaw!(table, batch(table, 0, [event, {id: 'b', appendedMs: first}]));
    // On its day, an hour later; the next day; a month later: sent again it has its own event time again.
    for (const [offset, laterMs] of [hourMs, dayMs, 30 * dayMs].entries()) {
      const again = {id: 'a', timestampMs: first, appendedMs: first + laterMs};
      const other = {id: `new ${offset}`, appendedMs: first + laterMs};
      await sink.writeRaw!(table, batch(table, 2 + 2 * offset, [again, other]));
    }
    assert.deepEqual(await idsIn(table), ['a at 0', 'b at 1', 'new 0 at 3', 'new 1 at 5', 'new 2 at 7']);
    assert.deepEqual(await sink.rawOffsets!(table), new Map([[0, 8]]));
  });

  test('around midnight: a copy a moment later, and one of an event whose clock is ahead', async (t) => {
    const {sink} = await openAt(t, day0 + dayMs);
    const table = rawTable('midnight');
    await sink.ensure(table);
    const midnight = day0 + dayMs;
    const soon = {id: 'ahead', timestampMs: midnight + 30 * 60_000};
    await sink.writeRaw!(
      table,
      batch(table, 0, [
        {id: 'a', appendedMs: midnight - 5},
        {...soon, appendedMs: midnight - 10_000},
      ]),
    );
    await sink.writeRaw!(
      table,
      batch(table, 2, [
        {id: 'a', timestampMs: midnight - 5, appendedMs: midnight + 5},
        {...soon, appendedMs: midnight + 10},
      ]),
    );
    assert.deepEqual(await idsIn(table), ['a at 0', 'ahead at 1']);
  });

  test('one batch over midnight that holds an event twice keeps the first', async (t) => {
    const {sink} = await openAt(t, day0 + dayMs);
    const table = rawTable('twice');
    await sink.ensure(table);
    const midnight = day0 + dayMs;
    const event = {id: 'a', timestampMs: midnight - 5};
    await sink.writeRaw!(
      table,
      batch(table, 0, [
        {...event, appendedMs: midnight - 2},
        {id: 'b', appendedMs: midnight},
        {...event, appendedMs: midnight + 2},
      ]),
    );
    assert.deepEqual(await idsIn(table), ['a at 0', 'b at 1']);
  });

  test('an event with a text that PostgreSQL does not have is found on another day, too', async (t) => {
    const {sink} = await openAt(t, day0 + 2 * dayMs);
    const table = rawTable('nul');
    await sink.ensure(table);
    const event = {id: 'a\u0000b', timestampMs: day0 + 1};
    await sink.writeRaw!(table, batch(table, 0, [{...event, appendedMs: day0 + 2}]));
    await sink.writeRaw!(table, batch(table, 1, [{...event, appendedMs: day0 + dayMs + 2}]));
    assert.deepEqual(await idsIn(table), ['a\uFFFDb at 0']);
  });

  test('days past the retention are dropped, and events of such days are passed over', async (t) => {
    const {sink, setNow} = await openAt(t, day0 + 12 * hourMs, 2);
    const table = rawTable('kept');
    await sink.ensure(table);
    const at = (days: number) => day0 + days * dayMs + hourMs;
    const events = [-4, -3, -2, -1, 0].map((days) => ({id: `day ${days}`, appendedMs: at(days)}));
    await sink.writeRaw!(table, batch(table, 0, events));
    assert.deepEqual(await idsIn(table), ['day -2 at 2', 'day -1 at 3', 'day 0 at 4']);
    assert.deepEqual(await sink.rawOffsets!(table), new Map([[0, 5]]), 'they are not asked for again');
    assert.deepEqual(await partitionsOf(table), ['20260129', '20260130', '20260131', '20260201']);
    setNow(day0 + dayMs + 12 * hourMs);
    await sink.writeRaw!(table, batch(table, 5, [{id: 'day 1', appendedMs: at(1)}]));
    assert.deepEqual(await idsIn(table), ['day -1 at 3', 'day 0 at 4', 'day 1 at 5']);
    assert.deepEqual(await partitionsOf(table), ['20260130', '20260131', '20260201', '20260202']);
  });

  test('a reader that holds an old day does not hold up the events: the day is dropped later', async (t) => {
    const {sink, setNow} = await openAt(t, day0 + 12 * hourMs, 1);
    const table = rawTable('held');
    await sink.ensure(table);
    await sink.writeRaw!(table, batch(table, 0, [{id: 'a', appendedMs: day0 - 1}]));
    const reader = await connectServer(settingsOf(server.choice().options), {readOnly: true});
    await reader.transaction(async (transaction) => {
      await transaction.query('SELECT count(*) FROM shop.held');
      setNow(day0 + dayMs + 12 * hourMs);
      await sink.writeRaw!(table, batch(table, 1, [{id: 'b', appendedMs: day0 + dayMs}]));
      assert.deepEqual(await idsIn(table), ['a at 0', 'b at 1']);
    });
    await reader.close();
    setNow(day0 + dayMs + 14 * hourMs);
    await sink.writeRaw!(table, batch(table, 2, [{id: 'c', appendedMs: day0 + dayMs}]));
    assert.deepEqual(await idsIn(table), ['b at 1', 'c at 2']);
  });

  test('a partition that somebody dropped is made again', async (t) => {
    const {sink} = await openAt(t, day0 + hourMs);
    const table = rawTable('dropped');
    await sink.ensure(table);
    await sink.writeRaw!(table, batch(table, 0, [{id: 'a', appendedMs: day0}]));
    await server.sql('DROP TABLE shop.dropped__d20260131');
    await sink.writeRaw!(table, batch(table, 1, [{id: 'b', appendedMs: day0}]));
    assert.deepEqual(await idsIn(table), ['b at 1']);
  });

  test('a table that is dropped is filled again from its first offset', async (t) => {
    const {sink} = await openAt(t, day0 + hourMs);
    const table = rawTable('gone');
    await sink.ensure(table);
    await sink.writeRaw!(table, batch(table, 0, [{id: 'a', appendedMs: day0}]));
    await server.sql('DROP TABLE shop.gone');
    await sink.ensure(table);
    assert.deepEqual(await sink.rawOffsets!(table), new Map());
    await sink.writeRaw!(table, batch(table, 0, [{id: 'a', appendedMs: day0}]));
    assert.deepEqual(await idsIn(table), ['a at 0']);
  });

  test('a table without partitions is refused with the way to one, and the reverse; a partition without its key, too', async (t) => {
    const {sink} = await openAt(t, day0 + hourMs);
    const connection = await connectServer(settingsOf(server.choice().options), {readOnly: false});
    const whole = await createPostgresSink(connection, String);
    t.after(() => whole.close());
    const [one, other] = [rawTable('was_whole'), rawTable('was_by_day')];
    await whole.ensure(one);
    await assert.rejects(sink.ensure(one), {
      code: 'SINK_TABLE_DIFFERS',
      message: /has no partition a day/,
      hint: /RENAME TO "was_whole_old"/,
    });
    await sink.ensure(other);
    await assert.rejects(whole.ensure(other), {
      code: 'SINK_TABLE_DIFFERS',
      message: /has partitions, and partition_by is none/,
      hint: /DROP TABLE "shop"."was_by_day"/,
    });
    await server.sql(
      'ALTER TABLE shop.was_by_day__d20260131 DROP CONSTRAINT was_by_day__d20260131_event_id_key',
    );
    await assert.rejects(sink.ensure(other), {code: 'SINK_TABLE_DIFFERS', message: /the key is \(\)/});
  });

  test('alterations reach every day; days that are made afterwards have the new form', async (t) => {
    const {sink} = await openAt(t, day0 + hourMs);
    const {before: old, after: changed} = changedRaw('altered');
    await sink.ensure(old);
    await sink.ensure(changed);
    const columns = async (name: string) =>
      (
        await server.sql(`SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
        FROM pg_attribute a WHERE attrelid = 'shop.${name}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1`)
      ).map(([text]) => text);
    const row: Record<string, Value> = {
      event_id: 'a',
      timestamp: day0,
      total_cents: 1,
      pieces: 2,
      ratio: null,
      note: null,
      color: 'red',
      _partition: 0,
      _offset: 0,
      _appended_at: day0 + 5 * dayMs,
    };
    await sink.writeRaw!(changed, {
      ...batchOf(changed, [changed.columns.map(({name}) => row[name]!)]),
      topic: 'shop.altered',
      partition: 0,
      fromOffset: 0,
      toOffset: 1,
    });
    assert.deepEqual(await partitionsOf(changed), ['20260131', '20260201', '20260205']);
    for (const day of await partitionsOf(changed))
      assert.deepEqual(await columns(`altered__d${day}`), await columns('altered'), day);
  });

  test('two that make the same tables at the same time do not stand in each other’s way', async (t) => {
    const worlds = await Promise.all([1, 2, 3].map(() => openAt(t, day0 + hourMs)));
    const tables = ['same_a', 'same_b', 'same_c'].map(rawTable);
    await Promise.all(
      worlds.flatMap(({sink}) => tables.map((table) => sink.ensure({...table, namespace: 'together'}))),
    );
  });
});
