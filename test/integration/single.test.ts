/**
 * The size `single` as a user has it: the example platform with its own files on Kafka, ClickHouse's interface and PostgreSQL, which
 * `millrace up` starts. Only ports, and how many flights there are, differ from the repository's files.
 */
import assert from 'node:assert/strict';
import {cpSync, existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {after, before, suite, test} from 'node:test';
import {setTimeout as wait} from 'node:timers/promises';
import {freePorts} from '../../src/cluster/ports.ts';
import {openFile} from '../../src/ingest/open.ts';
import {skipWithout} from '../cluster/needs.ts';
import {type Child, start} from '../faults/process.ts';
import {cli, makeRoot, writeFiles} from '../support/cli.ts';
import {until} from '../support/until.ts';

const repository = join(import.meta.dirname, '../..');
const flights = 5_000;
const fileSales = 1_000;
const httpSales = 300;

/** Beside the example's own domains: late events are set aside, and one row is bad. */
const shop = `domain: shop
event_types:
  - name: sale
    key: buyer
    attributes: [buyer]
    dimensions: [country]
    metrics: [{name: amount, type: money}]
inputs:
  - {name: sales, event_type: sale, from: ../../data/sales.csv}
aggregations:
  - name: per_day
    from: sale
    window: {type: tumbling, size: 1d}
    group_by: [country]
    measures: {sold: count(), revenue: sum(amount)}
    watermark: 1m
    late: topic
`;
const startMs = Date.UTC(2026, 0, 31, 6);
const saleAt = (n: number, at = startMs + n * 10_000) => ({
  timestamp: new Date(at).toISOString(),
  buyer: `b${n % 50}`,
  country: ['DE', 'FR', 'US'][n % 3]!,
  amount: n === 500 ? 'much' : `${n % 90}.50`,
});

/** The first flights of the file. */
async function firstFlights(): Promise<string> {
  const {chunks} = await openFile(join(repository, 'data', 'flights.csv.zip'));
  let text = '';
  let lines = 0;
  for await (const chunk of chunks) {
    text += Buffer.from(chunk).toString('latin1');
    lines = text.split('\n').length;
    if (lines > flights + 2) break;
  }
  return `${text
    .split('\n')
    .slice(0, flights + 1)
    .join('\n')}\n`;
}

suite('the example platform on real servers', skipWithout('java', 'mvn', 'psql'), () => {
  const root = makeRoot();
  let child: Child | undefined;
  let port = 0;
  const run = (...argv: string[]) => cli(root, ...argv, '--env', 'single');
  const done = async (...argv: string[]) => {
    const {code, stdout, stderr} = await run(...argv);
    assert.equal(code, 0, `${argv.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };
  const json = async (...argv: string[]) => JSON.parse(await done(...argv, '--json'));
  const one = async (sql: string, ...more: string[]) =>
    Number(Object.values((await json('query', sql, ...more))[0])[0]);
  const becomes = async (wanted: number, what: () => Promise<number>) => {
    for (const endMs = performance.now() + 120_000; ; await wait(100)) {
      const now = await what().catch(() => Number.NaN);
      if (now === wanted) return;
      assert.ok(performance.now() < endMs, `${now}, not ${wanted}: ${child?.stderr().slice(-1_000)}`);
    }
  };
  const sold = () => one('SELECT sum(sold) FROM shop.per_day');
  const post = async (events: object[]) => {
    const token = readFileSync(join(root, '.millrace/token'), 'utf8').trim();
    const answer = await fetch(`http://127.0.0.1:${port}/v1/events/shop/sale`, {
      method: 'POST',
      headers: {authorization: `Bearer ${token}`, 'content-type': 'application/json'},
      body: JSON.stringify(events),
    });
    return {status: answer.status, ...((await answer.json()) as {appended: number; duplicate: number})};
  };

  before(async () => {
    cpSync(join(repository, 'config'), join(root, 'config'), {recursive: true});
    const at = (path: string) => join(root, 'config', path);
    const edit = (path: string, change: (text: string) => string) =>
      writeFileSync(at(path), change(readFileSync(at(path), 'utf8')));
    edit('domains/flights.yaml', (text) => text.replace('flights.csv.zip', 'flights.csv'));
    const ports = await freePorts(4);
    port = ports.pop()!;
    // `doctor` looks whether it is free.
    edit('platform.yaml', (text) => `${text}\nserver: {port: ${port}}\n`);
    edit('environments/single.yaml', (text) =>
      text.replaceAll(/:(9092|8123|5432)\b/g, () => `:${ports.pop()}`),
    );
    writeFiles(root, {
      'config/domains/shop.yaml': shop,
      'data/flights.csv': await firstFlights(),
      'data/sales.csv': `timestamp,buyer,country,amount\n${Array.from({length: fileSales}, (_, n) => Object.values(saleAt(n)).join(',')).join('\n')}\n`,
    });
    await done('up', '--write-env');
    child = start(root, ['run', '--env', 'single', '--port', String(port)], undefined, 600_000);
    await child.says(/ running /);
  });
  after(async () => {
    child?.kill('SIGKILL');
    await child?.ended;
    await cli(root, 'down', '--wipe');
  });

  test('files and HTTP events become rows in ClickHouse and raw events in PostgreSQL, each once', async () => {
    await becomes(fileSales - 1, sold);
    const events = Array.from({length: httpSales}, (_, n) => ({
      event_id: `http-${n}`,
      ...saleAt(fileSales + n),
    }));
    assert.equal((await post(events)).appended, httpSales);
    assert.equal((await post(events)).duplicate, httpSales);
    await becomes(fileSales - 1 + httpSales, sold);
    await becomes(fileSales - 1 + httpSales, () =>
      one('SELECT count(DISTINCT event_id) FROM shop.sale', '--sink', 'records'),
    );
    await becomes(flights, () => one('SELECT sum(departures) FROM flights.departures_per_day'));
    await becomes(flights, () => one('SELECT count(*) FROM flights.departure', '--sink', 'records'));
  });

  test('a dead letter is mended and replayed, a late event counted after all', async () => {
    const {letters} = await json('dlq', 'replay', 'shop', '--all', '--set', 'amount=5.00');
    assert.deepEqual(
      letters.map(({outcome}: {outcome: string}) => outcome),
      ['appended'],
    );
    // The first moves its own partition past the day; the others still hold the state of its windows.
    const tomorrow = {event_id: 'tomorrow', ...saleAt(7, startMs + 48 * 3_600_000)};
    const late = {event_id: 'late', ...saleAt(7, startMs + 1_000)};
    for (const event of [tomorrow, late]) assert.equal((await post([event])).appended, 1);
    const listed = async () => (await json('late', 'list', 'shop.per_day')).length;
    await until(async () => (await listed()) > 0, 'the late event');
    await becomes(fileSales + httpSales + 2, async () => {
      await run('late', 'replay', 'shop.per_day', '--all');
      return await sold();
    });
    assert.equal((await cli(root, 'dlq', 'replay', 'nothing', '--env', 'single')).code, 2);
  });

  test('a changed aggregation is applied beside what runs; its rows are those of all events', async () => {
    writeFiles(root, {
      'config/domains/shop.yaml': shop.replace(
        'revenue: sum(amount)}',
        'revenue: sum(amount), highest: max(amount)}',
      ),
    });
    assert.match(await done('apply', '--yes'), /~ query shop\.per_day {2}new revision/);
    assert.equal(await sold(), fileSales + httpSales + 2);
    assert.equal(await one('SELECT max(highest_cents) FROM shop.per_day'), 8_950);
  });

  test('it ends in good order; ledger, log and synthetic events are right, without a platform', async () => {
    child!.kill('SIGINT');
    const {code, stderr} = await child!.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /ledger balanced/);
    assert.equal((await json('ledger')).balanced, true);
    assert.match(await done('generate', 'ecommerce', '--verify'), /what became of them is what must/);
    assert.match(
      await done('doctor'),
      /brokers +Kafka cluster \S+, (\d+) of \1 topics of events\nok +rights +User:ANONYMOUS has those of a platform in one process[\s\S]*sink analytics clickhouse opens/,
    );
    assert.equal(await sold(), fileSales + httpSales + 2);
    const password = /POSTGRES_PASSWORD=(.*)/.exec(readFileSync(join(root, '.env'), 'utf8'))![1]!;
    assert.ok(!stderr.includes(password));
    // Checkpoints of the size dev belong to another log.
    assert.ok(!existsSync(join(root, '.millrace/state')));
  });
});
