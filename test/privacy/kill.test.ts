import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {cpSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {KeyReader} from '../../src/privacy/keys.ts';
import {keyName, masterKeys} from '../../src/privacy/values.ts';
import {cli, makeRoot} from '../support/cli.ts';
import {canaries, key, leaksBelow, makeWorld} from './world.ts';

const bin = join(import.meta.dirname, '../../bin/millrace.js');

/** Runs a command that is killed at a place. */
function killed(root: string, failpoint: string, ...argv: string[]): void {
  const {signal, stderr} = spawnSync(process.execPath, [bin, ...argv], {
    cwd: root,
    env: {...process.env, MILLRACE_FAILPOINT: failpoint},
    encoding: 'utf8',
  });
  assert.equal(signal, 'SIGKILL', `${failpoint}: ${stderr}`);
}

const emails = async (root: string): Promise<(string | null)[]> =>
  (await cli(root, 'tap', 'shop.order', '--from', 'start', '--limit', '4', '--json')).stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).event.email as string | null);

test('killed around the commit of keys, ingestion goes on: every token has its key', async () => {
  for (const place of ['keys.before-commit', 'keys.after-commit']) {
    const root = makeWorld();
    killed(root, place, 'run', '--until-idle', '--fast', '--port', '0');
    const {code, stderr} = await cli(root, 'run', '--until-idle', '--fast', '--port', '0');
    assert.equal(code, 0, stderr);
    assert.equal((await emails(root)).filter((email) => email !== null).length, 3, place);
    assert.deepEqual(leaksBelow(join(root, '.millrace')), [], place);
  }
});

test('killed at each step of forgetting, the same command does the rest', async () => {
  const first = makeWorld();
  assert.equal((await cli(first, 'run', '--until-idle', '--fast', '--port', '0')).code, 0);
  const name = keyName(masterKeys(key), 'shop.email', canaries.email);
  for (const place of [
    'forget.before-commit',
    'forget.after-commit',
    'forget.keys-destroyed',
    'forget.recorded',
  ]) {
    const root = makeRoot();
    cpSync(first, root, {recursive: true});
    killed(root, place, 'forget', 'shop.email', canaries.email, '--yes');
    const {stderr} = await cli(root, 'forget', 'shop.email', canaries.email, '--yes');
    assert.match(stderr, /^forgot the value of shop.email: 2 events/, place);
    assert.equal((await emails(root)).filter((email) => email !== null).length, 1, place);
    const store = new KeyReader(join(root, '.millrace/log'), masterKeys(key));
    assert.equal(store.keyOf(name), undefined, place);
    assert.equal(store.forgotten().length, place === 'forget.recorded' ? 2 : 1, place);
    store.close();
  }
});
