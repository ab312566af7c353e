/** Letters over HTTP: listing and showing, nothing else. */
import {PlatformError} from '../errors.ts';
import {openLog} from '../log/open.ts';
import type {Platform} from '../model/types.ts';
import type {Letter, LetterSelection, LetterStatus} from '../platform/letters.ts';
import {letterJson, selectedLetters} from '../platform/letters-selected.ts';
import type {PlatformDirs} from '../platform/places.ts';
import {createTurns} from './turns.ts';

/** Who asks wants to know soon that Kafka is away. */
const patienceMs = 3_000;
const limitDefault = 50;
const limitMax = 1_000;
/** Of the records in an answer, which is made whole: in base64 it has to fit into one text of JavaScript. */
const answerBytesMax = 32 * 2 ** 20;
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

/** The newest letters that the parameters select, as many as one answer holds, and how many there are. */
type Letters = {total: number; letters: ReturnType<typeof letterJson>[]};

/**
 * Lists letters for whoever asks: one after another, since each asking reads whole topics, and not for those who are gone.
 * @returns a function that throws REQUEST_INVALID, NAME_UNKNOWN, USAGE, KAFKA_*
 */
export function createLetters(
  platform: Platform,
  dirs: PlatformDirs,
): (params: URLSearchParams, signal: AbortSignal) => Promise<Letters> {
  const inTurn = createTurns(1);
  return async (params, signal) => {
    const limit = limitOf(params.get('limit'));
    const selection = selectionOf(platform, params);
    return inTurn(signal, async () => {
      const log = await openLog(dirs.source, {patienceMs});
      try {
        return await newestOf(selectedLetters(platform, dirs, log, selection, signal), limit);
      } finally {
        log.close();
      }
    });
  };
}

/** At least one, also when that alone is larger than an answer should be. */
async function newestOf(selected: AsyncIterable<Letter>, limit: number): Promise<Letters> {
  const newest: Letter[] = [];
  let total = 0;
  let bytes = 0;
  for await (const letter of selected) {
    total++;
    newest.push(letter);
    bytes += letter.original.length;
    while (newest.length > 1 && (newest.length > limit || bytes > answerBytesMax))
      bytes -= newest.shift()!.original.length;
  }
  return {total, letters: newest.map(letterJson)};
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
