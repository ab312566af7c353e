/** The index of ids against a Map: nothing is forgotten, nothing is taken for something else. */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {createHash} from 'node:crypto';
import {once} from 'node:events';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {type TestContext, test} from 'node:test';
import type {Stream} from '../../../src/log/chain.ts';
import {openLogReader, openLogWriter} from '../../../src/log/embedded.ts';
import {idLookup} from '../../../src/log/ids/lookup.ts';
import {IdIndex} from '../../../src/log/ids/remember.ts';
import {emptyIndexCrc, idsSchema} from '../../../src/log/ids/store.ts';
import {random} from '../../support/random.ts';
import {batchWith, randomUuid} from './sender.ts';

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-ids-'));
  t.after(() => rmSync(dir, {recursive: true}));
  return dir;
}

type Place = {partition: number; offset: number};

/** An index with short tails in a file of its own, and what it ought to remember. */
function world(t: TestContext, seed: number) {
  const {next, int, pick} = random(seed);
  const path = join(temporary(t), 'ids.db');
  let writing = new DatabaseSync(path);
  const reading = new DatabaseSync(path);
  writing.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
    CREATE TABLE meta (sequence INTEGER NOT NULL, ids_crc INTEGER NOT NULL) STRICT; INSERT INTO meta VALUES (0, ${emptyIndexCrc}); ${idsSchema}`);
  const streams = ['a', 'b'].flatMap((topic, i) =>
    [0, 1].map(
      (partition) => ({id: 1 + 2 * i + partition, topic, partition, startOffset: 0, endOffset: 0}) as Stream,
    ),
  );
  const tailMax = 50;
  let index = new IdIndex(writing, streams, tailMax);
  let lookup = idLookup(reading, () => streams);
  let sequence = 0;
  const model: Record<string, Map<string, Place>> = {a: new Map(), b: new Map()};
  const pool: string[] = [];
  // Some ids are texts; a UUID in capitals is another id than the same in small letters.
  const newId = () => {
    const number = int(2 ** 32);
    const id =
      next() < 0.2 ? `order ${number}` : randomUuid(number)[next() < 0.1 ? 'toUpperCase' : 'toString']();
    pool.push(id);
    return id;
  };
  const anId = () => (pool.length === 0 || next() < 0.7 ? newId() : pick(pool));

  function commit(work: () => void, isKept: boolean): void {
    writing.exec('BEGIN IMMEDIATE');
    work();
    index.write(sequence + 1);
    writing.prepare('UPDATE meta SET sequence = ?, ids_crc = ?').run(sequence + 1, index.crc());
    writing.exec(isKept ? 'COMMIT' : 'ROLLBACK');
    if (isKept) sequence++;
    else index.load(streams);
  }
  return {
    next,
    append(isKept: boolean): void {
      const before = streams.map(({endOffset}) => endOffset);
      const added: [string, string][] = [];
      commit(() => {
        for (let i = int(40); i > 0; i--) {
          const stream = pick(streams);
          const id = anId();
          const known = model[stream.topic]!;
          assert.equal(index.add(stream, id, stream.endOffset), !known.has(id), `${stream.topic} ${id}`);
          if (known.has(id)) continue;
          known.set(id, {partition: stream.partition, offset: stream.endOffset++});
          added.push([stream.topic, id]);
        }
      }, isKept);
      if (isKept) return;
      for (const [topic, id] of added) model[topic]!.delete(id);
      for (const [i, stream] of streams.entries()) stream.endOffset = before[i]!;
    },
    trim(): void {
      const stream = pick(streams);
      stream.startOffset += Math.floor((stream.endOffset - stream.startOffset) * next());
      commit(() => index.trim(stream), true);
      const known = model[stream.topic]!;
      for (const [id, {partition, offset}] of known)
        if (partition === stream.partition && offset < stream.startOffset) known.delete(id);
    },
    reopen(): void {
      writing.close();
      writing = new DatabaseSync(path);
      writing.exec('PRAGMA synchronous = OFF');
      index = new IdIndex(writing, streams, tailMax);
      if (next() < 0.5) lookup = idLookup(reading, () => streams);
    },
    check(): void {
      reading.exec('BEGIN');
      const find = lookup();
      for (let i = 0; i < 30; i++) {
        const id = anId();
        for (const topic of ['a', 'b']) assert.deepEqual(find(topic, id), model[topic]!.get(id), id);
      }
      reading.exec('COMMIT');
    },
    runs: () =>
      writing.prepare('SELECT id, live FROM id_runs ORDER BY id').all() as {id: number; live: number}[],
    checkAll(): void {
      reading.exec('BEGIN');
      const find = lookup();
      for (const id of pool)
        for (const topic of ['a', 'b']) assert.deepEqual(find(topic, id), model[topic]!.get(id), id);
      reading.exec('COMMIT');
    },
    close(): void {
      writing.close();
      reading.close();
    },
  };
}

test('appends, rolled back ones, trims and reopens in any order: the index says what a Map says', (t) => {
  for (let seed = 1; seed <= 3; seed++) {
    const log = world(t, seed);
    let most = 0;
    for (let step = 0; step < 600; step++) {
      const choice = log.next();
      if (choice < 0.75) log.append(true);
      else if (choice < 0.85) log.append(false);
      else if (choice < 0.9) log.trim();
      else if (choice < 0.95) log.reopen();
      else log.check();
      most = Math.max(most, log.runs().filter(({live}) => live === 1).length);
    }
    log.checkAll();
    assert.ok(log.runs().at(-1)!.id > 100, 'many runs were made');
    assert.ok(most >= 8 && most < 40, `${most} runs at once: they become one, and not all of them`);
    log.close();
  }
});

test('what is trimmed leaves the file', (t) => {
  const log = world(t, 7);
  for (let step = 0; step < 200; step++) log.append(true);
  assert.ok(log.runs().length > 3);
  for (let step = 0; step < 200; step++) log.trim();
  for (let step = 0; step < 20; step++) log.append(true);
  for (let step = 0; step < 100; step++) log.trim();
  assert.ok(log.runs().filter(({live}) => live === 1).length <= 1, JSON.stringify(log.runs()));
  log.checkAll();
  log.close();
});

test('after kill -9 at random times no acknowledged id is lost and no other is taken for known', async (t) => {
  const dir = temporary(t);
  const sender = join(import.meta.dirname, 'sender.ts');
  const numbersIn = (output: string) => output.split('\n').slice(0, -1).map(Number);
  for (let round = 0, acknowledged = 0; round < 5; round++) {
    const child = spawn(process.execPath, [sender, dir], {stdio: ['ignore', 'pipe', 'inherit']});
    let output = '';
    let isDying = false;
    child.stdout.on('data', (data: Buffer) => {
      output += data;
      // Two runs in each round, so that in the last ones some are becoming one when the process dies.
      if (isDying || output.split('\n').length < 27) return;
      isDying = true;
      setTimeout(() => child.kill('SIGKILL'), Math.random() * 100);
    });
    await once(child, 'close');
    acknowledged = numbersIn(output).at(-1) ?? acknowledged;
    const writer = openLogWriter(dir);
    const reader = openLogReader(dir);
    const total = Number(writer.progress('numbers'));
    assert.ok(total >= acknowledged);
    const step = Math.max(1, Math.floor(total / 1_000));
    const old = Array.from({length: Math.floor(total / step)}, (_, i) => randomUuid(i * step));
    const fresh = Array.from({length: 500}, (_, i) =>
      createHash('md5').update(`${round} ${i}`).digest('hex'),
    );
    assert.deepEqual(reader.knows('t', [...old, ...fresh, randomUuid(total)]), [
      ...old.map(() => true),
      ...fresh.map(() => false),
      false,
    ]);
    const {appends} = await writer.append({
      appends: [{topic: 't', partition: 0, ...batchWith(old)}],
    });
    assert.equal(appends[0]!.duplicate, old.length);
    reader.close();
    await writer.close();
  }
  const database = new DatabaseSync(join(dir, 'log.db'));
  const {runs} = database.prepare('SELECT max(id) AS runs FROM id_runs').get() as {runs: number};
  assert.ok(runs > 8, `${runs} runs were made, those of which others became included`);
  database.close();
});
