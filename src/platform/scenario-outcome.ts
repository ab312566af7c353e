/** What a scenario made, read from where it lies: rows that left the engine, topics of the log, ledgers. */
import type {Value} from '../expr/types.ts';
import {readDeadLetters} from '../ingest/deadletters.ts';
import {decodedRecords} from '../log/scan.ts';
import type {LogReader} from '../log/types.ts';
import type {Domain} from '../model/types.ts';
import {buildLedger} from '../observe/ledger.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {QueryStatus} from '../process/types.ts';
import {compileDecoder, type Decoder} from '../schema/decode.ts';
import {frameHeaderBytes, schemaIdOf} from '../schema/frame.ts';
import {lateOf, lateSchema} from '../schema/side.ts';
import type {AvroRecord, RegisteredSchema} from '../schema/types.ts';
import type {Outcome} from './scenario-types.ts';

export type Row = Record<string, Value>;
/** By query, by key: the newest version of each row. */
export type Rows = Map<string, Map<string, Row>>;

type World = {
  domain: Domain;
  plans: QueryPlan[];
  schemas: RegisteredSchema[];
  reader: LogReader;
  rows: Rows;
  status: QueryStatus[];
};

const decodeLate = compileDecoder(lateSchema);

export async function readOutcome({domain, plans, schemas, reader, rows, status}: World): Promise<Outcome> {
  const idOf = eventIds(schemas);
  const deadLetters: Outcome['deadLetters'] = [];
  for await (const letter of readDeadLetters(reader, domain.name)) {
    const {eventType, stage, code, message, query, original} = letter;
    deadLetters.push({
      event_type: eventType ?? '',
      stage,
      code,
      message,
      query: query?.slice(domain.name.length + 1) ?? '',
      event_id: letter.eventId ?? idOf(original),
    });
  }
  const late: Outcome['late'] = [];
  for (const {query, id} of plans)
    for await (const {values} of decodedRecords(reader, `late.${id}`, decodeLate)) {
      const {original, missed} = lateOf(values);
      late.push({
        query,
        event_id: idOf(original),
        missed: missed.map((ms) => new Date(ms).toISOString()).join(' '),
      });
    }
  const ledger = buildLedger({
    ingest: reader.ledger(),
    queries: status.map(({query, counts}) => ({
      domain: domain.name,
      query: query.slice(domain.name.length + 1),
      counts,
    })),
    delivery: [],
  });
  return {
    rows: new Map(plans.map((plan) => [plan.query, sorted(rows.get(plan.query))])),
    deadLetters,
    late,
    ledger,
  };
}

const sorted = (rows: Map<string, Row> | undefined): Row[] =>
  [...(rows ?? [])]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, row]) => row)
    .filter(({deleted}) => !deleted);

/** In the order of keys: times and numbers by value, text by its units. */
export const keyOf = ({table}: QueryPlan, row: Row): string =>
  table.key
    .map((name) => {
      const value = row[name]!;
      const padded =
        typeof value === 'number' || typeof value === 'bigint' ? String(value).padStart(20) : value;
      return value === null ? '' : `=${padded}`;
    })
    .join('\0');

/** Id of the event in a frame; '' when it cannot be read. */
function eventIds(schemas: RegisteredSchema[]): (frame: Uint8Array) => string {
  const decoders = new Map<number, Decoder>();
  for (const {id, schema} of schemas)
    if ((schema as AvroRecord).fields[0]?.name === 'event_id')
      decoders.set(id, compileDecoder(schema as AvroRecord, ['event_id']));
  return (frame) => {
    if (frame.length <= frameHeaderBytes || frame[0] !== 0) return '';
    const decode = decoders.get(schemaIdOf(frame, 0, frame.length));
    return decode ? String(decode(frame, frameHeaderBytes, frame.length)[0]) : '';
  };
}
