/** Damage to the index of ids: found, or harmless; never a wrong answer. */
import assert from 'node:assert/strict';
import {closeSync, cpSync, mkdtempSync, openSync, readSync, rmSync, statSync, writeSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {after, before, test} from 'node:test';
import {PlatformError} from '../../../src/errors.ts';
import {openLogReader, openLogWriter} from '../../../src/log/embedded.ts';
import {batchWith, batchWithIds, randomUuid} from './sender.ts';

const root = mkdtempSync(join(tmpdir(), 'millrace-ids-damage-'));
const whole = join(root, 'whole');
const dir = join(root, 'harmed');
const total = 30_000;

/** A run of 25,000 ids and a tail of 5,000. */
before(async () => {
  const writer = openLogWriter(whole);
  writer.ensureTopic('t', 1);
  for (let number = 0; number < total; number += 5_000)
    await writer.append({appends: [{topic: 't', partition: 0, ...batchWithIds(number, 5_000)}]});
  await writer.close();
});
after(() => rmSync(root, {recursive: true}));

function damaged(harm: (path: string) => void): void {
  rmSync(dir, {recursive: true, force: true});
  cpSync(whole, dir, {recursive: true});
  harm(join(dir, 'log.db'));
}

const sql = (text: string) => (path: string) => {
  const database = new DatabaseSync(path);
  database.exec(text);
  database.close();
};

/** Asks for ids old and new, and appends old ones again. Every answer is checked. */
async function useIt(): Promise<void> {
  const old = Array.from({length: 1_500}, (_, i) => randomUuid(i * 20));
  const fresh = Array.from({length: 500}, (_, i) => randomUuid(total + i));
  const reader = openLogReader(dir);
  try {
    assert.deepEqual(reader.knows('t', [...old, ...fresh]), [
      ...old.map(() => true),
      ...fresh.map(() => false),
    ]);
    assert.deepEqual(reader.placeOf('t', randomUuid(17_000)), {partition: 0, offset: 17_000});
  } finally {
    reader.close();
  }
  const writer = openLogWriter(dir);
  try {
    const {appends} = await writer.append({
      appends: [{topic: 't', partition: 0, ...batchWith(old)}],
    });
    assert.equal(appends[0]!.duplicate, 1_500);
  } finally {
    await writer.close();
  }
}

for (const [what, text] of [
  ['a lost row of the tail', 'DELETE FROM id_tail WHERE sequence = (SELECT max(sequence) FROM id_tail)'],
  ['an altered tail', 'UPDATE id_tail SET bytes = zeroblob(length(bytes))'],
  ['a lost run', 'DELETE FROM id_runs'],
  ['a run that is no longer live', 'UPDATE id_runs SET live = 0'],
  ['a lost bucket', 'DELETE FROM id_buckets WHERE place % 64 = 9'],
  ['an altered bucket', 'UPDATE id_buckets SET bytes = zeroblob(length(bytes)) WHERE place % 64 = 9'],
  [
    'buckets that changed places',
    `UPDATE id_buckets SET place = 1 WHERE place % 64 = 9; UPDATE id_buckets SET place = place - 1 WHERE place % 64 = 10;
     UPDATE id_buckets SET place = (SELECT max(place) + 1 FROM id_buckets WHERE place % 64 = 9) WHERE place = 1`,
  ],
] as const)
  test(`${what} is found`, async () => {
    damaged(sql(text));
    await assert.rejects(useIt(), {code: 'LOG_CORRUPT', place: /^ids\//});
  });

for (const [what, text] of [
  ['a lost filter', 'DELETE FROM id_filters'],
  ['a filter of zeros', 'UPDATE id_filters SET bytes = zeroblob(length(bytes))'],
  ['a filter that is cut', "UPDATE id_filters SET bytes = x'00'"],
] as const)
  test(`${what} is made anew`, async () => {
    damaged(sql(text));
    await useIt();
  });

test('a bit that flips anywhere gives LOG_CORRUPT or changes no answer about an id', async () => {
  const points = 40;
  let found = 0;
  for (let point = 0; point < points; point++) {
    damaged((path) => {
      const file = openSync(path, 'r+');
      const at = Math.floor(((point + 0.61) / points) * statSync(path).size);
      const byte = Buffer.alloc(1);
      readSync(file, byte, 0, 1, at);
      byte[0]! ^= 1 << (point % 8);
      writeSync(file, byte, 0, 1, at);
      closeSync(file);
    });
    try {
      await useIt();
    } catch (error) {
      assert.ok(error instanceof PlatformError && /^LOG_(CORRUPT|FORMAT)$/.test(error.code), String(error));
      found++;
    }
  }
  assert.ok(found > 5, `${found} were found`);
});
