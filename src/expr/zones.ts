import {dayMs, mod, truncateDays} from './calendar.ts';

/** A stretch of time in which a zone's offset from UTC does not change: [fromMs, toMs). */
type Stretch = {fromMs: number; toMs: number; offsetMs: number};

/** Whether the tz database (of this process's ICU) knows the zone. */
export function isZone(name: string): boolean {
  // "+02:00" is a zone to ICU, but not one with a name.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name);
    return true;
  } catch {
    return false;
  }
}

const stretches = new Map<string, Stretch[]>();
const stretchesMax = 2048;
let recentZone = '';
let recent: Stretch = {fromMs: 0, toMs: 0, offsetMs: 0};

/** Local time minus UTC in ms at an instant, exactly as the tz database says. */
export function zoneOffset(zone: string, ms: number): number {
  if (zone === 'UTC') return 0;
  if (zone === recentZone && ms >= recent.fromMs && ms < recent.toMs) return recent.offsetMs;
  let known = stretches.get(zone);
  if (known === undefined || known.length > stretchesMax) stretches.set(zone, (known = []));
  let found = known.find(({fromMs, toMs}) => ms >= fromMs && ms < toMs);
  if (found === undefined) known.push((found = findStretch(zone, ms)));
  recentZone = zone;
  recent = found;
  return found.offsetMs;
}

function findStretch(zone: string, ms: number): Stretch {
  const at = Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO(zone);
  const next = at.getTimeZoneTransition('next');
  // "previous" is strictly earlier: asked 1 ms later it includes a transition at this very instant.
  const previous = at.add({milliseconds: 1}).getTimeZoneTransition('previous');
  return {
    fromMs: previous?.epochMilliseconds ?? -Infinity,
    toMs: next?.epochMilliseconds ?? Infinity,
    offsetMs: Math.round(at.offsetNanoseconds / 1e6),
  };
}

/** Days since 1970-01-01 of the local date at an instant. */
export const localDays = (zone: string, ms: number): number =>
  Math.floor((ms + zoneOffset(zone, ms)) / dayMs);

/** Milliseconds since local midnight on the local clock (0 to 86,399,999). */
export const localTime = (zone: string, ms: number): number => mod(ms + zoneOffset(zone, ms), dayMs);

/** First instant of a local date, epoch ms: midnight, or what follows it where the clock jumps over midnight. */
export function startOfDay(zone: string, days: number): number {
  const local = days * dayMs;
  if (zone === 'UTC') return local;
  // An offset that is right on the day before or on the day itself; the earliest instant whose local date is `days` wins.
  const before = zoneOffset(zone, local - dayMs);
  const after = zoneOffset(zone, local + dayMs);
  const candidates = [local - Math.max(before, after), local - Math.min(before, after)];
  for (const candidate of candidates)
    if (localDays(zone, candidate) === days && localDays(zone, candidate - 1) < days) return candidate;
  // Midnight does not exist on that day: its first instant is the transition.
  return Temporal.PlainDate.from({year: 1970, month: 1, day: 1}).add({days}).toZonedDateTime(zone)
    .epochMilliseconds;
}

export const truncateUnits = ['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'] as const;
export type TruncateUnit = (typeof truncateUnits)[number];
const unitMs: Record<string, number> = {second: 1000, minute: 60_000, hour: 3_600_000};

/** Start of the unit that holds the instant, on the zone's local clock; epoch ms. Weeks begin on Monday. */
export function truncateTimestamp(unit: TruncateUnit, ms: number, zone: string): number {
  if (unit === 'second' || unit === 'minute' || unit === 'hour') {
    const offset = zoneOffset(zone, ms);
    return ms - mod(ms + offset, unitMs[unit]!);
  }
  return startOfDay(zone, truncateDays(unit, localDays(zone, ms)));
}
