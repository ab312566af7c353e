/** Three processes of one platform that meet in Kafka alone: ingest, engine, sinks; each of them is killed and started again. */
import assert from 'node:assert/strict';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {after, before, suite, test} from 'node:test';
import {setTimeout as wait} from 'node:timers/promises';
import {type Kafka, startKafka} from '../../src/cluster/kafka.ts';
import {KafkaClient} from '../../src/log/kafka/client.ts';
import {fetchOffsets} from '../../src/log/kafka/group-offsets.ts';
import {listOffsets} from '../../src/log/kafka/offsets.ts';
import type {Role} from '../../src/model/roles.ts';
import {connectTo} from '../../src/platform/control.ts';
import {placesOf} from '../../src/platform/places.ts';
import {readLatest} from '../../src/sinks/file/read.ts';
import {skipWithout} from '../cluster/needs.ts';
import {type Child, start} from '../faults/process.ts';
import {cli, makeRoot} from '../support/cli.ts';
import {kafkaSettings} from '../support/rows.ts';

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

suite('processes of a platform', skipWithout('java', 'mvn'), () => {
  let kafka: Kafka;
  let root: string;
  const running = new Map<Role, Child>();
  const files = () => ({
    'config/platform.yaml': `platform: shop
sinks: {rows: {backend: file}}
defaults: {aggregates: rows, raw: none}
server: {port: 0}
log: {backend: kafka, kafka: {brokers: ["${kafka.brokers[0]}"], client_id: roles, topics: {partitions: 2, replication: 1}}}
`,
    'config/domains/shop.yaml': domain,
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
    kafka = await startKafka();
    root = makeRoot(files());
    await Promise.all([up('ingest'), up('engine'), up('sinks')]);
  });
  after(async () => {
    for (const child of running.values()) child.kill('SIGKILL');
    await kafka?.stop();
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
    assert.equal(sumOf(counted, 'appended'), 1200);
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
    assert.deepEqual(await rows(), expected(1200));
    const {ingest: counted, query: read, balanced} = JSON.parse(await done('ledger', '--json'));
    assert.deepEqual([sumOf(counted, 'appended'), sumOf(read, 'read'), balanced], [1200, 1200, true]);
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
