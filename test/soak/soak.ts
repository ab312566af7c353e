/**
 * A soak: the platform on real servers under load while something fails every few seconds, for as long as is asked for. What is
 * recorded goes into a file, a line of JSON a second; at the end the faults stop, and the sums of what was acknowledged and the books
 * decide, and whether anything grew.
 *
 *   node test/soak/soak.ts --minutes 60 [--seed 1] [--rate 2000] [--every 8] [--lives 4] [--brokers 3] [--out soak.jsonl]
 *
 * Every kind of fault has its turn, in an order by the seed, then all again. The platform is killed `lives` - 1 times, so that each of
 * its lives is long enough to see what grows.
 */
import assert from 'node:assert/strict';
import {appendFileSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {setTimeout as wait} from 'node:timers/promises';
import {parseArgs} from 'node:util';
import {connectControl} from '../../src/platform/control.ts';
import type {PlatformStatus} from '../../src/platform/status.ts';
import {type Machine, RealServers, ready, Sender} from '../faults/real-servers.ts';
import {seeded} from '../faults/world.ts';
import {type Growth, growthOf} from './growth.ts';

const {values} = parseArgs({
  options: {
    minutes: {type: 'string', default: '60'},
    seed: {type: 'string', default: '1'},
    rate: {type: 'string', default: '2000'},
    every: {type: 'string', default: '8'},
    brokers: {type: 'string', default: '1'},
    lives: {type: 'string', default: '4'},
    out: {type: 'string', default: 'soak.jsonl'},
  },
});
const minutes = Number(values.minutes);
const perSecond = Number(values.rate);
const everyMs = Number(values.every) * 1_000;
assert.ok(minutes > 0 && perSecond > 0 && everyMs > 0, 'minutes, rate and every are numbers above 0');
const lives = Number(values.lives);
assert.ok(lives >= 1, 'lives is a number from 1');
assert.ok(values.brokers === '1' || values.brokers === '3', 'one broker or three');

type Sample = {
  seconds: number;
  /** Starts of the platform so far: samples of one life are compared. */
  life: number;
  /** Events that were acknowledged to the sender. */
  sent: number;
  rssMiB: number;
  descriptors: number;
  threads: number;
  /** Of the queries, together. */
  lagEvents: number;
  /** The longest of a query, a sink or a raw table. */
  lagSeconds: number;
  /** Rows on their way. */
  pending: number;
  /** Bytes that wait for Kafka. */
  outboxBytes: number;
  /** Active parts of all ClickHouse tables. */
  clickHouseParts: number;
  /** Tables and partitions in PostgreSQL, and rows that no transaction sees any more. */
  postgresTables: number;
  postgresDead: number;
  /** What happens just now; null: nothing. */
  fault: string | null;
};

/** What may grow in an hour: a share of the median, and an amount that is never too much. Events come all the time: what they fill is no leak. */
const limits: {column: keyof Sample; hourlyMax: number; floor: number; ofLife: boolean}[] = [
  {column: 'rssMiB', hourlyMax: 0.25, floor: 60, ofLife: true},
  {column: 'descriptors', hourlyMax: 0.1, floor: 6, ofLife: true},
  {column: 'threads', hourlyMax: 0.1, floor: 2, ofLife: true},
  {column: 'lagEvents', hourlyMax: 0.5, floor: 10_000, ofLife: false},
  {column: 'lagSeconds', hourlyMax: 0.5, floor: 10, ofLife: false},
  {column: 'pending', hourlyMax: 0.5, floor: 5_000, ofLife: false},
  {column: 'outboxBytes', hourlyMax: 0.5, floor: 1_000_000, ofLife: false},
  {column: 'clickHouseParts', hourlyMax: 0.5, floor: 50, ofLife: false},
  {column: 'postgresTables', hourlyMax: 0.1, floor: 3, ofLife: false},
  {column: 'postgresDead', hourlyMax: 1, floor: 100_000, ofLife: false},
];

/** Memory, open files and threads of a process; null when it is gone. */
function processOf(pid: number): Pick<Sample, 'rssMiB' | 'descriptors' | 'threads'> | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const figure = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
    return {
      rssMiB: Math.round(figure('VmRSS') / 1024),
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      threads: figure('Threads'),
    };
  } catch {
    return null;
  }
}

type Lags = Pick<Sample, 'lagEvents' | 'lagSeconds' | 'pending' | 'outboxBytes'>;
const unknownLags: Lags = {
  lagEvents: Number.NaN,
  lagSeconds: Number.NaN,
  pending: Number.NaN,
  outboxBytes: Number.NaN,
};

async function lagsOf({root}: Machine): Promise<Lags> {
  const control = await connectControl(root).catch(() => undefined);
  const status = await control?.get<PlatformStatus>('/v1/status').catch(() => undefined);
  if (!status?.queries) return unknownLags;
  const {queries, deliveries, raw, spool} = status;
  const sum = (values: number[]) => values.reduce((total, each) => total + each, 0);
  return {
    lagEvents: sum(queries.map(({lagEvents}) => lagEvents)),
    lagSeconds: Math.max(0, ...[...queries, ...deliveries, ...raw].map(({lagMs}) => lagMs / 1_000)),
    pending: sum([...deliveries, ...raw].map(({pending}) => pending)),
    outboxBytes: spool?.bytes ?? 0,
  };
}

/** Active parts of all tables; NaN while ClickHouse is away. */
const partsOf = (servers: RealServers): Promise<number> =>
  servers.clickHouse("SELECT count() FROM system.parts WHERE active AND database = 'shop'").then(
    ([row]) => Number(row?.[0] ?? Number.NaN),
    () => Number.NaN,
  );

/** Tables and dead rows; NaN while PostgreSQL is away. */
const tablesOf = (servers: RealServers): Promise<[number, number]> =>
  servers.postgres.sql('SELECT count(*), coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables').then(
    ([row]): [number, number] => [Number(row?.[0]), Number(row?.[1])],
    () => [Number.NaN, Number.NaN],
  );

type FaultKind = {name: string; begin(): Promise<void> | void; end(): Promise<void> | void};

function faultsOf(servers: RealServers, machine: Machine): FaultKind[] {
  const {kafka, fronts, postgres, clickhouse} = servers;
  const proxied = (name: string, proxy: typeof fronts.postgres): FaultKind[] => [
    {name: `${name} swallowed`, begin: () => proxy.swallowAnswers(), end: () => proxy.restore()},
    {name: `${name} silent`, begin: () => proxy.silence(), end: () => proxy.restore()},
    {name: `${name} cut`, begin: () => proxy.cut(), end: () => proxy.restore()},
    {name: `${name} dropped`, begin: () => proxy.drop(), end: () => {}},
    {name: `${name} delayed`, begin: () => proxy.delay(50), end: () => proxy.delay(0)},
  ];
  return [
    ...kafka.proxies.flatMap((proxy, broker): FaultKind[] => [
      ...proxied(`broker ${broker}`, proxy),
      {
        name: `broker ${broker} killed`,
        begin: () => kafka.kafka.kill(broker),
        end: () => kafka.kafka.restart(broker),
      },
    ]),
    ...proxied('PostgreSQL', fronts.postgres),
    ...proxied('ClickHouse', fronts.clickhouse),
    {name: 'PostgreSQL killed', begin: () => postgres.kill(), end: () => postgres.restart()},
    {name: 'ClickHouse killed', begin: () => clickhouse.kill(), end: () => clickhouse.start()},
    {
      name: 'platform asleep',
      begin: () => machine.child!.kill('SIGSTOP'),
      end: () => machine.child!.kill('SIGCONT'),
    },
  ];
}

/** The longest life of the platform, its first third left out: until then caches fill. */
function steadyLife(samples: readonly Sample[]): Sample[] {
  const lives = Map.groupBy(samples, ({life}) => life);
  const longest = [...lives.values()].sort((a, b) => b.length - a.length)[0] ?? [];
  return longest.slice(Math.floor(longest.length / 3));
}

/** What of the samples grew, by column. */
const growthsOf = (samples: readonly Sample[]): Record<string, Growth & {ofLife: boolean}> =>
  Object.fromEntries(
    limits.map(({column, hourlyMax, floor, ofLife}) => {
      const part = ofLife ? steadyLife(samples) : samples.slice(Math.floor(samples.length / 3));
      const points = part.map((sample) => ({seconds: sample.seconds, value: Number(sample[column])}));
      return [column, {...growthOf(points, hourlyMax, floor), ofLife}];
    }),
  );

const servers = await RealServers.start(values.brokers === '3' ? 3 : 1);
const machine = await servers.machine();
const samples: Sample[] = [];
const counts = new Map<string, number>();
let life = 1;
let fault: string | null = null;
let isOver = false;
writeFileSync(values.out, '');

/** Kills the platform and starts it again. */
async function restart(): Promise<void> {
  machine.child!.kill('SIGKILL');
  await machine.child!.ended;
  servers.run(machine);
  life++;
}

try {
  servers.run(machine);
  await ready(machine);
  const sender = new Sender([machine], perSecond);
  sender.begin();
  const startedMs = performance.now();
  const elapsed = () => Math.round((performance.now() - startedMs) / 1_000);
  const watching = (async () => {
    while (!isOver) {
      const process = processOf(machine.child!.pid);
      // One that sleeps answers nobody: it is asked for no longer than a sample may take.
      const soon = <T>(asked: Promise<T>, otherwise: T) => Promise.race([asked, wait(2_000, otherwise)]);
      const [lags, clickHouseParts, [postgresTables, postgresDead]] = await Promise.all([
        soon(lagsOf(machine), unknownLags),
        soon(partsOf(servers), Number.NaN),
        soon<[number, number]>(tablesOf(servers), [Number.NaN, Number.NaN]),
      ]);
      if (process) {
        const {acknowledged: sent} = sender;
        const figures = {...process, ...lags, clickHouseParts, postgresTables, postgresDead};
        const sample: Sample = {seconds: elapsed(), life, sent, ...figures, fault};
        samples.push(sample);
        appendFileSync(values.out, `${JSON.stringify(sample)}\n`);
      }
      await wait(1_000);
    }
  })();
  const next = seeded(Number(values.seed));
  const kinds = faultsOf(servers, machine);
  let round: FaultKind[] = [];
  while (elapsed() < minutes * 60) {
    await wait(everyMs / 2 + next(everyMs));
    if (elapsed() > (minutes * 60 * life) / lives) {
      fault = 'platform killed';
      counts.set(fault, (counts.get(fault) ?? 0) + 1);
      await restart();
      fault = null;
      continue;
    }
    if (round.length === 0) round = [...kinds];
    const [kind] = round.splice(next(round.length), 1) as [FaultKind];
    counts.set(kind.name, (counts.get(kind.name) ?? 0) + 1);
    fault = kind.name;
    await kind.begin();
    await wait(200 + next(5_000));
    await kind.end();
    fault = null;
  }
  await ready(machine);
  const sums = await sender.end();
  await servers.becomes(sums, machine, 180_000);
  isOver = true;
  await watching;
  const growths = growthsOf(samples);
  const summary = {
    seconds: elapsed(),
    seed: Number(values.seed),
    rate: perSecond,
    acknowledged: sender.acknowledged,
    inVain: sender.refused,
    lives: life,
    faults: Object.fromEntries(counts),
    growths,
  };
  writeFileSync(`${values.out}.summary.json`, `${JSON.stringify(summary, null, 2)}\n`);
  const faults = [...counts.values()].reduce((sum, count) => sum + count, 0);
  process.stdout.write(
    `${elapsed()} s, seed ${values.seed}: ${sender.acknowledged} events acknowledged, each once in both databases and in the raw table; the books balance
${faults} faults (${[...counts].map(([name, count]) => `${name} ${count}`).join(', ')}), ${life} lives of the platform, ${sender.refused} attempts in vain
`,
  );
  for (const [column, {median, most, perHour, seconds, grows, ofLife}] of Object.entries(growths))
    process.stdout.write(
      `${column}: median ${round1(median)}, most ${round1(most)}, ${round1(perHour)} an hour over ${seconds} s${ofLife ? ' of its longest life' : ''}${grows ? ': IT GROWS' : ''}\n`,
    );
  if (Object.values(growths).some(({grows}) => grows)) process.exitCode = 1;
} finally {
  isOver = true;
  await servers.stop();
}

function round1(value: number): number {
  return Math.round(value * 10) / 10;
}
