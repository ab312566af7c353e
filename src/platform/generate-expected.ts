/**
 * What must come of generated events, computed in the obvious way: they are made again, one after the other, as objects, and given to the
 * obvious evaluator (`naive.ts`), which keeps all of them. About 1 KB of memory an event and query.
 */
import {evaluate} from '../expr/evaluate.ts';
import {ExpressionFailure} from '../expr/failure.ts';
import type {Value} from '../expr/types.ts';
import {Generator} from '../generate/generator.ts';
import type {LookupRows} from '../generate/types.ts';
import type {Partitions} from '../log/partition.ts';
import type {Domain, EventType, Generate} from '../model/types.ts';
import {type NaiveEvent, type NaiveResult, naive} from '../process/naive.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {LookupSnapshot} from '../process/types.ts';
import {avroSchema} from '../schema/avro.ts';
import {compileDecoder} from '../schema/decode.ts';
import {frameHeaderBytes} from '../schema/frame.ts';
import {tokenReader} from '../schema/protected.ts';
import {noTelemetry} from '../telemetry.ts';
import {openTransforms} from '../transforms/open.ts';
import {generatedLetterId} from './generate-transaction.ts';
import {generatedInput, stagesOf} from './generate-transforms.ts';
import type {GeneratorPosition} from './generate-types.ts';

/** Everything that decides the events; structured-cloneable. */
export type ExpectedInput = {
  domain: Domain;
  generate: Generate;
  lookups: LookupRows[];
  partitions: Partitions;
  position: GeneratorPosition;
  plans: QueryPlan[];
  snapshots: LookupSnapshot[];
};

/** Counts of the ingest ledger for an event type. */
export type ExpectedCounts = {received: number; appended: number; duplicate: number; rejected: number};

export type Expected = {
  /** By event type, in model order. */
  counts: ExpectedCounts[];
  /** By event type; undefined for those without a transform. */
  transformed: ({in: number; out: number; rejected: number} | undefined)[];
  /** Id of a dead letter -> its code. */
  letters: Map<string, string>;
  /** By id of the query. */
  queries: Map<string, Pick<NaiveResult, 'rows' | 'counts'>>;
};

type Made = {type: number; duplicate: boolean} & (
  | {event: NaiveEvent}
  | {stage: string; code: string; n: number}
  /** For the transform of its type. */
  | {n: number; eventId: string; values: Record<string, Value>}
);

/** The events of a position, in the order in which they were sent. */
function* made({domain, generate, lookups, partitions, position}: ExpectedInput): Generator_<Made> {
  const rows = new Map(lookups.map((each) => [each.name, each]));
  const options = {domain, generate, lookups: rows, schemaIds: {}, partitions, run: position.run};
  const generator = new Generator(options, position.first);
  generator.changes = position.changes;
  while (generator.n < position.n) {
    generator.next();
    const {type, fault, duplicate, shapes} = generator;
    const {n} = generator.made;
    const {topic, ...eventType} = domain.eventTypes[type]!;
    const values = generator.values();
    const broken = fault === 'corrupt' ? 'DECODE' : fault === 'drift' ? 'UNKNOWN_SCHEMA' : undefined;
    if (broken === undefined && eventType.transform !== undefined) {
      yield {type, duplicate, n, eventId: shapes[type]!.idOf(n), values};
      continue;
    }
    const code = broken ?? failedCheck(eventType, values);
    if (code !== undefined) {
      yield {type, duplicate: false, stage: broken ? 'decode' : 'check', code, n};
      continue;
    }
    const partition = shapes[type]!.partition(generator.made);
    yield {
      type,
      duplicate,
      event: {topic, partition, offset: 0, values: asRead(domain.eventTypes[type]!, values)},
    };
  }
}

/** Values as queries see them: what stands for personal data in place of it. */
function asRead({domain, fields}: EventType, values: Record<string, Value>): Record<string, Value> {
  const read = {...values};
  for (const {name, column, pii} of fields)
    if (pii && typeof read[name] === 'string')
      read[name] = tokenReader().read(read[name], {attribute: `${domain}.${column}`, kind: pii});
  return read;
}

type Generator_<T> = globalThis.Generator<T, void>;

function failedCheck(
  {derive, checks}: Pick<EventType, 'derive' | 'checks'>,
  values: Record<string, Value>,
): string | undefined {
  if (checks.length === 0) return undefined;
  const row = {...values};
  const get = (name: string): Value => row[name] ?? null;
  try {
    for (const {name, expr} of derive) row[name] = evaluate(expr, get);
    const failed = checks.find(({expr}) => evaluate(expr, get) === false);
    return failed && `CHECK:${failed.name}`;
  } catch (error) {
    if (!(error instanceof ExpressionFailure)) throw error;
    return 'EXPRESSION';
  }
}

/** What a generated event becomes. */
type Sent = {type: number; duplicate: boolean; events: NaiveEvent[]};
type Waiting = Sent & {n: number};

/** The transforms of a domain by themselves, and what they make: each result is decoded again from the record that the log would get. */
function transforming(
  input: ExpectedInput,
  counts: Expected['transformed'],
  refused: (waiting: Waiting, code: string) => void,
) {
  const {domain, partitions} = input;
  const transforms = openTransforms([domain], {telemetry: noTelemetry, develop: false});
  const stages = stagesOf<Waiting>({domain, transforms, schemaIds: {}, partitions});
  const decoders = domain.eventTypes.map((eventType) => compileDecoder(avroSchema(eventType)));
  const latestMs = () => Date.now() + domain.defaults.futureMaxMs;
  const settle = (type: number) =>
    stages[type]!.settle(latestMs, (settled) => {
      const {record: waiting} = settled;
      const count = counts[type]!;
      if ('problem' in settled) {
        count.in++;
        count.rejected++;
        refused(waiting, settled.problem.code);
      } else {
        const {topic, fields} = domain.eventTypes[type]!;
        const {bytes, events} = settled.encoded;
        for (const {start, end, partition} of events) {
          const row = decoders[type]!(bytes, start + 4 + frameHeaderBytes, end) as Value[];
          const values = Object.fromEntries(fields.map(({name}, index) => [name, row[index]!]));
          waiting.events.push({topic, partition, offset: 0, values});
        }
        const copies = waiting.duplicate ? 2 : 1;
        count.in += copies;
        count.out += copies * events.length;
      }
      return undefined;
    });
  return {
    async add(waiting: Waiting, eventId: string, values: Record<string, Value>) {
      const {type} = waiting;
      const stage = stages[type]!;
      const given = generatedInput(domain.eventTypes[type]!, values);
      stage.add({record: waiting, bytes: 100, eventId, input: given});
      if (stage.full) await settle(type);
    },
    async end() {
      for (const [type, stage] of stages.entries()) if (stage) await settle(type);
      await transforms.close();
    },
  };
}

/** Counts what the log was sent. @returns the events with their offsets, in the order of the log */
function countSent(all: Sent[], counts: ExpectedCounts[]): NaiveEvent[] {
  const offsets = new Map<string, number>();
  for (const {type, duplicate, events} of all) {
    const count = counts[type]!;
    count.received += (duplicate ? 2 : 1) * events.length;
    count.appended += events.length;
    if (duplicate) count.duplicate += events.length;
    for (const event of events) {
      const place = `${event.topic}/${event.partition}`;
      event.offset = offsets.get(place) ?? 0;
      offsets.set(place, event.offset + 1);
    }
  }
  return all.flatMap(({events}) => events);
}

/** Makes the events again and evaluates every query over them. @throws TRANSFORM_LOAD */
export async function expectedOf(input: ExpectedInput): Promise<Expected> {
  const {domain, plans, snapshots, position} = input;
  const counts = domain.eventTypes.map(
    (): ExpectedCounts => ({received: 0, appended: 0, duplicate: 0, rejected: 0}),
  );
  const transformed = domain.eventTypes.map(({transform}) =>
    transform === undefined ? undefined : {in: 0, out: 0, rejected: 0},
  );
  const letters = new Map<string, string>();
  const idOf = generatedLetterId(domain.name);
  const reject = (type: number, n: number, stage: string, code: string) => {
    const count = counts[type]!;
    count.received++;
    count.rejected++;
    letters.set(idOf(position.run, n, stage), code);
  };
  const transforms = transforming(input, transformed, ({type, n}, code) =>
    reject(type, n, 'transform', code),
  );
  /** In the order in which they were sent. */
  const all: Sent[] = [];
  for (const each of made(input)) {
    const {type, duplicate} = each;
    if ('code' in each) reject(type, each.n, each.stage, each.code);
    else if ('event' in each) all.push({type, duplicate, events: [each.event]});
    else {
      const own: Waiting = {type, duplicate, n: each.n, events: []};
      all.push(own);
      await transforms.add(own, each.eventId, each.values);
    }
  }
  await transforms.end();
  const events = countSent(all, counts);
  const lookups = new Map(snapshots.map((snapshot) => [snapshot.name, snapshot]));
  const queries = new Map(
    plans.map((plan): [string, Pick<NaiveResult, 'rows' | 'counts'>] => {
      const {rows, counts: read} = naive(plan, events, lookups);
      return [plan.id, {rows, counts: read}];
    }),
  );
  return {counts, transformed, letters, queries};
}
