import {PlatformError} from '../errors.ts';
import {reasons} from '../ingest/reasons.ts';
import type {Platform} from '../model/types.ts';
import type {Letter, LetterSelection, LetterStatus} from '../platform/letters.ts';
import {queryReasons} from '../process/reasons.ts';
import type {CommandCall} from './command.ts';
import {domainOf, queryOf, unknownName} from './context.ts';

export type Kind = Letter['kind'];

const statuses: LetterStatus[] = ['open', 'queued', 'replayed', 'failed'];
/** Codes that neither ingestion nor the engine has. */
const otherCodes = ['SINK_ROW', 'TRANSFORM'];

/** What the options of a command select. @param scope a domain, a query, or undefined for everything. @throws USAGE, NAME_UNKNOWN */
export function selectionOf(
  kind: Kind,
  platform: Platform,
  {options}: CommandCall,
  scope?: string,
): LetterSelection {
  const selection: LetterSelection = {kind, domains: platform.domains.map(({name}) => name)};
  const wantsQuery = options.query === undefined ? undefined : queryOf(platform, String(options.query));
  const isDomain = scope !== undefined && platform.domains.some(({name}) => name === scope);
  const query =
    wantsQuery ??
    (kind === 'late' && scope !== undefined && !isDomain ? queryOf(platform, scope) : undefined);
  if (query !== undefined) {
    selection.query = query;
    selection.domains = [query.slice(0, query.indexOf('.'))];
  } else if (scope !== undefined) selection.domains = [domainOf(platform, scope).name];
  if (options.code !== undefined) selection.code = checkedCode(String(options.code));
  if (options.stage !== undefined) selection.stage = String(options.stage);
  if (options.type !== undefined)
    selection.eventType = eventTypeOf(platform, String(options.type), selection);
  if (options.source !== undefined) selection.source = String(options.source);
  if (options.id !== undefined) selection.ids = [options.id].flat().map(String);
  if (options.where !== undefined) selection.where = String(options.where);
  if (options.since !== undefined) selection.sinceMs = timeOption('--since', String(options.since));
  if (options.until !== undefined) selection.untilMs = timeOption('--until', String(options.until));
  if (options.status !== undefined) selection.status = statusOption(String(options.status));
  return selection;
}

/** The name of a check may follow its colon. @throws NAME_UNKNOWN */
function checkedCode(code: string): string {
  const known = [...Object.keys(reasons), ...Object.keys(queryReasons), ...otherCodes];
  if (!known.includes(code.split(':')[0]!)) throw unknownName('reason code', code, [...new Set(known)]);
  return code;
}

function eventTypeOf(platform: Platform, text: string, {domains}: LetterSelection): string {
  const known = platform.domains
    .filter(({name}) => domains.includes(name))
    .flatMap(({eventTypes}) => eventTypes.map(({name, topic}) => ({name, topic})));
  const found = known.find(({name, topic}) => name === text || topic === text);
  if (!found)
    throw unknownName(
      'event type',
      text,
      known.map(({topic}) => topic),
    );
  return found.name;
}

const statusOption = (text: string): LetterStatus => {
  if (statuses.includes(text as LetterStatus)) return text as LetterStatus;
  throw new PlatformError('USAGE', `"${text}" is no status`, {hint: `one of ${statuses.join(', ')}`});
};

const units: Record<string, number> = {s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000};

/** A time, or how long ago. @throws USAGE */
function timeOption(option: string, text: string): number {
  const ago = /^(\d+)([smhd])$/.exec(text);
  if (ago) return Date.now() - Number(ago[1]) * units[ago[2]!]!;
  const ms = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms))
    throw new PlatformError('USAGE', `${option}: "${text}" is no time`, {
      hint: `${option} 2h (two hours ago), or ${option} 2026-03-01T12:00:00Z`,
    });
  return ms;
}

/** `--limit` and the like. @throws USAGE */
export function countOption(text: unknown): number {
  const count = Number(text);
  if (!/^\d+$/.test(String(text)) || !Number.isSafeInteger(count) || count < 1)
    throw new PlatformError('USAGE', `"${text}" is not a count`, {
      hint: 'give a whole number from 1 up, as in --limit 20',
    });
  return count;
}

/** `100/s` or `100`. @throws USAGE */
export function rateOption(text: unknown): number | null {
  if (text === undefined) return null;
  const match = /^(\d+)(?:\/s)?$/.exec(String(text));
  if (!match || Number(match[1]) < 1)
    throw new PlatformError('USAGE', `--rate: "${text}" is no rate`, {
      hint: 'letters a second, as in --rate 200/s',
    });
  return Number(match[1]);
}

/** `field=expression` of every `--set`. @throws USAGE */
export function setsOption(given: unknown): Record<string, string> {
  const sets: Record<string, string> = {};
  for (const text of given === undefined ? [] : [given].flat().map(String)) {
    const at = text.indexOf('=');
    const field = text.slice(0, at).trim();
    if (at < 1 || text.slice(at + 1).trim() === '')
      throw new PlatformError('USAGE', `--set: "${text}" is no field=expression`, {
        hint: `--set "quantity=abs(quantity)"`,
      });
    sets[field] = text.slice(at + 1).trim();
  }
  return sets;
}
