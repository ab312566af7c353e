/** docs/dead-letters.md: its commands do what the page says. */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {cli, makeShop} from '../support/cli.ts';

const page = readFileSync(new URL('../../docs/dead-letters.md', import.meta.url), 'utf8');

test('the commands of the page', async () => {
  const root = await makeShop();
  const commands = page
    .match(/```sh\n([\s\S]*?)```/)![1]!
    .trim()
    .split('\n');
  const shown: string[] = [];
  for (const command of commands) {
    const args = command.split(' ').slice(2);
    const {code, stdout, stderr} = await cli(root, ...args);
    const isRefused = args.includes('--dry-run') && !args.includes('--set');
    assert.equal(code, isRefused ? 1 : 0, `${command}: ${stderr}`);
    shown.push(stdout + stderr);
  }
  const [, summary, list, refused, would, replayed, again, after, , ledger] = shown;
  assert.match(summary!, /TYPE +1 +1/);
  assert.match(list!, /TYPE .*open .*row 251 .*much/);
  assert.match(refused!, /rejected +TYPE again/);
  assert.match(would!, /1 would be appended/);
  assert.match(replayed!, /1 appended/);
  assert.match(again!, /1 duplicate/);
  assert.match(after!, /TYPE .*replayed/);
  assert.match(ledger!, /purchases\.csv +500 +500 +0 +0 +0/);
});
