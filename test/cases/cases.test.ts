/**
 * Golden cases: the rows, counts, late events and dead letters of `expected.yaml`, however the engine gets there: at once or
 * event by event, with crashes, with other workers, with other partitions, and from the obvious evaluator.
 */
import assert from 'node:assert/strict';
import {rmSync} from 'node:fs';
import {after, before, test} from 'node:test';
import {testClock} from '../../src/clock.ts';
import {type Kafka, startKafka} from '../../src/cluster/kafka.ts';
import {
  type CheckpointWriter,
  openStateStore,
  type StateStore,
  startCheckpointWriter,
} from '../../src/process/embedded/statestore.ts';
import type {SideRecord} from '../../src/process/embedded/types.ts';
import {buildPlan} from '../../src/process/plan/build.ts';
import type {QueryPlan} from '../../src/process/plan/nodes.ts';
import type {QueryCounts} from '../../src/process/types.ts';
import {skipWithout} from '../cluster/needs.ts';
import {compareRows, type Row, show} from '../support/changelog.ts';
import {Running} from '../support/engine.ts';
import {KafkaMirror} from '../support/kafka-mirror.ts';
import {EventLog, type Step} from '../support/log.ts';
import {naiveOf} from '../support/outcome.ts';
import {random} from '../support/random.ts';
import {scratchDir} from '../support/scratch.ts';
import {Stepped} from '../support/stepped.ts';
import type {Told} from '../support/told.ts';
import {type Case, type CaseStep, caseNames, type Expected, loadCase} from './case.ts';

type Way = {
  workers: number;
  /** Steps after which the process dies, in the middle of its work. */
  crashesAfter?: number[];
  /** Consecutive events of a place are one batch, and nothing is read before all is appended. */
  atOnce?: boolean;
  threads?: boolean;
  partitions?: number;
  /** The log is in Kafka. */
  kafka?: boolean;
};

const only = process.env.MILLRACE_CASE;
const dir = scratchDir('cases');
let writer: CheckpointWriter;
let store: StateStore;
/** Every run by schedule has a state of its own. */
let revisions = 1;
let kafka: Kafka | undefined;
let mirror: KafkaMirror | undefined;
const forKafka = skipWithout('java', 'mvn');

before(async () => {
  writer = await startCheckpointWriter(dir);
  store = openStateStore(dir, writer.connect());
  if (forKafka.skip) return;
  kafka = await startKafka();
  mirror = new KafkaMirror(kafka.brokers);
});
after(async () => {
  mirror?.close();
  await kafka?.stop();
  store.close();
  await writer.close();
  rmSync(dir, {recursive: true});
});

for (const name of caseNames().filter((each) => only === undefined || each === only))
  test(`case ${name}`, async (t) => {
    const golden = await loadCase(name);
    await t.test('the obvious evaluator agrees with what was counted by hand', () => runNaive(golden));
    const last = golden.steps.length - 1;
    const ways: [string, Way][] = [
      ['event by event', {workers: 1}],
      ['all at once, with a crash in the middle', {workers: 1, atOnce: true, crashesAfter: [last >> 1]}],
      ['with three workers and two crashes', {workers: 3, crashesAfter: [last >> 2, last]}],
      ['on Kafka, with two workers and a crash', {workers: 2, kafka: true, crashesAfter: [last >> 1]}],
      ...golden.repartition.map((partitions): [string, Way] => [
        `with ${partitions} partitions`,
        {workers: 2, partitions, crashesAfter: [last >> 1]},
      ]),
      ...(golden.threads
        ? [1, 3].map((workers): [string, Way] => [
            `in ${workers} threads`,
            {workers, threads: true, atOnce: true},
          ])
        : []),
    ];
    for (const [title, way] of ways) await t.test(title, way.kafka ? forKafka : {}, () => run(golden, way));
    for (const seed of [1, 2, 3, 4, 5])
      await t.test(`by schedule ${seed}, with crashes anywhere`, () => runStepped(golden, seed));
  });

async function runNaive(golden: Case): Promise<void> {
  await withLog(golden, golden.partitions, async (log) => {
    for (const step of golden.steps) if (step.kind !== 'wait') await log.append([step]);
    for (const plan of golden.plans) {
      const {rows, counts, late, dead} = naiveOf(plan, log, golden.lookups);
      const expected = golden.expected[plan.query]!;
      if (plan.emit === 'change') checkRows(plan, expected, rows);
      checkCounts(expected, counts, golden.domain.name, false);
      const at = ({topic, partition, offset}: {topic: string; partition: number; offset: number}) =>
        String(
          log.naive.find(
            (event) => event.topic === topic && event.partition === partition && event.offset === offset,
          )!.values.event_id,
        );
      assert.deepEqual(
        Object.fromEntries(late.map((record) => [at(record), record.missed])),
        expected.late,
        'late',
      );
      assert.deepEqual(dead.map(at).sort(), Object.keys(expected.dead).sort(), 'dead');
    }
  });
}

async function run(golden: Case, way: Way): Promise<void> {
  const partitions =
    way.partitions === undefined
      ? golden.partitions
      : Object.fromEntries(Object.keys(golden.partitions).map((type) => [type, way.partitions!]));
  await withLog(golden, partitions, async (log) => {
    const clock = testClock(1_800_000_000_000);
    const {plans, lookups} = golden;
    const {workers, threads = false} = way;
    if (way.kafka) await mirror!.begin(log.reader);
    const running = new Running({
      plans,
      log,
      lookups,
      workers,
      threads,
      ...(threads ? {} : {clock}),
      ...(way.kafka ? {kafka: mirror!} : {}),
    });
    const steps = way.partitions === undefined ? golden.steps : repartitioned(golden.steps, way.partitions);
    if (way.atOnce) for (const step of together(steps)) if (step.kind !== 'wait') await log.append([step]);
    await running.start();
    try {
      for (const [index, step] of steps.entries()) {
        if (step.kind === 'wait') {
          await running.settle();
          await clock.advance(step.ms);
          await running.settle();
        } else if (!way.atOnce) await log.append([step]);
        if (way.crashesAfter?.includes(index)) {
          await running.turns(index % 4);
          await running.crash();
        } else if (!way.atOnce) await running.settle();
      }
      await running.settle();
      for (const plan of plans) {
        const {changelog, side, failures} = running.told.get(plan.id)!;
        const expected = golden.expected[plan.query]!;
        checkRows(plan, expected, changelog.read());
        checkCounts(expected, running.counts(plan.id), golden.domain.name, way.partitions !== undefined);
        checkSide(plan, expected, [...side.values()], log);
        const failed = [...failures.values()].map(
          ({windowStartMs, measure}) =>
            `${windowStartMs} ${plan.measures.find(({name}) => name === measure)!.column}`,
        );
        assert.deepEqual(failed.sort(), expected.failures.toSorted(), 'values that could not be computed');
      }
    } finally {
      await running.close();
    }
  });
}

test('several domains run at the same time in one engine, and each gives its own rows', async () => {
  const names = ['tumbling', 'session_merge', 'dead', 'enrich', 'several_event_types', 'types'];
  const cases = await Promise.all(names.map(loadCase));
  const log = new EventLog();
  for (const {domain, partitions} of cases) log.add(domain, (eventType) => partitions[eventType]!);
  const plans = cases.flatMap((golden) => golden.plans);
  const lookups = cases.flatMap((golden) => golden.lookups);
  const running = new Running({plans, log, lookups, workers: 2, clock: testClock(1_800_000_000_000)});
  try {
    await running.start();
    // The first event of every domain, then the second of each, and so on.
    for (let index = 0; cases.some(({steps}) => index < steps.length); index++) {
      const steps = cases.flatMap(({steps}) => steps.slice(index, index + 1));
      await log.append(steps.filter((step) => step.kind !== 'wait'));
      await running.turns(2);
      if (index === 2) await running.crash(3);
    }
    await running.settle();
    for (const golden of cases)
      for (const plan of golden.plans)
        checkTold(golden, plan, running.told.get(plan.id)!, running.counts(plan.id), log, false);
  } finally {
    await running.close();
    await log.close();
  }
});

/** Reads, flushes, emissions, checkpoints and crashes in an order of chance; see `Stepped`. */
async function runStepped(golden: Case, seed: number): Promise<void> {
  await withLog(golden, golden.partitions, async (log) => {
    const chance = random(seed);
    const plans = golden.domain.aggregations.map((aggregation) =>
      buildPlan(golden.domain, aggregation, ++revisions),
    );
    const {lookups, steps} = golden;
    const {reader, schemaOf} = log;
    const stepped = new Stepped({
      plans,
      log: reader,
      store,
      schemaOf,
      lookups,
      workers: 1 + (seed % 3),
      random: chance,
    });
    // Time stands still between waits: how long events take to come is no part of a case.
    await stepped.start();
    for (const step of steps) {
      if (step.kind !== 'wait') await log.append([step]);
      else {
        await stepped.finish();
        stepped.nowMs += step.ms;
        await stepped.finish();
      }
      for (let left = chance.int(10); left > 0; left--) await stepped.step({crash: 60, clock: false});
    }
    await stepped.finish();
    for (const plan of plans)
      checkTold(golden, plan, stepped.told.get(plan.id)!, stepped.counts(plan.id), log, false);
  });
}

function checkTold(
  golden: Case,
  plan: QueryPlan,
  told: Told,
  counts: QueryCounts[],
  log: EventLog,
  inTotal: boolean,
): void {
  const expected = golden.expected[plan.query]!;
  const {changelog, side, failures} = told;
  checkRows(plan, expected, changelog.read());
  checkCounts(expected, counts, golden.domain.name, inTotal);
  checkSide(plan, expected, [...side.values()], log);
  const failed = [...failures.values()].map(
    ({windowStartMs, measure}) =>
      `${windowStartMs} ${plan.measures.find(({name}) => name === measure)!.column}`,
  );
  assert.deepEqual(
    [...new Set(failed)].sort(),
    expected.failures.toSorted(),
    'values that could not be computed',
  );
}

async function withLog(
  golden: Case,
  partitions: Record<string, number>,
  body: (log: EventLog) => Promise<void>,
): Promise<void> {
  const log = new EventLog();
  try {
    log.add(golden.domain, (eventType) => partitions[eventType]!);
    await body(log);
  } finally {
    await log.close();
  }
}

/** Consecutive events of one place as one batch. */
function together(steps: CaseStep[]): CaseStep[] {
  const batches: CaseStep[] = [];
  for (const step of steps) {
    const last = batches.at(-1);
    const same =
      last?.kind === 'events' &&
      step.kind === 'events' &&
      last.topic === step.topic &&
      last.partition === step.partition;
    if (same) batches[batches.length - 1] = {...last, events: [...last.events, ...step.events]};
    else batches.push(step);
  }
  return batches;
}

/** Events go to any partition; a mark to all of its topic. */
function repartitioned(steps: CaseStep[], partitions: number): CaseStep[] {
  const {int} = random(partitions);
  return steps.flatMap((step): CaseStep[] => {
    if (step.kind === 'events') return [{...step, partition: int(partitions)}];
    if (step.kind !== 'mark') return [step];
    return Array.from({length: partitions}, (_, partition): Step => ({...step, partition}));
  });
}

function checkRows(plan: QueryPlan, expected: Expected, actual: Row[]): void {
  const exact = expected.rows.map((row) => ({...row, version: 2 * Number(row.events)}));
  const masked = actual.map((row) => ({
    ...row,
    version: row.closed === true ? Number(row.version) - 1 : row.version!,
    closed: false,
  }));
  assert.deepEqual(compareRows(plan, masked, exact), [], plan.id);
  if (!expected.columns.includes('closed') || actual.some((row) => !('closed' in row))) return;
  const closed = (rows: Row[]) =>
    rows
      .map((row) =>
        plan.table.key
          .concat('closed')
          .map((name) => show(row[name]))
          .join(' '),
      )
      .sort();
  assert.deepEqual(closed(actual), closed(expected.rows), `${plan.id}: which rows are closed`);
}

/** @param inTotal sums over partitions, when events are in others than in the case */
function checkCounts(expected: Expected, actual: QueryCounts[], domain: string, inTotal: boolean): void {
  const shorten = (topic: string) => topic.slice(domain.length + 1);
  const placed = (place: string) => (inTotal ? place.split('/')[0]! : place);
  const sums = (all: [string, Record<string, number>][]) => {
    const sum: Record<string, Record<string, number>> = {};
    for (const [place, counts] of all)
      for (const [name, count] of Object.entries(counts)) {
        // Which events are late depends on what shares their partition.
        if (count === 0 || (inTotal && (name === 'corrected' || name === 'lateInPart'))) continue;
        const of = (sum[placed(place)] ??= {});
        of[name] = (of[name] ?? 0) + count;
      }
    return sum;
  };
  const found = actual.map(({topic, partition, ...counts}): [string, Record<string, number>] => [
    `${shorten(topic)}/${partition}`,
    counts,
  ]);
  assert.deepEqual(sums(found), sums(Object.entries(expected.counts)), 'counts');
  for (const {read, aggregated, filtered, duplicate, late, dead} of actual)
    assert.equal(read, aggregated + filtered + duplicate + late + dead, 'the ledger balances');
}

function checkSide(plan: QueryPlan, expected: Expected, side: SideRecord[], log: EventLog): void {
  const idOf = ({topic, partition, offset}: SideRecord) =>
    String(
      log.naive.find(
        (event) => event.topic === topic && event.partition === partition && event.offset === offset,
      )!.values.event_id,
    );
  const late = side.flatMap((record): [string, number[]][] =>
    record.kind === 'late' ? [[idOf(record), record.missed]] : [],
  );
  const dead = side.flatMap((record): [string, string][] =>
    record.kind === 'dead' ? [[idOf(record), record.code]] : [],
  );
  assert.deepEqual(Object.fromEntries(late), plan.late === 'drop' ? {} : expected.late, 'late events');
  assert.deepEqual(Object.fromEntries(dead), expected.dead, 'dead letters');
}
