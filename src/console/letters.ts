/** Letters over HTTP: listing and showing, nothing else. */
import {PlatformError} from '../errors.ts';
import {openLog} from '../log/open.ts';
import type {Platform} from '../model/types.ts';
import type {Letter, LetterSelection, LetterStatus} from '../platform/letters.ts';
import {letterJson, selectedLetters} from '../platform/letters-selected.ts';
import type {PlatformDirs} from '../platform/places.ts';

/** Who asks wants to know soon that Kafka is away. */
const patienceMs = 3_000;
const limitDefault = 50;
const limitMax = 1_000;
const kinds: readonly Letter['kind'][] = ['dead', 'late'];
const statuses: readonly LetterStatus[] = ['open', 'queued', 'replayed', 'failed'];
const names = [
  'kind',
  'domain',
  'query',
  'code',
  'stage',
  'type',
  'source',
  'status',
  'id',
  'since',
  'until',
  'where',
  'limit',
];

/** The newest letters that the parameters select, and how many there are. @throws REQUEST_INVALID, NAME_UNKNOWN, USAGE, KAFKA_* */
export async function lettersOf(
  platform: Platform,
  dirs: PlatformDirs,
  params: URLSearchParams,
): Promise<{total: number; letters: ReturnType<typeof letterJson>[]}> {
  const limit = limitOf(params.get('limit'));
  const selection = selectionOf(platform, params);
  const log = await openLog(dirs.source, {patienceMs});
  try {
    const newest: Letter[] = [];
    let total = 0;
    for await (const letter of selectedLetters(platform, dirs, log, selection)) {
      total++;
      newest.push(letter);
      if (newest.length > limit) newest.shift();
    }
    return {total, letters: newest.map(letterJson)};
  } finally {
    log.close();
  }
}

function selectionOf({domains}: Platform, params: URLSearchParams): LetterSelection {
  for (const name of params.keys())
    if (!names.includes(name)) throw wrong(`"${name}" selects no letters`, `one of ${names.join(', ')}`);
  const kind = oneOf(params, 'kind', kinds) ?? 'dead';
  const status = oneOf(params, 'status', statuses);
  const [domain, query] = [params.get('domain'), params.get('query')];
  if (domain !== null && !domains.some(({name}) => name === domain))
    throw new PlatformError('NAME_UNKNOWN', `there is no domain "${domain}"`);
  const queries = domains.flatMap(({name, aggregations}) =>
    aggregations.map((aggregation) => `${name}.${aggregation.name}`),
  );
  if (query !== null && !queries.includes(query))
    throw new PlatformError('NAME_UNKNOWN', `there is no query "${query}"`, {
      hint: 'write it as <domain>.<query>',
    });
  const only = domain ?? query?.slice(0, query.indexOf('.'));
  const text = (name: string, as: keyof LetterSelection = name as keyof LetterSelection) =>
    params.has(name) ? {[as]: params.get(name)!} : {};
  const ids = params.getAll('id');
  return {
    kind,
    domains: domains.flatMap(({name}) => (only === undefined || name === only ? [name] : [])),
    ...(status ? {status} : {}),
    ...(query === null ? {} : {query}),
    ...text('code'),
    ...text('stage'),
    ...text('type', 'eventType'),
    ...text('source'),
    ...text('where'),
    ...(ids.length > 0 ? {ids} : {}),
    ...timeOf(params, 'since', 'sinceMs'),
    ...timeOf(params, 'until', 'untilMs'),
  };
}

function oneOf<T extends string>(params: URLSearchParams, name: string, known: readonly T[]): T | undefined {
  const value = params.get(name);
  if (value === null) return undefined;
  const found = known.find((each) => each === value);
  if (!found) throw wrong(`${name}: "${value}"`, `one of ${known.join(', ')}`);
  return found;
}

function timeOf(params: URLSearchParams, name: string, as: 'sinceMs' | 'untilMs') {
  const value = params.get(name);
  if (value === null) return {};
  const ms = /^\d{4}-\d\d-\d\d/.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(ms)) throw wrong(`${name}: "${value}" is no time`, `${name}=2026-03-01T12:00:00Z`);
  return {[as]: ms};
}

function limitOf(value: string | null): number {
  if (value === null) return limitDefault;
  const limit = Number(value);
  if (!/^\d+$/.test(value) || limit < 1 || limit > limitMax)
    throw wrong(`limit: "${value}" is no count`, `a whole number from 1 to ${limitMax}`);
  return limit;
}

const wrong = (message: string, hint: string) => new PlatformError('REQUEST_INVALID', message, {hint});
