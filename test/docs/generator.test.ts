/** docs/generator.md: its domain is valid, its commands do what the page says. */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {cli, filePlatform, makeRoot} from '../support/cli.ts';

const page = readFileSync(new URL('../../docs/generator.md', import.meta.url), 'utf8');
const block = (language: string) => new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(page)![1]!;

test('the commands of the page, on its domain', async () => {
  const root = makeRoot({'config/platform.yaml': filePlatform, 'config/domains/games.yaml': block('yaml')});
  const shown: string[] = [];
  for (const command of block('sh').trim().split('\n')) {
    const {code, stdout, stderr} = await cli(root, ...command.split(' ').slice(2));
    assert.equal(code, 0, `${command}: ${stdout} ${stderr}`);
    shown.push(stdout + stderr);
  }
  const [five, file, would, made, verified, ledger] = shown;
  const events = five!.trim().split('\n');
  assert.ok(events.length >= 5);
  assert.match(JSON.parse(events[0]!).level, /^level-\d$/);
  assert.match(file!, /lines in games\.jsonl/);
  const lines = readFileSync(join(root, 'games.jsonl'), 'utf8').trim().split('\n');
  const times = lines.map((line) => Date.parse(JSON.parse(line).timestamp));
  assert.ok(times.at(-1)! - times[0]! < 120_000 && times.at(-1)! - times[0]! > 110_000);
  assert.match(would!, /would append to the log: games/);
  assert.match(made!, /games: done, 3,000 events \(seed 7\)/);
  assert.match(verified!, /same +rows of levels in rows: \d+ expected/);
  assert.match(verified!, /games: 5,000 events of seed 7: what became of them is what must/);
  assert.match(ledger!, /balanced/);
});
