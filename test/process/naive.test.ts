/** The obvious evaluator itself, where its calendar is not obvious: expected windows by hand, from published tz data. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {calendarWindow} from '../../src/process/embedded/calendar.ts';
import {naive} from '../../src/process/naive.ts';
import {eventType, planOf} from './embedded/kernel-world.ts';

const visit = eventType('visit', []);
const zone = 'America/St_Johns';
const time = (timeMs: number) => new Date(timeMs).toISOString().slice(0, 16);

/** Start -> events of it. */
function windowsOf(unit: 'day' | 'week' | 'month', times: string[]): [string, number][] {
  const plan = planOf([visit], {window: {type: 'calendar', unit, timezone: zone}});
  const {topic} = plan.sources[0]!;
  const events = times.map((at, offset) => ({
    topic,
    partition: 0,
    offset,
    values: {event_id: `e${offset}`, timestamp: Date.parse(at)},
  }));
  return naive(plan, events).rows.map((row) => [time(Number(row.window_start)), Number(row.events)]);
}

test('where the clock goes back over midnight a day begins at the first instant of its date', () => {
  // At 00:01 on 2 November 2008 it was 23:01 on the 1st again.
  assert.deepEqual(
    windowsOf('day', [
      '2008-11-02T02:29:59.999Z',
      '2008-11-02T02:30Z',
      '2008-11-02T02:31Z',
      '2008-11-02T03:29:59.999Z',
      '2008-11-02T03:30Z',
      '2008-11-03T03:29:59.999Z',
    ]),
    [
      ['2008-11-01T02:30', 1],
      ['2008-11-02T02:30', 5],
    ],
  );
});

test('so do a month, and a week that follows it', () => {
  // The 1st of November 2009 was a Sunday.
  const around = ['2009-11-01T02:29Z', '2009-11-01T02:30Z', '2009-11-01T03:00Z', '2009-11-01T03:30Z'];
  assert.deepEqual(windowsOf('month', around), [
    ['2009-10-01T02:30', 1],
    ['2009-11-01T02:30', 3],
  ]);
  assert.deepEqual(windowsOf('week', around), [['2009-10-26T02:30', 4]]);
});

test('every instant around such nights has the window that the engine gives it', () => {
  for (const unit of ['day', 'week', 'month'] as const)
    for (
      let timeMs = Date.parse('2006-10-28T12:00Z');
      timeMs < Date.parse('2006-10-30T12:00Z');
      timeMs += 1_171_000
    ) {
      const {startMs} = calendarWindow(unit, zone, timeMs);
      assert.deepEqual(windowsOf(unit, [new Date(timeMs).toISOString()]), [[time(startMs), 1]]);
    }
});
