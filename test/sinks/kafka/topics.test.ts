/** Rows into topics of a real broker, and from there into another sink. */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, suite, type TestContext, test} from 'node:test';
import {systemClock} from '../../../src/clock.ts';
import {type Kafka, startKafka} from '../../../src/cluster/kafka.ts';
import {PlatformError} from '../../../src/errors.ts';
import {KafkaClient} from '../../../src/log/kafka/client.ts';
import {compactedConfigs, deleteTopics, ensureTopics} from '../../../src/log/kafka/topics.ts';
import {openLog} from '../../../src/log/open.ts';
import type {Table} from '../../../src/model/types.ts';
import {startRowsService} from '../../../src/platform/rows.ts';
import type {RowsPlaces} from '../../../src/platform/rows-feed.ts';
import {readLatest} from '../../../src/sinks/file/read.ts';
import {type HostedSink, openSink} from '../../../src/sinks/host.ts';
import {bookTopic} from '../../../src/sinks/kafka/book.ts';
import {rowsTopic} from '../../../src/sinks/kafka/rows.ts';
import {batchOf, tableId, tombstoneVersion} from '../../../src/sinks/tables.ts';
import type {RowBatch} from '../../../src/sinks/types.ts';
import type {Telemetry} from '../../../src/telemetry.ts';
import {skipWithout} from '../../cluster/needs.ts';
import {countryRow, queryTable, type Row, testSink} from '../../conformance/sink.ts';
import {loadDomain} from '../../support/platform.ts';
import {rawOnKafka} from '../../support/raw-kafka.ts';
import {kafkaSettings, rowTopics} from '../../support/rows.ts';
import {until} from '../../support/until.ts';

let kafka: Kafka;

const asRows = (table: Table, rows: unknown[][]): Row[] =>
  rows.map((row) => Object.fromEntries(table.columns.map(({name}, index) => [name, row[index]])) as Row);

suite('with a broker', skipWithout('java', 'mvn'), () => {
  before(async () => {
    kafka = await startKafka();
  });
  after(() => kafka?.stop());

  testSink('rows in topics', {
    choice: () => ({backend: 'kafka', options: {}}),
    topics: (dir) => rowTopics(kafkaSettings(kafka), dir),
    latest: async (sink, _, table) => asRows(table, await sink.latest!(table)),
    count: async () => 0,
  });

  /** A sink of topics and a service that delivers from them into files; `restart` is another process of it. */
  async function world(t: TestContext, name: string) {
    const dir = mkdtempSync(join(tmpdir(), 'millrace-rows-'));
    const settings = kafkaSettings(kafka, name);
    const topics = rowTopics(settings, dir);
    // What is deleted is noticed so soon.
    settings.client = {metadataMs: 300};
    const open = () => openSink({name: 'rows', choice: {backend: 'kafka', options: {}}, root: dir, topics});
    const engine = await open();
    const places = new Map<string, RowsPlaces>();
    const told = new Map<string, unknown[]>();
    const telemetry: Telemetry = {
      emit: (name, event) => void told.set(name, [...(told.get(name) ?? []), event]),
    };
    /** What happens before a place is kept. */
    const saving = {before: async (_topic: string) => {}};
    /** What happens before a sink is opened for a table: until then the book is not looked at. */
    const opening = {before: async (_sink: string) => {}};
    /** What happens before rows are written into a sink. */
    const writing = {before: async (_sink: string) => {}};
    /** Sinks that another process has. */
    const others = new Set<string>();
    /** Sinks that come first for every table. */
    const ahead: string[] = [];
    t.after(async () => {
      await engine.close();
      rmSync(dir, {recursive: true, force: true});
    });
    /** Views that were to be dropped: files have none. The first time it fails. */
    const views: string[] = [];
    /** Tables that views were made to show. */
    const shown: string[] = [];
    const start = async (files = 'files') => {
      const sink: HostedSink = await openSink({
        name: 'files',
        choice: {backend: 'file', options: {dir: join(dir, files)}},
        root: dir,
      });
      const log = await openLog(topics.source);
      const service = await startRowsService({
        book: bookTopic(name),
        log,
        sinksOf: (query) => (query.startsWith('shop.') ? [...ahead, 'files'] : []),
        sinks: ['files'],
        async openSink(name) {
          await opening.before(name);
          return {
            ...sink,
            async write(table: Table, batch: RowBatch) {
              await writing.before(name);
              return sink.write(table, batch);
            },
            async switchView(table: Table) {
              shown.push(tableId(table));
            },
            async dropView(view: string) {
              views.push(view);
              if (views.length === 1) throw new Error('not now');
            },
          };
        },
        leases: {isHeld: (sink) => !others.has(sink), mayWrite: (sink) => !others.has(sink)},
        positionsOf: () => ({
          load: async (topic) => places.get(topic),
          async save(topic, place) {
            await saving.before(topic);
            places.set(topic, place);
          },
        }),
        refused: async () => assert.fail('no row is refused'),
        telemetry,
        clock: systemClock,
      });
      let isOpen = true;
      const close = async () => {
        if (!isOpen) return;
        isOpen = false;
        await service.close();
        log.close();
        await sink.close();
      };
      t.after(close);
      return {
        sink,
        tables: () => service.status().map(({table}) => table),
        isWriting: service.isWriting,
        async settled() {
          await service.settled(AbortSignal.timeout(120_000));
          return service.status();
        },
        close,
      };
    };
    return {
      dir,
      engine,
      open,
      start,
      saving,
      opening,
      writing,
      others,
      ahead,
      views,
      shown,
      told,
      rows: async (table: Table, files = 'files') =>
        ((await readLatest(join(dir, files), tableId(table)))?.rows ?? [])
          .map(({country, total}) => [country, total])
          .sort(),
    };
  }

  test('rows come into the sink of another process, over its restarts; a sink that lost them gets them again', async (t) => {
    const {engine, start, rows} = await world(t, 'restarts');
    const table = queryTable('restarts', {country: 'string'});
    await engine.ensure(table);
    await engine.write(table, batchOf(table, [countryRow('DE', 1, 2), countryRow('FR', 1, 2)]));
    await engine.mark([{table: tableId(table), epoch: 7}]);
    const first = await start();
    const [status] = await first.settled();
    assert.deepEqual([status?.lagRows, status?.written, status?.skipped], [0, 2, 0]);
    assert.equal(await first.sink.marked(tableId(table)), 7);
    assert.deepEqual(await rows(table), [
      ['DE', 1],
      ['FR', 1],
    ]);
    await first.close();

    await engine.write(table, batchOf(table, [countryRow('DE', 5, 4)]));
    await engine.write(table, batchOf(table, [countryRow('FR', 1, tombstoneVersion, true)]));
    await engine.mark([{table: tableId(table), epoch: 8}]);
    const second = await start();
    const [again] = await second.settled();
    assert.equal(again?.written, 2, 'only what came since');
    assert.deepEqual(await rows(table), [['DE', 5]]);
    await second.close();

    const third = await start('new-files');
    await third.settled();
    assert.deepEqual(await rows(table, 'new-files'), [['DE', 5]]);
    assert.equal(await third.sink.marked(tableId(table)), 8);
    await third.close();
  });

  test('a view follows its table when the rows are there; a dropped table is dropped', async (t) => {
    const {engine, start, rows} = await world(t, 'views');
    const one = queryTable('views', {country: 'string'});
    const two = {...one, name: 'views__r2'};
    const running = await start();
    for (const table of [one, two]) {
      await engine.ensure(table);
      await engine.write(table, batchOf(table, [countryRow('DE', 1, 2)]));
    }
    assert.deepEqual(await engine.revisions!('shop', 'views'), [1, 2]);
    await engine.switchView!(two);
    await engine.drop!(tableId(one));
    assert.deepEqual(await engine.revisions!('shop', 'views'), [2]);
    for (const deadline = Date.now() + 120_000; ; ) {
      const tables = (await running.settled()).map(({table}) => table);
      if (tables.join() === 'shop.views__r2' || Date.now() > deadline) {
        assert.deepEqual(tables, ['shop.views__r2']);
        break;
      }
      await systemClock.sleep(50);
    }
    assert.deepEqual(await rows(two), [['DE', 1]]);
  });

  test('a table and a view that are dropped while nobody delivers go when somebody does; what is made again stays', async (t) => {
    const {dir, engine, start, rows, views, shown} = await world(t, 'gone');
    const soon = async (isSo: () => boolean | Promise<boolean>) => {
      for (const deadline = Date.now() + 120_000; !(await isSo()); await systemClock.sleep(20))
        assert.ok(Date.now() < deadline);
    };
    const table = queryTable('gone', {country: 'string'});
    const isThere = async () => (await readLatest(join(dir, 'files'), tableId(table))) !== undefined;
    await engine.ensure(table);
    await engine.write(table, batchOf(table, [countryRow('DE', 1, 2)]));
    await engine.switchView!(table);
    const first = await start();
    await first.settled();
    assert.ok(await isThere());
    await first.close();
    await engine.drop!(tableId(table));
    await engine.dropView!('shop.gone');
    const second = await start();
    await soon(async () => !(await isThere()) && views.length > 1);
    assert.deepEqual(views, ['shop.gone', 'shop.gone']);

    await engine.ensure(table);
    await engine.write(table, batchOf(table, [countryRow('FR', 1, 2)]));
    await soon(async () => second.tables().length > 0 && (await second.settled()).length > 0);
    assert.deepEqual(await rows(table), [['FR', 1]]);
    assert.deepEqual(shown, [tableId(table)]);
    await engine.switchView!(table);
    await soon(() => shown.length === 2);
    await engine.dropView!('shop.gone');
    await soon(() => views.length === 3);
    await engine.switchView!(table);
    await soon(() => shown.length === 3);
    await engine.drop!(tableId(table));
    await soon(async () => !(await isThere()));
    assert.deepEqual(second.tables(), []);
  });

  test('a table that is dropped while its place is kept ends as well, and the next one begins', async (t) => {
    const {engine, start, rows, saving} = await world(t, 'dropping');
    const one = queryTable('dropping', {country: 'string'});
    const two = {...one, name: 'dropping__r2'};
    const dropped = Promise.withResolvers<void>();
    const isSaving = new Promise<void>((resolve) => {
      saving.before = async (topic) => {
        if (topic !== rowsTopic(one)) return;
        resolve();
        await dropped.promise;
      };
    });
    const running = await start();
    await engine.ensure(one);
    await engine.write(one, batchOf(one, [countryRow('DE', 1, 2)]));
    await isSaving;
    await engine.drop!(tableId(one));
    while (running.tables().includes(tableId(one))) await systemClock.sleep(20);
    dropped.resolve();
    await engine.ensure(two);
    await engine.write(two, batchOf(two, [countryRow('FR', 1, 2)]));
    await running.settled();
    assert.deepEqual(await rows(two), [['FR', 1]]);
  });

  test('a sink that does not open keeps no other one from its rows, and gets them when it has opened', async (t) => {
    const {engine, start, rows, opening, ahead, told} = await world(t, 'ahead');
    ahead.push('slow');
    let isAway = true;
    opening.before = async (name) => {
      if (isAway && name === 'slow') throw new PlatformError('SINK_UNAVAILABLE', 'it has not opened');
    };
    const tables = ['ahead_one', 'ahead_two'].map((name) => queryTable(name, {country: 'string'}));
    for (const table of tables) {
      await engine.ensure(table);
      await engine.write(table, batchOf(table, [countryRow('DE', 1, 2)]));
    }
    const service = await start();
    for (const table of tables)
      await until(async () => (await rows(table)).length === 1, 'rows in the files');
    assert.equal(service.tables().length, 2);
    const warnings = () => (told.get('Log') ?? []).map((event) => (event as {message: string}).message);
    const ofSlow = warnings().filter((message) => /slow/.test(message));
    assert.deepEqual(ofSlow, ['rows for the sink slow wait: it has not opened'], 'once, for both tables');
    isAway = false;
    assert.equal((await service.settled()).length, 4);
  });

  test('a sink that hangs when its lease goes keeps no other one from its rows, and is written into until its answer is there', async (t) => {
    const {engine, start, rows, writing, others, ahead} = await world(t, 'hangs');
    ahead.push('slow');
    const answered = Promise.withResolvers<void>();
    const {promise: isHanging, resolve: hangs} = Promise.withResolvers<void>();
    writing.before = async (name) => {
      if (name !== 'slow') return;
      hangs();
      await answered.promise;
    };
    t.after(() => answered.resolve());
    const table = queryTable('hangs', {country: 'string'});
    await engine.ensure(table);
    await engine.write(table, batchOf(table, [countryRow('DE', 1, 2)]));
    const service = await start();
    await isHanging;
    others.add('slow');
    await until(() => service.tables().length === 1, 'one of two');
    await engine.write(table, batchOf(table, [countryRow('FR', 1, 2)]));
    await until(async () => (await rows(table)).length === 2, 'rows in the files');
    assert.ok(service.isWriting('slow'));
    others.delete('slow');
    await engine.write(table, batchOf(table, [countryRow('IT', 1, 2)]));
    await until(async () => (await rows(table)).length === 3, 'more rows in the files');
    assert.equal(service.tables().length, 1, 'it does not begin beside what it waits for');
    answered.resolve();
    assert.equal((await service.settled()).length, 2);
  });

  test('a table that is dropped and made again has the rows of the second one alone, whether anybody saw the drop or not', async (t) => {
    const {engine, start, rows, opening} = await world(t, 'again');
    const table = queryTable('again', {country: 'string'});
    const other = queryTable('other', {country: 'string'});
    await engine.ensure(table);
    const again = async (country: string) => {
      await engine.drop!(tableId(table));
      await engine.ensure(table);
      await engine.write(table, batchOf(table, [countryRow(country, 1, 2)]));
    };
    await engine.write(table, batchOf(table, [countryRow('DE', 1, 2)]));
    const first = await start();
    await first.settled();
    assert.deepEqual(await rows(table), [['DE', 1]]);
    // Seen, or not, as it comes.
    await again('FR');
    await first.settled();
    assert.deepEqual(await rows(table), [['FR', 1]]);
    // Not seen: the book is looked at when it is over.
    const held = Promise.withResolvers<void>();
    const isHeld = new Promise<void>((resolve) => {
      opening.before = () => {
        resolve();
        return held.promise;
      };
    });
    await engine.ensure(other);
    await isHeld;
    await again('IT');
    held.resolve();
    await first.settled();
    assert.deepEqual(await rows(table), [['IT', 1]]);
    await first.close();
    // Nobody there who could see it.
    await again('ES');
    const second = await start();
    const status = await second.settled();
    assert.deepEqual(await rows(table), [['ES', 1]]);
    assert.deepEqual(
      status.map(({state}) => state),
      ['running', 'running'],
    );
  });

  test('a topic of rows that is made anew stops what writes to it, and its rows count as lost; who delivers begins with it anew; a book is written again', async (t) => {
    const {engine, open, start, rows} = await world(t, 'remade');
    const table = queryTable('remade', {country: 'string'});
    const id = tableId(table);
    const client = new KafkaClient(kafkaSettings(kafka));
    t.after(() => client.close());
    const remake = async (name: string) => {
      await deleteTopics(client, [name]);
      await ensureTopics(client, [{name, partitions: 1, replication: 1, configs: compactedConfigs}]);
    };
    let epoch = 7;
    const mark = () => engine.mark([{table: id, epoch: epoch++}]);
    const soon = async (isSo: () => Promise<boolean>) => {
      for (const deadline = Date.now() + 120_000; !(await isSo()); await systemClock.sleep(100))
        assert.ok(Date.now() < deadline);
    };
    await engine.ensure(table);
    await engine.write(table, batchOf(table, [countryRow('DE', 1, 2), countryRow('FR', 1, 2)]));
    await mark();
    const running = await start();
    await running.settled();

    await remake('remade.rows');
    await soon(async () => {
      await mark();
      const other = await open();
      const found = await other.revisions!('shop', 'remade');
      await other.close();
      return found.join() === '1';
    });

    await remake('agg.shop.remade.r1');
    await soon(() =>
      mark().then(
        () => false,
        (error) => {
          assert.equal(error.code, 'TOPIC_OTHER');
          assert.match(error.hint, /millrace resume shop\.remade$/);
          return true;
        },
      ),
    );
    await assert.rejects(engine.write(table, batchOf(table, [countryRow('DE', 9, 8)])), {
      code: 'TOPIC_OTHER',
    });
    // As the query does that begins again: its state is dropped when the sink knows no mark.
    await engine.ensure(table);
    assert.equal(await engine.marked(id), undefined);
    await engine.write(table, batchOf(table, [countryRow('DE', 5, 4)]));
    await mark();
    assert.equal(await engine.marked(id), epoch - 1);
    await running.settled();
    assert.deepEqual(await rows(table), [
      ['DE', 5],
      ['FR', 1],
    ]);
    assert.equal(await running.sink.marked(id), epoch - 1);
  });

  test('raw events: a table whose topic was made anew, while it was delivered and while nothing ran, stops until its offsets begin anew', async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'millrace-rows-'));
    const settings = {...kafkaSettings(kafka, 'raw'), client: {metadataMs: 300}};
    const {eventTypes} = await loadDomain('domain: shop\nevent_types: [{name: sale}]\n');
    const made = await rawOnKafka(settings, dir, eventTypes[0]!);
    t.after(async () => {
      await made.close();
      rmSync(dir, {recursive: true});
    });
    const {start, produce, remake, delivered, empty} = made;
    await produce(['a', 'b', 'c']);
    let raw = await start();
    await raw.until(({offsets}) => offsets[0] === 3);
    await remake();
    await produce(['d', 'e', 'f', 'g', 'h']);
    const stopped = await raw.until(({state}) => state === 'stopped');
    assert.equal(stopped.reason?.code, 'TOPIC_OTHER');
    assert.match(
      stopped.reason?.hint ?? '',
      /docs\/kafka\.md says how\), then: npx millrace resume shop\.sale$/,
    );
    await raw.resume();
    await raw.until(({state}) => state === 'stopped');
    assert.deepEqual(delivered(), ['a', 'b', 'c']);
    await raw.stop();

    raw = await start();
    await raw.until(({state}) => state === 'stopped');
    assert.deepEqual(delivered(), ['a', 'b', 'c']);
    empty();
    await raw.resume();
    await raw.until(({state, offsets}) => state === 'running' && offsets[0] === 5);
    assert.deepEqual(delivered(), ['d', 'e', 'f', 'g', 'h']);
    await raw.stop();
  });

  test('what another program writes between the rows is left out and counted', async (t) => {
    const {engine, start, rows, told} = await world(t, 'foreign');
    const table = queryTable('foreign', {country: 'string'});
    await engine.ensure(table);
    const {writeKeyed} = await import('../../../src/log/kafka/keyed.ts');
    const client = new KafkaClient(kafkaSettings(kafka));
    await client.refreshMetadata();
    const strange = {key: Buffer.from('x'), value: Buffer.from('no row')};
    await writeKeyed(client, 'agg.shop.foreign.r1', [strange]);
    await writeKeyed(client, bookTopic('foreign'), [strange, {...strange, key: Buffer.from('y')}]);
    client.close();
    await engine.write(table, batchOf(table, [countryRow('DE', 1, 2)]));
    const running = await start();
    const [status] = await running.settled();
    assert.deepEqual([status?.skipped, status?.written], [1, 1]);
    assert.deepEqual(await rows(table), [['DE', 1]]);
    assert.deepEqual(told.get('RecordsPassedOver'), [
      {topic: 'foreign.rows', records: 2},
      {topic: 'agg.shop.foreign.r1', records: 1},
    ]);
    const logged = told.get('Log')!.map((event) => String((event as {message: string}).message));
    assert.deepEqual(
      logged.map((message) => message.split(':')[0]),
      [
        'foreign.rows has 2 records of another program, and nobody but the platform should write there',
        'agg.shop.foreign.r1 has 1 record of another program, and nobody but the platform should write there',
      ],
    );
  });
});
