import {deadLetterEncoder, deadLetterTopic} from '../ingest/deadletters.ts';
import {domainNamespace} from '../ingest/identity.ts';
import type {Append, AppendTransaction} from '../log/types.ts';
import type {SideOutput} from '../process/embedded/worker-messages.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {compileEncoder} from '../schema/encode.ts';
import {frameHeaderBytes, packRecords, schemaIdOf} from '../schema/frame.ts';
import {
  type ReplayEntry,
  replayEntrySchema,
  replayEntryValues,
  replayJournalTopic,
} from '../schema/replay.ts';
import {type DeadLetter, type LateEvent, lateSchema, lateValues} from '../schema/side.ts';
import type {AvroRecord, AvroValue} from '../schema/types.ts';
import {uuid5} from '../schema/uuid5.ts';
import type {RefusedRow} from '../sinks/refused.ts';
import {columnIndex, tableId} from '../sinks/tables.ts';
import {rowBytes} from './replay-sink.ts';

/**
 * What a query sets aside, as one transaction of the log: late events to `late.<domain>.<query>`, dead letters to
 * `dlq.<domain>`, and what became of replayed events to `replay.<domain>`. Each carries its identity (place, stage, query) as id, so that a replay after a crash adds nothing.
 * @returns undefined when there is nothing.
 */
export function sideTransaction(
  plan: QueryPlan,
  side: SideOutput,
  schemaIds: Record<string, number>,
  nowMs: number,
): AppendTransaction | undefined {
  const identity = (place: string, stage: string) =>
    uuid5(domainNamespace(plan.domain), `${place}/${stage}/${plan.id}`);
  const late: LateEvent[] = [];
  const dead: DeadLetter[] = [];
  for (const record of side.records) {
    const {topic, partition, offset, frame} = record;
    const place = `${topic}/${partition}/${offset}`;
    if (record.kind === 'late') {
      const {watermarkMs, missed} = record;
      late.push({
        id: identity(place, 'late'),
        timeMs: nowMs,
        domain: plan.domain,
        query: plan.query,
        topic,
        partition,
        offset,
        watermarkMs,
        missed,
        original: frame,
      });
      continue;
    }
    const {stage} = record;
    dead.push({
      ...common(plan, nowMs),
      id: identity(place, stage),
      eventType: plan.sources.find((source) => source.topic === topic)?.eventType ?? null,
      stage,
      code: record.code,
      message: record.message,
      source: topic,
      position: {topic, partition, offset},
      schemaId:
        frame.length >= frameHeaderBytes && frame[0] === 0 ? schemaIdOf(frame, 0, frame.length) : null,
      original: frame,
    });
  }
  for (const {windowStartMs, groupKey, measure, code, message} of side.failures) {
    const place = `${new Date(windowStartMs).toISOString()}/${groupKey}/${measure}`;
    dead.push({
      ...common(plan, nowMs),
      id: identity(place, 'emit'),
      eventType: null,
      stage: 'emit',
      code,
      message,
      source: plan.id,
      // A value of a row has no place in a topic; its window and group are in the source bytes.
      position: {request: place, index: 0},
      schemaId: null,
      original: Buffer.from(groupKey),
    });
  }
  const appends: Append[] = [];
  if (late.length > 0) {
    const topic = `late.${plan.id}`;
    const records = late.map((event) => ({id: event.id, values: lateValues(event)}));
    appends.push(appendOf(topic, lateSchema, schemaIds, records));
  }
  if (dead.length > 0) {
    const topic = deadLetterTopic(plan.domain);
    const bytes = deadLetterEncoder(schemaIds[topic]!)(dead);
    appends.push({topic, partition: 0, count: dead.length, bytes, ids: dead.map(({id}) => id)});
  }
  if (side.replays.length > 0) {
    const entries = side.replays.map((told): ReplayEntry => {
      const {id, letter, outcome, code, message} = told;
      return {
        // Every revision may say something else of the same attempt.
        id: identity(`${id}/r${plan.revision}`, outcome),
        timeMs: nowMs,
        domain: plan.domain,
        kind: 'letter',
        run: null,
        actor: null,
        detail: id,
        letter,
        query: plan.id,
        outcome,
        code,
        message,
      };
    });
    appends.push(journalAppend(plan.domain, entries, schemaIds));
  }
  return appends.length > 0 ? {appends} : undefined;
}

/**
 * Rows that a sink refused, as dead letters. One of a higher version is another letter: the newest of a key is among them, and
 * it alone matters when all of them are replayed.
 */
export function refusedTransaction(
  plan: Pick<QueryPlan, 'domain' | 'id' | 'table'>,
  sink: string,
  rows: RefusedRow[],
  schemaIds: Record<string, number>,
  nowMs: number,
): AppendTransaction {
  const {table} = plan;
  const source = `${sink} ${tableId(table)}`;
  const letters = rows.map(({row, code, message}): DeadLetter => {
    const cellOf = (name: string) => row[columnIndex(table, name)]!;
    const key = new TextDecoder().decode(rowBytes(table.key.map(cellOf)));
    const place = `${source}/${key}/${cellOf('version')}`;
    return {
      ...common(plan, nowMs),
      id: uuid5(domainNamespace(plan.domain), `${place}/sink/${plan.id}`),
      eventType: null,
      stage: 'sink',
      code,
      message,
      source,
      position: {request: key.length > keyShownMax ? `${key.slice(0, keyShownMax)}...` : key, index: 0},
      schemaId: null,
      original: rowBytes(row),
    };
  });
  const topic = deadLetterTopic(plan.domain);
  const bytes = deadLetterEncoder(schemaIds[topic]!)(letters);
  return {appends: [{topic, partition: 0, count: letters.length, bytes, ids: letters.map(({id}) => id)}]};
}

/** A key may be what the sink found too long; the letter has it whole in its row. */
const keyShownMax = 200;

/** Entries of a domain's journal of replays. */
export const journalAppend = (
  domain: string,
  entries: ReplayEntry[],
  schemaIds: Record<string, number>,
): Append =>
  appendOf(
    replayJournalTopic(domain),
    replayEntrySchema,
    schemaIds,
    entries.map((entry) => ({id: entry.id, values: replayEntryValues(entry)})),
  );

/** Records of a side topic, which has one partition, each with its id. */
export function appendOf(
  topic: string,
  schema: AvroRecord,
  schemaIds: Record<string, number>,
  records: {id: string; values: AvroValue[]}[],
): Append {
  const encoder = compileEncoder(schema, schemaIds[topic]!);
  const frames = records.map(({values}) => {
    const frame = new Uint8Array(encoder.sizeMax(values));
    return frame.subarray(0, encoder.encode(values, frame, 0));
  });
  return {
    topic,
    partition: 0,
    count: frames.length,
    bytes: packRecords(frames),
    ids: records.map(({id}) => id),
  };
}

const common = (plan: Pick<QueryPlan, 'domain' | 'id'>, nowMs: number) => ({
  timeMs: nowMs,
  domain: plan.domain,
  query: plan.id,
  eventId: null,
});
