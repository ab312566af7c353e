/**
 * A platform on real servers, with something between it and each of them that can fail, under the load of a sender that
 * remembers what was acknowledged. Sums over what was sent are kept beside the platform: they are what the databases must say.
 */
import assert from 'node:assert/strict';
import {mkdtempSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setTimeout as wait} from 'node:timers/promises';
import {freePorts} from '../../src/cluster/ports.ts';
import type {Bucket} from '../support/bucket.ts';
import {cli, makeRoot} from '../support/cli.ts';
import {type TestServer as ClickHouse, clickHouseServer, user} from '../support/clickhouse.ts';
import {KafkaRig} from '../support/kafka-writer.ts';
import {type TestServer as PostgresServer, password, postgresServer} from '../support/postgres.ts';
import {addressOf, type FaultyProxy, startProxy} from '../support/proxy.ts';
import {type Child, type Fault, main, start} from './process.ts';
import {centsInSql, colors, type Sender, type Sums} from './sender.ts';

const domain = `domain: shop
event_types:
  - name: sale
    dimensions: [color]
    metrics: [{name: amount, type: money}]
aggregations:
  - name: per_minute
    from: sale
    window: {type: tumbling, size: 1m}
    group_by: [color]
    measures: {sold: count(), revenue: sum(amount)}
    watermark: 1h
    sinks: [analytics, records]
`;

/** A directory from which `millrace run` starts: one machine. */
export type Machine = {root: string; port: number; child: Child | undefined};

export class RealServers {
  readonly kafka: KafkaRig;
  readonly clickhouse: ClickHouse;
  readonly postgres: PostgresServer;
  /** Before ClickHouse and PostgreSQL. */
  readonly fronts: {clickhouse: FaultyProxy; postgres: FaultyProxy};
  readonly machines: Machine[] = [];
  readonly #state = mkdtempSync(join(tmpdir(), 'millrace-real-'));
  /** Checkpoints are there, and else in a directory that machines share. */
  readonly #bucket: Bucket | undefined;

  private constructor(
    kafka: KafkaRig,
    clickhouse: ClickHouse,
    postgres: PostgresServer,
    {fronts, bucket}: {fronts: RealServers['fronts']; bucket: Bucket | undefined},
  ) {
    this.kafka = kafka;
    this.clickhouse = clickhouse;
    this.postgres = postgres;
    this.fronts = fronts;
    this.#bucket = bucket;
  }

  /** @param bucket where checkpoints are, so that machines share nothing but servers; it is stopped by whoever started it */
  static async start(brokers: 1 | 3, {bucket}: {bucket?: Bucket} = {}): Promise<RealServers> {
    const properties: Record<string, string> = brokers === 3 ? {'min.insync.replicas': '2'} : {};
    const [kafka, clickhouse, postgres] = await Promise.all([
      KafkaRig.start({brokers, properties}),
      clickHouseServer({users: {[user]: password}}),
      postgresServer(),
    ]);
    const fronts = {
      clickhouse: await startProxy({to: addressOf(new URL(clickhouse.url).host)}),
      postgres: await startProxy({to: postgres}),
    };
    return new RealServers(kafka, clickhouse, postgres, {fronts, bucket});
  }

  /** A directory with the configuration. Machines share topics, tables and the place of checkpoints. */
  async machine(): Promise<Machine> {
    const [port] = (await freePorts(1)) as [number];
    const brokers = this.kafka.proxies.map((proxy) => `"127.0.0.1:${proxy.port}"`).join(', ');
    const {user: pgUser, database} = this.postgres;
    const {clickhouse, postgres} = this.fronts;
    const s3 = this.#bucket?.settings;
    const checkpoints = s3
      ? `s3://${s3.bucket}/real, s3: {endpoint: "${s3.endpoint}", access_key: "\${secret:s3_key}", secret_key: "\${secret:s3_secret}"}`
      : this.#state;
    const root = makeRoot({
      '.env': `ch=${password}\npg=${password}\ns3_key=${s3?.accessKey}\ns3_secret=${s3?.secretKey}\n`,
      'config/platform.yaml': `platform: real
server: {port: ${port}}
log:
  backend: kafka
  kafka:
    brokers: [${brokers}]
    client_id: real
    topics: {partitions: 3, replication: ${this.kafka.proxies.length}}
    spool: {after: 20s}
engine: {embedded: {checkpoint_interval: 100ms, flush: 20ms, lease: 2s, checkpoints: ${checkpoints}}}
sinks:
  analytics: {backend: clickhouse, clickhouse: {url: "http://127.0.0.1:${clickhouse.port}", username: ${user}, password: "\${secret:ch}"}}
  records: {backend: postgres, postgres: {url: "postgres://${pgUser}@127.0.0.1:${postgres.port}/${database}", password: "\${secret:pg}"}}
defaults: {aggregates: analytics, raw: records}
`,
      'config/domains/shop.yaml': domain,
    });
    const machine: Machine = {root, port, child: undefined};
    this.machines.push(machine);
    return machine;
  }

  /** Starts the platform on a machine. It is not waited for. */
  run(
    machine: Machine,
    options: {fault?: Fault; isStandby?: boolean; environment?: NodeJS.ProcessEnv} = {},
  ): Child {
    const {fault, isStandby = false, environment} = options;
    const args = isStandby ? ['run', '--standby'] : ['run'];
    machine.child = start(machine.root, args, fault, 4 * 3_600_000, main, environment);
    return machine.child;
  }

  /** Rows of a statement, asked past the proxy. */
  async clickHouse(text: string): Promise<unknown[][]> {
    const answer = await fetch(this.clickhouse.url, {
      method: 'POST',
      headers: {'x-clickhouse-user': user, 'x-clickhouse-key': password},
      body: `${text} FORMAT JSONCompact`,
    });
    const body = await answer.text();
    assert.equal(answer.status, 200, body);
    return (JSON.parse(body) as {data: unknown[][]}).data;
  }

  /** What both databases say, and the raw events. */
  async sums(): Promise<{analytics: Sums; records: Sums; raw: Sums}> {
    const text =
      'SELECT color, sum(sold), sum(revenue_cents) FROM shop.per_minute GROUP BY color ORDER BY color';
    const plain = (rows: unknown[][]): Sums =>
      rows.map(([color, sold, cents]) => [String(color), Number(sold), Number(cents)]);
    return {
      analytics: plain(await this.clickHouse(text)),
      records: plain(await this.postgres.sql(text)),
      // Every id once: an event that is there twice makes the sums differ from the count of ids.
      raw: plain(
        await this.postgres.sql(
          'SELECT color, count(DISTINCT event_id), sum(amount_cents) FROM shop.sale GROUP BY color ORDER BY color',
        ),
      ),
    };
  }

  /**
   * The numbers that a sender gave its events, compared with those that arrived: none is missing, none is there twice or without
   * having been sent, and each has the colour and the amount that it was sent with.
   */
  async arrived({name, sent}: Sender): Promise<void> {
    const [found] = await this.postgres.sql(`
      SELECT count(*), count(DISTINCT number), min(number), max(number),
        count(*) FILTER (WHERE color <> (ARRAY['${colors.join("','")}'])[number % ${colors.length} + 1] OR amount_cents <> ${centsInSql})
      FROM (SELECT color, amount_cents, substring(event_id FROM '[0-9]+$')::bigint AS number FROM shop.sale WHERE event_id LIKE '${name}-%') AS arrived`);
    assert.equal(
      found?.join(', '),
      [sent, sent, 0, sent - 1, 0].join(', '),
      `events of ${name}: how many arrived, how many numbers, the least, the greatest, how many are not what was sent`,
    );
  }

  /** Waits until both databases say what was sent, and the books of the machine balance. */
  async becomes(expected: Sums, machine: Machine, ms = 60_000): Promise<void> {
    const untilMs = performance.now() + ms;
    for (;;) {
      const found = await this.sums().catch((error: Error) => error);
      const wanted = {analytics: expected, records: expected, raw: expected};
      if (JSON.stringify(found) === JSON.stringify(wanted)) break;
      if (performance.now() > untilMs) {
        const {stdout} = await cli(machine.root, 'status');
        assert.deepEqual(found, wanted, `${stdout}\n${machine.child?.stderr().slice(-3_000)}`);
      }
      await wait(200);
    }
    const count = expected.reduce((sum, [, sold]) => sum + sold, 0);
    for (;;) {
      const {code, stdout, stderr} = await cli(machine.root, 'ledger', '--json');
      const {ingest, query} = JSON.parse(stdout || '{"ingest":[],"query":[]}') as {
        ingest: {appended: number}[];
        query: {read: number; aggregated: number; duplicate: number}[];
      };
      const sum = (of: number[]) => of.reduce((total, each) => total + each, 0);
      const books = [sum(query.map(({read}) => read)), sum(query.map(({aggregated}) => aggregated)), code];
      // The books of queries are those of their last checkpoint.
      if (books[0] === count && books[1] === count && code === 0 && ingest.length > 0) return;
      if (performance.now() > untilMs) assert.deepEqual(books, [count, count, 0], `${stdout}${stderr}`);
      await wait(200);
    }
  }

  async stop(): Promise<void> {
    for (const {child} of this.machines) {
      child?.kill('SIGCONT');
      child?.kill('SIGKILL');
      await child?.ended;
    }
    for (const front of Object.values(this.fronts)) await front.close();
    await Promise.all([this.clickhouse.kill(), this.postgres.stop(), this.kafka.stop()]);
  }
}

/** Resolves when nothing that was acknowledged is on the machine alone, as far as it says. */
export async function shipped({root}: Machine): Promise<void> {
  for (const untilMs = performance.now() + 60_000; ; await wait(50)) {
    const {stdout} = await cli(root, 'status', '--json');
    const {spool} = JSON.parse(stdout) as {spool?: {isSpooling: boolean}};
    if (spool?.isSpooling === false) return;
    assert.ok(performance.now() < untilMs, stdout);
  }
}
