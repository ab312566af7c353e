/** What the rows must be after changes were applied while events came in: those of the new definition over the whole log. */
import assert from 'node:assert/strict';
import {existsSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, describe, test} from 'node:test';
import {type ApplyLine, type ApplyOptions, applyRunning, rollBack} from '../../src/platform/apply.ts';
import {prune} from '../../src/platform/change-prune.ts';
import {planChanges} from '../../src/platform/plan.ts';
import {refillRunning} from '../../src/platform/rebuild.ts';
import {readRevisions} from '../../src/platform/revisions.ts';
import {type RunningPlatform, startPlatform} from '../../src/platform/runtime.ts';
import type {QueryStatus} from '../../src/process/types.ts';
import {until} from '../support/until.ts';
import {
  edit,
  loadWorld,
  purchasesCsv,
  shopYaml,
  type shownPlan,
  writeWorld,
  wrongRows,
} from './change-world.ts';

const options = (): ApplyOptions => ({yes: true, lagMaxMs: 2_000, signal: new AbortController().signal});

/** Queries that are edited, each in one way: before -> after. */
const queries: Record<string, [before: string, after: string]> = {
  measure_added: ['measures: {n: count()}', 'measures: {n: count(), total: sum(amount)}'],
  measure_removed: ['measures: {n: count(), total: sum(amount)}', 'measures: {n: count()}'],
  measure_changed: ['measures: {most: max(quantity)}', 'measures: {most: min(quantity)}'],
  where_changed: [
    'where: quantity > 1, measures: {n: count()}',
    'where: quantity > 2, measures: {n: count()}',
  ],
  window_changed: ['WINDOW{type: tumbling, size: 1h}', 'WINDOW{type: sliding, size: 1h, slide: 15m}'],
  zone_changed: [
    'WINDOW{type: calendar, unit: day, timezone: Europe/Berlin}',
    'WINDOW{type: calendar, unit: day, timezone: America/New_York}',
  ],
  session_changed: ['WINDOW{type: session, gap: 30m}', 'WINDOW{type: session, gap: 10m}'],
  dimension_added: ['group_by: [country]', 'group_by: [country, device]'],
  dimension_removed: ['group_by: [country, device]', 'group_by: [device]'],
  watermark_changed: ['watermark: 10m', 'watermark: 1m'],
  late_changed: ['late: correct', 'late: drop'],
  correct_for_changed: ['correct_for: 2h', 'correct_for: 10m'],
  derive_changed: [
    "measures: {large: count(basket = 'large')}",
    "measures: {large: count(basket = 'large')}",
  ],
  order_changed: ['measures: {n: count(), total: sum(amount)}', 'measures: {total: sum(amount), n: count()}'],
  emit_changed: ['emit: change', 'emit: close'],
  same: ['measures: {n: count()}', 'measures: {n: count()}'],
};

function aggregation(name: string, text: string): string {
  const [window, rest] = text.startsWith('WINDOW')
    ? [text.slice(6), '']
    : ['{type: tumbling, size: 1h}', `, ${text}`];
  const parts = [`name: ${name}`, 'from: purchase', `window: ${window}`];
  if (!text.includes('group_by')) parts.push('group_by: [country]');
  if (!text.includes('measures')) parts.push('measures: {n: count()}');
  return `  - {${parts.join(', ')}${rest}}\n`;
}

const head = shopYaml
  .slice(0, shopYaml.indexOf('aggregations:'))
  .replace('order_by: none', 'order_by: none, rate: 150/s');
const yaml = (side: 0 | 1, more = '') =>
  `${head}aggregations:\n${Object.entries(queries)
    .map(([name, texts]) => aggregation(name, texts[side]))
    .join('')}${more}`;

async function collect(lines: AsyncIterable<ApplyLine>): Promise<ApplyLine[]> {
  const all: ApplyLine[] = [];
  for await (const line of lines) all.push(line);
  return all;
}
const appended = (running: RunningPlatform) => running.status().totals.appended;

describe('changes applied while events come in', () => {
  const root = mkdtempSync(join(tmpdir(), 'millrace-change-'));
  let running: RunningPlatform;
  const start = async () => {
    const {platform} = await loadWorld(root);
    running = await startPlatform(platform, {port: 0});
  };
  const idle = () => running.idle(new AbortController().signal);
  const wrong = async () => {
    const {platform, dirs} = await loadWorld(root);
    // A row that `emit: change` had told of an open window stays until that closes: where all events came before the change, that is there.
    const isOfBefore = (line: string) =>
      line.startsWith('shop.emit_changed: ') && /it should not: .*"closed":false/.test(line);
    return (await wrongRows(root, platform, dirs)).filter((line) => !isOfBefore(line));
  };

  before(async () => {
    writeWorld(root, {
      'config/domains/shop.yaml': yaml(
        0,
        aggregation('gone', 'late: drop') + aggregation('old_name', 'idle: 20s'),
      ),
      'data/purchases.csv': purchasesCsv(3_000),
    });
    await start();
  });
  after(async () => {
    await running.drain();
    rmSync(root, {recursive: true});
  });

  test('every changed query shows the rows of its new definition over all events', async (t) => {
    await until(() => appended(running) > 200, 'events');
    const added = aggregation('added', 'group_by: [device]') + aggregation('new_name', 'idle: 20s');
    writeFileSync(
      join(root, 'config/domains/shop.yaml'),
      yaml(1, added).replace('amount >= 100.00', 'amount >= 50.00'),
    );
    const lines = await collect(applyRunning(running, options()));
    const during = appended(running);
    const switched = lines.flatMap((line) => ('switched' in line ? [line.query] : []));
    assert.deepEqual(
      switched.sort(),
      Object.keys(queries)
        .filter((name) => !['same', 'order_changed', 'emit_changed'].includes(name))
        .map((name) => `shop.${name}`)
        .sort(),
    );
    t.diagnostic(`${during} of about 2,900 events had come when it was done`);
    const comparisons = lines.flatMap((line) => ('comparison' in line ? [line.comparison] : []));
    const compared = (name: string) => comparisons.find(({query}) => query === `shop.${name}`)!;
    // At equal offsets a new measure changes no other column, though rows came all the while.
    const {same, different, onlyBefore, onlyAfter} = compared('measure_added');
    assert.ok(same > 0);
    assert.deepEqual([different, onlyBefore, onlyAfter], [0, 0, 0]);
    assert.ok(compared('measure_changed').different > 0);
    assert.match(compared('dimension_added').skipped!, /another key/);
    edit(root, ', rate: 150/s', '');
    // Queries that come and go need a platform that starts anew; the test does what `millrace run` does.
    assert.ok(lines.some((line) => 'restarting' in line));
    await running.replaced;
    await running.drain();
    await start();
    await idle();
    assert.deepEqual(await wrong(), []);
    assert.equal(running.ledger().balanced, true);
  });

  test('order alone made no new revision; what was switched kept its old table', () => {
    const revisions = readRevisions(running.dirs.revisions);
    assert.equal(revisions['shop.order_changed']!.current, 1);
    assert.equal(revisions['shop.same']!.current, 1);
    assert.deepEqual(
      {...revisions['shop.measure_added'], entries: undefined, switchedMs: undefined},
      {current: 2, filling: null, previous: 1, highest: 2, entries: undefined, switchedMs: undefined},
    );
    assert.ok(existsSync(join(root, '.millrace/rows/shop/measure_added__r1.jsonl')));
  });

  test('a field renamed, one promoted and one added: old events are read with the new definition, new ones as well', async () => {
    await running.drain();
    edit(root, '{name: quantity, type: int}', '{name: pieces, type: long, aliases: [quantity]}');
    edit(root, /\bquantity (>|<)/g, 'pieces $1');
    edit(root, /(max|min)\(quantity\)/g, '$1(pieces)');
    edit(root, '      - user_id\n', '      - user_id\n      - {name: channel, type: string}\n');
    edit(
      root,
      'inputs:\n',
      'inputs:\n  - {name: later, event_type: purchase, from: ../../data/later.csv, order_by: none, map: {pieces: quantity}}\n',
    );
    const from = purchasesCsv(800, 9).replaceAll('2025-03', '2025-05');
    writeFileSync(join(root, 'data/later.csv'), from);
    const {platform} = await loadWorld(root);
    // Until the change is applied a query runs on as it was, also over a start; then it is taken over.
    running = await startPlatform(platform, {port: 0, inputs: false});
    const lines = await collect(applyRunning(running, options()));
    assert.ok(lines.some((line) => 'switched' in line && line.query === 'shop.measure_changed'));
    await running.drain();
    await start();
    await idle();
    assert.deepEqual(await wrong(), []);
  });

  test('a rebuild makes the same rows; a backfill counts what was late, says so, and switches when somebody agrees', async () => {
    const rebuilt = await collect(
      refillRunning(running, {query: 'shop.same', why: 'rebuild'}, {...options(), yes: false}),
    );
    const same = rebuilt.find((line) => 'comparison' in line);
    assert.ok(same && 'comparison' in same && same.comparison.same > 0 && same.comparison.different === 0);
    assert.ok(rebuilt.some((line) => 'switched' in line));

    // Only late events make a difference.
    const lateOf = ({query, counts}: QueryStatus) =>
      query === 'shop.late_changed' ? counts.reduce((sum, {late}) => sum + late, 0) : 0;
    await until(() => running.status().queries.some((status) => lateOf(status) > 0), 'late events');
    const backfill = (yes: boolean) =>
      collect(refillRunning(running, {query: 'shop.late_changed', why: 'backfill'}, {...options(), yes}));
    const asked = await backfill(false);
    assert.ok(asked.some((line) => 'waits' in line));
    assert.ok(!asked.some((line) => 'switched' in line));
    const {current, filling} = readRevisions(running.dirs.revisions)['shop.late_changed']!;
    const agreed = await backfill(true);
    assert.ok(
      agreed.some((line) => 'switched' in line && line.revision === filling),
      'what was filled is used',
    );
    await idle();
    const {platform, dirs} = await loadWorld(root);
    const all = {
      planOf: (plan: ReturnType<typeof shownPlan>) => ({
        ...plan,
        late: 'correct' as const,
        correctForMs: 1e12,
      }),
    };
    assert.deepEqual(await wrongRows(root, platform, dirs, {only: ['shop.late_changed'], ...all}), []);
    assert.notEqual(current, filling);
    const rest = platform.domains[0]!.aggregations.map(({name}) => `shop.${name}`).filter(
      (name) => name !== 'shop.late_changed',
    );
    assert.deepEqual(await wrongRows(root, platform, dirs, {only: rest}), []);
  });

  test('a rollback shows the rows of before, caught up; prune drops what is left', async () => {
    const before = readRevisions(running.dirs.revisions)['shop.late_changed']!;
    await collect(rollBack(running, ['shop.late_changed'], options()));
    await idle();
    assert.equal(readRevisions(running.dirs.revisions)['shop.late_changed']!.current, before.previous);
    assert.deepEqual(await wrong(), []);
    const pruned = await prune(running, 0);
    assert.ok(pruned.some(({query, isGone}) => query === 'shop.gone' && isGone));
    assert.ok(!existsSync(join(root, '.millrace/rows/shop/gone__r1.jsonl')));
    assert.ok(!existsSync(join(root, '.millrace/rows/shop/measure_added__r1.jsonl')));
    assert.deepEqual(await wrong(), []);
    assert.deepEqual(await prune(running, 0), []);
  });

  test('where the log was trimmed, nothing better is replaced unasked, and a rollback says why it cannot be', async () => {
    const refill = (yes: boolean) =>
      collect(refillRunning(running, {query: 'shop.same', why: 'rebuild'}, {...options(), yes}));
    await refill(true);
    const {current} = readRevisions(running.dirs.revisions)['shop.same']!;
    writeFileSync(join(root, 'data/last.csv'), purchasesCsv(200, 13).replaceAll('2025-03', '2025-06'));
    const job = {
      domain: 'shop',
      input: 'later',
      path: join(root, 'data/last.csv'),
      as: null,
      fast: true,
      late: false,
      final: false,
    };
    await running.inputs.ingest(job, () => {});
    await idle();
    for (const partition of [0, 1])
      while (
        (await running.ingest.trim('shop.purchase', partition, {
          beforeMs: Date.now() + 1e6,
          belowOffset: 1e9,
        })) > 0
      );
    await assert.rejects(
      collect(rollBack(running, ['shop.same'], options())),
      /shop\.same cannot go back: its state ends at \d+ of shop\.purchase\/\d, where the log begins at \d+ now/,
    );
    const {platform, dirs, config} = await loadWorld(root);
    edit(root, 'name: same, ', 'name: same, where: quantity < 9, '.replace('quantity', 'pieces'));
    const changed = await loadWorld(root);
    const [change] = (await planChanges(changed.platform, dirs, config)).changes;
    assert.ok(change!.refill!.trimmed > 0);
    assert.equal(change!.refill!.events < change!.refill!.trimmed, true);
    const lines = await collect(applyRunning(running, {...options(), yes: false}));
    const waits = lines.find((line) => 'waits' in line);
    assert.match(
      waits && 'waits' in waits ? waits.reason : '',
      /the log begins at a later record than the rows do/,
    );
    assert.equal(readRevisions(running.dirs.revisions)['shop.same']!.current, current);
    assert.ok(platform);
  });
});
