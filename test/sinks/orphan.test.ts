import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {test} from 'node:test';
import {setTimeout as wait} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';

const host = fileURLToPath(new URL('../../src/sinks/host.ts', import.meta.url));

test('the child process of a sink does not outlive a platform that is killed', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'millrace-orphan-'));
  t.after(() => rmSync(root, {recursive: true, force: true}));
  const program = `
    import {openSink} from ${JSON.stringify(host)};
    const sink = await openSink({name: 's', choice: {backend: 'chdb', options: {dir: 'db'}}, root: ${JSON.stringify(root)}});
    console.log(sink.pid());
    setInterval(() => {}, 1000);`;
  const platform = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let pid = 0;
  for await (const line of createInterface({input: platform.stdout})) {
    pid = Number(line);
    assert.ok(alive(pid));
    platform.kill('SIGKILL');
  }
  for (let tries = 0; alive(pid) && tries < 6_000; tries++) await wait(10);
  assert.ok(!alive(pid));
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
