import assert from 'node:assert/strict';
import {rmSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {readLatest} from '../../src/sinks/file/read.ts';
import {runUntilIdle} from '../faults/process.ts';
import {cli, makeRoot, writeFiles} from '../support/cli.ts';
import {startIn} from '../support/running.ts';

const domain = `domain: shop
event_types:
  - name: purchase
    dimensions: [country]
    metrics: [{name: amount, type: money}]
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv}
`;

/** A platform whose raw sink refuses the country XX. */
function picky(countries: string[], refuse = ''): string {
  const rows = countries.map((country, index) => {
    const time = new Date(Date.UTC(2026, 0, 5, 10) + index * 1_000).toISOString();
    return `${time},${country},${index}.00`;
  });
  const root = makeRoot({
    'config/domains/shop.yaml': domain,
    'data/purchases.csv': `timestamp,country,amount\n${rows.join('\n')}\n`,
    refuse,
  });
  writeFiles(root, {
    'config/platform.yaml': `platform: shop
sinks: {rows: {backend: picky, picky: {dir: .millrace/rows, refuse: "${join(root, 'refuse')}"}}}
defaults: {aggregates: rows, raw: rows}
log: {embedded: {partitions: 1}}
plugins: [${join(import.meta.dirname, 'picky-sink.ts')}]
`,
  });
  return root;
}

type RawRow = {amount_cents: number; country: string; _offset: number; _appended_at: number};

/** Rows of the raw table by amount. */
async function rawRows(root: string): Promise<RawRow[]> {
  const found = await readLatest(join(root, '.millrace/rows'), 'shop.purchase');
  return ((found?.rows ?? []) as unknown as RawRow[]).sort((a, b) => a.amount_cents - b.amount_cents);
}

test('a raw event that a sink refuses is a dead letter with its record, the others are written; mended there, it is sent again', async (t) => {
  const root = picky(['DE', 'XX', 'FR', 'US', 'XX']);
  const {running, told} = await startIn(root);
  t.after(() => running.drain());
  await running.idle(AbortSignal.timeout(120_000));
  const json = async (...argv: string[]) => JSON.parse((await cli(root, ...argv, '--json')).stdout);
  assert.deepEqual(
    (await rawRows(root)).map(({country}) => country),
    ['DE', 'FR', 'US'],
  );
  const letters = await json('dlq', 'list', '--stage', 'sink');
  assert.deepEqual(
    letters.map(({code, query, source, event_type, message, position}: Record<string, unknown>) => [
      ...[code, query, source, event_type, message],
      position,
    ]),
    [1, 4].map((offset) => [
      ...['SINK_ROW', null, 'rows shop.purchase', 'purchase', 'there is no country XX'],
      {topic: 'shop.purchase', partition: 0, offset},
    ]),
  );
  assert.deepEqual(told.find(({name}) => name === 'RowsRefused')?.event.rows, 2);
  const line = async () => (await json('ledger')).delivery[0];
  assert.deepEqual(await line(), {sink: 'rows', emitted: 5, written: 3, pending: 0, dead: 2, difference: 0});

  const replay = async (...argv: string[]) =>
    (await json('dlq', 'replay', 'shop', '--stage', 'sink', ...argv)).outcomes;
  assert.deepEqual(await replay('--where', 'amount > 100.00'), {});
  assert.deepEqual(await replay(), {rejected: 2});
  rmSync(join(root, 'refuse'));
  assert.deepEqual(await replay('--dry-run', '--where', 'amount > 3.00'), {written: 1});
  assert.equal((await rawRows(root)).length, 3);
  assert.deepEqual(await replay(), {written: 2});
  const rows = await rawRows(root);
  assert.deepEqual(
    rows.map(({country, _offset}) => [country, _offset]),
    [
      ['DE', 0],
      ['XX', 1],
      ['FR', 2],
      ['US', 3],
      ['XX', 4],
    ],
  );
  assert.equal(new Set(rows.map(({_appended_at}) => _appended_at)).size, 1, 'they came in one batch');
  assert.deepEqual(await replay(), {duplicate: 2});
});

test('a raw sink that takes no event at all is stopped, with no letter of them; resumed, it has all', async (t) => {
  const root = picky(
    Array.from({length: 200}, () => 'DE'),
    'all',
  );
  const {running} = await startIn(root);
  t.after(() => running.drain());
  const raw = () => running.status().raw[0]!;
  await running.idle(AbortSignal.timeout(120_000));
  assert.deepEqual([raw().state, raw().code], ['stopped', 'SINK_REFUSED']);
  assert.equal(JSON.parse((await cli(root, 'dlq', 'list', '--json')).stdout).length, 0);
  rmSync(join(root, 'refuse'));
  assert.deepEqual(await cli(root, 'resume'), {code: 0, stdout: '', stderr: 'resumed shop.purchase\n'});
  while (raw().state !== 'running') await new Promise((resolve) => setTimeout(resolve, 20));
  await running.idle(AbortSignal.timeout(120_000));
  assert.equal((await rawRows(root)).length, 200);
  assert.ok(running.ledger().balanced);
});

for (const [failpoint, count] of [
  ['raw.after-part', 4],
  ['raw.before-letters', 1],
  ['raw.after-letters', 1],
] as const)
  test(`kill -9 at ${failpoint}, number ${count}: no event is lost between the table and the dead letters`, async () => {
    const root = picky(['XX', 'DE', 'FR', 'XX', 'US', 'DE', 'XX', 'FR']);
    const {killed} = await runUntilIdle(root, {failpoint, count});
    assert.ok(killed);
    // Mended while nothing runs: what was refused and is no letter yet is read again, and written.
    const isMended = failpoint !== 'raw.after-letters';
    if (isMended) rmSync(join(root, 'refuse'));
    const {code, stderr} = await runUntilIdle(root);
    assert.equal(code, 0, stderr);
    const offsets = (await rawRows(root)).map(({_offset}) => _offset);
    const letters = JSON.parse((await cli(root, 'dlq', 'list', '--json')).stdout);
    const dead = letters.map(({position}: {position: {offset: number}}) => position.offset);
    assert.deepEqual(offsets, isMended ? [0, 1, 2, 3, 4, 5, 6, 7] : [1, 2, 4, 5, 7]);
    assert.deepEqual(dead, isMended ? [] : [0, 3, 6]);
  });
