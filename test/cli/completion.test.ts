/** Completion: the scripts in a real shell, names from a real configuration. */
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {join} from 'node:path';
import {before, test} from 'node:test';
import {cli, makeShop} from '../support/cli.ts';

const launcher = join(import.meta.dirname, '../../bin/millrace.js');
let root = '';
let script = '';
before(async () => {
  root = await makeShop();
  script = (await cli(root, 'completion', 'bash')).stdout;
});

/** What bash offers behind these words; the last one is what was typed of the next. */
function offered(...words: string[]): string[] {
  const list = ['millrace', ...words].map((word) => `'${word}'`).join(' ');
  const {stdout, stderr, status} = spawnSync(
    'bash',
    [
      '-c',
      `${script}\nmillrace() { "${process.execPath}" "${launcher}" "$@"; }\nCOMP_WORDS=(${list}) COMP_CWORD=${words.length}\n_millrace\nprintf '%s\\n' "\${COMPREPLY[@]}"`,
    ],
    {cwd: root, encoding: 'utf8'},
  );
  assert.equal(status, 0, stderr);
  return stdout.split('\n').filter((line) => line !== '');
}

test('commands, subcommands and options by their beginnings', () => {
  assert.deepEqual(offered('in'), ['init', 'ingest']);
  assert.deepEqual(offered('schema', 's').sort(), ['show']);
  assert.deepEqual(offered('ingest', 'x', '--l'), ['--late']);
  assert.ok(offered('dlq', 'list', '--').includes('--code'));
});

test('names of the configuration where a command wants one', () => {
  assert.deepEqual(offered('tap', 'shop'), ['shop.purchase']);
  assert.deepEqual(offered('rebuild', 'shop.r'), ['shop.revenue_per_hour']);
  assert.deepEqual(offered('query', 'select 1', '--sink', 'r'), ['rows']);
});

test('zsh gets the same functions, fish a line for every command and option', async () => {
  const zsh = await cli(root, 'completion', 'zsh');
  assert.ok(zsh.stdout.includes(script.split('\n').slice(1).join('\n')));
  const fish = (await cli(root, 'completion', 'fish')).stdout;
  assert.match(fish, /^complete -c millrace -n '__fish_seen_subcommand_from ingest' -l late$/m);
  assert.match(
    fish,
    /^complete -c millrace -n '__fish_seen_subcommand_from dlq; and __fish_seen_subcommand_from list' -l code$/m,
  );
});

test('another shell is refused; a broken configuration has no names and says nothing', async () => {
  const {code, stderr} = await cli(root, 'completion', 'csh');
  assert.equal(code, 2);
  assert.match(stderr, /bash, zsh or fish/);
  assert.deepEqual(await cli('/', 'completion', 'names', 'query'), {code: 0, stdout: '', stderr: ''});
});
