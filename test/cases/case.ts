/**
 * A golden case is a folder: `domain.yaml` in the real language, `events.yaml` with what is appended, `expected.yaml` with
 * rows, counts, late events and dead letters, counted by hand.
 */
import assert from 'node:assert/strict';
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {parse} from 'yaml';
import {parseDate, parseTimestamp} from '../../src/expr/calendar.ts';
import type {Value, ValueType} from '../../src/expr/types.ts';
import {decimalToCents, toInteger} from '../../src/expr/values.ts';
import type {Domain, Field} from '../../src/model/types.ts';
import {buildPlan} from '../../src/process/plan/build.ts';
import type {QueryPlan} from '../../src/process/plan/nodes.ts';
import type {LookupSnapshot} from '../../src/process/types.ts';
import {parseDuration} from '../../src/quantity.ts';
import type {Row} from '../support/changelog.ts';
import type {Step} from '../support/log.ts';
import {loadDomain} from '../support/platform.ts';

/** `wait`: the clock goes on, and nothing is appended. */
export type CaseStep = Step | {kind: 'wait'; ms: number};

export type Expected = {
  columns: string[];
  rows: Row[];
  /** `<event type>/<partition>` -> counts that are not 0. */
  counts: Record<string, Record<string, number>>;
  /** Id of a late event -> starts of the windows that it missed. */
  late: Record<string, number[]>;
  /** Id of an event that could not be used -> code. */
  dead: Record<string, string>;
  /** `<window start> <column>` of values that could not be computed. */
  failures: string[];
};

export type Case = {
  name: string;
  domain: Domain;
  plans: QueryPlan[];
  lookups: LookupSnapshot[];
  partitions: Record<string, number>;
  /** Other numbers of partitions with which the same rows come out. */
  repartition: number[];
  /** Runs with threads, too. */
  threads: boolean;
  steps: CaseStep[];
  expected: Record<string, Expected>;
};

type Scalar = string | number | bigint | boolean | null;
type EventsFile = {
  date?: string;
  partitions?: Record<string, bigint>;
  repartition?: bigint[];
  threads?: boolean;
  steps: Record<string, Scalar>[];
};
type ExpectedFile = Record<
  string,
  {
    columns: string[];
    rows: Scalar[][];
    counts?: Record<string, Record<string, bigint>>;
    late?: Record<string, string[]>;
    dead?: Record<string, string>;
    failures?: [string, string][];
  }
>;

const folder = import.meta.dirname;
const read = <T>(name: string, file: string): T =>
  parse(readFileSync(join(folder, name, file), 'utf8'), {intAsBigInt: true}) as T;

/** Names of all cases. */
export const caseNames = (): string[] =>
  readdirSync(folder, {withFileTypes: true}).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));

/** Reads a case and builds its plans with the real loader. */
export async function loadCase(name: string): Promise<Case> {
  const csv = existsSync(join(folder, name, 'lookup.csv'))
    ? readFileSync(join(folder, name, 'lookup.csv'), 'utf8')
    : '';
  const yaml = readFileSync(join(folder, name, 'domain.yaml'), 'utf8');
  const domain = await loadDomain(yaml, csv === '' ? {} : {'lookups/lookup.csv': csv});
  const events = read<EventsFile>(name, 'events.yaml');
  const instant = instantOn(events.date ?? '2026-01-05');
  const plans = domain.aggregations.map((aggregation) => buildPlan(domain, aggregation));
  const steps = events.steps.map((step, index) => caseStep(domain, step, index, instant));
  const partitions = Object.fromEntries(
    domain.eventTypes.map((type) => [type.name, Number(events.partitions?.[type.name] ?? 1)]),
  );
  const written = read<ExpectedFile>(name, 'expected.yaml');
  assert.deepEqual(
    Object.keys(written).sort(),
    plans.map(({query}) => query).sort(),
    `${name}: every query has expected rows`,
  );
  return {
    name,
    domain,
    plans,
    lookups: domain.lookups.map((lookup) => snapshotOf(lookup, csv)),
    partitions,
    repartition: (events.repartition ?? []).map(Number),
    threads: events.threads ?? false,
    steps,
    expected: Object.fromEntries(
      plans.map((plan) => [plan.query, expectedOf(plan, written[plan.query]!, instant)]),
    ),
  };
}

/** "2026-01-05T10:00:00Z", or "10:00", "10:00:00", "10:00:00.000" of the case's day in UTC, or "6T10:00" of the case's month. */
const instantOn =
  (date: string) =>
  (text: string): number => {
    const ofMonth = /^(\d{1,2})T(.*)$/.exec(text);
    const day = ofMonth ? `${date.slice(0, 8)}${ofMonth[1]!.padStart(2, '0')}` : date;
    const time = ofMonth ? ofMonth[2]! : text;
    const padded = /^\d\d:\d\d$/.test(time) ? `${time}:00` : time;
    const timeMs = parseTimestamp(/^\d{4}-/.test(text) ? text : `${day}T${padded}Z`);
    assert.ok(typeof timeMs === 'number', `no time: ${text}`);
    return timeMs;
  };

function caseStep(
  domain: Domain,
  step: Record<string, Scalar>,
  index: number,
  instant: (text: string) => number,
): CaseStep {
  if (step.wait !== undefined) return {kind: 'wait', ms: parseDuration(String(step.wait))!};
  const {to, mark, at, partition = 0, id = `e${index + 1}`, ...given} = step;
  const eventType = domain.eventTypes.find(({name}) => name === (to ?? mark));
  assert.ok(eventType && typeof at === 'string', `step ${index + 1} names no event type or no time`);
  const place = {topic: eventType.topic, partition: Number(partition)};
  if (mark !== undefined) return {kind: 'mark', ...place, timeMs: instant(at)};
  const event: Record<string, Value> = {event_id: String(id), timestamp: instant(at)};
  for (const [name, value] of Object.entries(given)) {
    const field: Field | undefined = eventType.fields.find((candidate) => candidate.name === name);
    assert.ok(field, `step ${index + 1}: ${eventType.name} has no field ${name}`);
    event[name] = typedValue(field.type, value, instant);
  }
  return {kind: 'events', ...place, events: [event]};
}

/** A value as written -> as the engine holds it; exact. */
function typedValue(type: ValueType, value: Scalar, instant: (text: string) => number): Value {
  if (value === null) return null;
  switch (type) {
    case 'timestamp':
      return instant(String(value));
    case 'date':
      return parseDate(String(value))!;
    case 'money':
      return toInteger(decimalToCents(String(value))!);
    case 'int':
    case 'long':
      return toInteger(BigInt(value as bigint));
    case 'double': {
      const [over, under] = String(value).split('/').map(Number);
      return under === undefined ? over! : over! / under;
    }
    case 'boolean':
      return value === true;
    default:
      return String(value);
  }
}

function expectedOf(
  plan: QueryPlan,
  written: ExpectedFile[string],
  instant: (text: string) => number,
): Expected {
  const {columns, rows, counts = {}, late = {}, dead = {}, failures = []} = written;
  const masked = ['closed', 'deleted', 'version'];
  const wanted = plan.table.columns.map(({name}) => name).filter((name) => !masked.includes(name));
  assert.deepEqual(
    columns.filter((name) => !masked.includes(name)).sort(),
    wanted.sort(),
    `columns of ${plan.query}`,
  );
  return {
    columns,
    rows: rows.map((row) => {
      assert.equal(
        row.length,
        columns.length,
        `a row of ${plan.query} has ${row.length} values: ${row.join(', ')}`,
      );
      return Object.fromEntries(
        columns.map((name, index) => {
          const {type} = plan.table.columns.find((column) => column.name === name)!;
          return [name, typedValue(type, row[index]!, instant)];
        }),
      );
    }),
    counts: Object.fromEntries(
      Object.entries(counts).map(([place, each]) => [
        place,
        Object.fromEntries(Object.entries(each).map(([name, count]) => [name, Number(count)])),
      ]),
    ),
    late: Object.fromEntries(Object.entries(late).map(([id, starts]) => [id, starts.map(instant)])),
    dead,
    failures: failures.map(([start, column]) => `${instant(start)} ${column}`),
  };
}

/** A lookup's CSV without quotes; an empty field is NULL. */
function snapshotOf({name, key, keyType, columns}: Domain['lookups'][number], csv: string): LookupSnapshot {
  const [header, ...lines] = csv
    .trim()
    .split('\n')
    .map((line) => line.split(','));
  const value = (line: string[], column: string, type: ValueType): Value => {
    const text = line[header!.indexOf(column)]!;
    return text === '' ? null : typedValue(type, text, () => assert.fail('no times in lookups'));
  };
  const rows = lines.map((line): [Value, Value[]] => [
    value(line, key, keyType),
    columns.map((column) => value(line, column.name, column.type)),
  ]);
  return {name, id: 'first', columns: columns.map((column) => column.name), rows: new Map(rows)};
}
