import assert from 'node:assert/strict';
import {test} from 'node:test';
import {EndTable} from '../../../src/log/kafka/ends.ts';

const place = {topic: 'd.e', partition: 0};

test('everybody who waits hears of news and of the end; what is no news wakes nobody', async () => {
  const ends = new EndTable();
  ends.told(place, 0, 5);
  const news = ends.news;
  let woken = 0;
  const waits = [1, 2].map(() => ends.nextNews(600_000).then(() => woken++));
  ends.told(place, 0, 5);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([woken, ends.news], [0, news]);
  ends.told(place, 0, 6);
  await Promise.all(waits);
  assert.deepEqual([woken, ends.news], [2, news + 1]);
  const last = ends.nextNews(600_000);
  ends.wake();
  await last;
  await ends.nextNews(1);
});
