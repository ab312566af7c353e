import assert from 'node:assert/strict';
import {type ChildProcess, spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {Worker} from 'node:worker_threads';
import type {PlatformError} from '../../src/errors.ts';
import {acquireLock, lockOwner} from '../../src/log/lock.ts';

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-lock-'));
  t.after(() => rmSync(dir, {recursive: true}));
  return join(dir, 'lock');
}

const module = JSON.stringify(new URL('../../src/log/lock.ts', import.meta.url).href);
/** Takes the lock, says so, and holds it until it is told to end; a refusal is printed as its code. */
const script = (path: string) => `
  const {acquireLock} = await import(${module});
  try {
    acquireLock(${JSON.stringify(path)}, {command: 'millrace run'});
    console.log('held');
    setInterval(() => {}, 1000);
  } catch (error) { console.log(error.code ?? String(error)); }`;

function start(t: TestContext, path: string): ChildProcess {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script(path)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}
const firstLine = async (child: ChildProcess) => String((await once(child.stdout!, 'data'))[0]).trim();

test('a second process is refused and told pid, start and command of the first', async (t) => {
  const path = temporary(t);
  const child = start(t, path);
  assert.equal(await firstLine(child), 'held');
  const owner = lockOwner(path)!;
  assert.equal(owner.pid, child.pid);
  assert.throws(
    () => acquireLock(path, {command: 'second'}),
    (error: PlatformError) => {
      assert.equal(error.code, 'LOCKED');
      assert.ok(
        error.message.includes(`process ${child.pid} (millrace run) since ${owner.since}`),
        error.message,
      );
      return true;
    },
  );
  child.kill('SIGKILL');
  await once(child, 'close');
  assert.equal(lockOwner(path), undefined, 'a dead process owns nothing');
  acquireLock(path, {command: 'second'}).release();
  assert.equal(lockOwner(path), undefined);
});

test('of many that start at once exactly one wins, after each kill -9 again', async (t) => {
  const path = temporary(t);
  for (let round = 0; round < 3; round++) {
    const children = Array.from({length: 6}, () => start(t, path));
    const lines = await Promise.all(children.map(firstLine));
    assert.deepEqual(lines.sort(), ['LOCKED', 'LOCKED', 'LOCKED', 'LOCKED', 'LOCKED', 'held']);
    const closed = children.map((child) => child.exitCode ?? once(child, 'close'));
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(closed);
  }
});

test('a pid that was given to another process is no owner', (t) => {
  const path = temporary(t);
  const owner = {pid: process.pid, since: '2026-01-01T00:00:00Z', command: 'old', processStart: '1'};
  writeFileSync(path, JSON.stringify(owner));
  assert.equal(lockOwner(path), process.platform === 'linux' ? undefined : owner);
  const lock = acquireLock(path, {command: 'new'});
  assert.equal(lockOwner(path)!.command, 'new');
  lock.release();
});

test('another thread of the same process is refused too, and looking at the owner frees nothing', async (t) => {
  const path = temporary(t);
  const lock = acquireLock(path, {command: 'main'});
  assert.equal(lockOwner(path)!.command, 'main');
  const attempt = async () => {
    const worker = new Worker(
      `import(${module}).then(({acquireLock}) => {
        try { acquireLock(${JSON.stringify(path)}, {command: 'thread'}); postMessage('held'); }
        catch (error) { postMessage(error.code); }
      }); const {parentPort} = require('node:worker_threads'); const postMessage = (m) => parentPort.postMessage(m);`,
      {eval: true},
    );
    const [said] = await once(worker, 'message');
    await worker.terminate();
    return said;
  };
  assert.equal(await attempt(), 'LOCKED');
  const child = start(t, path);
  assert.equal(await firstLine(child), 'LOCKED', 'the lock outlives the refused thread');
  lock.release();
  assert.equal(await attempt(), 'held');
});
