import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {deadLetterEncoder, deadLetterTopic} from '../../src/ingest/deadletters.ts';
import {openLogReader, openLogWriter} from '../../src/log/embedded.ts';
import type {EventType} from '../../src/model/types.ts';
import {HoleFinder, unexplained} from '../../src/platform/change-archive-holes.ts';
import type {DeadLetter} from '../../src/schema/side.ts';

const offsets = (from: number, to: number): number[] =>
  Array.from({length: to - from}, (_, index) => from + index);

test('offsets without a row are a hole from 17 of them in a row on, wherever they are read in pieces', () => {
  const finder = new HoleFinder();
  finder.begin(0);
  finder.see([...offsets(0, 10), ...offsets(26, 30)]);
  finder.see(offsets(47, 50));
  finder.see([]);
  finder.end(60);
  finder.begin(1);
  // Rows of one event that the table has not joined yet.
  finder.see([20, 20, 21]);
  finder.end(39);
  assert.deepEqual(finder.holes, [
    {partition: 0, from: 30, to: 47},
    {partition: 1, from: 0, to: 20},
    {partition: 1, from: 22, to: 39},
  ]);
  assert.equal(finder.rows, 10 + 4 + 3 + 2);
});

test('dead letters explain offsets without a row, and so does a count of rows that is right: the others are ends of files', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-holes-'));
  t.after(() => rmSync(dir, {recursive: true}));
  const writer = openLogWriter(dir);
  t.after(() => writer.close());
  const letters = deadLetterTopic('shop');
  writer.ensureTopic('shop.sale', 1);
  writer.ensureTopic(letters, 1);
  const letter = (offset: number): DeadLetter => ({
    id: `letter-${offset}`,
    timeMs: offset,
    domain: 'shop',
    eventType: 'sale',
    stage: 'decode',
    query: 'shop.q',
    code: 'DECODE',
    message: 'no event',
    source: 'shop.sale',
    position: {topic: 'shop.sale', partition: 0, offset},
    eventId: null,
    schemaId: null,
    original: new Uint8Array(),
  });
  const refused = [...offsets(20, 60), ...offsets(100, 120)].map(letter);
  const event = new Uint8Array([5, 0, 0, 0, 0, 0, 0, 0, 1]);
  const counts = {domain: 'shop', eventType: 'sale', source: 'in', duplicate: 0, rejected: 0};
  // 200 events so far, the log has three of them; the other offsets below 300 hold none.
  await writer.append({
    appends: [
      {topic: letters, partition: 0, count: refused.length, bytes: deadLetterEncoder(1)(refused)},
      {topic: 'shop.sale', partition: 0, count: 3, bytes: Buffer.concat([event, event, event])},
    ],
    ledger: [{...counts, received: 200, appended: 200}],
  });
  const log = openLogReader(dir);
  t.after(() => log.close());
  const eventType = {domain: 'shop', name: 'sale', topic: 'shop.sale'} as EventType;
  const holes = [
    {partition: 0, from: 20, to: 60},
    {partition: 0, from: 90, to: 160},
    {partition: 1, from: 20, to: 40},
  ];
  assert.deepEqual(await unexplained({holes, rows: 197}, log, eventType), [], 'every event has its row');
  assert.deepEqual(await unexplained({holes, rows: 196}, log, eventType), [
    {partition: 0, from: 120, to: 160},
    {partition: 1, from: 20, to: 40},
  ]);
});
