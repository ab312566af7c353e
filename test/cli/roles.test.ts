/** Three processes of one platform that meet in Kafka alone: ingest, engine, sinks; each of them is killed and started again. */
import assert from 'node:assert/strict';
import {cpSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {after, before, suite, test} from 'node:test';
import {setTimeout as wait} from 'node:timers/promises';
import {type Kafka, startKafka} from '../../src/cluster/kafka.ts';
import {startConsole} from '../../src/console/start.ts';
import type {ConsoleStatus} from '../../src/console/types.ts';
import {KafkaClient} from '../../src/log/kafka/client.ts';
import {Connection} from '../../src/log/kafka/connection.ts';
import {fetchOffsets} from '../../src/log/kafka/group-offsets.ts';
import {listOffsets} from '../../src/log/kafka/offsets.ts';
import type {Role} from '../../src/model/roles.ts';
import type {Ledger} from '../../src/observe/ledger.ts';
import {connectConsole, connectTo} from '../../src/platform/control.ts';
import {placesOf} from '../../src/platform/places.ts';
import {createSinkLeases} from '../../src/platform/sink-leases.ts';
import {readLatest} from '../../src/sinks/file/read.ts';
import {skipWithout} from '../cluster/needs.ts';
import {type Child, start} from '../faults/process.ts';
import {cli, makeRoot} from '../support/cli.ts';
import {password, postgresServer, type TestServer} from '../support/postgres.ts';
import {kafkaSettings} from '../support/rows.ts';
import {platformOf} from '../support/running.ts';
import {until} from '../support/until.ts';

const domain = `domain: shop
event_types:
  - name: sale
    dimensions: [color]
    metrics: [{name: amount, type: money}]
inputs:
  - {name: sales, event_type: sale, format: csv}
aggregations:
  - name: per_day
    from: sale
    window: {type: tumbling, size: 1d}
    group_by: [color]
    measures: {sold: count(), revenue: sum(amount)}
    watermark: 1d
`;
const sumOf = <K extends string>(lines: Record<K, number>[], name: K): number =>
  lines.reduce((sum, line) => sum + line[name], 0);
const colors = ['red', 'green', 'blue'];

/** Sales with ids of their own; the amount of number n is n cents. */
const csvOf = (from: number, to: number): string => {
  const lines = ['event_id,timestamp,color,amount'];
  for (let n = from; n < to; n++)
    lines.push(
      `s${n},${new Date(Date.UTC(2026, 0, 5, 12) + n * 1000).toISOString()},${colors[n % 3]},${(n / 100).toFixed(2)}`,
    );
  return `${lines.join('\n')}\n`;
};

test('without Kafka there is nowhere to meet: a usage error that says so', async () => {
  const root = makeRoot({'config/domains/shop.yaml': domain});
  const {code, stderr} = await cli(root, 'run', '--only', 'engine');
  assert.equal(code, 2);
  assert.match(stderr, /meet in Kafka, and the log is embedded/);
  const wrong = await cli(root, 'run', '--only', 'engine,sink');
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /"sink" is no role[\s\S]*ingest, engine, sinks/);
  for (const [only, said, ...more] of [
    ['console', /meet in Kafka, and the log is embedded/],
    ['console,engine', /console is a process of its own[\s\S]*--only engine in another/],
    ['console', /--until-idle is nothing for --only console/, '--until-idle'],
  ] as const) {
    const {code, stderr} = await cli(root, 'run', '--only', only, ...more);
    assert.equal(code, 2, stderr);
    assert.match(stderr, said);
  }
});

test('a platform with personal data is one process: others would not have the keys', async () => {
  const root = makeRoot({
    'config/platform.yaml': `platform: shop
sinks: {rows: {backend: file}}
defaults: {aggregates: rows, raw: none}
pii: {key: ${'k'.repeat(32)}}
log: {backend: kafka, kafka: {brokers: ["127.0.0.1:1"]}}
`,
    'config/domains/shop.yaml': domain,
  });
  const {code, stderr} = await cli(root, 'run', '--only', 'engine');
  assert.equal(code, 2);
  assert.match(stderr, /keys of its own for protected values[\s\S]*without --only/);
});

test('an engine without sinks cannot read raw events, so no query of it may be filled from them', async () => {
  const root = makeRoot({
    'config/platform.yaml': `platform: shop
sinks: {rows: {backend: file}}
defaults: {aggregates: rows, raw: rows, on_trimmed: archive}
log: {backend: kafka, kafka: {brokers: ["127.0.0.1:1"]}}
`,
    'config/domains/shop.yaml': domain,
  });
  for (const only of ['engine', 'ingest,engine']) {
    const {code, stderr} = await cli(root, 'run', '--only', only);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /shop\.\w+ has on_trimmed: archive[\s\S]*--only engine,sinks/);
  }
});

suite('processes of a platform', skipWithout('java', 'mvn', 'psql'), () => {
  let kafka: Kafka;
  let postgres: TestServer;
  let root: string;
  const running = new Map<Role, Child>();
  const files = () => ({
    'config/platform.yaml': `platform: shop
sinks:
  rows: {backend: file}
  db: {backend: postgres, postgres: {url: "postgres://${postgres.user}@127.0.0.1:${postgres.port}/${postgres.database}", password: "${password}"}}
defaults: {aggregates: rows, raw: db}
server: {port: 0}
log: {backend: kafka, kafka: {brokers: ["${kafka.brokers[0]}"], client_id: roles, topics: {partitions: 2, replication: 1}}}
`,
    'config/domains/shop.yaml': domain.replace('    from: sale', '    from: sale\n    sinks: [rows, db]'),
    'data/none.csv': '',
  });
  const up = async (role: Role) => {
    const child = start(root, ['run', '--only', role], undefined, 300_000);
    running.set(role, child);
    await child.says(/ running /);
  };
  const done = async (...argv: string[]) => {
    const {code, stdout, stderr} = await cli(root, ...argv);
    assert.equal(code, 0, `${argv.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };
  const rows = async () =>
    ((await readLatest(join(root, '.millrace/files'), 'shop.per_day__r1'))?.rows ?? [])
      .map(({color, sold, revenue_cents}) => [color, sold, revenue_cents])
      .sort();
  /** What the first `count` sales add up to. */
  const expected = (count: number) =>
    [...colors].sort().map((color) => {
      const own = Array.from({length: count}, (_, n) => n).filter((n) => colors[n % 3] === color);
      return [color, own.length, own.reduce((sum, n) => sum + n, 0)];
    });
  const ingest = async (from: number, to: number) => {
    writeFileSync(join(root, `data/${from}.csv`), csvOf(from, to));
    await done('ingest', 'sales', `data/${from}.csv`);
  };
  const becomes = async (count: number) => {
    for (let tries = 0; tries < 1_200; tries++) {
      if (JSON.stringify(await rows()) === JSON.stringify(expected(count))) return;
      await wait(100);
    }
    assert.deepEqual(await rows(), expected(count), await done('status', '--json'));
  };

  before(async () => {
    [kafka, postgres] = await Promise.all([startKafka(), postgresServer()]);
    root = makeRoot(files());
    await Promise.all([up('ingest'), up('engine'), up('sinks')]);
  });
  after(async () => {
    for (const child of running.values()) child.kill('SIGKILL');
    await Promise.all([kafka?.stop(), postgres?.stop()]);
  });

  test('what goes in at one end comes out at the other; status and ledger are those of all of them', async () => {
    await ingest(0, 300);
    await becomes(300);
    const status = JSON.parse(await done('status', '--json'));
    assert.equal(status.rows[0].table, 'shop.per_day__r1');
    assert.deepEqual([status.rows[0].sink, status.rows[0].state], ['rows', 'running']);
    assert.equal(status.queries[0].query, 'shop.per_day');
    const processes = status.processes as {roles: string[]; pid: number; spool?: {limitBytes: number}}[];
    assert.deepEqual(processes.map(({roles}) => roles.join()).sort(), ['engine', 'ingest', 'sinks']);
    assert.equal(new Set(processes.map(({pid}) => pid)).size, 3);
    assert.ok(processes.find(({roles}) => roles[0] === 'ingest')?.spool?.limitBytes);
    assert.match(await done('doctor'), /ingest: process \d+; engine: process \d+; sinks: process \d+/);
    // It is that of the last checkpoint.
    for (let tries = 0; ; tries++) {
      const ledger = JSON.parse(await done('ledger', '--json'));
      assert.equal(ledger.ingest[0].appended, 300);
      assert.equal(ledger.balanced, true);
      const read = ledger.query.reduce((sum: number, line: {read: number}) => sum + line.read, 0);
      if (read === 300) break;
      assert.ok(tries < 600, `${read} are read`);
      await wait(100);
    }
  });

  test('without the sinks the engine goes on; they deliver what waited, once they are back', async () => {
    const sinks = running.get('sinks')!;
    sinks.kill('SIGKILL');
    assert.equal((await sinks.ended).killed, true);
    await ingest(300, 900);
    for (let tries = 0; ; tries++) {
      const {queries} = JSON.parse(await done('status', '--json'));
      if (queries[0].lagEvents === 0 && queries[0].counts.length > 0) break;
      assert.ok(tries < 600, JSON.stringify(queries));
      await wait(100);
    }
    assert.deepEqual(await rows(), expected(300), 'nobody delivers');
    await up('sinks');
    await becomes(900);
  });

  test('a killed engine goes on from its checkpoint, and a killed ingest takes what it took once', async () => {
    for (const role of ['engine', 'ingest'] as const) {
      const child = running.get(role)!;
      child.kill('SIGKILL');
      await child.ended;
    }
    await Promise.all([up('engine'), up('ingest')]);
    await done('ingest', 'sales', 'data/300.csv');
    await ingest(900, 1200);
    await becomes(1200);
    const ledger = JSON.parse(await done('ledger', '--json'));
    assert.equal(ledger.balanced, true);
  });

  test('the lag of a sink is that of a consumer group, for everybody who looks', async () => {
    const client = new KafkaClient(kafkaSettings(kafka));
    await client.refreshMetadata();
    for (let tries = 0; ; tries++) {
      const offsets = await fetchOffsets(client, 'roles.sinks.rows', 'agg.shop.per_day.r1', 2);
      if (offsets.length === 2 && offsets.some(({offset}) => offset > 0)) break;
      assert.ok(tries < 600, JSON.stringify(offsets));
      await wait(100);
    }
    client.close();
  });

  test('a console tells how far the others are, here and elsewhere, and changes nothing', async () => {
    const child = start(root, ['run', '--only', 'console'], undefined, 300_000);
    after(() => child.kill('SIGKILL'));
    // One on another machine; what it asks the brokers is all that its rights have to be.
    const requests = new Set<string>();
    const {request} = Connection.prototype;
    Connection.prototype.request = function (api, ...more) {
      requests.add(api.name);
      return request.call(this, api, ...more);
    };
    const elsewhere = makeRoot(files());
    const told: string[] = [];
    const second = await startConsole(await platformOf(elsewhere), {say: (text) => told.push(text)});
    after(() => second.close());
    await child.says(/console running at/);
    const control = (await connectConsole(root))!;
    const here = () => control.get<ConsoleStatus>('/v1/status');
    const both = async (what: string, holds: (status: ConsoleStatus) => boolean) => {
      for (const ask of [here, second.status])
        await until(
          async () => holds(await ask()),
          () => `${what}: ${told.join('; ')}`,
        );
    };
    const lagOf = ({kafka: {queries}}: ConsoleStatus) => queries[0]?.lag;
    await both('nothing is left', (status) => lagOf(status) === 0 && status.kafka.sinks[0]?.lag === 0);
    await both('who appends', ({leases}) =>
      leases.some(({what, holder}) => what === 'ingest' && holder?.includes(`${running.get('ingest')!.pid}`)),
    );
    await both('who writes', ({leases}) =>
      ['sink rows', 'sink db'].every((sink) =>
        leases.some(({what, holder}) => what === sink && holder?.includes(`${running.get('sinks')!.pid}`)),
      ),
    );

    // Beside the other processes it has what they say of themselves; elsewhere it has Kafka.
    const own = await here();
    const alone = await second.status();
    assert.equal(own.here?.queries[0]?.lagEvents, 0);
    assert.deepEqual([own.here?.url === own.url, alone.here], [false, null]);
    const sales = alone.kafka.topics.find(({topic}) => topic === 'shop.sale');
    assert.deepEqual([sales?.records, sales?.ends], [1200, own.kafka.topics.at(-1)?.ends]);
    assert.deepEqual(own.kafka.sinks[0]?.topics[0]?.topic, 'agg.shop.per_day.r1');
    const ledger = await control.get<Ledger>('/v1/ledger');
    assert.deepEqual([sumOf(ledger.ingest, 'appended'), ledger.balanced], [1200, true]);

    // The engine is away: the lag grows, is told with its age, and goes when the engine is back.
    const engine = running.get('engine')!;
    engine.kill('SIGKILL');
    await engine.ended;
    await ingest(1200, 1300);
    await both('the lag', (status) => lagOf(status) === 100 && status.kafka.queries[0]!.lagMs! > 0);
    await both('whose checkpoints', ({leases}) =>
      leases.some(({what, message}) => what === 'checkpoints' && message !== undefined),
    );
    const metrics = await (await fetch(`${second.url}/metrics`)).text();
    assert.match(metrics, /^millrace_observed_lag_events\{query="shop.per_day"\} 100$/m);
    assert.match(metrics, /^millrace_observed_kafka_available 1$/m);
    await up('engine');
    await becomes(1300);
    await both('the lag is gone', (status) => lagOf(status) === 0);

    // A letter is listed as by the command; everything that changes is refused, with whom to ask.
    writeFileSync(join(root, 'data/bad.csv'), `${csvOf(0, 0)}bad,2026-01-05T12:00:00Z,red,many\n`);
    await done('ingest', 'sales', 'data/bad.csv');
    type Letters = {total: number; letters: {id: string}[]};
    const dead = {kind: 'dead', domain: 'shop', limit: 5};
    // On a machine that stands still it waits in the outbox for a while.
    await until(async () => (await control.get<Letters>('/v1/letters', dead)).total === 1, 'a letter');
    const {letters} = await control.get<Letters>('/v1/letters', dead);
    assert.deepEqual(letters, JSON.parse(await done('dlq', 'list', '--json')));
    await assert.rejects(control.get('/v1/letters', {limt: 1}), /"limt" selects no letters/);
    const changes =
      'resume generate generate/verify ingest replay rebuild backfill apply rollback forget prune';
    for (const path of changes.split(' '))
      await assert.rejects(control.post(`/v1/${path}`, {}), /only answers questions: nothing was done/, path);
    await assert.rejects(control.post('/v1/events/shop/sale', {}), /takes no events/);
    await assert.rejects(
      control.post('/v1/query', {sink: 'rows', sql: 'select 1'}),
      /cannot be asked with SQL/,
    );
    const token = readFileSync(placesOf({root, roles: ['console']}).token, 'utf8').trim();
    const asked = (method: string) =>
      fetch(`${own.url}/registry/subjects`, {method, headers: {authorization: `Bearer ${token}`}});
    assert.ok(((await (await asked('GET')).json()) as string[]).includes('shop.sale-value'));
    assert.equal((await asked('POST')).status, 405);
    assert.equal((await fetch(`${own.url}/v1/status`)).status, 401);
    assert.equal((await fetch(`${own.url}/readyz`)).status, 200);

    const {stdout} = await cli(elsewhere, 'status');
    assert.match(stdout, /console[\s\S]*Kafka answers[\s\S]*shop\.per_day +0 [\s\S]*shop\.sale +2 +1,300/);
    await second.close();
    Connection.prototype.request = request;
    const reading = 'DescribeGroups Fetch FindCoordinator ListOffsets Metadata OffsetFetch';
    assert.deepEqual([...requests].sort(), reading.split(' '));
    assert.deepEqual(readdirSync(join(elsewhere, '.millrace')), ['console']);
    child.kill('SIGTERM');
    assert.equal((await child.ended).code, 0);
  });

  test('a console tells who writes raw events into a sink that no query has, and nothing of one that nobody has a lease of', async () => {
    const own = files();
    const yaml = own['config/platform.yaml'].replace('client_id: roles', 'client_id: raw');
    const there = makeRoot({
      ...own,
      'config/platform.yaml': yaml,
      'config/domains/shop.yaml': domain.replace('    from: sale', '    from: sale\n    sinks: [rows]'),
    });
    const seen = await startConsole(await platformOf(there), {say: () => {}});
    const kept = makeRoot();
    const leases = createSinkLeases({
      ...{kafka: kafkaSettings(kafka, 'raw'), sinks: ['db'], command: 'test', dir: kept},
      telemetry: {emit: () => {}},
    });
    try {
      const names = async () => (await seen.status()).leases.map(({what}) => what).join();
      await until(async () => (await names()) === 'ingest,checkpoints', 'it has looked');
      leases.start();
      const holder = `process ${process.pid} (test)`;
      await until(
        async () =>
          (await seen.status()).leases.some(
            (each) => each.what === 'sink db' && each.holder?.endsWith(holder),
          ),
        'who writes',
      );
    } finally {
      await leases.close();
      await seen.close();
    }
  });

  test('sinks of two processes have one writer each: one that hangs is taken over from, and what it does when it wakes changes nothing', async () => {
    const inDatabase = async () => [
      (await postgres.sql('SELECT color, sold, revenue_cents FROM shop.per_day ORDER BY color')).map(
        ([color, ...sums]) => [color, ...sums.map(Number)],
      ),
      (await postgres.sql('SELECT count(*), count(DISTINCT event_id) FROM shop.sale'))[0]!.map(Number),
    ];
    const bothBecome = (count: number) =>
      until(
        async () => JSON.stringify(await inDatabase()) === JSON.stringify([expected(count), [count, count]]),
        `${count} in the database`,
      );
    type Held = {sinkLeases: {sink: string; state: string; holder?: string}[]};
    const heldBy = async (of: string) => {
      const control = await connectTo(placesOf({root: of, roles: ['sinks']}).controlSocket);
      const {sinkLeases} = await control!.get<Held>('/v1/status');
      return sinkLeases.filter(({state}) => state === 'held').map(({sink}) => sink);
    };
    await bothBecome(1300);
    assert.deepEqual(await heldBy(root), ['rows', 'db']);

    // Who comes second gets one of the two; each says who has the other.
    const elsewhere = makeRoot(files());
    cpSync(join(root, '.millrace/outbox'), join(elsewhere, '.millrace/outbox'), {recursive: true});
    const first = running.get('sinks')!;
    const second = start(elsewhere, ['run', '--only', 'sinks'], undefined, 300_000);
    after(() => second.kill('SIGKILL'));
    await second.says(/ running /);
    const owners = async () => [await heldBy(root), await heldBy(elsewhere)];
    await until(async () => (await owners()).every((held) => held.length === 1), 'each has one');
    assert.deepEqual((await owners()).flat().sort(), ['db', 'rows']);
    const control = await connectTo(placesOf({root: elsewhere, roles: ['sinks']}).controlSocket);
    const {url} = await control!.get<{url: string}>('/v1/status');
    const metrics = await (await fetch(`${url}/metrics`)).text();
    const [own] = await heldBy(elsewhere);
    for (const sink of ['rows', 'db'])
      assert.ok(metrics.includes(`millrace_sink_lease_held{sink="${sink}"} ${sink === own ? 1 : 0}\n`));
    const {stdout} = await cli(elsewhere, 'status');
    assert.match(stdout, new RegExp(`stands by for sink \\w+: .*process ${first.pid} .* writes into it`));

    // The first one hangs with work in hand; the other one has both. Commands would ask the one that hangs as well.
    const taking = await connectTo(placesOf({root, roles: ['ingest']}).controlSocket);
    const send = async (from: number, to: number) => {
      const events = Array.from({length: to - from}, (_, index) => from + index).map((n) => ({
        event_id: `s${n}`,
        timestamp: new Date(Date.UTC(2026, 0, 5, 12) + n * 1000).toISOString(),
        color: colors[n % 3],
        amount: n / 100,
      }));
      await taking!.post('/v1/events/shop/sale', events as unknown as Record<string, unknown>);
    };
    await send(1300, 2000);
    first.kill('SIGSTOP');
    await until(async () => (await heldBy(elsewhere)).length === 2, 'it took over');
    await send(2000, 2400);
    await bothBecome(2400);
    first.kill('SIGCONT');
    await first.says(/stands by for sink (rows|db): .*, process \d+ \(/);
    second.kill('SIGTERM');
    assert.equal((await second.ended).code, 0);
    await until(async () => (await heldBy(root)).length === 2, 'it has both back');
    await send(2400, 2500);
    await bothBecome(2500);
    await becomes(2500);
  });

  test('a query is made anew, changed and taken back where the engine runs: rows are compared in topics, the plan is that of the files, sinks follow', async () => {
    const isApplied = async () => assert.match(await done('plan'), /^no changes /);
    const columns = async () =>
      (
        await postgres.sql(
          "SELECT column_name FROM information_schema.columns WHERE table_schema = 'shop' AND table_name = 'per_day'",
        )
      ).flat();
    /** What a command says of what it does goes to stderr. */
    const told = async (...argv: string[]) => {
      const {code, stdout, stderr} = await cli(root, ...argv);
      assert.equal(code, 0, stdout + stderr);
      return stdout + stderr;
    };
    await isApplied();
    const rebuilt = await told('rebuild', 'shop.per_day');
    assert.match(rebuilt, /all 3 rows are the same in shop.per_day__r1 and shop.per_day__r2\n/);
    await isApplied();
    const path = join(root, 'config/domains/shop.yaml');
    const before = files()['config/domains/shop.yaml'];
    writeFileSync(path, before.replace('sum(amount)}', 'sum(amount), top: max(amount)}'));
    const applied = await told('apply', '--yes');
    assert.match(
      applied,
      /measures\.top[\s\S]*all 3 rows are the same in shop.per_day__r2 and shop.per_day__r3\n/,
    );
    assert.doesNotMatch(applied, /sinks:/);
    await isApplied();
    await until(async () => (await columns()).includes('top_cents'), 'the view shows it');
    const tops = await postgres.sql('SELECT top_cents FROM shop.per_day ORDER BY top_cents');
    assert.deepEqual(tops.flat().map(Number), [2497, 2498, 2499]);
    await done('apply', '--rollback');
    await until(async () => !(await columns()).includes('top_cents'), 'the view is back');
    writeFileSync(path, before);
    await isApplied();
  });

  test('each says by /readyz that it runs; a second ingest in another directory stands by, and takes events when the first has ended', async () => {
    const addressOf = async (of: string, role: Role): Promise<string> => {
      const control = await connectTo(placesOf({root: of, roles: [role]}).controlSocket);
      return ((await control!.get('/v1/status')) as {url: string}).url;
    };
    for (const role of running.keys()) {
      const answer = await fetch(`${await addressOf(root, role)}/readyz`);
      assert.deepEqual([answer.status, await answer.text()], [200, 'ok\n']);
    }
    const elsewhere = makeRoot(files());
    const second = start(elsewhere, ['run', '--only', 'ingest'], undefined, 300_000);
    const first = running.get('ingest')!;
    running.set('ingest', second);
    after(() => first.kill('SIGKILL'));
    await second.says(/stands by: .* holds the lease of group roles\.ingest/);
    await second.says(/ running /);
    const send = async () => {
      const response = await fetch(`${await addressOf(elsewhere, 'ingest')}/v1/events/shop/sale`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${readFileSync(placesOf({root: elsewhere, roles: ['ingest']}).token, 'utf8').trim()}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({event_id: 's0', timestamp: '2026-01-05T12:00:00Z', color: 'red', amount: 0}),
      });
      const {error, duplicate} = (await response.json()) as {error?: {code: string}; duplicate?: number};
      return [response.status, error?.code ?? duplicate, Number(response.headers.get('retry-after')) >= 1];
    };
    assert.deepEqual(await send(), [503, 'LOG_STANDBY', true]);
    const ready = await fetch(`${await addressOf(elsewhere, 'ingest')}/readyz`);
    assert.equal(ready.status, 503, 'who shares requests out sends none here');
    assert.match(await ready.text(), /^standby: .* appends events to these topics\n$/);
    const {stdout} = await cli(elsewhere, 'status');
    assert.match(stdout, /takes no events and stands by: .* appends events to these topics/);
    first.kill('SIGINT');
    assert.equal((await first.ended).code, 0);
    // What the one that ended had counted is there, beside what the engine says.
    const {ingest: counted, query: read, balanced} = JSON.parse(await done('ledger', '--json'));
    assert.equal(sumOf(counted, 'appended'), 2500);
    assert.equal(read.length > 0 && balanced, true);
    let answer = await send();
    for (let tries = 0; answer[0] === 503 && tries < 600; tries++) {
      await wait(100);
      answer = await send();
    }
    // It knows what the first one had brought.
    assert.deepEqual(answer, [200, 1, false]);
    assert.equal((await fetch(`${await addressOf(elsewhere, 'ingest')}/readyz`)).status, 200);
  });

  test('each of them drains and ends; others see in Kafka that nothing is left', async () => {
    for (const child of running.values()) child.kill('SIGINT');
    for (const child of running.values()) {
      const {code, stderr} = await child.ended;
      assert.equal(code, 0, stderr);
    }
    assert.deepEqual(await rows(), expected(2500));
    const {ingest: counted, query: read, balanced} = JSON.parse(await done('ledger', '--json'));
    assert.deepEqual([sumOf(counted, 'appended'), sumOf(read, 'read'), balanced], [2500, 2500, true]);
    const client = new KafkaClient(kafkaSettings(kafka));
    await client.refreshMetadata();
    const shown = await fetchOffsets(client, 'roles.shop.per_day', 'shop.sale', 2);
    const ends = new Map<number, number>();
    await listOffsets(client, shown, 'end', ({partition}, offset) => ends.set(partition, offset));
    client.close();
    assert.deepEqual(new Map(shown.map(({partition, offset}) => [partition, offset])), ends);
    assert.equal(ends.size, 2);
    const elsewhere = await cli(makeRoot(files()), 'ledger');
    assert.equal(elsewhere.code, 4);
    assert.match(elsewhere.stderr, /no process of this platform has counted anything here[\s\S]*ask where/);
  });
});
