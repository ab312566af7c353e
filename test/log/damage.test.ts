/** Bits that flip, files that end early, limits that are reached: always a clear error that names the place. */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {
  closeSync,
  copyFileSync,
  cpSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {type TestContext, test} from 'node:test';
import {Worker} from 'node:worker_threads';
import {PlatformError} from '../../src/errors.ts';
import {openLogReader, openLogWriter} from '../../src/log/embedded.ts';
import {batchOf, readAll} from '../support/log-records.ts';

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-damage-'));
  t.after(() => rmSync(dir, {recursive: true}));
  return dir;
}

/** A log with 20 batches of 3 records in each of 2 partitions, closed; record texts are long enough for several pages. */
async function filledLog(t: TestContext): Promise<string> {
  const dir = temporary(t);
  const writer = openLogWriter(dir);
  writer.ensureTopic('shop.sale', 2);
  for (let i = 0; i < 20; i++)
    await writer.append({
      appends: [0, 1].map((partition) => ({
        topic: 'shop.sale',
        partition,
        ...batchOf(...[0, 1, 2].map((j) => `${i}-${j}-${partition}`.padEnd(4_000, 'x'))),
      })),
      progress: [{source: 's', position: `${i}`}],
    });
  await writer.close();
  return dir;
}

function flip(path: string, at: number): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  byte[0]! ^= 0x10;
  writeSync(file, byte, 0, 1, at);
  closeSync(file);
}

function damage(dir: string, sql: string): void {
  const database = new DatabaseSync(join(dir, 'log.db'));
  database.exec(sql);
  database.close();
}

/** Reads everything there is. */
async function readWhole(dir: string): Promise<number> {
  const reader = openLogReader(dir);
  try {
    reader.progress('s');
    reader.ledger();
    let records = 0;
    for (const topic of reader.topics())
      for (let partition = 0; partition < reader.partitions(topic); partition++)
        for (const {count} of await readAll(reader, topic, partition)) records += count;
    return records;
  } finally {
    reader.close();
  }
}

for (const [what, sql, place] of [
  [
    'an altered batch',
    'UPDATE batches SET bytes = zeroblob(length(bytes)) WHERE base_offset = 9 AND stream = 1',
    'shop.sale/0@9',
  ],
  ['an altered count', 'UPDATE batches SET count = 2 WHERE base_offset = 9 AND stream = 2', 'shop.sale/1@9'],
  [
    'an altered append time',
    'UPDATE batches SET append_ms = append_ms + 1 WHERE base_offset = 9 AND stream = 2',
    'shop.sale/1@9',
  ],
  ['a lost batch', 'DELETE FROM batches WHERE base_offset = 9 AND stream = 1', 'shop.sale/0@9'],
  ['a lost last batch', 'DELETE FROM batches WHERE base_offset = 57 AND stream = 1', 'shop.sale/0@57'],
  ['an altered end', 'UPDATE streams SET end_offset = 57 WHERE id = 1', 'shop.sale/0@57'],
  [
    'batches of two partitions that changed places',
    'UPDATE batches SET stream = 9 WHERE base_offset = 9 AND stream = 1; UPDATE batches SET stream = 1 WHERE base_offset = 9 AND stream = 2; UPDATE batches SET stream = 2 WHERE stream = 9',
    'shop.sale/0@9',
  ],
] as const)
  test(`${what} is found, and the error names topic, partition and offset`, async (t) => {
    const dir = await filledLog(t);
    assert.equal(await readWhole(dir), 120);
    damage(dir, sql);
    await assert.rejects(readWhole(dir), {code: 'LOG_CORRUPT', place});
  });

test('a reader that starts behind a lost batch notices it by the chain', async (t) => {
  const dir = await filledLog(t);
  damage(dir, 'DELETE FROM batches WHERE base_offset = 9 AND stream = 1');
  const reader = openLogReader(dir);
  t.after(() => reader.close());
  await assert.rejects(reader.read('shop.sale', 0, 12, 1), {code: 'LOG_CORRUPT', place: 'shop.sale/0@9'});
  assert.equal((await reader.read('shop.sale', 0, 15, 1)).length, 1, 'what is whole can be read');
});

test('a bit that flips anywhere in log.db gives LOG_CORRUPT or leaves every record as it was', async (t) => {
  const dir = await filledLog(t);
  const size = statSync(join(dir, 'log.db')).size;
  let found = 0;
  for (let point = 0; point < 60; point++) {
    const copy = `${dir}-copy`;
    cpSync(dir, copy, {recursive: true});
    flip(join(copy, 'log.db'), Math.floor(((point + 0.37) / 60) * size));
    try {
      assert.equal(await readWhole(copy), 120);
    } catch (error) {
      assert.ok(error instanceof PlatformError && /^LOG_(CORRUPT|FORMAT)$/.test(error.code), String(error));
      found++;
    }
    rmSync(copy, {recursive: true});
  }
  assert.ok(found >= 30, `${found} of 60 flips hit something that is used`);
});

test('a log.db that ends early is found', async (t) => {
  const dir = await filledLog(t);
  const path = join(dir, 'log.db');
  truncateSync(path, Math.floor(statSync(path).size / 2 / 16_384) * 16_384);
  await assert.rejects(readWhole(dir), {code: 'LOG_CORRUPT'});
  assert.throws(() => openLogWriter(dir), {code: 'LOG_CORRUPT'});
});

/** Runs the appender for a while and kills it, so that the write-ahead log is full of acknowledged commits. */
async function killedLog(t: TestContext): Promise<string> {
  const dir = temporary(t);
  const child = spawn(process.execPath, [join(import.meta.dirname, 'appender.ts'), dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.stdout.on('data', (data: Buffer) => {
    if (Number(String(data).trimEnd().split('\n').at(-1)) > 100) child.kill('SIGKILL');
  });
  await once(child, 'close');
  return dir;
}

for (const [what, harm] of [
  ['a flipped bit', (wal: string) => flip(wal, Math.floor(statSync(wal).size / 2))],
  ['a missing tail', (wal: string) => truncateSync(wal, Math.floor(statSync(wal).size / 2))],
  ['no content', (wal: string) => truncateSync(wal, 0)],
  ['no file', (wal: string) => rmSync(wal)],
] as const)
  test(`a write-ahead log with ${what} is found after a crash`, async (t) => {
    const dir = await killedLog(t);
    harm(join(dir, 'log.db-wal'));
    assert.throws(() => openLogReader(dir), {code: 'LOG_CORRUPT'});
    assert.throws(() => openLogWriter(dir), {code: 'LOG_CORRUPT'});
  });

test('the witness itself may be damaged or absent: the log opens', async (t) => {
  const dir = await killedLog(t);
  copyFileSync(join(dir, 'log.db'), join(dir, 'log.head'));
  await openLogWriter(dir).close();
  rmSync(join(dir, 'log.head'));
  await openLogWriter(dir).close();
  assert.equal(readFileSync(join(dir, 'log.head')).length, 32);
});

test('a newer format, another file and an absent log are told apart', async (t) => {
  const dir = await filledLog(t);
  damage(dir, 'PRAGMA user_version = 99');
  assert.throws(() => openLogWriter(dir), {code: 'LOG_FORMAT'});
  assert.throws(() => openLogReader(dir), {code: 'LOG_FORMAT'});
  damage(dir, 'PRAGMA application_id = 1');
  assert.throws(() => openLogWriter(dir), {code: 'LOG_CORRUPT'});
  assert.throws(() => openLogReader(join(dir, 'none')), {code: 'LOG_MISSING'});
});

test('at its size limit the log refuses before it writes; a trim makes room', async (t) => {
  const dir = temporary(t);
  const writer = openLogWriter(dir, {sizeMaxBytes: 1 << 20});
  writer.ensureTopic('t', 1);
  const append = () =>
    writer.append({appends: [{topic: 't', partition: 0, ...batchOf('x'.repeat(100_000))}]});
  let appended = 0;
  const fill = async () => {
    for (; appended < 100; appended++) await append();
  };
  await assert.rejects(fill(), {code: 'LOG_FULL', retry: true});
  assert.ok(appended >= 5 && appended <= 10, `${appended} batches of 100 kB in 1 MiB`);
  await writer.append({appends: [], progress: [{source: 's', position: '1'}]});
  assert.equal(writer.trim('t', 0, {beforeMs: Date.now() + 1_000, belowOffset: 3}), 3);
  assert.equal((await append()).appends[0]!.baseOffset, appended);
  await writer.close();
});

test('a reader in another thread is woken and reads on while the writer writes', async (t) => {
  const dir = temporary(t);
  const counter = new SharedArrayBuffer(4);
  const writer = openLogWriter(dir, {counter});
  writer.ensureTopic('t', 1);
  const worker = new Worker(new URL('./following-reader.ts', import.meta.url), {
    workerData: {dir, counter, until: 2_000},
  });
  const told = once(worker, 'message');
  for (let i = 0; i < 200; i++)
    await writer.append({
      appends: [
        {topic: 't', partition: 0, ...batchOf(...Array.from({length: 10}, (_, j) => `${10 * i + j}`))},
      ],
    });
  const [{texts}] = (await told) as [{texts: string[]}];
  assert.deepEqual(
    texts,
    Array.from({length: 2_000}, (_, i) => `${i}`),
  );
  await writer.close();
});
