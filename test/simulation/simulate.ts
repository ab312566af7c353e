/** Seeded runs of the engine over a random log, against the obvious evaluator. */
import {testClock} from '../../src/clock.ts';
import type {Value} from '../../src/expr/types.ts';
import type {Domain} from '../../src/model/types.ts';
import {stateName} from '../../src/process/embedded/checkpoint.ts';
import type {StateStore} from '../../src/process/embedded/statestore.ts';
import {buildPlan} from '../../src/process/plan/build.ts';
import type {QueryPlan} from '../../src/process/plan/nodes.ts';
import type {LookupSnapshot, QueryCounts} from '../../src/process/types.ts';
import {Running} from '../support/engine.ts';
import {EventLog, type Step} from '../support/log.ts';
import {compareOutcome, naiveOf} from '../support/outcome.ts';
import {type Random, random as seeded} from '../support/random.ts';
import {Stepped} from '../support/stepped.ts';
import type {Told} from '../support/told.ts';
import {type RandomDomain, randomEvent} from './domains.ts';

export type Simulated = {
  problems: string[];
  plans: QueryPlan[];
  appends: number;
  events: number;
  rows: number;
  crashes: number;
  late: number;
  duplicates: number;
  dead: number;
};

/** Around the change to daylight saving time in New York, 2024. */
const beginMs = Date.UTC(2024, 2, 9, 12);

/** What turns the engine: its parts by a schedule, or the whole. */
type Driver = {
  told: ReadonlyMap<string, Told>;
  start(): Promise<void>;
  /** Something happens, perhaps a crash. */
  step(): Promise<void>;
  finish(): Promise<void>;
  counts(query: string): QueryCounts[];
  crashes(): number;
  close(): Promise<void>;
};

export type SimulateOptions = {
  domain: Domain;
  recipe: RandomDomain;
  /** For the engine's parts; without it the whole engine runs, with a state of its own. */
  store?: StateStore;
  /** Names the state in the store: a new one for every run. */
  revision: number;
  /** Appends no more than so many times; fewer show where a failure begins. */
  appendsMax?: number;
};

/** One seeded run. Throws what the engine throws. */
export async function simulate(seed: number, options: SimulateOptions): Promise<Simulated> {
  const {domain, recipe, revision, appendsMax = Infinity} = options;
  const random = seeded(seed ^ 0x5eed);
  const log = new EventLog();
  log.add(domain, (eventType) => recipe.partitions[eventType]!);
  const plans = domain.aggregations.map((aggregation) => buildPlan(domain, aggregation, revision));
  const lookups: LookupSnapshot[] = recipe.lookup
    ? [{name: 'things', id: 'first', columns: ['brand', 'price'], rows: recipe.lookup.rows}]
    : [];
  const driver = driverOf(options.store, {plans, log, lookups, workers: 1 + random.int(3), random});
  try {
    await driver.start();
    const all = randomSteps(random, domain, recipe);
    const groups = inTransactions(random, all).slice(0, appendsMax);
    for (const group of groups) {
      await log.append(group);
      for (let step = random.int(12); step > 0; step--) await driver.step();
    }
    // Closed rows are compared, too: everything ends.
    await log.append(endMarks(domain, recipe, all));
    await driver.finish();
    const result = {plans, appends: groups.length, events: log.naive.length, crashes: driver.crashes()};
    return {...result, ...compareAll(plans, driver, log, lookups)};
  } finally {
    await driver.close();
    await log.close();
  }
}

function compareAll(plans: QueryPlan[], driver: Driver, log: EventLog, lookups: LookupSnapshot[]) {
  const found = {problems: [] as string[], rows: 0, late: 0, dead: 0, duplicates: 0};
  for (const plan of plans) {
    const {changelog, side} = driver.told.get(plan.id)!;
    const wanted = naiveOf(plan, log, lookups);
    found.rows += wanted.rows.length;
    found.late += wanted.late.length;
    found.dead += wanted.dead.length;
    for (const {duplicate} of wanted.counts) found.duplicates += duplicate;
    const outcome = {changelog, side: side.values(), counts: driver.counts(plan.id)};
    found.problems.push(...compareOutcome(plan, outcome, wanted).map((problem) => `${plan.id}: ${problem}`));
    for (const row of changelog.read())
      if (row.closed !== true)
        found.problems.push(`${plan.id}: not closed after the end marks: ${String(row.window_start)}`);
  }
  return found;
}

type DriverOptions = {
  plans: QueryPlan[];
  log: EventLog;
  lookups: LookupSnapshot[];
  workers: number;
  random: Random;
};

function driverOf(store: StateStore | undefined, options: DriverOptions): Driver {
  const {plans, log, lookups, workers, random} = options;
  const crash = random.pick([0, 5, 25]);
  if (store) {
    const {reader, schemaOf} = log;
    const stepped = new Stepped({plans, log: reader, store, schemaOf, lookups, workers, random});
    return {
      told: stepped.told,
      start: () => stepped.start(),
      step: () => stepped.step({crash, clock: true}),
      finish: () => stepped.finish(),
      counts: (query) => stepped.counts(query),
      crashes: () => stepped.crashes,
      async close() {
        for (const plan of plans) await store.drop(stateName(plan));
      },
    };
  }
  const clock = testClock(beginMs);
  const running = new Running({plans, log, lookups, workers, clock});
  let crashes = 0;
  return {
    told: running.told,
    start: () => running.start(),
    async step() {
      if (random.int(1000) < crash) {
        crashes++;
        await running.crash(1 + random.int(3));
      } else if (random.int(8) === 0) await clock.advance(random.int(20_000));
      else await running.turns(1);
    },
    finish: () => running.settle(),
    counts: (query) => running.counts(query),
    crashes: () => crashes,
    close: () => running.close(),
  };
}

function randomSteps(random: Random, domain: Domain, recipe: RandomDomain): Step[] {
  const mode = random.pick([0, 0, 0, 1, 2]);
  const [lateShare, markShare, brokenShare] = [
    random.pick([0, 10, 50]),
    random.pick([0, 0, 5]),
    random.pick([0, 0, 5]),
  ];
  const clocks = new Map<string, number>();
  /** Some come again, mostly soon, in any partition. */
  const sent = new Map<string, Record<string, Value>[]>();
  const againShare = random.pick([0, 10, 40]);
  let id = 0;
  return Array.from({length: 5 + random.int(60)}, (): Step => {
    const {name, topic} = random.pick(domain.eventTypes);
    // Skewed: low partitions get most.
    const partition = Math.min(random.int(recipe.partitions[name]!), random.int(recipe.partitions[name]!));
    const place = `${topic}/${partition}`;
    let nowMs = clocks.get(place) ?? beginMs + random.int(recipe.stepMs * 20);
    if (random.int(100) < markShare) {
      nowMs += random.int(recipe.spreadMs);
      clocks.set(place, nowMs);
      return {kind: 'mark', topic, partition, timeMs: nowMs};
    }
    if (random.int(100) < brokenShare)
      return {kind: 'broken', topic, partition, frames: brokenFrames(random)};
    const events = Array.from({length: 1 + random.int(random.pick([2, 8, 20]))}, () => {
      nowMs += random.pick([0, 1, random.int(recipe.stepMs * 2)]);
      const behindMs = random.int(100) < lateShare ? random.int(recipe.spreadMs) : random.int(3);
      const before = sent.get(name) ?? [];
      sent.set(name, before);
      if (before.length > 0 && random.int(100) < againShare)
        return before[Math.max(0, before.length - 1 - random.int(random.pick([2, 20, 1000])))]!;
      const eventId = `e${random.int(1000)}-${id++}`;
      const event = randomEvent(random, recipe.columns[name]!, nowMs - behindMs, eventId, mode);
      before.push(event);
      return event;
    });
    clocks.set(place, nowMs);
    return {kind: 'events', topic, partition, events};
  });
}

/** Frames that no schema reads: empty, of another format, of an unknown schema, cut. */
const brokenFrames = (random: Random): Uint8Array[] =>
  Array.from({length: 1 + random.int(3)}, () =>
    Uint8Array.from(
      random.pick([[], [0, 0, 0], [1, 0, 0, 0, 1, 0], [0, 0, 0, 15, 160, 2, 2, 2], [0, 0, 0, 0, 1, 200]]),
    ),
  );

/** Steps that are appended together; marks alone, since they come after the batches of their transaction. */
function inTransactions(random: Random, steps: Step[]): Step[][] {
  const groups: Step[][] = [];
  for (const step of steps) {
    const last = groups.at(-1);
    if (!last || random.int(3) > 0 || step.kind === 'mark' || last[0]!.kind === 'mark') groups.push([step]);
    else last.push(step);
  }
  return groups;
}

function endMarks(domain: Domain, recipe: RandomDomain, steps: Step[]): Step[] {
  const times = steps.flatMap((step) =>
    step.kind === 'events'
      ? step.events.map(({timestamp}) => Number(timestamp))
      : step.kind === 'mark'
        ? [step.timeMs]
        : [],
  );
  const timeMs = Math.max(beginMs, ...times) + 100 * 365 * 86_400_000;
  return domain.eventTypes.flatMap(({name, topic}) =>
    Array.from(
      {length: recipe.partitions[name]!},
      (_, partition): Step => ({kind: 'mark', topic, partition, timeMs}),
    ),
  );
}
