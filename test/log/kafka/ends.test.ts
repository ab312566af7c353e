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

test('an end that was told too high goes back when every answer of half a minute says less; one that lags changes nothing', () => {
  let nowMs = 0;
  const ends = new EndTable(() => nowMs);
  const tell = (start: number, end: number) => {
    nowMs += 1_000;
    ends.told(place, start, end);
  };
  tell(0, 10);
  // Leaders of before and after a change, in turn.
  for (let answer = 1; answer < 200; answer++) tell(0, answer % 25 === 0 ? 10 : 9);
  assert.equal(ends.end('d.e', 0), 10);
  tell(0, 2 ** 40);
  const {news} = ends;
  for (let answer = 0; answer < 30; answer++) tell(0, 10 + answer);
  assert.deepEqual([ends.end('d.e', 0), ends.news], [2 ** 40, news]);
  // What only tells where it begins says nothing of it.
  tell(3, 0);
  tell(0, 35);
  assert.deepEqual([ends.start('d.e', 0), ends.end('d.e', 0), ends.news], [3, 39, news + 1]);
});
