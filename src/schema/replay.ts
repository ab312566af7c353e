/**
 * Records of replays: events that a query counts after all (`replay.<domain>.<query>`), and the journal of who replayed what
 * with which result (`replay.<domain>`).
 */
import {optional, required, timestamp} from './side.ts';
import type {AvroRecord, AvroValue} from './types.ts';

/** An event that a query had set aside, for that query alone. Its id is that of one attempt: the same attempt counts once. */
export type ReplayEvent = {
  id: string;
  /** When it was given to the query, epoch ms. */
  timeMs: number;
  domain: string;
  query: string;
  /** Id of the dead letter or late event. */
  letter: string;
  /** Where the event lies in the log. */
  topic: string;
  partition: number;
  offset: number;
  /** Event time of `frame`, epoch ms. */
  eventTimeMs: number;
  /** The event as the query is to see it; a fix may have changed it. */
  frame: Uint8Array;
};

/**
 * What became of a letter.
 * - `queued`: given to its query, which has not come by it yet
 * - `appended`: in the log now, as any event; `written`: the row is in its sink
 * - `counted`, `filtered`: by its query, which does so once; `filtered` also when a transform makes no event of it
 * - `duplicate`: the log or the query has it already, nothing was done
 * - `rejected`: refused again, with a code; `refused`: it cannot be replayed, and the message says what to do instead
 */
export type ReplayOutcome =
  | 'queued'
  | 'appended'
  | 'written'
  | 'counted'
  | 'filtered'
  | 'duplicate'
  | 'rejected'
  | 'refused';

/** An entry of the journal: a replay began or ended, or what became of one letter. */
export type ReplayEntry = {
  id: string;
  timeMs: number;
  domain: string;
  kind: 'begun' | 'letter' | 'ended';
  /** Of the replay that it belongs to; null for what a query tells. */
  run: string | null;
  /** Who asked, `user@host`. */
  actor: string | null;
  /** JSON: what was selected and how it was changed (begun), counts by outcome (ended). */
  detail: string | null;
  letter: string | null;
  query: string | null;
  outcome: ReplayOutcome | null;
  code: string | null;
  message: string | null;
};

/** Schema of `replay.<domain>.<query>`, the same for every query. */
export const replayEventSchema: AvroRecord = {
  type: 'record',
  name: 'replay_event',
  namespace: 'millrace',
  fields: [
    required('id', 'string'),
    required('time', timestamp),
    required('domain', 'string'),
    required('query', 'string'),
    required('letter', 'string'),
    required('topic', 'string'),
    required('partition', 'int'),
    required('offset', 'long'),
    required('event_time', timestamp),
    required('original', 'bytes'),
  ],
};

/** Schema of `replay.<domain>`, the same for every domain. */
export const replayEntrySchema: AvroRecord = {
  type: 'record',
  name: 'replay_entry',
  namespace: 'millrace',
  fields: [
    required('id', 'string'),
    required('time', timestamp),
    required('domain', 'string'),
    required('kind', 'string'),
    optional('run', 'string'),
    optional('actor', 'string'),
    optional('detail', 'string'),
    optional('letter', 'string'),
    optional('query', 'string'),
    optional('outcome', 'string'),
    optional('code', 'string'),
    optional('message', 'string'),
  ],
};

/** Topic of the events that a query counts after all. @param query `<domain>.<query>` */
export const replayTopic = (query: string): string => `replay.${query}`;

/** Topic of a domain's journal of replays. */
export const replayJournalTopic = (domain: string): string => `replay.${domain}`;

/** Values for an encoder of `replayEventSchema`. */
export const replayEventValues = (event: ReplayEvent): AvroValue[] => [
  event.id,
  event.timeMs,
  event.domain,
  event.query,
  event.letter,
  event.topic,
  event.partition,
  event.offset,
  event.eventTimeMs,
  event.frame,
];

/** The event of what a decoder of `replayEventSchema` returned (all columns). */
export function replayEventOf(values: readonly AvroValue[]): ReplayEvent {
  const [id, timeMs, domain, query, letter, topic, partition, offset, eventTimeMs, frame] = values;
  return {id, timeMs, domain, query, letter, topic, partition, offset, eventTimeMs, frame} as ReplayEvent;
}

/** Values for an encoder of `replayEntrySchema`. */
export const replayEntryValues = (entry: ReplayEntry): AvroValue[] => [
  entry.id,
  entry.timeMs,
  entry.domain,
  entry.kind,
  entry.run,
  entry.actor,
  entry.detail,
  entry.letter,
  entry.query,
  entry.outcome,
  entry.code,
  entry.message,
];

/** The entry of what a decoder of `replayEntrySchema` returned (all columns). */
export function replayEntryOf(values: readonly AvroValue[]): ReplayEntry {
  const [id, timeMs, domain, kind, run, actor, detail, letter, query, outcome, code, message] = values;
  const about = {run, actor, detail, letter, query, outcome, code, message};
  return {id, timeMs, domain, kind, ...about} as ReplayEntry;
}
