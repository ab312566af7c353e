import assert from 'node:assert/strict';
import {test} from 'node:test';
import {openLogReader, openLogWriter} from '../../../src/log/embedded.ts';
import {AppendNews} from '../../../src/process/embedded/append-news.ts';
import {batchOf} from '../../support/log-records.ts';
import {scratchDir} from '../../support/scratch.ts';

test('what is appended while a worker is at work is told at its next wait, once', async (t) => {
  const dir = scratchDir('news');
  const counter = new SharedArrayBuffer(4);
  const writer = openLogWriter(dir, {counter});
  writer.ensureTopic('t', 1);
  const reader = openLogReader(dir, {counter});
  t.after(async () => {
    reader.close();
    await writer.close();
  });
  let asked = Promise.resolve(false);
  const news = new AppendNews({waitForAppend: (ms) => (asked = reader.waitForAppend(ms))});
  const append = () => writer.append({appends: [{topic: 't', partition: 0, ...batchOf('a')}]});
  for (let round = 0; round < 3; round++) {
    // The time was over, or somebody had something else for it: the log is asked on.
    const waiting = news.next(60_000);
    news.wake();
    assert.equal(await waiting, false);
    const before = asked;
    await append();
    const isInTime = await before;
    assert.equal(await news.next(60_000), true);
    if (isInTime) assert.equal(asked, before);
    assert.equal(await news.next(0), false);
  }
});
