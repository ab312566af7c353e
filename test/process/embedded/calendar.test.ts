/** Boundaries from published tz data, by hand. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {type CalendarUnit, calendarWindow} from '../../../src/process/embedded/calendar.ts';

const cases: [string, CalendarUnit, string, string, string, string][] = [
  // what, unit, zone, instant, start, end
  ['a plain day', 'day', 'UTC', '2024-02-29T23:59:59.999Z', '2024-02-29T00:00Z', '2024-03-01T00:00Z'],
  ['a day of 23 hours', 'day', 'America/New_York', '2013-03-10T12:00Z', '2013-03-10T05:00Z', '2013-03-11T04:00Z'],
  ['a day of 25 hours', 'day', 'America/New_York', '2013-11-03T05:59:59.999Z', '2013-11-03T04:00Z', '2013-11-04T05:00Z'],
  ['its repeated hour', 'day', 'America/New_York', '2013-11-03T06:30Z', '2013-11-03T04:00Z', '2013-11-04T05:00Z'],
  ['no midnight: the day begins at 1', 'day', 'America/Sao_Paulo', '2017-10-15T03:00Z', '2017-10-15T03:00Z', '2017-10-16T02:00Z'],
  ['the instant before it', 'day', 'America/Sao_Paulo', '2017-10-15T02:59:59.999Z', '2017-10-14T03:00Z', '2017-10-15T03:00Z'],
  ['no midnight in Beirut', 'day', 'Asia/Beirut', '2022-03-26T22:00Z', '2022-03-26T22:00Z', '2022-03-27T21:00Z'],
  ['midnight twice: the day before is longer', 'day', 'America/Sao_Paulo', '2018-02-18T02:30Z', '2018-02-17T02:00Z', '2018-02-18T03:00Z'],
  ['a clock that goes back over midnight: the first one counts', 'day', 'America/St_Johns', '2008-11-02T03:00Z', '2008-11-02T02:30Z', '2008-11-03T03:30Z'],
  ['a date that does not exist', 'day', 'Pacific/Apia', '2011-12-30T10:00Z', '2011-12-30T10:00Z', '2011-12-31T10:00Z'],
  ['a week begins on Monday', 'week', 'UTC', '2024-03-03T23:59Z', '2024-02-26T00:00Z', '2024-03-04T00:00Z'],
  ['a week over a change', 'week', 'Europe/Berlin', '2024-03-31T12:00Z', '2024-03-24T23:00Z', '2024-03-31T22:00Z'],
  ['a month', 'month', 'America/New_York', '2013-03-01T04:59:59.999Z', '2013-02-01T05:00Z', '2013-03-01T05:00Z'],
  ['a month over a change', 'month', 'America/New_York', '2013-03-01T05:00Z', '2013-03-01T05:00Z', '2013-04-01T04:00Z'],
  ['a zone of a quarter of an hour', 'day', 'Asia/Kathmandu', '2024-01-01T18:14:59.999Z', '2023-12-31T18:15Z', '2024-01-01T18:15Z'],
  ['the first second', 'day', 'America/New_York', '1970-01-01T00:00Z', '1969-12-31T05:00Z', '1970-01-01T05:00Z'],
]; // biome-ignore format: a table

for (const [what, unit, zone, at, start, end] of cases)
  test(`${what}: ${unit} in ${zone} at ${at}`, () => {
    const {startMs, endMs} = calendarWindow(unit, zone, Date.parse(at));
    assert.deepEqual([new Date(startMs), new Date(endMs)], [new Date(start), new Date(end)]);
  });

test('windows follow each other without gap or overlap, and hold what they are asked for', () => {
  for (const zone of [
    'America/New_York',
    'America/Sao_Paulo',
    'America/St_Johns',
    'Australia/Lord_Howe',
    'Asia/Beirut',
  ])
    for (const unit of ['day', 'week', 'month'] as const) {
      let window = calendarWindow(unit, zone, Date.parse('2005-01-15T12:00Z'));
      for (let k = 0; k < 200; k++) {
        assert.deepEqual(calendarWindow(unit, zone, window.startMs), window);
        assert.deepEqual(calendarWindow(unit, zone, window.endMs - 1), window);
        const next = calendarWindow(unit, zone, window.endMs);
        assert.equal(next.startMs, window.endMs);
        window = next;
      }
    }
});
