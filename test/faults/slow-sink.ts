/**
 * A platform of two domains whose ClickHouse can be made slow, and a sender that asks more of it than it can then take. What was
 * sent is summed up beside it.
 */
import assert from 'node:assert/strict';
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {request} from 'node:http';
import {join} from 'node:path';
import {setTimeout as wait} from 'node:timers/promises';
import {freePorts} from '../../src/cluster/ports.ts';
import {connectControl} from '../../src/platform/control.ts';
import type {PlatformStatus} from '../../src/platform/status.ts';
import {cli, makeRoot} from '../support/cli.ts';
import {type TestServer as ClickHouse, clickHouseServer, user} from '../support/clickhouse.ts';
import {KafkaRig} from '../support/kafka-writer.ts';
import {type TestServer as PostgresServer, password, postgresServer} from '../support/postgres.ts';
import {addressOf, type FaultyProxy, startProxy} from '../support/proxy.ts';
import {type Child, start} from './process.ts';

/** Every buyer buys once: `per_buyer` has as many rows as events. `both` goes to the slow sink and to another one. */
const shop = `domain: shop
event_types:
  - name: sale
    dimensions: [buyer, color]
    metrics: [{name: amount, type: money}]
defaults: {watermark: 1s}
aggregations:
  - {name: per_buyer, from: sale, window: {type: tumbling, size: 1s}, group_by: [buyer], measures: {sold: count(), revenue: sum(amount)}, sinks: [analytics]}
  - {name: per_color, from: sale, window: {type: tumbling, size: 1m}, group_by: [color], measures: {sold: count(), revenue: sum(amount)}, sinks: [records]}
  - {name: both, from: sale, window: {type: tumbling, size: 10s}, group_by: [color], measures: {sold: count(), revenue: sum(amount)}, sinks: [analytics, records]}
`;

const web = `domain: web
event_types:
  - name: view
    dimensions: [page]
    metrics: [{name: amount, type: money}]
aggregations:
  - {name: per_page, from: view, window: {type: tumbling, size: 1m}, group_by: [page], measures: {sold: count(), revenue: sum(amount)}, watermark: 1s, sinks: [records]}
`;

/** Events and cents. */
export type Sum = [events: number, cents: number];
export type Sums = {sale: Sum; view: Sum};

export class SlowSink {
  readonly root: string;
  readonly port: number;
  child: Child;
  readonly clickhouse: ClickHouse;
  readonly postgres: PostgresServer;
  /** Before ClickHouse. */
  readonly proxy: FaultyProxy;
  readonly #kafka: KafkaRig | undefined;

  private constructor(
    root: string,
    port: number,
    clickhouse: ClickHouse,
    postgres: PostgresServer,
    proxy: FaultyProxy,
    kafka: KafkaRig | undefined,
  ) {
    this.root = root;
    this.port = port;
    this.clickhouse = clickhouse;
    this.postgres = postgres;
    this.proxy = proxy;
    this.#kafka = kafka;
    this.child = this.#run();
  }

  /** @param memory what a query may take: `limits.memory` */
  static async start({log, memory}: {log: 'embedded' | 'kafka'; memory: string}): Promise<SlowSink> {
    const [kafka, clickhouse, postgres] = await Promise.all([
      log === 'kafka' ? KafkaRig.start({brokers: 1}) : undefined,
      clickHouseServer({users: {[user]: password}}),
      postgresServer(),
    ]);
    const proxy = await startProxy({to: addressOf(new URL(clickhouse.url).host)});
    const [port] = (await freePorts(1)) as [number];
    const {user: pgUser, database, host, port: pgPort} = postgres;
    const kafkaLog = `{backend: kafka, kafka: {brokers: ["127.0.0.1:${kafka?.proxy.port}"], client_id: press, topics: {partitions: 2, replication: 1}}}`;
    const root = makeRoot({
      '.env': `password=${password}\n`,
      'config/platform.yaml': `platform: press
server: {port: ${port}}
log: ${kafka ? kafkaLog : '{backend: embedded}'}
sinks:
  analytics: {backend: clickhouse, clickhouse: {url: "http://127.0.0.1:${proxy.port}", username: ${user}, password: "\${secret:password}", request_timeout: 5s}}
  records: {backend: postgres, postgres: {url: "postgres://${pgUser}@${host}:${pgPort}/${database}", password: "\${secret:password}"}}
defaults: {aggregates: analytics, raw: records, limits: {memory: ${memory}}}
`,
      'config/domains/shop.yaml': shop,
      'config/domains/web.yaml': web,
    });
    return new SlowSink(root, port, clickhouse, postgres, proxy, kafka);
  }

  #run(): Child {
    return start(this.root, ['run'], undefined, 3_600_000);
  }

  /** kill -9 of the platform, which is then started again. */
  async killAndStart(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.child.ended;
    this.child = this.#run();
  }

  /** Whether it is ready. */
  async isReady(): Promise<boolean> {
    const asked = fetch(`http://127.0.0.1:${this.port}/readyz`);
    return asked.then(
      ({ok}) => ok,
      () => false,
    );
  }

  /** What the platform says of itself. */
  async status(): Promise<PlatformStatus> {
    const control = await connectControl(this.root);
    assert.ok(control, this.child.stderr());
    return control.get<PlatformStatus>('/v1/status');
  }

  /** A metric by its labels, as Prometheus would read it. */
  async metric(name: string): Promise<Map<string, number>> {
    const text = await (await fetch(`http://127.0.0.1:${this.port}/metrics`)).text();
    const lines = text.matchAll(new RegExp(`^${name}\\{(.*)\\} (\\S+)$`, 'gm'));
    return new Map([...lines].map(([, labels, value]) => [labels!, Number(value)]));
  }

  /** Resident memory of the platform's process, MiB, and its open files. */
  process(): {rssMiB: number; descriptors: number} {
    const kib = Number(
      /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.child.pid}/status`, 'utf8'))?.[1] ?? 0,
    );
    return {
      rssMiB: Math.round(kib / 1024),
      descriptors: readdirSync(`/proc/${this.child.pid}/fd`).length,
    };
  }

  /** Events and cents of a table, asked past the proxy. @param sink where */
  async sum(sink: 'analytics' | 'records', table: string): Promise<Sum> {
    const isRaw = /\.(sale|view)$/.test(table);
    // Every id once: an event that is there twice makes the sums differ from the count of ids.
    const events = isRaw ? 'count(DISTINCT event_id)' : 'sum(sold)';
    const sql = `SELECT ${events}, sum(${isRaw ? 'amount' : 'revenue'}_cents) FROM ${table}`;
    if (sink === 'records') return pair((await this.postgres.sql(sql))[0]!);
    const answer = await fetch(this.clickhouse.url, {
      method: 'POST',
      headers: {'x-clickhouse-user': user, 'x-clickhouse-key': password},
      body: `${sql} FORMAT JSONCompact`,
    });
    const body = await answer.text();
    assert.equal(answer.status, 200, body);
    return pair((JSON.parse(body) as {data: unknown[][]}).data[0]!);
  }

  /** Waits until a table says what was sent. */
  async becomes(sink: 'analytics' | 'records', table: string, expected: Sum, ms: number): Promise<void> {
    const untilMs = performance.now() + ms;
    for (;;) {
      const found = await this.sum(sink, table);
      if (String(found) === String(expected)) return;
      if (performance.now() > untilMs) {
        const {stdout} = await cli(this.root, 'status');
        assert.deepEqual(
          found,
          expected,
          `${table} in ${sink}\n${stdout}\n${this.child.stderr().slice(-2_000)}`,
        );
      }
      await wait(250);
    }
  }

  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.child.ended;
    await this.proxy.close();
    await Promise.all([this.clickhouse.kill(), this.postgres.stop(), this.#kafka?.stop()]);
  }
}

const pair = ([events, cents]: unknown[]): Sum => [Number(events), Number(cents)];

const batchSize = 200;
const colors = ['blue', 'green', 'red'];

/** Sends sales and, a tenth as many, views, each batch until it is acknowledged. */
export class TwoSenders {
  readonly #world: SlowSink;
  readonly #sums: Sums = {sale: [0, 0], view: [0, 0]};
  #next = 0;
  #isStopped = false;
  #work: Promise<unknown> = Promise.resolve();

  constructor(world: SlowSink) {
    this.#world = world;
  }

  /** What was acknowledged so far. */
  get sums(): Sums {
    return structuredClone(this.#sums);
  }

  begin(perSecond: number): void {
    this.#work = Promise.all([this.#lane('sale', perSecond), this.#lane('view', perSecond / 10)]);
  }

  /** Sends so many sales as fast as they are taken. */
  async burst(events: number): Promise<void> {
    for (let sent = 0; sent < events; sent += batchSize) await this.#batch('sale');
  }

  /** Begins nothing any more; resolves when all that was sent is acknowledged. */
  async end(): Promise<Sums> {
    this.#isStopped = true;
    await this.#work;
    return this.sums;
  }

  async #lane(kind: keyof Sums, perSecond: number): Promise<void> {
    const stepMs = (batchSize * 1_000) / perSecond;
    let dueMs = performance.now();
    while (!this.#isStopped) {
      dueMs = Math.max(dueMs + stepMs, performance.now());
      await this.#batch(kind);
      await wait(Math.max(0, dueMs - performance.now()));
    }
  }

  async #batch(kind: keyof Sums): Promise<void> {
    const lines: string[] = [];
    let sum = 0;
    for (let left = batchSize; left > 0; left--) {
      const number = this.#next++;
      const cents = (number * 7) % 10_000;
      sum += cents;
      const names =
        kind === 'sale'
          ? {buyer: `b${number}`, color: colors[number % colors.length]}
          : {page: `p${number % 10}`};
      lines.push(
        JSON.stringify({event_id: `e${number}`, timestamp: Date.now(), ...names, amount: cents / 100}),
      );
    }
    const path = kind === 'sale' ? '/v1/events/shop/sale' : '/v1/events/web/view';
    while (!(await this.#post(path, lines.join('\n')))) await wait(100);
    this.#sums[kind][0] += batchSize;
    this.#sums[kind][1] += sum;
  }

  /** @returns whether it was acknowledged; a platform that is too busy says so */
  #post(path: string, body: string): Promise<boolean> {
    const file = join(this.#world.root, '.millrace/token');
    const token = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
    const headers = {authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson'};
    return new Promise((resolve, reject) => {
      const asked = request(
        {host: '127.0.0.1', port: this.#world.port, method: 'POST', path, headers},
        (answer) => {
          answer.resume();
          answer.once('error', () => resolve(false));
          answer.once('end', () =>
            [200, 401, 429, 503].includes(answer.statusCode!)
              ? resolve(answer.statusCode === 200)
              : reject(new Error(`an answer of ${answer.statusCode}`)),
          );
        },
      );
      asked.once('error', () => resolve(false));
      asked.end(body);
    });
  }
}
