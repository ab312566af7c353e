/** How long servers live, and who ends them: with a small server of our own, which is up at once. */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {suite, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {ask} from '../../src/cluster/http.ts';
import {freePorts} from '../../src/cluster/ports.ts';
import {
  isRunning,
  type ProcessIdentity,
  pause,
  signalProcess,
  stopProcess,
} from '../../src/cluster/process.ts';
import {processStart} from '../../src/log/lock.ts';
import {until} from '../support/until.ts';
import {startTiny} from './tiny-server.ts';

const owner = fileURLToPath(new URL('tiny-owner.ts', import.meta.url));

/** A process that sleeps and is not ours to end. */
function sleeper(): {identity: ProcessIdentity; end(): void} {
  const child = spawn('sleep', ['60'], {stdio: 'ignore'});
  return {
    identity: {pid: child.pid!, start: processStart(child.pid!)},
    end: () => void child.kill('SIGKILL'),
  };
}

suite('a server of a process', () => {
  test('ends with it when it is killed, and its temporary directory goes, too', async () => {
    const child = spawn(process.execPath, [owner], {stdio: ['ignore', 'pipe', 'inherit']});
    const line = await new Promise<string>((resolve) =>
      createInterface({input: child.stdout}).once('line', resolve),
    );
    const {process: server, dir} = JSON.parse(line) as {process: ProcessIdentity; dir: string};
    assert.ok(isRunning(server) && existsSync(dir));
    child.kill('SIGKILL');
    await until(() => !isRunning(server), 'the server to end');
    await until(() => !existsSync(dir), 'its directory to go');
  });

  test('ends with it when it ends without a word, and goes on when it was started detached', async () => {
    for (const [kind, goesOn] of [
      ['plain', false],
      ['detached', true],
    ] as const) {
      const dir = mkdtempSync(join(tmpdir(), 'millrace-tiny-'));
      const child = spawn(process.execPath, [owner, kind, dir], {stdio: ['ignore', 'pipe', 'inherit']});
      let said = '';
      child.stdout.on('data', (chunk) => (said += chunk));
      await new Promise((resolve) => child.once('close', resolve));
      const {process: server} = JSON.parse(said) as {process: ProcessIdentity};
      if (goesOn) {
        // Longer than a watchdog takes.
        await pause(500);
        assert.ok(isRunning(server));
        await stopProcess(server, {signal: 'SIGTERM', graceMs: 1_000});
      } else await until(() => !isRunning(server), 'the server to end');
      rmSync(dir, {recursive: true});
    }
  });

  test('is killed when it does not end on request, also when it is held', async () => {
    const server = await startTiny({mode: 'stubborn'});
    signalProcess(server.process, 'SIGSTOP');
    const startMs = performance.now();
    await stopProcess(server.process, {signal: 'SIGTERM', graceMs: 300});
    assert.ok(!isRunning(server.process));
    assert.ok(performance.now() - startMs >= 300);
    await server.stop();
  });

  test('comes back at its address after a kill', async () => {
    const server = await startTiny();
    const killed = server.process;
    await server.kill();
    await assert.rejects(ask(server.url), /ECONNREFUSED/);
    await server.restart();
    assert.notEqual(server.pid, killed.pid);
    assert.deepEqual(await ask(server.url), {status: 200, text: 'tiny'});
    await server.stop();
  });
});

suite('a server that does not start', () => {
  test('shows the last lines of its log when it ends', async () => {
    await assert.rejects(startTiny({mode: 'broken'}), {
      code: 'SERVER_FAILED',
      message: 'Tiny ended while it started:\n  reading the configuration\n  fatal: no colour was chosen',
    });
  });

  test('is ended when it does not answer in time', async () => {
    await assert.rejects(startTiny({mode: 'silent', readyMsMax: 2_000}), {
      code: 'SERVER_FAILED',
      message: 'Tiny did not answer within 2 s:\n  reading the configuration',
    });
  });

  test('names the port of a kept directory that somebody else has', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'millrace-tiny-'));
    const [port] = await freePorts(1);
    writeFileSync(join(dir, 'ports.json'), JSON.stringify({http: port}));
    const other = createServer().listen(port, '127.0.0.1');
    try {
      await assert.rejects(startTiny({dir}), {
        code: 'SERVER_FAILED',
        // Who it is can be told on Linux.
        message: new RegExp(
          `^port ${port}, which the server had before, is in use${process.platform === 'linux' ? `: .+ \\(process ${process.pid}\\) listens there` : ''}$`,
        ),
        place: dir,
      });
    } finally {
      other.close();
      rmSync(dir, {recursive: true});
    }
  });
});

test('a process that got the pid of a server that ended is left alone', async () => {
  const stranger = sleeper();
  const gone: ProcessIdentity = {
    pid: stranger.identity.pid,
    start: String(Number(stranger.identity.start) - 1),
  };
  try {
    assert.ok(!isRunning(gone));
    assert.equal(signalProcess(gone, 'SIGKILL'), false);
    await stopProcess(gone, {signal: 'SIGTERM', graceMs: 0});
    assert.ok(isRunning(stranger.identity));
  } finally {
    stranger.end();
  }
});

test('servers that start at once get ports of their own', async () => {
  const servers = await Promise.all([startTiny(), startTiny(), startTiny()]);
  assert.equal(new Set(servers.map(({url}) => url)).size, 3);
  for (const server of servers) assert.equal((await ask(server.url)).text, 'tiny');
  await Promise.all(servers.map((server) => server.stop()));
  assert.ok(servers.every(({dir}) => !existsSync(dir)));
});

test('the log of a server has what it printed', async () => {
  const server = await startTiny();
  assert.match(readFileSync(server.log, 'utf8'), /^reading the configuration\n/);
  await server.stop();
});
