/** What the engine told the world about one query, against the obvious evaluator. */
import type {SideRecord} from '../../src/process/embedded/types.ts';
import {naive} from '../../src/process/naive.ts';
import type {QueryPlan} from '../../src/process/plan/nodes.ts';
import type {LookupSnapshot, QueryCounts} from '../../src/process/types.ts';
import {type Changelog, compareRows, show} from './changelog.ts';
import type {EventLog} from './log.ts';

export type Outcome = {changelog: Changelog; side: Iterable<SideRecord>; counts: QueryCounts[]};

const countNames = [
  'read',
  'aggregated',
  'corrected',
  'lateInPart',
  'filtered',
  'duplicate',
  'late',
  'dead',
] as const;

/** The obvious evaluator over a log, with the records that do not decode. */
export function naiveOf(plan: QueryPlan, log: EventLog, lookups: LookupSnapshot[] = []) {
  const result = naive(plan, log.naive, new Map(lookups.map((snapshot) => [snapshot.name, snapshot])));
  for (const broken of log.broken) {
    if (!plan.sources.some(({topic}) => topic === broken.topic)) continue;
    let counts = result.counts.find(
      ({topic, partition}) => topic === broken.topic && partition === broken.partition,
    );
    if (!counts) {
      const {topic, partition} = broken;
      counts = {
        topic,
        partition,
        ...(Object.fromEntries(countNames.map((name) => [name, 0])) as Omit<
          QueryCounts,
          'topic' | 'partition'
        >),
      };
      result.counts.push(counts);
    }
    counts.read++;
    counts.dead++;
    result.dead.push(broken);
  }
  return result;
}

/** Every difference, in words; empty when there is none. */
export function compareOutcome(
  plan: QueryPlan,
  {changelog, side, counts}: Outcome,
  wanted: ReturnType<typeof naiveOf>,
): string[] {
  const problems = compareRows(plan, changelog.read(), wanted.rows);
  for (const actual of counts) {
    const naive = wanted.counts.find(
      ({topic, partition}) => topic === actual.topic && partition === actual.partition,
    );
    for (const name of countNames)
      if (actual[name] !== (naive?.[name] ?? 0))
        problems.push(
          `${actual.topic}/${actual.partition}: ${name} is ${actual[name]}, wanted ${naive?.[name] ?? 0}`,
        );
  }
  const records = [...side];
  const places = (kind: string) =>
    records
      .filter((record) => record.kind === kind)
      .map(describe)
      .sort();
  const late = plan.late === 'drop' ? [] : wanted.late;
  problems.push(
    ...compareSets('late', places('late'), late.map((record) => describe({kind: 'late', ...record})).sort()),
  );
  problems.push(
    ...compareSets(
      'dead',
      places('dead'),
      wanted.dead.map((record) => describe({kind: 'dead', ...record})).sort(),
    ),
  );
  return problems;
}

const describe = (record: {
  kind: string;
  topic: string;
  partition: number;
  offset: number;
  missed?: number[];
}): string =>
  `${record.topic}/${record.partition}@${record.offset}${record.missed ? ` missed ${show(record.missed)}` : ''}`;

function compareSets(what: string, actual: string[], wanted: string[]): string[] {
  const [has, wants] = [new Set(actual), new Set(wanted)];
  return [
    ...actual.filter((one) => !wants.has(one)).map((one) => `${one} is ${what} and should not be`),
    ...wanted.filter((one) => !has.has(one)).map((one) => `${one} should be ${what}`),
  ];
}
