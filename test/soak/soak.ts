/**
 * A soak: the platform on real servers under load while something fails every few seconds, for as long as is asked for. What is
 * recorded goes into a CSV; at the end the faults stop, and the sums of what was acknowledged and the books decide.
 *
 *   node test/soak/soak.ts --minutes 60 [--seed 1] [--rate 2000] [--every 8] [--brokers 3] [--out soak.csv]
 */
import assert from 'node:assert/strict';
import {appendFileSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {setTimeout as wait} from 'node:timers/promises';
import {parseArgs} from 'node:util';
import {connectControl} from '../../src/platform/control.ts';
import type {PlatformStatus} from '../../src/platform/status.ts';
import {type Machine, RealServers, ready, Sender} from '../faults/real-servers.ts';
import {seeded} from '../faults/world.ts';

const {values} = parseArgs({
  options: {
    minutes: {type: 'string', default: '60'},
    seed: {type: 'string', default: '1'},
    rate: {type: 'string', default: '2000'},
    every: {type: 'string', default: '8'},
    brokers: {type: 'string', default: '1'},
    out: {type: 'string', default: 'soak.csv'},
  },
});
const minutes = Number(values.minutes);
const perSecond = Number(values.rate);
const everyMs = Number(values.every) * 1_000;
assert.ok(minutes > 0 && perSecond > 0 && everyMs > 0, 'minutes, rate and every are numbers above 0');
assert.ok(values.brokers === '1' || values.brokers === '3', 'one broker or three');

type Sample = {
  seconds: number;
  /** Starts of the platform so far: samples of one life are compared. */
  life: number;
  sent: number;
  rssMiB: number;
  descriptors: number;
  lagEvents: number;
  parts: number;
};

const columns: (keyof Sample)[] = ['seconds', 'life', 'sent', 'rssMiB', 'descriptors', 'lagEvents', 'parts'];

/** Memory and open files of a process; null when it is gone. */
function processOf(pid: number): {rssMiB: number; descriptors: number} | null {
  try {
    const kib = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    return {rssMiB: Math.round(kib / 1024), descriptors: readdirSync(`/proc/${pid}/fd`).length};
  } catch {
    return null;
  }
}

async function lagOf({root}: Machine): Promise<number> {
  const control = await connectControl(root).catch(() => undefined);
  const status = await control?.get<PlatformStatus>('/v1/status').catch(() => undefined);
  return status?.queries.reduce((sum, {lagEvents}) => sum + lagEvents, 0) ?? Number.NaN;
}

/** Active parts of all tables; NaN while ClickHouse is away. */
const partsOf = (servers: RealServers): Promise<number> =>
  servers.clickHouse("SELECT count() FROM system.parts WHERE active AND database = 'shop'").then(
    ([row]) => Number(row?.[0] ?? Number.NaN),
    () => Number.NaN,
  );

type FaultKind = {name: string; begin(): Promise<void> | void; end(): Promise<void> | void};

function faultsOf(servers: RealServers, machine: Machine, restarted: () => void): FaultKind[] {
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
      name: 'platform killed',
      async begin() {
        machine.child!.kill('SIGKILL');
        await machine.child!.ended;
      },
      end() {
        servers.run(machine);
        restarted();
      },
    },
    {
      name: 'platform asleep',
      begin: () => machine.child!.kill('SIGSTOP'),
      end: () => machine.child!.kill('SIGCONT'),
    },
  ];
}

/** What grows: the slope of a column over the longest life of the platform, its first third left out, per hour. */
function slope(
  samples: readonly Sample[],
  column: 'rssMiB' | 'descriptors',
): {perHour: number; seconds: number} {
  const lives = Map.groupBy(samples, ({life}) => life);
  const longest = [...lives.values()].sort((a, b) => b.length - a.length)[0] ?? [];
  const rest = longest.slice(Math.floor(longest.length / 3));
  const mean = (of: (sample: Sample) => number) =>
    rest.reduce((sum, each) => sum + of(each), 0) / rest.length;
  const [x, y] = [mean(({seconds}) => seconds), mean((sample) => sample[column])];
  const over = mean((sample) => (sample.seconds - x) * (sample[column] - y));
  const under = mean(({seconds}) => (seconds - x) ** 2);
  const seconds = (rest.at(-1)?.seconds ?? 0) - (rest[0]?.seconds ?? 0);
  return {perHour: under > 0 ? (over / under) * 3_600 : 0, seconds};
}

const servers = await RealServers.start(values.brokers === '3' ? 3 : 1);
const machine = await servers.machine();
const samples: Sample[] = [];
const counts = new Map<string, number>();
let life = 1;
let isOver = false;
writeFileSync(values.out, `${columns.join(',')}\n`);
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
      const [lagEvents, parts] = await Promise.all(
        [lagOf(machine), partsOf(servers)].map((asked) => Promise.race([asked, wait(2_000, Number.NaN)])),
      );
      if (process) {
        const sample = {
          seconds: elapsed(),
          life,
          sent: sender.acknowledged,
          ...process,
          lagEvents: lagEvents!,
          parts: parts!,
        };
        samples.push(sample);
        appendFileSync(values.out, `${columns.map((column) => sample[column]).join(',')}\n`);
      }
      await wait(1_000);
    }
  })();
  const next = seeded(Number(values.seed));
  const kinds = faultsOf(servers, machine, () => life++);
  while (elapsed() < minutes * 60) {
    await wait(everyMs / 2 + next(everyMs));
    const kind = kinds[next(kinds.length)]!;
    counts.set(kind.name, (counts.get(kind.name) ?? 0) + 1);
    await kind.begin();
    await wait(200 + next(5_000));
    await kind.end();
  }
  await ready(machine);
  const sums = await sender.end();
  await servers.becomes(sums, machine, 180_000);
  isOver = true;
  await watching;
  const most = (column: keyof Sample) =>
    Math.max(...samples.map((sample) => sample[column]).filter(Number.isFinite));
  const faults = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const [memory, descriptors] = [slope(samples, 'rssMiB'), slope(samples, 'descriptors')];
  process.stdout.write(
    `${elapsed()} s, seed ${values.seed}: ${sender.acknowledged} events acknowledged, each once in both databases and in the raw table; the books balance
${faults} faults (${[...counts].map(([name, count]) => `${name} ${count}`).join(', ')}), ${life} lives of the platform, ${sender.refused} attempts in vain
memory at most ${most('rssMiB')} MiB, ${memory.perHour.toFixed(0)} MiB an hour over ${memory.seconds} s of its longest life; file descriptors at most ${most('descriptors')}, ${descriptors.perHour.toFixed(0)} an hour; lag at most ${most('lagEvents')} events; parts at most ${most('parts')}
`,
  );
} finally {
  isOver = true;
  await servers.stop();
}
