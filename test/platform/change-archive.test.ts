/** A backfill of what the log no longer has: events come from the raw table, each once, and their values are what they were. */
import assert from 'node:assert/strict';
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {after, before, describe, test} from 'node:test';
import type {ChangeLine} from '../../src/platform/change.ts';
import {refillRunning} from '../../src/platform/rebuild.ts';
import {readRevisions} from '../../src/platform/revisions.ts';
import type {RunningPlatform} from '../../src/platform/runtime.ts';
import {readLatest} from '../../src/sinks/file/read.ts';
import {cli, makeRoot} from '../support/cli.ts';
import {startIn} from '../support/running.ts';
import {until} from '../support/until.ts';

const platformYaml = `platform: shop
log: {embedded: {partitions: 2, retention: 30d}}
engine: {embedded: {workers: 1, checkpoint_interval: 60ms, flush: 10ms}}
sinks:
  rows: {backend: file, file: {dir: .millrace/rows}}
  records: {backend: pglite}
defaults: {aggregates: rows, raw: records}
server: {port: 0}
pii: {key: 0123456789abcdef0123456789abcdef}
`;
const shopYaml = `domain: shop
defaults: {watermark: 1m, correct_for: 10m}
event_types:
  - name: purchase
    key: user
    attributes:
      - user
      - {name: email, pii: hash}
      - {name: card, pii: mask}
    dimensions: [country, {name: day, type: date}]
    metrics: [{name: amount, type: money}, {name: weight, type: double, required: false}]
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv, order_by: none, map: {event_id: id}}
aggregations:
  - name: revenue
    from: purchase
    window: {type: tumbling, size: 1h}
    group_by: [country, day, card]
    measures: {orders: count(), revenue: sum(amount), kilos: sum(weight), people: distinct(email)}
  - name: visits
    from: purchase
    window: {type: session, gap: 30m}
    group_by: [email]
    measures: {orders: count(), first: first(amount)}
`;

const header = 'id,timestamp,user,email,card,country,day,amount,weight';
/** Rows a minute apart; of the first 900 one in five an hour late. */
function rows(from: number, to: number): string[] {
  return Array.from({length: to - from}, (_, index) => {
    const row = from + index;
    const lateMs = row < 900 && row % 5 === 0 ? 3_600_000 : 0;
    const time = new Date(Date.UTC(2026, 0, 5) + row * 60_000 - lateMs).toISOString();
    const weight = row % 3 === 0 ? '' : String(row / 7);
    const day = `2026-01-0${1 + (row % 4)}`;
    return `id-${row},${time},u${row % 7},p${row % 11}@example.org,4000-${row % 3},${['DE', 'FR', ''][row % 3]},${day},${row}.05,${weight}`;
  });
}

const options = () => ({yes: true, lagMaxMs: 5_000, signal: AbortSignal.timeout(120_000)});
const collect = async (lines: AsyncIterable<ChangeLine>) => {
  const all: ChangeLine[] = [];
  for await (const line of lines) all.push(line);
  return all;
};

describe('a backfill from the archive', () => {
  let running: RunningPlatform;
  let root: string;
  before(async () => {
    root = makeRoot({
      'config/platform.yaml': platformYaml,
      'config/domains/shop.yaml': shopYaml,
      'data/purchases.csv': `${[header, ...rows(0, 900)].join('\n')}\n`,
    });
    ({running} = await startIn(root));
    await running.idle(AbortSignal.timeout(120_000));
  });
  after(() => running?.drain());

  const ingest = async (name: string, lines: string[]) => {
    const path = join(root, 'data', name);
    writeFileSync(path, `${[header, ...lines].join('\n')}\n`);
    const job = {domain: 'shop', input: 'purchases', path, as: null, fast: true, late: true, final: false};
    await running.inputs.ingest(job, () => {});
    await running.idle(AbortSignal.timeout(120_000));
  };
  const backfill = (query: string, archive: boolean, yes = true) =>
    collect(refillRunning(running, {query, why: 'backfill', archive}, {...options(), yes}));
  /** Rows of the revision that is shown, without what progress changes. */
  const shown = async (query: string) => {
    const {current} = readRevisions(running.dirs.revisions)[query] ?? {current: 1};
    const found = await readLatest(join(root, '.millrace/rows'), `${query}__r${current}`);
    return (found?.rows ?? []).map(({closed: _, version: __, ...row}) => JSON.stringify(row)).sort();
  };
  const trim = async () => {
    for (const partition of [0, 1])
      while (
        (await running.ingest.trim('shop.purchase', partition, {
          beforeMs: Date.now() + 1e6,
          belowOffset: 1e9,
        })) > 0
      );
  };

  test('has every event once: those that were trimmed, those that are there, and not twice what was sent again', async () => {
    const queries = ['shop.revenue', 'shop.visits'];
    for (const query of queries) await backfill(query, false);
    const before = new Map<string, string[]>();
    for (const query of queries) before.set(query, await shown(query));
    assert.ok(before.get('shop.revenue')!.length > 100);
    await trim();
    // After the trim their ids are not remembered: the log takes them again.
    await ingest('again.csv', rows(100, 103));
    assert.equal(
      running.ledger().ingest.reduce((sum, {appended}) => sum + appended, 0),
      903,
    );
    for (const query of queries) {
      const kept = await shown(query);
      const refused = await backfill(query, false, false);
      assert.ok(
        refused.some((line) => 'waits' in line),
        `the log alone has too little: ${JSON.stringify(refused)}`,
      );
      // One that waits, for a sink say, cannot be brought to the same place: it has what the log lacks all the same.
      running.engine.steer(query).pause();
      await until(() => running.engine.steer(query).status()?.state === 'paused', 'the pause');
      const unmet = await backfill(query, false, false);
      assert.match(
        String(unmet.flatMap((line) => ('waits' in line ? line.reason : []))),
        /the new revision lacks \d+ of them/,
        JSON.stringify(unmet),
      );
      running.engine.steer(query).resume();
      assert.deepEqual(await shown(query), kept, 'nothing was switched unasked');
      const lines = await backfill(query, true);
      const archive = lines.filter((line) => 'archive' in line).at(-1)!;
      assert.deepEqual(archive, {archive: 'shop.purchase', events: 900, offsets: 900, duplicates: 3});
      assert.deepEqual(await shown(query), before.get(query));
    }
    await ingest('more.csv', rows(2_000, 2_060));
    const total = (await shown('shop.revenue')).reduce((sum, row) => sum + JSON.parse(row).orders, 0);
    assert.equal(total, 960, 'it goes on with the log');
    assert.ok(running.ledger().balanced);
  });

  test('says which events there are, over the command line, and that only a backfill knows the archive', async () => {
    const told = await cli(root, 'backfill', 'shop.revenue', '--from', 'archive', '--yes');
    assert.equal(told.code, 0, told.stderr);
    assert.match(told.stderr, /shop\.purchase: \d+ events from the raw table for \d+ offsets/);
    const wrong = await cli(root, 'backfill', 'shop.revenue', '--from', 'tape');
    assert.deepEqual([wrong.code, /"tape" is not "archive"/.test(wrong.stderr)], [2, true]);
    const unknown = await cli(root, 'rebuild', 'shop.revenue', '--from', 'archive');
    assert.equal(unknown.code, 2);
  });
});
