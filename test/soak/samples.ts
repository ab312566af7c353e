/** What a soak records of the platform and of its servers, and what of that may grow. */
import {readdirSync, readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as wait} from 'node:timers/promises';
import {connectControl} from '../../src/platform/control.ts';
import type {PlatformStatus} from '../../src/platform/status.ts';
import type {Machine, RealServers} from '../faults/real-servers.ts';
import {type Growth, growthOf} from './growth.ts';

export type Sample = {
  seconds: number;
  /** Starts of the platform so far: samples of one life are compared. */
  life: number;
  /** Events that were acknowledged to the sender. */
  sent: number;
  rssMiB: number;
  /** What a collection left, of all threads: objects, and memory outside of the heap that they hold. NaN before the first. */
  heapMiB: number;
  externalMiB: number;
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
  /** Of the platform's own directory: outbox, checkpoints of its own, letters. */
  files: number;
  diskMiB: number;
  /** What happens just now; null: nothing. */
  fault: string | null;
};

/** Memory, open files and threads of a process; null when it is gone. */
export function processOf(pid: number): Pick<Sample, 'rssMiB' | 'descriptors' | 'threads'> | null {
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

/** After so long without a word a thread has ended; a platform that sleeps says nothing for five. */
const threadMs = 10_000;

/** What `heap.ts` wrote down last in the threads of a process. */
export function heapOf(directory: string, pid: number): Pick<Sample, 'heapMiB' | 'externalMiB'> {
  const left = readdirSync(directory)
    .filter((name) => /^\d+-\d+$/.test(name) && name.startsWith(`${pid}-`))
    .map((name) => join(directory, name))
    .filter((path) => Date.now() - statSync(path).mtimeMs < threadMs)
    .map((path) => JSON.parse(readFileSync(path, 'utf8')) as {heap: number; external: number});
  const sum = (values: number[]) =>
    values.length === 0 ? Number.NaN : values.reduce((total, each) => total + each, 0) / 2 ** 20;
  return {
    heapMiB: Math.round(sum(left.map(({heap}) => heap)) * 10) / 10,
    externalMiB: Math.round(sum(left.map(({external}) => external)) * 10) / 10,
  };
}

type Lags = Pick<Sample, 'lagEvents' | 'lagSeconds' | 'pending' | 'outboxBytes'>;
export const unknownLags: Lags = {
  lagEvents: Number.NaN,
  lagSeconds: Number.NaN,
  pending: Number.NaN,
  outboxBytes: Number.NaN,
};

export async function lagsOf({root}: Machine): Promise<Lags> {
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

/** Waits until nothing is on its way any more. @returns what is after a minute */
export async function caughtUp(machine: Machine): Promise<string[]> {
  const untilMs = performance.now() + 60_000;
  for (;;) {
    const {lagEvents, pending, outboxBytes} = await lagsOf(machine);
    if (lagEvents === 0 && pending === 0 && outboxBytes === 0) return [];
    if (performance.now() > untilMs)
      return [
        `left after a minute: ${lagEvents} events, ${pending} rows, ${outboxBytes} bytes of the outbox`,
      ];
    await wait(250);
  }
}

/** Active parts of all tables; NaN while ClickHouse is away. */
export const partsOf = (servers: RealServers): Promise<number> =>
  servers.clickHouse("SELECT count() FROM system.parts WHERE active AND database = 'shop'").then(
    ([row]) => Number(row?.[0] ?? Number.NaN),
    () => Number.NaN,
  );

/** Tables and dead rows; NaN while PostgreSQL is away. */
export const tablesOf = (servers: RealServers): Promise<[number, number]> =>
  servers.postgres.sql('SELECT count(*), coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables').then(
    ([row]): [number, number] => [Number(row?.[0]), Number(row?.[1])],
    () => [Number.NaN, Number.NaN],
  );

/** Files of a directory and what they take. */
export function filesOf(directory: string): Pick<Sample, 'files' | 'diskMiB'> {
  const found = readdirSync(directory, {recursive: true, withFileTypes: true}).filter((each) =>
    each.isFile(),
  );
  const bytes = found.map(
    ({parentPath, name}) => statSync(join(parentPath, name), {throwIfNoEntry: false})?.size ?? 0,
  );
  return {files: found.length, diskMiB: Math.round(bytes.reduce((sum, each) => sum + each, 0) / 2 ** 20)};
}

/** What may grow in an hour: a share of the median, and an amount that is never too much. Events come all the time: what they fill is no leak. */
const limits: {column: keyof Sample; hourlyMax: number; floor: number; ofLife: boolean}[] = [
  // A leak is seen in what is left after a collection; resident memory holds garbage, too.
  {column: 'heapMiB', hourlyMax: 0.1, floor: 10, ofLife: true},
  {column: 'externalMiB', hourlyMax: 0.25, floor: 20, ofLife: true},
  {column: 'rssMiB', hourlyMax: 0.5, floor: 150, ofLife: true},
  {column: 'descriptors', hourlyMax: 0.1, floor: 6, ofLife: true},
  {column: 'threads', hourlyMax: 0.1, floor: 2, ofLife: true},
  {column: 'lagEvents', hourlyMax: 0.5, floor: 10_000, ofLife: false},
  {column: 'lagSeconds', hourlyMax: 0.5, floor: 10, ofLife: false},
  {column: 'pending', hourlyMax: 0.5, floor: 5_000, ofLife: false},
  {column: 'outboxBytes', hourlyMax: 0.5, floor: 1_000_000, ofLife: false},
  {column: 'clickHouseParts', hourlyMax: 0.5, floor: 50, ofLife: false},
  {column: 'postgresTables', hourlyMax: 0.1, floor: 3, ofLife: false},
  {column: 'postgresDead', hourlyMax: 1, floor: 100_000, ofLife: false},
  {column: 'files', hourlyMax: 0.1, floor: 20, ofLife: false},
];

/** The longest life of the platform, its first third left out: until then caches fill. */
function steadyLife(samples: readonly Sample[]): Sample[] {
  const lives = Map.groupBy(samples, ({life}) => life);
  const longest = [...lives.values()].sort((a, b) => b.length - a.length)[0] ?? [];
  return longest.slice(Math.floor(longest.length / 3));
}

/** What of the samples grew, by column. */
export const growthsOf = (samples: readonly Sample[]): Record<string, Growth & {ofLife: boolean}> =>
  Object.fromEntries(
    limits.map(({column, hourlyMax, floor, ofLife}) => {
      const part = ofLife ? steadyLife(samples) : samples.slice(Math.floor(samples.length / 3));
      const points = part.map((sample) => ({seconds: sample.seconds, value: Number(sample[column])}));
      return [column, {...growthOf(points, hourlyMax, floor), ofLife}];
    }),
  );
