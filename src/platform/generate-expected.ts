/**
 * What must come of generated events, computed in the obvious way: they are made again, one after the other, as objects, and given to the
 * obvious evaluator (`naive.ts`), which keeps all of them. About 1 KB of memory an event and query.
 */
import {evaluate} from '../expr/evaluate.ts';
import {ExpressionFailure} from '../expr/failure.ts';
import type {Value} from '../expr/types.ts';
import {Generator} from '../generate/generator.ts';
import type {LookupRows} from '../generate/types.ts';
import type {Domain, EventType, Generate} from '../model/types.ts';
import {type NaiveEvent, type NaiveResult, naive} from '../process/naive.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {LookupSnapshot} from '../process/types.ts';
import {generatedLetterId} from './generate-transaction.ts';
import type {GeneratorPosition} from './generate-types.ts';

/** Everything that decides the events; structured-cloneable. */
export type ExpectedInput = {
  domain: Domain;
  generate: Generate;
  lookups: LookupRows[];
  partitions: number;
  position: GeneratorPosition;
  plans: QueryPlan[];
  snapshots: LookupSnapshot[];
};

/** Counts of the ingest ledger for an event type. */
export type ExpectedCounts = {received: number; appended: number; duplicate: number; rejected: number};

export type Expected = {
  /** By event type, in model order. */
  counts: ExpectedCounts[];
  /** Id of a dead letter -> its code. */
  letters: Map<string, string>;
  /** By id of the query. */
  queries: Map<string, Pick<NaiveResult, 'rows' | 'counts'>>;
};

type Made = {type: number; duplicate: boolean} & (
  | {event: NaiveEvent}
  | {stage: string; code: string; n: number}
);

/** The events of a position, in the order in which they were sent. */
function* made({domain, generate, lookups, partitions, position}: ExpectedInput): Generator_<Made> {
  const rows = new Map(lookups.map((each) => [each.name, each]));
  const options = {domain, generate, lookups: rows, schemaIds: {}, partitions, run: position.run};
  const generator = new Generator(options, position.first);
  generator.changes = position.changes;
  const offsets = new Map<string, number>();
  while (generator.n < position.n) {
    generator.next();
    const {type, fault, duplicate, shapes} = generator;
    const {n} = generator.made;
    const {topic, ...eventType} = domain.eventTypes[type]!;
    const values = generator.values();
    const broken = fault === 'corrupt' ? 'DECODE' : fault === 'drift' ? 'UNKNOWN_SCHEMA' : undefined;
    const code = broken ?? failedCheck(eventType, values);
    if (code !== undefined) {
      yield {type, duplicate: false, stage: broken ? 'decode' : 'check', code, n};
      continue;
    }
    const partition = shapes[type]!.partition(generator.made);
    const place = `${topic}/${partition}`;
    const offset = offsets.get(place) ?? 0;
    offsets.set(place, offset + 1);
    yield {type, duplicate, event: {topic, partition, offset, values}};
  }
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

/** Makes the events again and evaluates every query over them. */
export function expectedOf(input: ExpectedInput): Expected {
  const {domain, plans, snapshots, position} = input;
  const counts = domain.eventTypes.map(
    (): ExpectedCounts => ({received: 0, appended: 0, duplicate: 0, rejected: 0}),
  );
  const letters = new Map<string, string>();
  const idOf = generatedLetterId(domain.name);
  const events: NaiveEvent[] = [];
  for (const each of made(input)) {
    const count = counts[each.type]!;
    count.received += each.duplicate ? 2 : 1;
    if ('code' in each) {
      count.rejected++;
      letters.set(idOf(position.run, each.n, each.stage), each.code);
    } else {
      count.appended++;
      events.push(each.event);
    }
    if (each.duplicate) count.duplicate++;
  }
  const lookups = new Map(snapshots.map((snapshot) => [snapshot.name, snapshot]));
  const queries = new Map(
    plans.map((plan): [string, Pick<NaiveResult, 'rows' | 'counts'>] => {
      const {rows, counts: read} = naive(plan, events, lookups);
      return [plan.id, {rows, counts: read}];
    }),
  );
  return {counts, letters, queries};
}
