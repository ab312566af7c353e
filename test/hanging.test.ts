import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {text} from 'node:stream/consumers';
import {test} from 'node:test';
import {endFilesThatHang} from './hanging.ts';
import {scratchDir} from './support/scratch.ts';

test('a file that hangs is ended and fails by its name', async (t) => {
  const dir = scratchDir('hangs');
  t.after(() => rmSync(dir, {recursive: true, force: true}));
  // Not even its timers come any more.
  writeFileSync(
    join(dir, 'spins.test.mjs'),
    "import {test} from 'node:test'; test('spins', () => { for (;;); });",
  );
  const {NODE_TEST_CONTEXT: _ours, ...env} = process.env;
  const runner = spawn(process.execPath, ['--test', '--test-reporter=tap', 'spins.test.mjs'], {
    cwd: dir,
    env,
  });
  const output = text(runner.stdout);
  t.after(endFilesThatHang(runner.pid!, 500, 100));
  const [code] = await once(runner, 'exit');
  assert.equal(code, 1);
  assert.match(await output, /^not ok 1 - .*spins\.test\.mjs$/m);
});
