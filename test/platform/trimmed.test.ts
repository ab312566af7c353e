/** Retention passes queries that stand still: one that says so is filled from the raw table by itself, the others stop. */
import assert from 'node:assert/strict';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {after, describe, test} from 'node:test';
import {logEnds} from '../../src/platform/change-fill.ts';
import {refillRunning} from '../../src/platform/rebuild.ts';
import {readRevisions} from '../../src/platform/revisions.ts';
import type {RunningPlatform} from '../../src/platform/runtime.ts';
import {readLatest} from '../../src/sinks/file/read.ts';
import {runUntilIdle} from '../faults/process.ts';
import {cli, makeRoot} from '../support/cli.ts';
import {type Started, startIn} from '../support/running.ts';
import {until} from '../support/until.ts';

const platformYaml = `platform: shop
log: {embedded: {partitions: 1, retention: 30d}}
engine: {embedded: {workers: 1, checkpoint_interval: 60ms, flush: 10ms}}
sinks:
  rows: {backend: file, file: {dir: .millrace/rows}}
  records: {backend: file, file: {dir: .millrace/records}}
defaults: {aggregates: rows, raw: records, watermark: 1m, correct_for: 10m}
server: {port: 0}
`;
const aggregation = (name: string, more = '') => `  - name: ${name}
    from: purchase
    window: {type: tumbling, size: 1h}
    group_by: [country]
    measures: {orders: count(), revenue: sum(amount)}
${more}`;
const shopYaml = `domain: shop
event_types:
  - {name: purchase, key: user, attributes: [user], dimensions: [country], metrics: [{name: amount, type: money}]}
inputs:
  - {name: purchases, event_type: purchase, format: csv, order_by: none, map: {event_id: id}}
aggregations:
${aggregation('filled', '    on_trimmed: archive\n')}${aggregation('stopped')}${aggregation('beside')}`;

/** A minute apart, one cent each more than the one before. */
const csvOf = (from: number, to: number): string => {
  const lines = ['id,timestamp,user,country,amount'];
  for (let row = from; row < to; row++) {
    const time = new Date(Date.UTC(2026, 0, 5) + row * 60_000).toISOString();
    lines.push(`id-${row},${time},u${row % 7},${['DE', 'FR'][row % 2]},${(row / 100).toFixed(2)}`);
  }
  return `${lines.join('\n')}\n`;
};
/** Rows of `filled` over all events up to a number, `[window, country, orders, cents]`, by hand. */
const wanted = (to: number): string[] => {
  const groups = new Map<string, {orders: number; cents: number}>();
  for (let row = 0; row < to; row++) {
    const key = JSON.stringify([
      Date.UTC(2026, 0, 5) + Math.floor(row / 60) * 3_600_000,
      ['DE', 'FR'][row % 2],
    ]);
    const {orders, cents} = groups.get(key) ?? {orders: 0, cents: 0};
    groups.set(key, {orders: orders + 1, cents: cents + row});
  }
  return [...groups].map(([key, {orders, cents}]) => `${key} ${orders} ${cents}`).sort();
};

describe('retention passes a query', () => {
  const root = makeRoot({'config/platform.yaml': platformYaml, 'config/domains/shop.yaml': shopYaml});
  const edit = (file: string, from: string, to: string) => {
    const path = join(root, 'config', file);
    const before = readFileSync(path, 'utf8');
    assert.ok(before.includes(from), from);
    writeFileSync(path, before.replace(from, to));
  };
  const revisionOf = (query: string) =>
    readRevisions(join(root, '.millrace/state/revisions.json'))[query]?.current ?? 1;
  const shown = async () => {
    const found = await readLatest(
      join(root, '.millrace/rows'),
      `shop.filled__r${revisionOf('shop.filled')}`,
    );
    return (found?.rows ?? [])
      .map(({window_start: start, country, orders, revenue_cents: cents}) => {
        const window = typeof start === 'number' ? start : Date.parse(String(start));
        return `${JSON.stringify([window, country])} ${orders} ${cents}`;
      })
      .sort();
  };

  let running: RunningPlatform | undefined;
  let told: Started['told'] = [];
  const begin = async () => {
    ({running, told} = await startIn(root));
    return running;
  };
  const end = async () => {
    await running?.drain(100);
    running = undefined;
  };
  after(end);
  const statusOf = (query: string) => running!.status().queries.find((each) => each.query === query);
  const logged = (pattern: RegExp) =>
    told.filter(({name, event}) => name === 'Log' && pattern.test(String(event.message)));
  const append = async (from: number, to: number) => {
    const path = join(root, `${from}.csv`);
    writeFileSync(path, csvOf(from, to));
    const job = {domain: 'shop', input: 'purchases', path, as: null, fast: true, late: true, final: false};
    await running!.inputs.ingest(job, () => {});
  };
  const readTo = (to: number) =>
    running!.status().queries.every(({positions}) => positions?.every(({offset}) => offset >= to));
  /** Queries stand still while events come; then the log has none of them. @param inRaw whether the raw table has them */
  const pass = async (from: number, to: number, inRaw: boolean) => {
    const {engine, ingest, outputs, dirs} = running!;
    await until(() => statusOf('shop.filled')?.positions !== undefined, 'the start');
    const queries = ['shop.filled', 'shop.stopped'].filter((query) => statusOf(query)?.state === 'running');
    for (const query of queries) engine.steer(query).pause();
    await until(() => queries.every((query) => statusOf(query)?.state === 'paused'), 'the pause');
    await append(from, to);
    const [{offset} = {offset: 0}] = await logEnds(dirs.source, engine.plan('shop.filled')!);
    assert.equal(offset, to);
    if (inRaw)
      await until(async () => {
        const [{offsets} = {}] = await outputs.raw.offsets();
        return (offsets?.[0] ?? 0) >= to;
      }, 'raw events');
    await until(
      () =>
        engine
          .steer('shop.beside')
          .status()
          ?.positions?.every((place) => place.offset >= to),
      'what goes on',
    );
    const limits = {beforeMs: Date.now() + 1e6, belowOffset: 1e9};
    while ((await ingest.trim('shop.purchase', 0, limits)) > 0);
  };

  test('while it runs: without the setting it stops with the range, with it it waits for its turn and has all events', async () => {
    const {engine} = await begin();
    await append(0, 300);
    await until(() => readTo(300), 'the first events');
    await pass(300, 360, true);
    const other = refillRunning(
      running!,
      {query: 'shop.beside', why: 'backfill', archive: true},
      {yes: true, lagMaxMs: 5_000, signal: AbortSignal.timeout(120_000)},
    );
    await other.next();
    for (const query of ['shop.filled', 'shop.stopped']) engine.steer(query).resume();
    await until(() => statusOf('shop.stopped')?.state === 'stopped', 'the stop');
    await until(() => statusOf('shop.filled')?.reason?.code === 'LOG_TRIMMED', 'the other stop');
    const {state, reason} = statusOf('shop.filled')!;
    assert.equal(state, 'paused');
    assert.match(reason!.message, /offsets 300 to 359 were deleted by retention; it waits to be filled/);
    assert.equal(logged(/on_trimmed/).length, 0, 'one change at a time');
    for await (const _ of other);
    await until(() => revisionOf('shop.filled') > 1, 'the new revision');
    await until(() => statusOf('shop.filled')?.state === 'running', 'the query');
    await until(() => statusOf('shop.stopped')?.state === 'stopped', 'the stop after the start');
    const end =
      /^shop\.filled goes on as revision 2: 360 events read, 360 events from the raw table for 360 offsets/;
    await until(() => logged(end).length === 1, 'what is told at the end');
    const stop = statusOf('shop.stopped')!.reason!;
    assert.equal(stop.code, 'LOG_TRIMMED');
    assert.match(stop.message, /^shop\.purchase partition 0: offsets 300 to 359 were deleted by retention$/);
    assert.equal(revisionOf('shop.stopped'), 1);
    assert.deepEqual(await shown(), wanted(360));
    assert.equal(logged(/shop\.filled: .*offsets 300 to 359 were .*; on_trimmed: archive fills/).length, 1);
    await append(360, 380);
    await until(() => {
      const status = engine.steer('shop.filled').status();
      return status?.isClean && status.positions?.every(({offset}) => offset >= 380);
    }, 'the rest');
    assert.deepEqual(await shown(), wanted(380), 'it goes on with the log');
  });

  test('at a start, killed before the switch: it goes on by itself; not with a raw table that lacks rows in its middle', async () => {
    await pass(380, 420, true);
    await end();
    const before = revisionOf('shop.filled');
    const raw = join(root, '.millrace/records/shop/purchase.jsonl');
    const rows = readFileSync(raw, 'utf8');
    const isDeleted = (row: string) => /"_offset":1[2-4]\d\b/.test(row);
    writeFileSync(
      raw,
      rows
        .split('\n')
        .filter((row) => !isDeleted(row))
        .join('\n'),
    );
    const lacking = await runUntilIdle(root);
    assert.equal(lacking.code, 1, lacking.stderr);
    assert.match(
      lacking.stderr,
      /shop\.filled stays stopped: ARCHIVE_MISSING offsets 120 to 149 of shop\.purchase partition 0 are neither in the raw table/,
    );
    assert.equal(revisionOf('shop.filled'), before);
    writeFileSync(raw, rows);
    const cut = await runUntilIdle(root, {failpoint: 'change.before-switching', count: 1});
    assert.ok(cut.killed, cut.stderr);
    assert.equal(revisionOf('shop.filled'), before);
    const {code, stderr} = await runUntilIdle(root);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /query shop\.stopped stopped: LOG_TRIMMED/);
    assert.match(
      stderr,
      /shop\.filled goes on as revision \d+: 420 events read, 420 events from the raw table/,
    );
    assert.match(stderr, /1 query stopped/);
    assert.deepEqual(await shown(), wanted(420));
  });

  test('what neither the raw table nor the log has is a stop that names it, once; nothing is switched', async () => {
    edit('domains/shop.yaml', 'on_trimmed: archive', 'on_trimmed: stop');
    const planned = await cli(root, 'plan');
    assert.equal(planned.code, 3, planned.stderr);
    assert.match(planned.stdout, /query shop\.filled\s+safe[\s\S]*on_trimmed: [^\n]*archive[^\n]*stop/);
    edit('platform.yaml', 'raw: records', 'raw: none');
    await begin();
    await pass(420, 450, false);
    await end();
    edit('platform.yaml', 'raw: none', 'raw: records');
    edit('domains/shop.yaml', 'on_trimmed: stop', 'on_trimmed: archive');
    edit('domains/shop.yaml', aggregation('stopped'), aggregation('stopped', '    on_trimmed: archive\n'));
    const before = revisionOf('shop.filled');
    await begin();
    for (const query of ['shop.filled', 'shop.stopped'])
      await until(() => statusOf(query)?.state === 'stopped', `the stop of ${query}`);
    const {reason} = statusOf('shop.filled')!;
    assert.equal(reason!.code, 'LOG_TRIMMED');
    assert.match(
      reason!.message,
      /offsets 420 to 449 were .*; not filled from the raw table: ARCHIVE_MISSING offsets 420 to 449 of shop\.purchase partition 0 are neither/,
    );
    assert.match(reason!.hint!, /backfill shop\.filled --from archive/);
    for (const pattern of [/shop\.filled stays stopped/, /shop\.stopped stays stopped/])
      assert.equal(logged(pattern).length, 1, 'together, then each by itself');
    // Only a stop that follows is looked at again.
    const stops = () =>
      told.filter(({name, event}) => name === 'QueryStopped' && event.query === 'filled').length;
    await running!.engine.resume('shop.filled');
    await until(() => stops() === 2 && statusOf('shop.filled')?.state === 'stopped', 'the second stop');
    assert.equal(logged(/shop\.filled stays stopped/).length, 2);
    assert.equal(revisionOf('shop.filled'), before);
  });
});
