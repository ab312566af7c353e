/**
 * Timestamps and dates from text.
 *
 *   timestamp := date [("T" | "t" | " ") time [" "] [zone]] | integer           an integer is epoch milliseconds
 *   date      := YYYY "-" MM "-" DD
 *   time      := hh ":" mm [":" ss [("." | ",") digits]]          digits beyond milliseconds are cut off
 *   zone      := "Z" | "z" | ("+" | "-") hh [[":"] mm]
 *
 * Without a zone the time is one of the input's time zone. In the hour that a zone skips in spring it is read with the
 * offset before the change (so it becomes an hour later on the clock), in the hour that comes twice in autumn it is the
 * first one ("compatible" in RFC 5545 and Temporal).
 */
import {dayMs, daysFromCivil, daysInMonth} from '../expr/calendar.ts';
import {zoneOffset} from '../expr/zones.ts';

const unreadable = Number.NaN;

/** Days since 1970-01-01, NaN when there is no such date. */
export function daysOf(year: number, month: number, day: number): number {
  if (month < 1 || month > 12 || day < 1 || year < 1) return unreadable;
  return day > daysInMonth(year, month) ? unreadable : daysFromCivil(year, month, day);
}

/** Two digits at `at`; a negative number or one beyond 99 when they are none. */
function two(bytes: Uint8Array, at: number): number {
  const tens = bytes[at]! - 48;
  const ones = bytes[at + 1]! - 48;
  return tens < 0 || tens > 9 || ones < 0 || ones > 9 ? -1 : tens * 10 + ones;
}

// Neighbouring rows mostly share their day: the last date is remembered by its digits.
let lastDateDigits = -1;
let lastDays = 0;

/** `YYYY-MM-DD` at [start, start + 10). @returns days since 1970-01-01, NaN when it is none. */
export function parseDate(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < 10 || bytes[start + 4] !== 45 || bytes[start + 7] !== 45) return unreadable;
  const century = two(bytes, start);
  const years = two(bytes, start + 2);
  const month = two(bytes, start + 5);
  const day = two(bytes, start + 8);
  if (century < 0 || years < 0 || month < 0 || day < 0) return unreadable;
  const digits = ((century * 100 + years) * 100 + month) * 100 + day;
  if (digits === lastDateDigits) return lastDays;
  const days = daysOf(century * 100 + years, month, day);
  if (Number.isNaN(days)) return unreadable;
  lastDateDigits = digits;
  lastDays = days;
  return days;
}

/** Epoch ms of an ISO 8601 text; NaN when it is none. Epoch milliseconds as a number are read by the caller. */
export function parseTimestamp(bytes: Uint8Array, start: number, end: number, zone: Zone): number {
  const days = parseDate(bytes, start, end);
  if (Number.isNaN(days)) return unreadable;
  const dateMs = days * dayMs;
  let at = start + 10;
  if (at === end) return zone.toEpochMs(dateMs);
  const separator = bytes[at]!;
  if ((separator !== 84 && separator !== 32 && separator !== 116) || end - at < 6 || bytes[at + 3] !== 58)
    return unreadable;
  const hour = two(bytes, at + 1);
  const minute = two(bytes, at + 4);
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return unreadable;
  let timeMs = hour * 3_600_000 + minute * 60_000;
  at += 6;
  if (at < end && bytes[at] === 58) {
    if (end - at < 3) return unreadable;
    const second = two(bytes, at + 1);
    if (second < 0 || second > 59) return unreadable;
    timeMs += second * 1000;
    at += 3;
    if (at < end && (bytes[at] === 46 || bytes[at] === 44)) {
      const first = ++at;
      for (let unit = 100; at < end && bytes[at]! >= 48 && bytes[at]! <= 57; at++) {
        timeMs += (bytes[at]! - 48) * unit;
        // Integer units 100, 10, 1, then nothing: below a millisecond is cut off.
        unit = unit > 1 ? unit / 10 : 0;
      }
      if (at === first) return unreadable;
    }
  }
  if (at === end) return zone.toEpochMs(dateMs + timeMs);
  const offsetMs = parseOffset(bytes, bytes[at] === 32 ? at + 1 : at, end);
  return dateMs + timeMs - offsetMs;
}

/** `Z`, `+02`, `+0200`, `+02:00` that fills [start, end). @returns ms east of UTC, NaN when it is none. */
export function parseOffset(bytes: Uint8Array, start: number, end: number): number {
  const sign = bytes[start]!;
  if (end - start === 1 && (sign === 90 || sign === 122)) return 0;
  const length = end - start;
  if ((sign !== 43 && sign !== 45) || (length !== 3 && length !== 5 && length !== 6)) return unreadable;
  if (length === 6 && bytes[start + 3] !== 58) return unreadable;
  const hours = two(bytes, start + 1);
  const minutes = length === 3 ? 0 : two(bytes, end - 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return unreadable;
  return (sign === 45 ? -1 : 1) * (hours * 3_600_000 + minutes * 60_000);
}

/** Local times of a time zone as epoch ms. */
export type Zone = {
  readonly name: string;
  /** @param localMs the local time as if it were UTC, epoch ms. */
  toEpochMs(localMs: number): number;
};

/** The zone of an IANA name, which was checked with the configuration. */
export function timeZone(name: string): Zone {
  if (name === 'UTC') return {name, toEpochMs: (localMs) => localMs};
  return {
    name,
    toEpochMs(localMs) {
      // No zone is a day away from UTC, so these are the offsets before and after any change near the local time.
      const before = zoneOffset(name, localMs - dayMs);
      const after = zoneOffset(name, localMs + dayMs);
      if (before === after || zoneOffset(name, localMs - before) === before) return localMs - before;
      return zoneOffset(name, localMs - after) === after ? localMs - after : localMs - before;
    },
  };
}
