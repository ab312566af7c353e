/** Kills a process that appends, at random times and at chosen system calls, and looks at what it left. */
import assert from 'node:assert/strict';
import {spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {openLogReader, openLogWriter} from '../../src/log/embedded.ts';
import {batchOf, readAll, textsOf} from '../support/log-records.ts';

const appender = join(import.meta.dirname, 'appender.ts');
const strace = spawnSync('strace', ['-e', 'trace=none', 'true']).status === 0;
/** Points of each sweep; more on demand. */
const sweepPoints = Number(process.env.MILLRACE_SWEEP ?? 40);

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-crash-'));
  t.after(() => rmSync(dir, {recursive: true}));
  return dir;
}

/** Last number in the lines that a process printed; undefined when it printed none. */
const lastNumber = (output: string): number | undefined =>
  output
    .split('\n')
    .filter((line) => /^\d+$/.test(line))
    .map(Number)
    .at(-1);

/**
 * The log is a prefix of what was sent and holds everything that was acknowledged, each record once, without gaps; progress
 * and ledger say the same. @returns records in the log.
 */
async function checkLog(dir: string, acknowledged: number): Promise<number> {
  const writer = openLogWriter(dir);
  const reader = openLogReader(dir);
  try {
    const total = Number(writer.progress('numbers') ?? 0);
    assert.ok(total >= acknowledged, `${acknowledged} were acknowledged, ${total} are there`);
    const numbers: number[] = [];
    for (const partition of [0, 1]) {
      const batches = await readAll(reader, 't', partition);
      let next = 0;
      for (const {baseOffset, count} of batches) {
        assert.equal(baseOffset, next);
        next += count;
      }
      numbers.push(...textsOf(batches).map((text) => Number(text.replaceAll('.', ''))));
    }
    assert.deepEqual(
      numbers.sort((a, b) => a - b),
      Array.from({length: total}, (_, i) => i),
    );
    assert.equal(writer.ledger()[0]?.received ?? 0, total);
    return total;
  } finally {
    reader.close();
    await writer.close();
  }
}

test('after kill -9 at random times, 30 times over, every acknowledged record is there once', async (t) => {
  const dir = temporary(t);
  let acknowledged = 0;
  for (let round = 0; round < 30; round++) {
    const child = spawn(process.execPath, [appender, dir], {stdio: ['ignore', 'pipe', 'inherit']});
    let output = '';
    child.stdout.on('data', (data: Buffer) => {
      // The clock of the kill starts with the first acknowledgement: the rounds differ in where it hits.
      if (output === '') setTimeout(() => child.kill('SIGKILL'), Math.random() * 25);
      output += data;
    });
    await once(child, 'close');
    acknowledged = lastNumber(output) ?? acknowledged;
    // Every third crash is followed by another one without a clean open between them.
    if (round % 3 === 2) await checkLog(dir, acknowledged);
  }
  assert.ok((await checkLog(dir, acknowledged)) >= 300);
});

/** Runs the appender for 12 commits under strace with one fault injected. */
function runWithFault(dir: string, fault: string, commits = 12) {
  const {stdout, status, signal} = spawnSync(
    'strace',
    ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=pwrite64,fsync', '-e', `inject=${fault}`].concat(
      process.execPath,
      appender,
      dir,
      `${commits}`,
    ),
    {encoding: 'utf8'},
  );
  return {acknowledged: lastNumber(stdout) ?? 0, stdout, ended: status ?? signal};
}

const needsStrace = strace
  ? {}
  : process.env.CI === 'true'
    ? assert.fail('CI needs strace')
    : {skip: 'strace is not installed'};

test(
  'kill -9 at each write of a short run leaves a prefix with everything acknowledged',
  needsStrace,
  async (t) => {
    const root = temporary(t);
    let killed = 0;
    for (let point = 0; point < sweepPoints; point++) {
      const dir = join(root, `${point}`);
      const call = point % 4 === 3 ? 'fsync' : 'pwrite64';
      const when = call === 'fsync' ? 1 + (point >> 2) : 1 + point * 3;
      const {acknowledged, ended} = runWithFault(dir, `${call}:signal=KILL:when=${when}`);
      if (ended !== 0) killed++;
      await checkLog(dir, acknowledged);
      rmSync(dir, {recursive: true});
    }
    assert.ok(killed >= Math.min(30, sweepPoints / 2), `${killed} points hit`);
  },
);

test(
  'a full disk refuses the append, nothing of it is there, and it works again with space',
  needsStrace,
  async (t) => {
    const dir = temporary(t);
    const {stdout, ended, acknowledged} = runWithFault(dir, 'pwrite64:error=ENOSPC:when=120+');
    assert.match(stdout, /LOG_DISK_FULL\n$/);
    assert.equal(ended, 1);
    assert.ok(acknowledged > 0);
    assert.equal(await checkLog(dir, acknowledged), acknowledged);
    const again = spawnSync(process.execPath, [appender, dir, '12'], {encoding: 'utf8'});
    assert.equal(lastNumber(again.stdout), acknowledged + 120);
  },
);

test(
  'a failed fsync is fatal for the writer; what was acknowledged before is there',
  needsStrace,
  async (t) => {
    const dir = temporary(t);
    const {stdout, ended, acknowledged} = runWithFault(dir, 'fsync:error=EIO:when=14+');
    assert.match(stdout, /LOG_IO\n$/);
    assert.equal(ended, 1);
    assert.ok(acknowledged > 0);
    await checkLog(dir, acknowledged);
  },
);

test('a small disk: appends are refused while it is full, and the same writer goes on with space', async (t) => {
  const dir = temporary(t);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'millrace-test', dir]).status === 0;
  if (!mounted && process.env.CI === 'true') assert.fail('CI needs the right to mount a tmpfs');
  if (!mounted) return t.skip('a tmpfs cannot be mounted here');
  try {
    const writer = openLogWriter(join(dir, 'log'));
    writer.ensureTopic('t', 1);
    writeFileSync(join(dir, 'ballast'), new Uint8Array(1 << 20));
    const text = 'x'.repeat(10_000);
    let appended = 0;
    const fill = async () => {
      for (; appended < 1_000; appended++)
        await writer.append({appends: [{topic: 't', partition: 0, ...batchOf(text)}]});
    };
    await assert.rejects(fill(), {code: 'LOG_DISK_FULL', retry: true});
    await assert.rejects(fill(), {code: 'LOG_DISK_FULL', retry: true});
    const before = appended;
    rmSync(join(dir, 'ballast'));
    await assert.rejects(fill(), {code: 'LOG_DISK_FULL', retry: true});
    assert.ok(appended > before, 'space that came back was used');
    const reader = openLogReader(join(dir, 'log'));
    assert.equal(textsOf(await readAll(reader, 't', 0)).length, appended);
    reader.close();
    await writer.close();
  } finally {
    spawnSync('umount', [dir]);
  }
});
