import assert from 'node:assert/strict';
import {join} from 'node:path';
import {test} from 'node:test';
import {KeyReader} from '../../src/privacy/keys.ts';
import {keyName, masterKeys} from '../../src/privacy/values.ts';
import {cli, writeFiles} from '../support/cli.ts';
import {startIn} from '../support/running.ts';
import {canaries, key, leaksIn, makeWorld, platformYaml} from './world.ts';

const withPglite = platformYaml
  .replace('sinks:\n', 'sinks:\n  records: {backend: pglite}\n')
  .replace('raw: rows', 'raw: records');

const emailsOf = async (root: string): Promise<(string | null)[]> => {
  const {stdout, stderr, code} = await cli(
    root,
    'tap',
    'shop.order',
    '--from',
    'start',
    '--limit',
    '4',
    '--json',
  );
  assert.equal(code, 0, stderr);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).event.email as string | null);
};

const rawEmails = async (root: string): Promise<unknown> =>
  JSON.parse(
    (
      await cli(
        root,
        'query',
        '--sink',
        'records',
        '--json',
        'select email from shop."order" order by timestamp',
      )
    ).stdout,
  ).map(({email}: {email: unknown}) => email);

test('a forgotten value reads NULL everywhere, also in sinks and dead letters; others stay; a second time changes nothing', async (t) => {
  const root = makeWorld({'config/platform.yaml': withPglite});
  const {running} = await startIn(root);
  t.after(() => running.drain());
  await running.idle(new AbortController().signal);
  const before = await emailsOf(root);
  assert.equal(before.filter((email) => email !== null).length, 3);
  const name = keyName(masterKeys(key), 'shop.email', canaries.email);
  const store = new KeyReader(join(root, '.millrace/log'), masterKeys(key));
  const held = store.keyOf(name);
  assert.ok(held);

  const unasked = await cli(root, 'forget', 'email', canaries.email);
  assert.equal(unasked.code, 3, unasked.stderr);
  const planned = await cli(root, 'forget', 'shop.email', canaries.email, '--dry-run', '--json');
  assert.deepEqual(leaksIn(Buffer.from(planned.stdout + planned.stderr)), []);
  const {events, letters, tables, stays, destroyed} = JSON.parse(planned.stdout);
  assert.deepEqual([events, letters, destroyed], [2, 5, 0]);
  assert.deepEqual(tables, [{sink: 'records', table: 'shop.order', events: 2, erased: false}]);
  assert.deepEqual(stays, ['shop.per_email', 'shop.buyers']);
  assert.deepEqual(await emailsOf(root), before);

  const done = await cli(root, 'forget', 'shop.email', canaries.email, '--yes', '--json');
  assert.equal(done.code, 0, done.stderr);
  assert.equal(JSON.parse(done.stdout).destroyed, 6);
  const after = await emailsOf(root);
  assert.deepEqual(after.filter((email) => email !== null).length, 1);
  assert.deepEqual(await rawEmails(root), [null, null, after.find((email) => email !== null), null]);
  const shown = JSON.parse((await cli(root, 'dlq', 'list', 'shop', '--json')).stdout);
  for (const {original} of shown) assert.equal(Buffer.from(original, 'base64').toString(), '(forgotten)');

  const again = await cli(root, 'forget', 'shop.email', canaries.email, '--yes', '--json');
  assert.equal(again.code, 0, again.stderr);
  assert.equal(JSON.parse(again.stdout).destroyed, 0);
  assert.equal(store.keyOf(name), undefined);
  assert.equal(store.forgotten().length, 2);
  assert.equal(JSON.stringify(store.forgotten()).includes(canaries.email), false);
  store.close();

  const unknown = await cli(root, 'forget', 'shop.email', 'nobody@example.com', '--yes');
  assert.deepEqual(
    [unknown.code, unknown.stderr],
    [0, 'nothing holds it: no event, dead letter or key has this value of shop.email\n'],
  );
});

test('another key is refused with what it would lose', async () => {
  const root = makeWorld();
  assert.equal((await cli(root, 'run', '--until-idle', '--fast', '--port', '0')).code, 0);
  writeFiles(root, {'.env': 'pii_key=another-key-that-is-long-enough-as-well\n'});
  const {code, stderr} = await cli(root, 'run', '--until-idle', '--fast', '--port', '0');
  assert.equal(code, 2);
  assert.match(stderr, /PII_KEY_OTHER.*\n?.*protected values/s);
  const tapped = await cli(root, 'tap', 'shop.order', '--from', 'start', '--limit', '1', '--json');
  assert.equal(tapped.code, 2, tapped.stdout);
});
