/** The process as a whole: signals, a second one, a disk that fails, an input that is all bad, a clock that jumps. */
import assert from 'node:assert/strict';
import {mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {before, type TestContext, test} from 'node:test';
import {testClock} from '../../src/clock.ts';
import {openLogReader, openLogWriter} from '../../src/log/embedded.ts';
import {packRecords} from '../../src/schema/frame.ts';
import {compareOutcomes, type Outcome, readOutcome} from './outcome.ts';
import {hasStrace, runUntilIdle, start} from './process.ts';
import {fileSinks} from './sink-reader.ts';
import {makeWorld, type WorldOptions} from './world.ts';

function world(t: TestContext, options: WorldOptions = {}): string {
  const root = mkdtempSync(join(tmpdir(), 'millrace-process-'));
  t.after(() => rmSync(root, {recursive: true, force: true}));
  makeWorld(root, options);
  return root;
}

const needsStrace = hasStrace || process.env.CI === 'true' ? {} : {skip: 'strace is not installed'};

let wanted: Outcome;
/** Files of rows and of raw events that a whole run writes. */
let written: string[];
const rowsDir = '.millrace/rows/shop';
before(async () => {
  const root = mkdtempSync(join(tmpdir(), 'millrace-process-'));
  makeWorld(root);
  const {code, stderr} = await runUntilIdle(root);
  assert.equal(code, 0, stderr);
  wanted = await readOutcome(root);
  written = readdirSync(join(root, rowsDir)).filter((name) => name.endsWith('.jsonl'));
  rmSync(root, {recursive: true});
});

async function assertSame(root: string): Promise<void> {
  assert.deepEqual(compareOutcomes(await readOutcome(root), wanted).slice(0, 5), []);
}

test('a second process on one directory is refused and told who holds it', async (t) => {
  const root = world(t, {ratePerSecond: 500});
  const first = start(root, ['run', '--port', '0']);
  await first.says(/running/);
  const second = await start(root, ['run', '--port', '0']).ended;
  assert.equal(second.code, 4, second.stderr);
  assert.match(second.stderr, new RegExp(`LOCKED .*process ${first.pid}`));
  first.kill('SIGTERM');
  assert.equal((await first.ended).code, 0);
});

test('SIGTERM under load drains: exit code 0, all that was read is written, and the next run does nothing twice', async (t) => {
  // Six seconds' worth: there is much to read when every table has rows.
  const root = world(t, {ratePerSecond: 300});
  const child = start(root, ['run', '--port', '0']);
  await child.says(/running/);
  const hasRows = (name: string) =>
    (statSync(join(root, rowsDir, name), {throwIfNoEntry: false})?.size ?? 0) > 0;
  while (!written.every(hasRows)) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill('SIGTERM');
  const {code, stderr} = await child.ended;
  assert.equal(code, 0, stderr);
  // The engine stops where it is, before the log's end: what it has read, by the ledger, is in the rows.
  const drained = await readOutcome(root);
  assert.deepEqual(
    drained.problems.filter((problem) => !problem.startsWith('rows: labels')),
    [],
  );
  const read = [...drained.ledger]
    .filter(([name]) => name.startsWith('query labels'))
    .reduce((sum, [, line]) => sum + (JSON.parse(line) as {read: number}).read, 0);
  const rows = await fileSinks(root).latest('labels', 0, []);
  assert.ok(read > 0);
  assert.equal(
    rows.reduce((sum, {orders}) => sum + Number(orders), 0),
    read,
  );
  assert.ok(drained.raw.size > 0 && drained.raw.size < wanted.raw.size, `${drained.raw.size} raw rows`);
  assert.equal((await start(root, ['run', '--until-idle', '--fast', '--port', '0']).ended).code, 0);
  await assertSame(root);
  const sizes = () =>
    ['rows/shop/purchase.jsonl', 'rows/shop/per_hour__r1.jsonl'].map(
      (name) => readFileSync(join(root, '.millrace', name)).length,
    );
  const done = sizes();
  assert.equal((await runUntilIdle(root)).code, 0);
  assert.deepEqual(sizes(), done, 'a run with nothing to do writes nothing');
});

test(
  'a second SIGINT cuts the drain short with exit code 130, and the next run makes up for it',
  needsStrace,
  async (t) => {
    const root = world(t);
    // A sink whose every sync takes a second: the drain cannot be done before the second signal.
    const child = start(root, ['run', '--port', '0'], {inject: 'fdatasync:delay_enter=1500000:when=2+'});
    await child.says(/running/);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    child.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 800));
    child.kill('SIGINT');
    const {code, stderr} = await child.ended;
    assert.equal(code, 130, stderr);
    assert.match(stderr, /cut short/);
    assert.equal((await runUntilIdle(root)).code, 0);
    await assertSame(root);
  },
);

test(
  'a log whose fsync fails ends the process with LOG_IO and exit code 4; the next run recovers',
  needsStrace,
  async (t) => {
    const root = world(t);
    // The registry beside the log syncs files, too.
    const path = join(root, '.millrace/log/log.db-wal');
    const {code, stderr} = await runUntilIdle(root, {inject: 'fsync,fdatasync:error=EIO:when=4+', path});
    assert.equal(code, 4, stderr);
    assert.match(stderr, /error LOG_IO/);
    const again = await runUntilIdle(root);
    assert.equal(again.code, 0, again.stderr);
    await assertSame(root);
  },
);

test('an input that is all bad is stopped by its budget; the others go on; exit code 1', async (t) => {
  const root = world(t, {ratePerSecond: null});
  const lines = Array.from({length: 3_000}, (_, row) => `no time,u${row},p1,1,DE,phone,1.00,1,1`);
  writeFileSync(
    join(root, 'data/purchases.csv'),
    `timestamp,user_id,product_id,note,country,device,amount,quantity,points\n${lines.join('\n')}\n`,
  );
  const {code, stderr} = await runUntilIdle(root);
  assert.equal(code, 1, stderr);
  assert.match(stderr, /INPUT_BUDGET/);
  const {log, dead} = await readOutcome(root);
  assert.equal(log.get('shop.view/0'), wanted.log.get('shop.view/0'));
  assert.equal(log.get('shop.purchase/0'), '');
  // The budget looks from row 1,000 on.
  const bad = [...dead.keys()].filter((text) => text.includes('purchases.csv'));
  assert.equal(bad.length, 1_000);
});

test('append times never go back, however the clock jumps', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-process-'));
  t.after(() => rmSync(dir, {recursive: true}));
  const clock = testClock(10_000_000);
  let nowMs = clock.now();
  const writer = openLogWriter(dir, {clock: {...clock, now: () => nowMs}});
  writer.ensureTopic('t', 1);
  const times: number[] = [];
  for (const jump of [0, 1, -3_600_000, 5, 3_600_000, 7_200_000, -1]) {
    nowMs += jump;
    const bytes = packRecords([new Uint8Array(9)]);
    times.push((await writer.append({appends: [{topic: 't', partition: 0, count: 1, bytes}]})).appendTimeMs);
  }
  await writer.close();
  const reader = openLogReader(dir);
  const stored = (await reader.read('t', 0, 0, 1 << 20)).map(({appendTimeMs}) => appendTimeMs);
  reader.close();
  assert.deepEqual(
    stored,
    [10_000_000, 10_000_001, 10_000_001, 10_000_001, 10_000_006, 17_200_006, 17_200_006],
  );
  assert.ok(times.length === stored.length);
});
