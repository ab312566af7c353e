/**
 * `timestamp_format`: how a file writes its timestamps, as a small part of strptime.
 *
 *   %Y year, 4 digits   %m month      %d day         %H hour 0-23   %I hour 1-12   %p AM or PM
 *   %y year, 2 digits (69-99: 1900s) %b Jan, Feb...  %M minute      %S second      %f fraction of a second, 1 to 9 digits
 *   %z Z, +02, +0200, +02:00         %s seconds since 1970          %% a percent sign
 *
 * Month, day and hour may have one digit or two. Any other character stands for itself. What the format does not name is
 * zero (or 1 for month and day); without %z the time is one of the input's time zone.
 */
import type {TimestampDirective} from '../model/timestamp-format.ts';
import {daysOf, parseOffset, type Zone} from './time.ts';

type Parts = {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  ms: number;
  afternoon: boolean | undefined;
  offsetMs: number | undefined;
  epochMs: number | undefined;
};

/** Reads from `at` and stores in `parts`. @returns the next position, -1 when the text does not match. */
type Step = (bytes: Uint8Array, at: number, end: number, parts: Parts) => number;

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

function digits(min: number, max: number, store: (parts: Parts, value: number) => void): Step {
  return (bytes, start, end, parts) => {
    let at = start;
    let value = 0;
    for (; at < end && at - start < max; at++) {
      const digit = bytes[at]! - 48;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (at - start < min) return -1;
    store(parts, value);
    return at;
  };
}

const literal =
  (text: string): Step =>
  (bytes, at) => {
    const expected = Buffer.from(text);
    for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return -1;
    return at + expected.length;
  };

const letters = (bytes: Uint8Array, at: number, count: number) =>
  Buffer.from(bytes.subarray(at, at + count))
    .toString('latin1')
    .toLowerCase();

const steps: Record<TimestampDirective, () => Step> = {
  Y: () => digits(4, 4, (parts, value) => (parts.year = value)),
  y: () => digits(2, 2, (parts, value) => (parts.year = value + (value < 69 ? 2000 : 1900))),
  m: () => digits(1, 2, (parts, value) => (parts.month = value)),
  d: () => digits(1, 2, (parts, value) => (parts.day = value)),
  H: () => digits(1, 2, (parts, value) => (parts.hour = value)),
  I: () => digits(1, 2, (parts, value) => (parts.hour = value < 1 || value > 12 ? -1 : value)),
  M: () => digits(2, 2, (parts, value) => (parts.minute = value)),
  S: () => digits(2, 2, (parts, value) => (parts.second = value)),
  s: () => digits(1, 13, (parts, value) => (parts.epochMs = value * 1000)),
  f: () => (bytes, start, end, parts) => {
    let at = start;
    let unit = 100;
    parts.ms = 0;
    for (; at < end && at - start < 9 && bytes[at]! >= 48 && bytes[at]! <= 57; at++) {
      parts.ms += (bytes[at]! - 48) * unit;
      unit = unit > 1 ? unit / 10 : 0;
    }
    return at === start ? -1 : at;
  },
  b: () => (bytes, at, _end, parts) => {
    parts.month = months.indexOf(letters(bytes, at, 3)) + 1;
    return parts.month === 0 ? -1 : at + 3;
  },
  p: () => (bytes, at, _end, parts) => {
    const text = letters(bytes, at, 2);
    parts.afternoon = text === 'pm';
    return text === 'am' || text === 'pm' ? at + 2 : -1;
  },
  z: () => (bytes, at, end, parts) => {
    let to = at + 1;
    while (to < end && (bytes[to] === 58 || (bytes[to]! >= 48 && bytes[to]! <= 57))) to++;
    parts.offsetMs = parseOffset(bytes, at, to);
    return Number.isNaN(parts.offsetMs) ? -1 : to;
  },
  '%': () => literal('%'),
};

/**
 * Compiles a format that has no problem (`timestampFormatProblem`). @returns a function from text to epoch ms, NaN when the text does not match.
 */
export function compileTimestampFormat(
  format: string,
  zone: Zone,
): (bytes: Uint8Array, start: number, end: number) => number {
  const list: Step[] = [];
  for (const [, name, text] of format.matchAll(/%(.)|([^%]+)/gs))
    list.push(name === undefined ? literal(text!) : steps[name as TimestampDirective]());
  return (bytes, start, end) => {
    const parts: Parts = {
      year: 1970,
      month: 1,
      day: 1,
      hour: 0,
      minute: 0,
      second: 0,
      ms: 0,
      afternoon: undefined,
      offsetMs: undefined,
      epochMs: undefined,
    };
    let at = start;
    for (const step of list) {
      at = step(bytes, at, end, parts);
      if (at < 0 || at > end) return Number.NaN;
    }
    return at === end ? epochMsOf(parts, zone) : Number.NaN;
  };
}

function epochMsOf(parts: Parts, zone: Zone): number {
  if (parts.epochMs !== undefined) return parts.epochMs + parts.ms;
  let {hour} = parts;
  if (parts.afternoon !== undefined) {
    if (hour < 0 || hour > 12) return Number.NaN;
    hour = (hour % 12) + (parts.afternoon ? 12 : 0);
  }
  const days = daysOf(parts.year, parts.month, parts.day);
  if (Number.isNaN(days) || hour < 0 || hour > 23 || parts.minute > 59 || parts.second > 59)
    return Number.NaN;
  const localMs =
    days * 86_400_000 + hour * 3_600_000 + parts.minute * 60_000 + parts.second * 1000 + parts.ms;
  return parts.offsetMs === undefined ? zone.toEpochMs(localMs) : localMs - parts.offsetMs;
}
