import type {Path} from '../config/diagnostics.ts';
import {nearest} from '../config/nearest.ts';
import {quote} from '../config/nodes.ts';
import {isZone} from '../expr/zones.ts';
import {formatDuration} from '../quantity.ts';
import type {WindowConfig} from './config.ts';
import type {Reporter} from './reporter.ts';
import type {WindowSpec} from './types.ts';

const takes = {
  tumbling: {needs: ['size'], may: []},
  sliding: {needs: ['size', 'slide'], may: []},
  session: {needs: ['gap'], may: []},
  calendar: {needs: ['unit'], may: ['timezone']},
} as const;
const examples: Record<string, string> = {size: '1m', slide: '10s', gap: '30m', unit: 'day'};
/** Windows that one event may be in. */
const windowsMax = 10_000;
const lengthMaxMs = 10 * 365 * 86_400_000;

/** @returns undefined after a mistake. `written` tells which keys stand in the file, right or wrong. */
export function buildWindow(
  config: WindowConfig,
  written: (key: string) => boolean,
  path: Path,
  reporter: Reporter,
): WindowSpec | undefined {
  const {type} = config;
  if (type === undefined) return undefined;
  const {needs, may} = takes[type];
  let ok = true;
  for (const key of needs) {
    if (config[key] === undefined) ok = false;
    if (!written(key))
      reporter.error(path, 'WINDOW_OPTION_MISSING', `a ${type} window needs ${quote(key)}`, {
        hint: `add ${key}: ${examples[key]}`,
      });
  }
  for (const key of ['size', 'slide', 'gap', 'unit', 'timezone'] as const) {
    if ([...needs, ...may].includes(key as never) || !written(key)) continue;
    reporter.error([...path, key], 'WINDOW_OPTION_EXTRA', `a ${type} window has no ${quote(key)}`, {
      onKey: true,
      hint: `it takes ${[...needs, ...may].join(' and ')}`,
    });
    ok = false;
  }
  for (const key of ['size', 'slide', 'gap'] as const)
    ok = checkLength(config[key], [...path, key], reporter) && ok;
  const timezone = config.timezone ?? 'UTC';
  if (type === 'calendar') ok = checkZone(timezone, [...path, 'timezone'], reporter) && ok;
  if (!ok) return undefined;
  switch (type) {
    case 'tumbling':
      return {type, sizeMs: config.size!};
    case 'sliding':
      return checkSlide(config.size!, config.slide!, path, reporter)
        ? {type, sizeMs: config.size!, slideMs: config.slide!}
        : undefined;
    case 'session':
      return {type, gapMs: config.gap!};
    case 'calendar':
      return {type, unit: config.unit!, timezone};
  }
}

function checkLength(ms: number | undefined, path: Path, reporter: Reporter): boolean {
  if (ms === undefined || (ms > 0 && ms <= lengthMaxMs)) return true;
  reporter.error(
    path,
    'WINDOW_SIZE',
    ms === 0 ? 'a window has a length' : 'a window is at most 3650 days long',
  );
  return false;
}

/** Whether the tz database has the zone; reports it otherwise. */
export function checkZone(name: string, path: Path, reporter: Reporter): boolean {
  if (isZone(name)) return true;
  const close = nearest(name, Intl.supportedValuesOf('timeZone'));
  reporter.error(path, 'TIMEZONE_UNKNOWN', `there is no time zone ${quote(name)}`, {
    hint: close ? `did you mean ${close}?` : 'for example UTC or America/New_York',
  });
  return false;
}

function checkSlide(sizeMs: number, slideMs: number, path: Path, reporter: Reporter): boolean {
  const place = [...path, 'slide'];
  const [size, slide] = [formatDuration(sizeMs), formatDuration(slideMs)];
  if (sizeMs % slideMs !== 0) {
    const divisors = nearDivisors(sizeMs, slideMs);
    const hint =
      divisors.length > 0 ? `use ${divisors.join(', ').replace(/, ([^,]*)$/, ' or $1')}` : undefined;
    reporter.error(place, 'WINDOW_SLIDE_NOT_DIVISOR', `slide "${slide}" does not divide size "${size}"`, {
      hint,
    });
    return false;
  }
  if (sizeMs / slideMs <= windowsMax) return true;
  reporter.error(
    place,
    'WINDOW_SIZE',
    `an event would be in ${sizeMs / slideMs} windows, at most ${windowsMax} are allowed`,
    {hint: 'use a longer slide'},
  );
  return false;
}

/** Up to five durations that divide the size, in the unit of the slide, those next to it. */
function nearDivisors(sizeMs: number, slideMs: number): string[] {
  const unitMs = [86_400_000, 3_600_000, 60_000, 1000, 1].find((unit) => slideMs % unit === 0)!;
  if (sizeMs % unitMs !== 0 || sizeMs / unitMs > 100_000) return [];
  const count = sizeMs / unitMs;
  const all: number[] = [];
  for (let divisor = 1; divisor <= count; divisor++) if (count % divisor === 0) all.push(divisor * unitMs);
  const byDistance = all.toSorted((a, b) => Math.abs(a - slideMs) - Math.abs(b - slideMs));
  return byDistance
    .slice(0, 5)
    .sort((a, b) => a - b)
    .map(formatDuration);
}
