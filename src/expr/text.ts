import {ExpressionFailure} from './failure.ts';

/** Longest string an expression may build, UTF-16 units; nested `replace` could grow without end. */
export const textMax = 1 << 20;

const surrogate = /[\uD800-\uDFFF]/;

/** Order of two strings by code point (as UTF-8 bytes compare): negative, 0 or positive. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates stand for code points above all others, though their units do not.
    const highX = x >= 0xd800 && x <= 0xdfff;
    const highY = y >= 0xd800 && y <= 0xdfff;
    return highX === highY ? x - y : highX ? 1 : -1;
  }
  return a.length - b.length;
}

/** Length in code points. */
export function textLength(text: string): number {
  if (!surrogate.test(text)) return text.length;
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** Code points from `start` (1 is the first; negative counts from the end, 0 is as 1), at most `count` of them. */
export function substring(text: string, start: number, count: number): string {
  const units = surrogate.test(text) ? [...text] : undefined;
  const length = units?.length ?? text.length;
  const first = start > 0 ? start - 1 : start < 0 ? length + start : 0;
  const from = Math.max(0, first);
  const to = Math.max(from, Math.min(length, first + Math.max(0, count)));
  return units === undefined ? text.slice(from, to) : units.slice(from, to).join('');
}

/** 1-based place of the first occurrence in code points; 0 when there is none. */
export function position(needle: string, text: string): number {
  const at = text.indexOf(needle);
  return at < 0 ? 0 : textLength(text.slice(0, at)) + 1;
}

/** @throws ExpressionFailure when the result is longer than `textMax` */
export function concat(a: string, b: string): string {
  if (a.length + b.length > textMax) throw tooLong();
  return a + b;
}

/** Every occurrence of `from`, left to right; an empty `from` changes nothing. @throws ExpressionFailure beyond `textMax` */
export function replace(text: string, from: string, to: string): string {
  if (from === '' || !text.includes(from)) return text;
  const parts = text.split(from);
  if (text.length + (parts.length - 1) * (to.length - from.length) > textMax) throw tooLong();
  return parts.join(to);
}

const tooLong = (): ExpressionFailure => new ExpressionFailure(`a string of more than ${textMax} characters`);

/** Spaces (U+0020) only, as SQL trims. */
export function trimStart(text: string): string {
  let from = 0;
  while (text.charCodeAt(from) === 32) from++;
  return text.slice(from);
}

export function trimEnd(text: string): string {
  let to = text.length;
  while (to > 0 && text.charCodeAt(to - 1) === 32) to--;
  return text.slice(0, to);
}

/**
 * SQL LIKE: `%` any run, `_` one code point, `mark` (its escape character) takes the next character as it is (undefined: no such character).
 * Greedy with one point of return, so the time is at most text x pattern.
 */
export function like(text: string, pattern: string, mark?: string): boolean {
  let t = 0;
  let p = 0;
  let returnPattern = -1;
  let returnText = 0;
  for (;;) {
    if (p < pattern.length && pattern[p] === '%' && mark !== '%') {
      returnPattern = ++p;
      returnText = t;
      continue;
    }
    const step = p < pattern.length && t < text.length ? matchOne(text, t, pattern, p, mark) : 0;
    if (step > 0) {
      p += pattern[p] === mark ? 2 : 1;
      t += step;
    } else if (p >= pattern.length && t >= text.length) return true;
    else if (returnPattern < 0 || returnText >= text.length) return false;
    else {
      p = returnPattern;
      t = returnText += text.codePointAt(returnText)! > 0xffff ? 2 : 1;
    }
  }
}

/** Units of the text that the pattern's element at `p` takes, 0 when it does not match. */
function matchOne(text: string, t: number, pattern: string, p: number, mark: string | undefined): number {
  const char = pattern[p]!;
  if (char === mark) return p + 1 < pattern.length && text[t] === pattern[p + 1] ? 1 : 0;
  if (char === '_') return text.codePointAt(t)! > 0xffff ? 2 : 1;
  return text[t] === char ? 1 : 0;
}
