/** docs/registry.md: its commands run against a registry, its table has the paths that are served. */
import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {mkdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {test} from 'node:test';
import {promisify} from 'node:util';
import {registryRoutes} from '../../src/platform/registry-routes.ts';
import {startRegistry, token} from '../registry/server.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/registry.md'), 'utf8');

test('the commands of the page do what it says', async (t) => {
  const server = await startRegistry();
  const root = dirname(server.dir);
  t.after(async () => {
    await server.close();
    rmSync(root, {recursive: true, force: true});
  });
  mkdirSync(join(root, '.millrace'));
  writeFileSync(join(root, '.millrace', 'token'), token);
  const [, shell = ''] = page.match(/```sh\n([\s\S]*?)```/)!;
  // Each answer on a line of its own; an alias is for people at a prompt.
  const script = shell
    .replace('http://localhost:4000/registry', server.url)
    .replace(/alias registry='(.*)'/, 'registry() { $1 "$@"; echo; }');
  const {stdout} = await promisify(execFile)('bash', ['-euc', script], {cwd: root});
  const answers = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(answers.length, 7);
  const [subjects, registered, latest, config, compatibility, deleted, gone] = answers;
  assert.deepEqual(
    [subjects, registered.id, latest.version, config, deleted, gone],
    [[], 1, 1, {compatibility: 'FULL'}, [1], [1]],
  );
  assert.equal(compatibility.is_compatible, false);
  assert.match(compatibility.messages[0], /TYPE_MISMATCH/);
});

test('the table has the paths that are served', () => {
  const served = [...new Set(Object.keys(registryRoutes({version: '0'})).map((key) => key.split(' ')[1]!))];
  const table = page.split('## What is served')[1]!.split('\n## ')[0]!;
  const named = [...table.matchAll(/^\| (.+?) \| (.+) \|$/gm)].flatMap(([, cell, text]) =>
    [...cell!.matchAll(/`(\/[^`]*)`/g)].flatMap(([, path]) => {
      const whole = path!.replace(/\{\w+\}/g, '{}');
      // "below it `/schema`"
      const [, below = ''] = text!.split('below it');
      return [whole, ...[...below.matchAll(/`(\/\w+)`/g)].map(([, end]) => whole + end)];
    }),
  );
  assert.deepEqual(named.sort(), served.sort());
});
