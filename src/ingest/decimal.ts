import {reasonNumber} from './reasons.ts';

const pattern = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/;
const longMin = -(2n ** 63n);
const longMax = 2n ** 63n - 1n;

/**
 * Decimal text times 10^scale as an integer, exactly: `12.34` with scale 2 is 1234. Never through a float.
 * @returns number while |x| <= 2^53, else bigint; or a reason: 'TYPE' when it is no number (`inexact` when digits would be
 * lost), 'RANGE' beyond int64.
 */
export function exactInteger(
  text: string,
  scale: number,
  inexact: 'TYPE' | 'MONEY_SCALE',
): number | bigint | 'TYPE' | 'RANGE' | 'MONEY_SCALE' {
  const match = pattern.exec(text);
  if (!match || (match[2] === '' && (match[3] ?? '') === '')) return 'TYPE';
  const fraction = match[3] ?? '';
  const digits = (match[2] + fraction).replace(/^0+/, '');
  if (digits === '') return 0;
  const shift = scale + Number(match[4] ?? 0) - fraction.length;
  // 19 digits are the most that fit; checked before a long exponent becomes a long number.
  if (digits.length + shift > 19) return 'RANGE';
  let kept = digits;
  if (shift < 0) {
    if (/[1-9]/.test(digits.slice(Math.max(0, digits.length + shift)))) return inexact;
    kept = digits.slice(0, Math.max(0, digits.length + shift));
  }
  const magnitude = BigInt(kept === '' ? '0' : kept) * 10n ** BigInt(Math.max(0, shift));
  const value = match[1] === '-' ? -magnitude : magnitude;
  if (value < longMin || value > longMax) return 'RANGE';
  return value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : value;
}

/** Not readable by the fast path: the slow one decides. */
const unusual = Number.NaN;

/**
 * The fast path for what nearly all integers are: an optional minus and up to 15 digits.
 * @returns NaN when the text is anything else.
 */
export function plainInteger(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  const negative = bytes[at] === 45;
  if (negative) at++;
  if (at === end || end - at > 15) return unusual;
  let value = 0;
  for (; at < end; at++) {
    const digit = bytes[at]! - 48;
    if (digit < 0 || digit > 9) return unusual;
    value = value * 10 + digit;
  }
  return negative && value !== 0 ? -value : value;
}

/** The fast path for money: up to 13 digits, then at most a point and two more. @returns cents, NaN for anything else. */
export function plainCents(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  const negative = bytes[at] === 45;
  if (negative) at++;
  const first = at;
  let value = 0;
  for (; at < end; at++) {
    const digit = bytes[at]! - 48;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  if (at === first || at - first > 13) return unusual;
  value *= 100;
  if (at < end) {
    const decimals = end - at - 1;
    if (bytes[at] !== 46 || decimals < 1 || decimals > 2) return unusual;
    const tens = bytes[at + 1]! - 48;
    const ones = decimals === 2 ? bytes[at + 2]! - 48 : 0;
    if (tens < 0 || tens > 9 || ones < 0 || ones > 9) return unusual;
    value += tens * 10 + ones;
  }
  return negative && value !== 0 ? -value : value;
}

const powersOfTen = Array.from({length: 23}, (_, exponent) => 10 ** exponent);

/**
 * The fast path for doubles: up to 15 digits with a point. Digits and power of ten are exact, so that the one division
 * rounds correctly (W. D. Clinger, "How to read floating point numbers accurately"). @returns NaN for anything else.
 */
export function plainDouble(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  const negative = bytes[at] === 45;
  if (negative) at++;
  if (at === end || end - at > 16) return unusual;
  let value = 0;
  let digits = 0;
  let point = -1;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === 46 && point < 0) {
      point = at;
      continue;
    }
    const digit = byte - 48;
    if (digit < 0 || digit > 9) return unusual;
    value = value * 10 + digit;
    digits++;
  }
  if (digits === 0 || digits > 15 || point === end - 1) return unusual;
  if (point >= 0) value /= powersOfTen[end - 1 - point]!;
  return negative ? -value : value;
}

const doublePattern = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

/** A double from any decimal text; NaN, Infinity and hexadecimal are none. @returns the value, or a reason's number in `reason`. */
export function anyDouble(text: string): {value: number; reason: number} {
  if (!doublePattern.test(text)) return {value: 0, reason: reasonNumber.TYPE};
  const value = Number(text);
  return {value, reason: Number.isFinite(value) ? 0 : reasonNumber.RANGE};
}
