/** A platform whose log is Kafka: files, HTTP and the generator append through the outbox; the brokers go away and come back. */
import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {appendFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {after, before, suite, test} from 'node:test';
import type {PlatformError} from '../../src/errors.ts';
import {apis} from '../../src/log/kafka/api.ts';
import {KafkaClient} from '../../src/log/kafka/client.ts';
import {writeKeyed} from '../../src/log/kafka/keyed.ts';
import {deleteTopics, ensureTopics, keptConfigs} from '../../src/log/kafka/topics.ts';
import {dirsOf} from '../../src/platform/places.ts';
import type {RunningPlatform} from '../../src/platform/runtime.ts';
import {compileEncoder} from '../../src/schema/encode.ts';
import {openEmbeddedRegistry} from '../../src/schema/registry.ts';
import type {AvroRecord, AvroValue} from '../../src/schema/types.ts';
import {readLatest} from '../../src/sinks/file/read.ts';
import {skipWithout} from '../cluster/needs.ts';
import {cli} from '../support/cli.ts';
import {KafkaRig} from '../support/kafka-writer.ts';
import {platformOf, runToEnd, startIn} from '../support/running.ts';
import {scratchDir} from '../support/scratch.ts';
import {until} from '../support/until.ts';

const rows = 400;

const domainYaml = `
domain: shop
event_types:
  - name: sale
    attributes: [note]
    dimensions: [country]
    metrics: [{name: amount, type: money}]
    derive: {twice: amount * 2}
    checks: {sane: twice >= 0.00 or note = 'refund'}
aggregations:
  - name: per_country
    from: sale
    window: {type: tumbling, size: 1h}
    group_by: [country]
    measures: {sales: count(), revenue: sum(amount)}
inputs:
  - {name: sales, event_type: sale, from: ../../data/sales.csv, format: csv}
`;

suite('a platform on Kafka', skipWithout('java', 'mvn'), () => {
  let rig: KafkaRig;
  const roots: string[] = [];
  let nextId = 0;
  before(async () => {
    rig = await KafkaRig.start();
  });
  after(async () => {
    for (const root of roots) rmSync(root, {recursive: true, force: true});
    await rig?.stop();
  });

  /** A directory with the configuration; the broker is behind the proxy. */
  function world(
    spool = '{}',
    {lines = rows, bad = 'not a time,DE,1', compression = 'zstd', domain = 'shop', raw = 'none'} = {},
  ): string {
    const root = scratchDir('on-kafka');
    roots.push(root);
    const files = {
      'config/platform.yaml': `platform: acme
log:
  backend: kafka
  kafka: {brokers: "127.0.0.1:${rig.proxy.port}", topics: {partitions: 2}, compression: ${compression}, spool: ${spool}}
sinks: {rows: {backend: file, file: {dir: out}}}
defaults: {aggregates: rows, raw: ${raw}}
`,
      'config/domains/shop.yaml': domainYaml.replace('domain: shop', `domain: ${domain}`),
      'data/sales.csv': [
        'timestamp,country,amount',
        ...Array.from(
          {length: lines},
          (_, i) => `2026-01-0${1 + (i % 9)}T10:00:00Z,${i % 2 ? 'DE' : 'FR'},1.25`,
        ),
        bad,
      ].join('\n'),
    };
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), {recursive: true});
      writeFileSync(join(root, path), text);
    }
    return root;
  }

  /** Sends an event. @returns status, seconds of Retry-After, body */
  async function post({url, platform}: RunningPlatform, token: string, event: Record<string, unknown>) {
    const response = await fetch(`${url}/v1/events/${platform.domains[0]!.name}/sale`, {
      method: 'POST',
      headers: {authorization: `Bearer ${token}`, 'content-type': 'application/json'},
      body: JSON.stringify({timestamp: '2026-01-05T10:00:00Z', country: 'DE', amount: 1, ...event}),
    });
    const body = (await response.json()) as {appended?: number; duplicate?: number; error?: {code: string}};
    return {status: response.status, retryAfter: Number(response.headers.get('retry-after')), body};
  }

  test('a file is counted once, also when another directory ingests it again; the ledger balances; the letter of a line as large as a line may be arrives; a record of another program beside it is counted', async () => {
    // With what is said of it more than a broker takes by default.
    const bad = `${randomBytes(786_300).toString('base64')},DE,1`;
    const large = {bad, compression: 'none'};
    const first = world('{}', large);
    const {running} = await runToEnd(first);
    assert.deepEqual(await platformOf(first).then(({log}) => log.backend), 'kafka');
    const status = running.status();
    assert.equal(status.totals.appended, rows);
    assert.equal(status.totals.rejected, 1);
    assert.ok(status.totals.ledgerBalanced);
    assert.equal(
      status.queries[0]?.counts.reduce((sum, {aggregated}) => sum + aggregated, 0),
      rows,
    );
    assert.equal((await rig.ids('shop.sale')).flat().length, rows);
    const client = new KafkaClient(rig.settings());
    await client.refreshMetadata();
    await writeKeyed(client, 'dlq.shop', [{key: Buffer.from('x'), value: Buffer.from('no letter')}]);
    client.close();
    // Its directory is lost: another one knows what Kafka has.
    const {running: second, told} = await runToEnd(world('{}', large));
    assert.deepEqual(
      told.flatMap(({name, event}) => (name === 'RecordsPassedOver' ? [event] : [])),
      [{topic: 'dlq.shop', records: 1}],
    );
    assert.match(
      await second.metrics.render(),
      /^millrace_records_passed_over_total\{topic="dlq\.shop"\} 1$/m,
    );
    assert.equal(second.status().totals.appended, 0);
    assert.equal(second.status().totals.duplicate, rows + 1);
    assert.equal(
      second.status().queries[0]?.counts.reduce((sum, {aggregated}) => sum + aggregated, 0),
      rows,
    );
    assert.equal((await rig.ids('shop.sale')).flat().length, rows);
    assert.equal(
      (await rig.read('dlq.shop')).flat().reduce((sum, {count}) => sum + count, 0),
      2,
    );
  });

  test('records of another program that fail a check or lie too far ahead are dead letters of the query once, in no raw table, and count when they are mended', async () => {
    const root = world('{}', {lines: 6, domain: 'far', raw: 'rows'});
    const stray = '  - {name: stray, metrics: [{name: n, type: long}], checks: {few: n < 10}}\naggregations:';
    const file = join(root, 'config/domains/shop.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace('aggregations:', stray));
    await runToEnd(root);
    const topic = 'far.sale';
    const platform = await platformOf(root);
    const client = new KafkaClient(rig.settings());
    await client.refreshMetadata();
    /** As another program writes them, behind what is there. @returns offset of the first */
    const write = async (name: string, ...events: AvroValue[][]): Promise<number> => {
      const registry = openEmbeddedRegistry(dirsOf(platform).log, {readOnly: true});
      const known = (await registry.latest(`far.${name}-value`))!;
      registry.close();
      const encoder = compileEncoder(known.schema as AvroRecord, known.id);
      const records = events.map((values) => {
        const value = new Uint8Array(encoder.sizeMax(values));
        return {
          key: Buffer.from('k'),
          partition: 0,
          value: value.subarray(0, encoder.encode(values, value, 0)),
        };
      });
      return (await writeKeyed(client, `far.${name}`, records)).get(0)! - events.length;
    };
    const hour = Date.UTC(2026, 0, 6, 12);
    const first = await write(
      'sale',
      ['good', hour, null, 'DE', 100],
      ['minus', hour, 'none', 'DE', -300],
      ['ahead', Date.now() + 86_400_000, null, 'DE', 700],
      ['refunded', hour, 'refund', 'DE', -500],
    );
    await write('stray', ['few', hour, 9], ['many', hour, 10]);
    client.close();
    const counts = (running: RunningPlatform) =>
      running
        .status()
        .queries[0]!.counts.reduce(
          (sum, {read, aggregated, dead}) => [sum[0]! + read, sum[1]! + aggregated, sum[2]! + dead],
          [0, 0, 0],
        );
    const {running} = await startIn(root);
    try {
      await running.idle(AbortSignal.timeout(120_000));
      const raw = () => running.status().raw;
      // The two that pass are written now, whatever the first run had come to.
      const isRead = () => raw().every(({lagEvents, written}, at) => lagEvents === 0 && written >= 2 - at);
      await until(isRead, () => `all is delivered: ${JSON.stringify(raw())}`);
      assert.deepEqual(
        raw().map(({dead}) => dead),
        [0, 1],
      );
    } finally {
      await running.drain();
    }
    assert.deepEqual(counts(running), [10, 8, 2]);
    assert.ok(running.status().totals.ledgerBalanced);
    const idsOf = async (table: string) =>
      (await readLatest(join(root, 'out'), table))!.rows.map((row) => row.event_id);
    const ids = await idsOf(topic);
    assert.equal(ids.length, 8);
    assert.deepEqual(ids.map((id) => ['good', 'refunded', 'minus', 'ahead'].indexOf(String(id))).filter((at) => at >= 0).sort(), [0, 1]); // biome-ignore format: a row
    assert.deepEqual(await idsOf('far.stray'), ['few']);
    const lines = async (...args: string[]) => {
      const {stdout, stderr} = await cli(root, 'dlq', ...args, '--json');
      return `${stdout}${stderr}`.trim();
    };
    const letters: Record<string, unknown>[] = JSON.parse(await lines('list', 'far'));
    const at = (of: string, offset: number) => ({topic: of, partition: 0, offset});
    assert.deepEqual(
      letters
        .filter(({stage}) => stage !== 'validate')
        .map(({stage, query, code, message, source, position}) => [stage, query, code, stage === 'check' ? message : '', source, position]) // biome-ignore format: a row
        .sort(([, , a], [, , b]) => (String(a) < String(b) ? -1 : 1)),
      [
        ['check', null, 'CHECK:few', 'the check few is false: n = 10', 'rows far.stray', at('far.stray', 1)],
        ['check', 'far.per_country', 'CHECK:sane', 'the check sane is false: twice = -6.00, note = none', topic, at(topic, first + 1)],
        ['decode', 'far.per_country', 'TIMESTAMP_FUTURE', '', topic, at(topic, first + 2)],
      ], // biome-ignore format: rows
    );
    // As they are they fail again; what is mended counts.
    const again = await lines('replay', 'far', '--code', 'CHECK');
    assert.deepEqual(again.match(/"code":\s*"CHECK:\w+"/g)?.length, 2, again);
    assert.match(again, /"rejected":\s*2/);
    const mended = await lines('replay', 'far', '--code', 'CHECK:sane', '--set', 'amount=abs(amount)');
    assert.match(mended, /"queued":\s*1/);
    const {running: after} = await runToEnd(root);
    const revenue = (await readLatest(join(root, 'out'), 'far.per_country__r1'))!.rows.flatMap(
      ({window_start, revenue_cents: cents}) => (window_start === hour ? [cents] : []),
    );
    assert.deepEqual(revenue, [100 - 500 + 300]);
    assert.deepEqual(counts(after), [10, 9, 1]);
  });

  test('a directory without the keys of protected values that the topics have is refused, and begins when it is given them', async () => {
    const worlds = [world(), world()] as const;
    for (const root of worlds) {
      appendFileSync(join(root, 'config/platform.yaml'), `pii: {key: ${'k'.repeat(32)}}\n`);
      const domain = join(root, 'config/domains/shop.yaml');
      const text = readFileSync(domain, 'utf8').replaceAll('sale', 'guest');
      writeFileSync(
        domain,
        text
          .replace('data/guests.csv', 'data/sales.csv')
          .replace('[note]', '[{name: note, type: string, pii: hash}]'),
      );
    }
    const {running: first} = await runToEnd(worlds[0]);
    assert.equal(first.status().totals.appended, rows);
    const keys = (root: string) => join(root, '.millrace/outbox/keys.db');
    await assert.rejects(startIn(worlds[1]), (error: PlatformError) => {
      assert.equal(error.code, 'PII_KEYS');
      assert.match(error.message, /^shop\.guest has events with protected values/);
      assert.match(error.hint!, /copy its keys\.db to this place/);
      assert.equal(error.place, keys(worlds[1]));
      return true;
    });
    mkdirSync(dirname(keys(worlds[1])), {recursive: true});
    cpSync(keys(worlds[0]), keys(worlds[1]));
    const {running: second} = await runToEnd(worlds[1]);
    assert.equal(second.status().totals.duplicate, rows + 1);
  });

  test('a topic is made anew while nothing runs: its query stops, events are taken, and a rebuild makes a revision of what there is', async () => {
    const root = world();
    const file = join(root, 'config/domains/shop.yaml');
    const text = readFileSync(file, 'utf8').replaceAll('sale', 'visit').replace('visits.csv', 'sales.csv');
    writeFileSync(file, text.replace('domain: shop', 'domain: anew'));
    await runToEnd(root);
    const client = new KafkaClient(rig.settings());
    const configs = keptConfigs(rig.settings());
    await deleteTopics(client, ['anew.visit']);
    await ensureTopics(client, [{name: 'anew.visit', partitions: 2, replication: 1, configs}]);
    client.close();
    const {running, told} = await startIn(root);
    try {
      await until(() => running.status().queries[0]?.state === 'stopped', 'the query stops');
      assert.equal(running.status().queries[0]!.reason!.code, 'TOPIC_OTHER');
      assert.ok(
        told.some(({event}) => /^topic anew\.visit was deleted and made/.test(String(event.message))),
      );
      const path = join(root, 'data/sales.csv');
      const job = {domain: 'anew', input: 'visits', path, as: 'again', fast: true, late: true, final: false};
      await running.inputs.ingest(job, () => {});
      const {code, stderr} = await cli(root, 'rebuild', 'anew.per_country', '--yes');
      assert.equal(code, 0, stderr);
      await running.idle(AbortSignal.timeout(60_000));
      const {state, counts} = running.status().queries[0]!;
      assert.equal(state, 'running');
      assert.equal(
        counts.reduce((sum, {read}) => sum + read, 0),
        rows,
      );
    } finally {
      await running.drain();
    }
  });

  test('a query that begins while the brokers are away, and has to ask them where it reads, waits and begins by itself; so do a rebuild and a backfill', async () => {
    const root = world('{}', {lines: 4});
    const files = {
      'config/domains/shop.yaml': `
domain: looked_up
event_types: [{name: sale, attributes: [country], enrich: [{lookup: areas, on: country, take: {area: area}}]}]
lookups: [{name: areas, key: country, columns: {area: string}, from: {csv: ../../data/areas.csv}}]
aggregations: [{name: per_area, from: sale, window: {type: tumbling, size: 1d}, group_by: [area], measures: {sales: count()}}]
`,
      'data/areas.csv': 'country,area\nDE,north\n',
    };
    for (const [path, text] of Object.entries(files)) writeFileSync(join(root, path), text);
    const {running, told} = await startIn(root);
    const token = readFileSync(join(root, '.millrace/token'), 'utf8').trim();
    const query = () => running.engine.status().find((each) => each.query === 'looked_up.per_area');
    const aggregated = () => query()?.counts.reduce((sum, counts) => sum + counts.aggregated, 0);
    const switched = (area: string) => {
      writeFileSync(join(root, 'data/areas.csv'), `country,area\nDE,${area}\n`);
      return running.engine.refreshLookup(running.platform.domains[0]!.lookups[0]!);
    };
    try {
      assert.equal((await post(running, token, {event_id: 'a'})).status, 200);
      await until(() => aggregated() === 1, 'the first event is counted');
      // From now on its journal has a place in the log.
      await switched('south');
      assert.equal((await post(running, token, {event_id: 'b'})).status, 200);
      await until(() => aggregated() === 2, 'the second event is counted');
      rig.proxy.cut();
      await running.restartEngine();
      assert.equal(query()?.state, 'paused', JSON.stringify(query()));
      assert.equal(query()?.reason?.code, 'KAFKA_UNAVAILABLE');
      assert.deepEqual(running.status().startingQueries, []);
      rig.proxy.restore();
      await until(() => query()?.state === 'running', 'it begins by itself');
      assert.equal((await post(running, token, {event_id: 'c'})).status, 200);
      await until(() => aggregated() === 3, 'it counts on');
      for (const command of ['rebuild', 'backfill']) {
        rig.proxy.cut();
        const from = told.length;
        const filling = cli(root, command, 'looked_up.per_area', '--yes');
        const waits = () =>
          told.slice(from).some(({event}) => /is being filled waits: KAFKA_/.test(String(event.message)));
        await Promise.race([filling, until(waits, 'it waits')]);
        rig.proxy.restore();
        const {code, stderr} = await filling;
        assert.equal(code, 0, stderr);
        assert.ok(waits(), command);
      }
      await until(() => aggregated() === 3, 'the new revision has all');
    } finally {
      rig.proxy.restore();
      await running.drain();
    }
  });

  test('while the broker is away events over HTTP are taken, then slowed down, then refused; afterwards all are there', async () => {
    const root = world('{size_max: 200KiB, after: 200ms}', {lines: 1});
    const {running, told} = await startIn(root, {inputs: false});
    const token = readFileSync(join(root, '.millrace/token'), 'utf8').trim();
    const taken: string[] = [];
    const send = async (id: string) => {
      const answer = await post(running, token, {event_id: id, note: 'x'.repeat(2_000)});
      if (answer.status === 200) taken.push(id);
      return answer;
    };
    try {
      assert.equal((await send('e-0')).status, 200);
      rig.proxy.cut();
      const seen = new Map<number, number>();
      for (let i = 1; i < 2_000 && !(seen.has(429) && seen.has(503)); i++) {
        const {status, retryAfter, body} = await send(`e-${i}`);
        seen.set(status, (seen.get(status) ?? 0) + 1);
        if (status === 200) continue;
        assert.equal(body.error?.code, status === 429 ? 'EVENTS_BUSY' : 'LOG_FULL');
        assert.ok(retryAfter >= 1);
        // As a sender that heeds a little of it.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      // A sender that is quicker than the looks at the spool may meet its limit first.
      assert.deepEqual([...seen.keys()].sort(), [200, 429, 503], JSON.stringify([...seen]));
      const {spool} = running.status();
      assert.ok(spool?.isSpooling && spool.bytes > 100_000 && spool.records > 40, JSON.stringify(spool));
      assert.match(spool.message ?? '', /broker/);
      const metrics = await running.metrics.render();
      assert.match(metrics, /^millrace_kafka_spooling 1$/m);
      assert.match(metrics, /^millrace_kafka_produce_errors_total\{code="KAFKA_UNAVAILABLE"\} [1-9]/m);
      // An event that was taken is known, though Kafka has never seen it.
      const repeated = await post(running, token, {event_id: taken[3]!});
      if (repeated.status === 200) assert.equal(repeated.body.duplicate, 1);
      rig.proxy.restore();
      await until(() => running.status().spool?.bytes === 0, 'the spool is redriven');
      assert.equal((await send('last')).status, 200);
      await running.idle(AbortSignal.timeout(60_000));
    } finally {
      rig.proxy.restore();
      await running.drain();
    }
    const ids = (await rig.ids('shop.sale')).flat().filter((id) => id.startsWith('e-') || id === 'last');
    assert.deepEqual(ids.sort(), taken.sort());
    assert.ok(running.status().totals.ledgerBalanced);
    assert.ok(
      told.some(
        ({name, event}) => name === 'Log' && /everything that waited was sent/.test(String(event.message)),
      ),
    );
  });

  test('a drain while late events wait for a full spool ends in time and says so; the next start brings them in once', async () => {
    const root = world('{size_max: 30KiB, after: 200ms}', {lines: 1});
    const first = await startIn(root, {inputs: false});
    const token = readFileSync(join(root, '.millrace/token'), 'utf8').trim();
    const send = (id: string, length: number) =>
      post(first.running, token, {event_id: id, note: 'x'.repeat(length)});
    let waits: string[] = [];
    try {
      // Late, as the file of an earlier test is in the topic: what is in it by now is set aside before the brokers go.
      assert.equal((await send('late-1', 4_000)).status, 200);
      await first.running.idle(AbortSignal.timeout(60_000));
      // What the engine reads arrives; what is written does not.
      rig.proxy.lose((piece) => piece.length > 6 && piece.readInt16BE(4) === apis.produce.key);
      await until(
        async () => (await send(`f-${nextId++}`, 2_000)).body.error?.code === 'LOG_FULL',
        'it is full',
      );
      const [late] = (await rig.read('shop.sale')).flat().filter(({bytes}) => includes(bytes, 'late-1'));
      const bytes = Buffer.from(late!.bytes);
      bytes.write('late-2', bytes.indexOf('late-1'));
      const other = await rig.writer({'shop.sale': 2}, {kafka: rig.settings()});
      await other.append({appends: [{topic: 'shop.sale', partition: 0, count: late!.count, bytes}]});
      const waitsFor = () => first.running.status().queries[0]?.waitsFor?.join();
      await until(() => waitsFor() === 'side', 'the late event waits', 60_000);
    } finally {
      waits = await first.running.drain(500);
      rig.proxy.restore();
    }
    assert.deepEqual(waits, [
      'shop.per_country waits for the log to take late events and dead letters (Kafka is away or slow, and what waits for it has reached the limit of 30 KiB)',
    ]);
    assert.deepEqual(first.running.status().queries[0]?.waitsFor, ['side']);
    const second = await startIn(root, {inputs: false});
    await second.running.idle(AbortSignal.timeout(60_000));
    assert.deepEqual(await second.running.drain(), []);
    assert.ok(second.running.status().totals.ledgerBalanced);
    const kept = (await rig.read('late.shop.per_country')).flat();
    assert.equal(kept.filter(({bytes}) => includes(bytes, 'late-2')).length, 1);
  });
});

const includes = (bytes: Uint8Array, text: string): boolean => Buffer.from(bytes).includes(text);
