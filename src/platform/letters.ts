import {setImmediate} from 'node:timers/promises';
import {readDeadLetters} from '../ingest/deadletters.ts';
import {decodedRecords} from '../log/scan.ts';
import type {LogReader} from '../log/types.ts';
import {compileDecoder} from '../schema/decode.ts';
import {type DeadLetter, type LateEvent, lateOf, lateProvenance, lateSchema} from '../schema/side.ts';
import type {LetterHistory} from './letters-history.ts';

/**
 * - `open`: nobody has replayed it
 * - `queued`: given to its query, which has not come by it yet
 * - `replayed`: it is where it belongs, or was there already
 * - `failed`: replayed, and refused again
 */
export type LetterStatus = 'open' | 'queued' | 'replayed' | 'failed';

/** One attempt to replay a letter. */
export type LetterReplay = {
  timeMs: number;
  /** `user@host`; null for what a query tells of an attempt. */
  actor: string | null;
  outcome: string;
  code: string | null;
  message: string | null;
};

/** Something that was set aside: a dead letter, or an event that came too late for a query. */
export type Letter = DeadLetter & {
  kind: 'dead' | 'late';
  /** Of a late event, whose stage is `late`: the watermark that judged it, epoch ms. */
  watermarkMs: number | null;
  status: LetterStatus;
  /** Oldest first. */
  replays: LetterReplay[];
};

export type LetterSelection = {
  kind: Letter['kind'];
  domains: string[];
  /** A whole code, or what comes before the colon: `CHECK` finds every failed check. */
  code?: string;
  stage?: string;
  eventType?: string;
  /** `<domain>.<query>`. */
  query?: string;
  source?: string;
  status?: LetterStatus;
  /** Beginnings of ids; one that fits is enough. */
  ids?: string[];
  /** Set aside from then on, and before then, epoch ms. */
  sinceMs?: number;
  untilMs?: number;
  /** An expression over the letter and its event. */
  where?: string;
};

/** Of letters, before others have a turn: some milliseconds. */
const readAtOnce = 500;

const decodeLate = compileDecoder(lateSchema);

/** What was set aside behind the log, whoever set it aside. */
export const reachedLog = ({query, position, stage}: Letter): boolean =>
  query !== null || stage === 'sink' || 'topic' in position;

/** A record of the log that a raw delivery could not give to its sink: it cannot be read, or does not pass. */
export const isUnread = ({stage, query, position}: Pick<Letter, 'stage' | 'query' | 'position'>): boolean =>
  query === null && (stage === 'decode' || (stage === 'check' && 'topic' in position));

/**
 * What its query has said of its replays, oldest first; the other entries are of commands that asked for one. A command that waits for its
 * answer counts these: what it reads of the journal in Kafka may be of before its own entry.
 */
export const answersOf = (replays: readonly LetterReplay[]): LetterReplay[] =>
  replays.filter(({actor}) => actor === null);

/** How a letter stands after its attempts. A query that tells of one later than it was asked has the last word. */
export function statusOf(replays: readonly LetterReplay[]): LetterStatus {
  const last = replays.at(-1)?.outcome;
  if (last === undefined) return 'open';
  if (last === 'queued') return 'queued';
  return last === 'rejected' || last === 'refused' ? 'failed' : 'replayed';
}

/**
 * What was selected, oldest first for each topic; the expression is the caller's matter (`letters-where.ts`). Ends at `signal`. Throws
 * LOG_CORRUPT when a batch is damaged.
 */
export async function* readLetters(
  log: LogReader,
  selection: LetterSelection,
  history: Pick<LetterHistory, 'of'>,
  signal?: AbortSignal,
): AsyncGenerator<Letter> {
  let read = 0;
  for (const domain of selection.domains) {
    const letters = selection.kind === 'dead' ? deadLetters(log, domain) : lateLetters(log, domain);
    for await (const letter of letters) {
      // Where the log lies on this machine reading it waits for nothing, and nobody else would have a turn.
      if (signal && ++read % readAtOnce === 0) await setImmediate();
      if (signal?.aborted) return;
      letter.replays = history.of(letter.id);
      letter.status = statusOf(letter.replays);
      if (isSelected(letter, selection)) yield letter;
    }
  }
}

async function* deadLetters(log: LogReader, domain: string): AsyncGenerator<Letter> {
  for await (const {partition: _, offset: __, ...letter} of readDeadLetters(log, domain))
    yield {...letter, kind: 'dead', watermarkMs: null, status: 'open', replays: []};
}

async function* lateLetters(log: LogReader, domain: string): AsyncGenerator<Letter> {
  const prefix = `late.${domain}.`;
  for (const topic of log.topics().filter((name) => name.startsWith(prefix)))
    for await (const {values} of decodedRecords(log, topic, decodeLate)) yield letterOfLate(lateOf(values));
}

function letterOfLate(late: LateEvent): Letter {
  const {id, timeMs, domain, query, topic, partition, offset, watermarkMs, missed, original} = late;
  const windows = missed.map((ms) => new Date(ms).toISOString()).join(', ');
  return {
    kind: 'late',
    id,
    timeMs,
    domain,
    ...lateProvenance({domain, query, topic}),
    message: `the watermark ${new Date(watermarkMs).toISOString()} is past the window of ${windows}`,
    position: {topic, partition, offset},
    eventId: null,
    schemaId: null,
    original,
    watermarkMs,
    status: 'open',
    replays: [],
  };
}

function isSelected(letter: Letter, selection: LetterSelection): boolean {
  const {code, stage, eventType, query, source, status, ids, sinceMs, untilMs} = selection;
  return (
    (code === undefined || letter.code === code || letter.code.startsWith(`${code}:`)) &&
    (stage === undefined || letter.stage === stage) &&
    (eventType === undefined || letter.eventType === eventType) &&
    (query === undefined || letter.query === query) &&
    (source === undefined || letter.source === source) &&
    (status === undefined || letter.status === status) &&
    (ids === undefined || ids.some((id) => letter.id.startsWith(id))) &&
    (sinceMs === undefined || letter.timeMs >= sinceMs) &&
    (untilMs === undefined || letter.timeMs < untilMs)
  );
}
