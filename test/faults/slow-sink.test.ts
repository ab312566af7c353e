/**
 * A sink at 1 % of its speed: memory is bounded, its lag grows in the log and is seen, everything else goes on, and afterwards all
 * is there once, also when it was killed meanwhile. MILLRACE_SLOW_SECONDS=300 asks for five minutes of it, MILLRACE_SLOW_LOG=kafka for the log in Kafka.
 */
import assert from 'node:assert/strict';
import {suite, test} from 'node:test';
import {setTimeout as wait} from 'node:timers/promises';
import type {PlatformStatus} from '../../src/platform/status.ts';
import {skipWithout} from '../cluster/needs.ts';
import {cli} from '../support/cli.ts';
import {SlowSink, type Sum, TwoSenders} from './slow-sink.ts';

const seconds = Number(process.env.MILLRACE_SLOW_SECONDS ?? 15);
const log = process.env.MILLRACE_SLOW_LOG === 'kafka' ? 'kafka' : 'embedded';
const perSecond = 2_000;
/** So little that what waits would pass it in the short run; five minutes are to be caught up with in time, too. */
const memoryMiB = seconds > 60 ? 64 : 8;
/** Rows that are written before, at full speed. */
const burst = 20_000;
/** What a busy process may take more than before, MiB. */
const growthMax = 300;
const patienceMs = 180_000 + seconds * 2_000;

const slowTable = 'sink="analytics",table="shop.per_buyer__r1"';
const others: ['records', string, 'sale' | 'view'][] = [
  ['records', 'shop.per_color', 'sale'],
  ['records', 'shop.both', 'sale'],
  ['records', 'shop.sale', 'sale'],
  ['records', 'web.per_page', 'view'],
];

const queryOf = ({queries}: PlatformStatus, name: string) =>
  queries.find(({query}) => query === name) ?? assert.fail(`${name} is not in the status`);

async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + patienceMs;
  while (!(await done())) {
    assert.ok(performance.now() < untilMs, what);
    await wait(250);
  }
}

/** Rows and bytes a second of the slow table when nothing slows it. */
async function speedOf(world: SlowSink): Promise<{rows: number; bytes: number}> {
  const [rows, took] = await Promise.all(
    ['millrace_sink_rows_total', 'millrace_sink_write_seconds_sum'].map(
      async (name) => (await world.metric(name)).get(slowTable)!,
    ),
  );
  return {rows: rows! / took!, bytes: world.proxy.passedBytes / took!};
}

suite(
  `a sink at 1 % of its speed, log: ${log}`,
  skipWithout(...(log === 'kafka' ? ['java', 'mvn'] : [])),
  () => {
    test(`for ${seconds} s: it lags and is caught up with, nothing else does`, async (t) => {
      const world = await SlowSink.start({log, memory: `${memoryMiB}MiB`});
      t.after(() => world.stop());
      await until('it is ready', () => world.isReady());
      const sender = new TwoSenders(world);
      await sender.burst(burst);
      await world.becomes('analytics', 'shop.per_buyer', sender.sums.sale, patienceMs);
      const speed = await speedOf(world);
      const before = world.process();
      // A machine so quick that 1 % suffices for all that is sent would show nothing, and a very busy one would not end.
      const share = Math.min(Math.max(0.01, 50 / speed.rows), perSecond / 3 / speed.rows);
      world.proxy.throttle(share * speed.bytes);
      sender.begin(perSecond);

      const most = {rssMiB: 0, memoryBytes: 0, pending: 0, lagEvents: 0, lagSeconds: 0, otherLagSeconds: 0};
      const rssEach15s: number[] = [];
      const startMs = performance.now();
      let isHeld = false;
      const look = async () => {
        const status = await world.status();
        for (const {query, state, reason} of status.queries)
          assert.ok(state === 'running' || state === 'paused', `${query} ${state}: ${reason?.message}`);
        const slow = queryOf(status, 'shop.per_buyer');
        isHeld ||= slow.reason?.code === 'SINK_SLOW';
        const bump = (name: keyof typeof most, value: number) => {
          most[name] = Math.max(most[name], value);
        };
        const {rssMiB} = world.process();
        bump('rssMiB', rssMiB);
        if ((performance.now() - startMs) / 15_000 > rssEach15s.length) rssEach15s.push(rssMiB);
        for (const {memoryBytes} of status.queries) bump('memoryBytes', memoryBytes);
        for (const {pending} of status.deliveries) bump('pending', pending);
        bump('lagEvents', slow.lagEvents);
        bump('lagSeconds', slow.lagMs / 1_000);
        for (const {sink, lagMs} of [...status.deliveries, ...status.raw])
          if (sink !== 'analytics') bump('otherLagSeconds', lagMs / 1_000);
        return slow;
      };
      await until('reading waits for the slow sink, and its lag grows', async () => {
        const {lagEvents} = await look();
        return performance.now() - startMs > seconds * 1_000 && isHeld && lagEvents > perSecond;
      });

      // Everything that is acknowledged by now arrives elsewhere, while the sink is still slow.
      const soFar = sender.sums;
      for (const [sink, table, kind] of others)
        await until(`${table} in ${sink} keeps its pace`, async () => {
          await look();
          return (await world.sum(sink, table))[0] >= soFar[kind][0];
        });
      const inSlow = (await world.sum('analytics', 'shop.per_buyer'))[0];
      assert.ok(inSlow < soFar.sale[0], `${inSlow} of ${soFar.sale[0]} events are in the slow sink`);
      // It reads in between, when all that waited was taken.
      const shown = new Map<string, number | undefined>();
      await until('the lag is in the metrics', async () => {
        const labels = {query: 'query="shop.per_buyer"', sink: slowTable};
        for (const [over, unit] of [
          ['query', 'events'],
          ['query', 'seconds'],
          ['sink', 'events'],
          ['sink', 'seconds'],
        ] as const) {
          const name = over === 'query' ? `millrace_lag_${unit}` : `millrace_sink_lag_${unit}`;
          shown.set(name, (await world.metric(name)).get(labels[over]));
        }
        return [...shown.values()].every((value) => value !== undefined && value > 0);
      }).catch((error: Error) => assert.fail(`${error.message}: ${JSON.stringify([...shown])}`));

      // What a quick sink of a query has and a slow one has not is known to the checkpoint.
      await world.killAndStart();
      await until('it is ready again', () => world.isReady());
      const sentSlow = sender.sums.sale[0] - burst;
      world.proxy.throttle(undefined);
      const restoredMs = performance.now();
      const sums = await sender.end();
      await until('no lag is left', async () => {
        const {queries, deliveries, raw} = await world.status();
        return (
          queries.every((each) => each.lagEvents === 0 && each.state === 'running') &&
          deliveries.every((each) => each.lagEvents === 0 && each.pending === 0) &&
          raw.every((each) => each.lagEvents === 0)
        );
      });
      for (const [sink, table, kind] of others) await world.becomes(sink, table, sums[kind], patienceMs);
      for (const table of ['shop.per_buyer', 'shop.both'])
        await world.becomes('analytics', table, sums.sale, patienceMs);
      const backSeconds = (performance.now() - restoredMs) / 1_000;
      await becomesBalanced(world, sums.sale[0] * 3 + sums.view[0]);

      assert.ok(most.memoryBytes <= memoryMiB * 2 ** 20, `${most.memoryBytes} bytes of state`);
      assert.ok(
        most.rssMiB <= before.rssMiB + growthMax,
        `${before.rssMiB} MiB before, then ${most.rssMiB} MiB`,
      );
      const sum: Sum = sums.sale;
      t.diagnostic(
        JSON.stringify({
          ...most,
          rssEach15s,
          rssBefore: before.rssMiB,
          rowsPerSecond: speed.rows,
          share,
          slowSeconds: (restoredMs - startMs) / 1_000,
          sentSlow,
          sent: sum[0],
          backSeconds,
        }),
      );
    });
  },
);

/** Waits until the books say that every query has read what it should, and balance. */
async function becomesBalanced(world: SlowSink, read: number): Promise<void> {
  let said = '';
  await until('the ledger balances', async () => {
    const {code, stdout, stderr} = await cli(world.root, 'ledger', '--json');
    said = `${stdout}${stderr}`;
    const {query} = JSON.parse(stdout || '{"query":[]}') as {query: {read: number; aggregated: number}[]};
    const sum = (of: number[]) => of.reduce((total, each) => total + each, 0);
    // The books of queries are those of their last checkpoint.
    return (
      code === 0 &&
      sum(query.map((line) => line.read)) === read &&
      sum(query.map((line) => line.aggregated)) === read
    );
  }).catch((error: Error) => assert.fail(`${error.message}\n${said}`));
}
