import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {openLogReader, openLogWriter} from '../../src/log/embedded.ts';
import {batchesOf, batchesSeen} from '../../src/log/scan.ts';
import type {LogReader, RecordBatch} from '../../src/log/types.ts';

test('a topic is read as it is now, after a look at it, or as of the last look, without another one', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-scan-'));
  const writer = openLogWriter(dir);
  writer.ensureTopic('shop.sale', 2);
  const bytes = new Uint8Array([5, 0, 0, 0, 0, 0, 0, 0, 1]);
  const appends = [0, 1].map((partition) => ({topic: 'shop.sale', partition, count: 1, bytes}));
  await writer.append({appends});
  const log: LogReader = openLogReader(dir);
  t.after(async () => {
    log.close();
    await writer.close();
    rmSync(dir, {recursive: true});
  });
  const looks: (readonly string[])[] = [];
  log.refresh = async (topics = []) => void looks.push(topics);
  const partitions = async (batches: AsyncIterable<RecordBatch>) =>
    (await Array.fromAsync(batches)).map(({partition}) => partition);
  assert.deepEqual(await partitions(batchesSeen(log, 'shop.sale')), [0, 1]);
  assert.deepEqual(looks, []);
  assert.deepEqual(await partitions(batchesOf(log, 'shop.sale')), [0, 1]);
  assert.deepEqual(looks, [['shop.sale']]);
});
