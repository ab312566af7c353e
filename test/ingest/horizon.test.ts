import assert from 'node:assert/strict';
import {test} from 'node:test';
import {finalMarkMs, lateJudge} from '../../src/ingest/horizon.ts';
import type {Aggregation, Late, WindowSpec} from '../../src/model/types.ts';
import {domain, order} from './world.ts';

const ms = (text: string) => Date.parse(text);
const minute = 60_000;
const query = (window: WindowSpec, late: Late = 'correct') => {
  const aggregation: Partial<Aggregation> = {
    name: 'q',
    from: ['order'],
    window,
    watermarkMs: 10 * minute,
    late,
    correctForMs: 60 * minute,
  };
  return domain(order(), [aggregation]);
};

/** The largest maximum at which an event still counts. */
function lastMaximum(window: WindowSpec, time: string, late?: Late): number {
  const judge = lateJudge(query(window, late), order());
  const timeMs = ms(time);
  let [low, high] = [timeMs, timeMs + 100 * 86_400_000];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (judge(timeMs, middle)) high = middle;
    else low = middle;
  }
  return low;
}

test('an event counts until watermark and horizon are past the end of its first window', () => {
  const end = (text: string, more = 70) => ms(text) + more * minute - 1;
  const time = '2024-03-10T12:34:56Z';
  const tumbling: WindowSpec = {type: 'tumbling', sizeMs: 60 * minute};
  assert.equal(lastMaximum(tumbling, time), end('2024-03-10T13:00:00Z'));
  assert.equal(lastMaximum(tumbling, time, 'drop'), end('2024-03-10T13:00:00Z', 10));
  assert.equal(lastMaximum(tumbling, '2024-03-10T13:00:00Z'), end('2024-03-10T14:00:00Z'));
  assert.equal(
    lastMaximum({type: 'sliding', sizeMs: 60 * minute, slideMs: 15 * minute}, time),
    end('2024-03-10T12:45:00Z'),
  );
  assert.equal(lastMaximum({type: 'session', gapMs: minute}, time), ms(time) + 70 * minute);
  const calendar = (unit: 'day' | 'week' | 'month'): WindowSpec => ({
    type: 'calendar',
    unit,
    timezone: 'America/New_York',
  });
  // The clocks of New York changed on 10 March 2024, a Sunday.
  assert.equal(lastMaximum(calendar('day'), time), end('2024-03-11T04:00:00Z'));
  assert.equal(lastMaximum(calendar('day'), '2024-03-10T04:59:59Z'), end('2024-03-10T05:00:00Z'));
  assert.equal(lastMaximum(calendar('week'), time), end('2024-03-11T04:00:00Z'));
  assert.equal(lastMaximum(calendar('month'), '2024-01-31T12:00:00Z'), end('2024-02-01T05:00:00Z'));
  assert.equal(lastMaximum(calendar('month'), '2024-12-01T12:00:00Z'), end('2025-01-01T05:00:00Z'));
});

test('without a query nothing is late, and the end mark is the last event itself', () => {
  assert.equal(lateJudge(domain(order()), order())(0, 1e15), false);
  assert.equal(finalMarkMs(domain(order()), order(), 5), 5);
});

test('the end mark closes the last window of every query that reads the events', () => {
  const last = ms('2024-03-10T12:34:56Z');
  const mark = (window: WindowSpec) => finalMarkMs(query(window), order(), last) - 10 * minute;
  assert.equal(mark({type: 'tumbling', sizeMs: 60 * minute}), ms('2024-03-10T13:00:00Z'));
  assert.equal(
    mark({type: 'sliding', sizeMs: 60 * minute, slideMs: 15 * minute}),
    ms('2024-03-10T13:30:00Z'),
  );
  assert.equal(
    mark({type: 'calendar', unit: 'month', timezone: 'America/New_York'}),
    ms('2024-04-01T04:00:00Z'),
  );
  // A session is closed when its last event + gap is below the watermark.
  assert.ok(mark({type: 'session', gapMs: minute}) > last + minute);
});
