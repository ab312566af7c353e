/** Calendar windows: days, weeks and months of a time zone, by the tz database of this process. */
export type CalendarUnit = 'day' | 'week' | 'month';

/** First instants of local dates, by zone and date; a zone keeps at most so many. */
const starts = new Map<string, Map<string, number>>();
const startsMax = 20_000;
const recent = new Map<string, {startMs: number; endMs: number}>();

/**
 * First instant of a local date, epoch ms: midnight, or the end of the gap where the clock jumps over midnight; where the clock
 * goes back over midnight, the first of the two.
 */
export function startOfDay(timezone: string, date: Temporal.PlainDate): number {
  let known = starts.get(timezone);
  if (known === undefined || known.size > startsMax) starts.set(timezone, (known = new Map()));
  const key = date.toString();
  let startMs = known.get(key);
  if (startMs === undefined) known.set(key, (startMs = findStart(timezone, date)));
  return startMs;
}

function findStart(timezone: string, date: Temporal.PlainDate): number {
  return date.toZonedDateTime({timeZone: timezone}).epochMilliseconds;
}

/** The window of a unit that holds an instant: [startMs, endMs), epoch ms. Weeks begin on Monday. */
export function calendarWindow(
  unit: CalendarUnit,
  timezone: string,
  timeMs: number,
): {startMs: number; endMs: number} {
  const key = `${unit} ${timezone}`;
  const last = recent.get(key);
  if (last && timeMs >= last.startMs && timeMs < last.endMs) return last;
  const local = Temporal.Instant.fromEpochMilliseconds(timeMs).toZonedDateTimeISO(timezone).toPlainDate();
  // Where the clock went back over midnight, an instant after a date's first one has the date before again: one step on.
  let first = firstDate(unit, local);
  let next = following(unit, first);
  if (startOfDay(timezone, next) <= timeMs) [first, next] = [next, following(unit, next)];
  const window = {startMs: startOfDay(timezone, first), endMs: startOfDay(timezone, next)};
  recent.set(key, window);
  return window;
}

function firstDate(unit: CalendarUnit, date: Temporal.PlainDate): Temporal.PlainDate {
  if (unit === 'day') return date;
  return unit === 'week' ? date.subtract({days: date.dayOfWeek - 1}) : date.with({day: 1});
}

const following = (unit: CalendarUnit, date: Temporal.PlainDate): Temporal.PlainDate =>
  date.add(unit === 'day' ? {days: 1} : unit === 'week' ? {days: 7} : {months: 1});
