/** Directories and files that are not as they should be: never a stack trace, never a lost event. */
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {start} from '../faults/process.ts';
import {cli, filePlatform, makeRoot, makeShop, writeFiles} from '../support/cli.ts';

const launcher = join(import.meta.dirname, '../../bin/millrace.js');

test('a directory that may not be written: FILE_ACCESS with a way out', {
  skip: process.getuid?.() !== 0 && 'only root can become somebody else',
}, async () => {
  const root = await makeShop();
  spawnSync('chmod', ['755', root]);
  const nobody = (...argv: string[]) =>
    spawnSync(process.execPath, [launcher, ...argv], {cwd: root, encoding: 'utf8', uid: 65_534, gid: 65_534});
  if (nobody('--version').status !== 0) return;
  for (const argv of [
    ['run', '--until-idle'],
    ['ingest', 'purchases'],
    ['init', 'below'],
  ]) {
    const {status, stderr} = nobody(...argv);
    assert.match(
      stderr,
      /error FILE_ACCESS EACCES: permission denied, mkdir .*\n {2}at .*\n {2}hint: /,
      argv.join(' '),
    );
    assert.equal(status, 4);
  }
  assert.equal(nobody('validate').status, 0);
  spawnSync('chmod', ['700', join(root, 'config')]);
  const unread = nobody('validate');
  assert.match(unread.stderr, /error FILE_ACCESS /);
  assert.equal(unread.status, 4);
});

test('the data directory is taken away while it runs: it ends with LOG_REMOVED instead of keeping nothing', async () => {
  const root = await makeShop();
  const child = start(root, ['run']);
  await child.says(/ 499 events/);
  renameSync(join(root, '.millrace'), join(root, 'elsewhere'));
  const {code, stderr} = await child.ended;
  assert.match(
    stderr,
    /\nerror LOG_REMOVED the log was removed or replaced while the platform ran\n {2}at .*log\.db\n {2}hint: /,
  );
  assert.equal(code, 1);
  // Put back, it goes on where it was.
  rmSync(join(root, '.millrace'), {recursive: true, force: true});
  renameSync(join(root, 'elsewhere'), join(root, '.millrace'));
  const again = await start(root, ['run', '--until-idle']).ended;
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /stopped: 499 events in the log/);
});

test('a lookup that breaks while it runs is said once; the last good snapshot stays until a better one comes', async () => {
  const root = makeRoot({
    'config/platform.yaml': filePlatform,
    'config/domains/d.yaml': `domain: d
event_types:
  - {name: e, dimensions: [kind], enrich: [{lookup: p, on: kind, take: {brand: brand}}]}
lookups:
  - {name: p, key: k, columns: {brand: string}, from: {csv: ../../p.csv}, refresh: 1s}
inputs:
  - {name: in, event_type: e, format: csv}
aggregations:
  - {name: q, from: e, window: {type: tumbling, size: 1h}, group_by: [brand], measures: {n: count()}}
`,
    'p.csv': 'k,brand\na,old\n',
    'one.csv': 'timestamp,kind\n2026-01-05T00:00:00Z,a\n',
    'two.csv': 'timestamp,kind\n2026-01-05T00:00:01Z,a\n',
  });
  const child = start(root, ['run']);
  await child.says(/ running /);
  writeFileSync(join(root, 'p.csv'), 'k,brand\na,new\na,newer\n');
  await child.says(/the key "a" stands twice; the last good snapshot stays in use/);
  assert.equal((await cli(root, 'ingest', 'in', 'one.csv')).code, 0);
  await child.says(/ 1 row, lag 0/);
  rmSync(join(root, 'p.csv'));
  await child.says(/the file cannot be read: ENOENT/);
  writeFileSync(join(root, 'p.csv'), 'k,brand\na,new\n');
  await child.says(/lookup d\.p has a new snapshot of 1 row/);
  // The switch waits for a checkpoint.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.equal((await cli(root, 'ingest', 'in', 'two.csv')).code, 0);
  await child.says(/ 2 rows, lag 0/);
  child.kill('SIGTERM');
  const {code, stderr} = await child.ended;
  assert.equal(code, 0, stderr);
  assert.equal(stderr.match(/stands twice/g)!.length, 1);
  const rows = readFileSync(join(root, '.millrace/files/d/q__r1.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    rows.map(({brand, n}) => [brand, n]),
    [
      ['old', 1],
      ['new', 1],
    ],
  );
});

test('odd names of directories and files, shown without what a terminal would act on', async () => {
  const root = join(makeRoot(), "we ird 'dir$x %s");
  mkdirSync(root);
  assert.equal((await cli(root, 'init')).code, 0);
  writeFiles(root, {'config/platform.yaml': filePlatform});
  const name = 'pur\nch\u001b[31m.csv';
  renameSync(join(root, 'data/purchases.csv'), join(root, name));
  for (const argv of [
    ['ingest', 'purchases', name, '--dry-run'],
    ['ingest', 'purchases', name],
    ['ledger'],
  ]) {
    const {code, stdout, stderr} = await cli(root, ...argv);
    assert.equal(code, 0, stderr);
    assert.ok(!(stdout + stderr).includes('\u001b'));
    assert.match(stdout + stderr, /pur\\u000ach\\u001b\[31m\.csv/);
  }
});

test('a root with a path longer than a socket may have, reached through a link', async () => {
  const deep = join(makeRoot(), 'd'.repeat(120), 'e'.repeat(120));
  mkdirSync(deep, {recursive: true});
  assert.equal((await cli(deep, 'init')).code, 0);
  writeFiles(deep, {'config/platform.yaml': filePlatform});
  const link = join(makeRoot(), 'link');
  symlinkSync(deep, link);
  const child = start(link, ['run']);
  await child.says(/ 499 events/);
  for (const cwd of [link, deep, join(deep, 'config')]) {
    const {code, stderr} = await cli(cwd, 'run');
    assert.equal(code, 4);
    assert.match(stderr, /^error LOCKED /, cwd);
  }
  assert.equal((await cli(link, 'status')).code, 0);
  child.kill('SIGINT');
  assert.equal((await child.ended).code, 0);
});

test('an empty platform file, and no domain, run and end', async () => {
  const root = makeRoot({'config/platform.yaml': ''});
  writeFiles(root, {'config/environments/dev.yaml': 'server: {port: 0}\n'});
  const validated = await cli(root, 'validate');
  assert.equal(validated.code, 0);
  assert.match(validated.stderr, /warning DOMAINS_EMPTY there is no domain: nothing will run/);
  const {code, stderr} = await start(root, ['run', '--until-idle']).ended;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /stopped: 0 events in the log/);
});
