import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import {rawTable} from '../model/tables.ts';
import type {EventType, Platform, Table} from '../model/types.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {ReplayOutcome} from '../schema/replay.ts';
import {batchOf, tableId} from '../sinks/tables.ts';
import type {RawBatch, RowBatch} from '../sinks/types.ts';
import type {Letter} from './letters.ts';
import type {LetterEvents} from './letters-events.ts';

/** What became of a row that a sink had refused. */
export type SinkVerdict = {outcome: ReplayOutcome; code: string | null; message: string | null};

/** Sends rows again that a sink refused. */
export type SinkReplay = {
  send(letter: Letter, events: LetterEvents, dryRun: boolean): Promise<SinkVerdict>;
};

/** A row as its dead letter keeps it: integers beyond 2^53 and numbers that JSON lacks as text, marked by type. */
export const rowBytes = (row: Value[]): Uint8Array =>
  new TextEncoder().encode(
    JSON.stringify(row, (_key, value) =>
      typeof value === 'bigint'
        ? {long: String(value)}
        : typeof value === 'number' && !Number.isFinite(value)
          ? {double: String(value)}
          : value,
    ),
  );

/** The row of `rowBytes`; undefined when the bytes are none. */
export function rowOf(bytes: Uint8Array): Value[] | undefined {
  try {
    const row = JSON.parse(new TextDecoder().decode(bytes), (_key, value) =>
      value?.long !== undefined
        ? BigInt(value.long)
        : value?.double !== undefined
          ? Number(value.double)
          : value,
    );
    return Array.isArray(row) ? row : undefined;
  } catch {
    return undefined;
  }
}

export type SinkWrites = {
  /** The query as it runs now. */
  planOf(query: string): QueryPlan | undefined;
  /** One row to the table of a sink; its version decides, so that an old row changes nothing. */
  rows(sink: string, table: Table, batch: RowBatch): Promise<void>;
  /** One raw event; its id decides. */
  raw(sink: string, table: Table, batch: RawBatch): Promise<void>;
  platform: Platform;
};

export function createSinkReplay({planOf, rows, raw, platform}: SinkWrites): SinkReplay {
  const rowVerdict = async (letter: Letter, dryRun: boolean): Promise<SinkVerdict> => {
    const plan = planOf(letter.query!);
    const [sink = '', table = ''] = letter.source.split(' ');
    if (!plan?.sinks.includes(sink) || tableId(plan.table) !== table)
      return refused(`${table} in the sink ${sink} is not where ${letter.query} is written to any more`);
    const row = rowOf(letter.original);
    if (row?.length !== plan.table.columns.length) return refused(`the table ${table} has other columns now`);
    return dryRun ? written : attempt(() => rows(sink, plan.table, batchOf(plan.table, [row])));
  };
  const rawVerdict = async (letter: Letter, events: LetterEvents, dryRun: boolean): Promise<SinkVerdict> => {
    const eventType = events.typeOf(letter);
    const [sink = '', id = ''] = letter.source.split(' ');
    const domain = platform.domains.find(({name}) => name === letter.domain);
    if (!eventType || domain?.defaults.raw !== sink)
      return refused(
        `events of ${letter.domain}.${letter.eventType} are not written to the sink ${sink} any more`,
      );
    const batch = await rawBatchOf(letter, eventType, events);
    if (!batch) return refused(`the event cannot be read as ${eventType.topic} is now`);
    return dryRun ? written : attempt(() => raw(sink, rawTable(eventType), {...batch, table: id}));
  };
  return {
    send: (letter, events, dryRun) =>
      letter.query === null ? rawVerdict(letter, events, dryRun) : rowVerdict(letter, dryRun),
  };
}

/** The event of a letter as a row of its raw table. */
async function rawBatchOf(
  {position, original, timeMs}: Letter,
  eventType: EventType,
  events: LetterEvents,
): Promise<RawBatch | undefined> {
  const values = events.decode(original, eventType);
  if (!values || !('topic' in position)) return undefined;
  const {topic, partition, offset} = position;
  // A log that has let go of the event no longer says when it was appended.
  const appendedMs = (await events.appendedMs(topic, partition, offset)) ?? timeMs;
  const row = batchOf(rawTable(eventType), [[...values, partition, offset, appendedMs]]);
  return {...row, topic, partition, fromOffset: 0, toOffset: 0, again: true};
}

const written: SinkVerdict = {outcome: 'written', code: null, message: null};
const refused = (message: string): SinkVerdict => ({outcome: 'refused', code: null, message});

async function attempt(write: () => Promise<void>): Promise<SinkVerdict> {
  try {
    await write();
    return written;
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    return {outcome: 'rejected', code: error.code, message: error.message};
  }
}
