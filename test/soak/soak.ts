/**
 * A soak: the platform on real servers under load while something fails every few seconds, for as long as is asked for. What is
 * recorded goes into a file, a line of JSON a second; at the end the faults stop, and the sums of what was acknowledged, of every
 * minute and colour, the books and the lag decide, and whether anything grew.
 *
 *   node test/soak/soak.ts --minutes 60 [--seed 1] [--rate 2000] [--every 8] [--lives 4] [--brokers 3] [--out soak.jsonl]
 *
 * Every kind of fault has its turn, in an order by the seed, then all again. The platform is killed `lives` - 1 times, so that each of
 * its lives is long enough to see what grows.
 */
import assert from 'node:assert/strict';
import {appendFileSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setTimeout as wait} from 'node:timers/promises';
import {parseArgs} from 'node:util';
import {type Machine, RealServers} from '../faults/real-servers.ts';
import {ready, Sender} from '../faults/sender.ts';
import {seeded} from '../faults/world.ts';
import {differing} from './compare.ts';
import {
  caughtUp,
  filesOf,
  growthsOf,
  heapOf,
  lagsOf,
  partsOf,
  processOf,
  type Sample,
  tablesOf,
  unknownLags,
} from './samples.ts';

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

const servers = await RealServers.start(values.brokers === '3' ? 3 : 1);
const machine = await servers.machine();
const heaps = mkdtempSync(join(tmpdir(), 'millrace-soak-'));
const nodeOptions = `--expose-gc --import ${join(import.meta.dirname, 'heap.ts')}`;
const run = () => servers.run(machine, {environment: {SOAK_HEAP_DIR: heaps, NODE_OPTIONS: nodeOptions}});
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
  run();
  life++;
}

try {
  run();
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
        const ofMachine = filesOf(join(machine.root, '.millrace'));
        const heap = heapOf(heaps, machine.child!.pid);
        const figures = {
          ...process,
          ...heap,
          ...lags,
          clickHouseParts,
          postgresTables,
          postgresDead,
          ...ofMachine,
        };
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
    if (life < lives && elapsed() > (minutes * 60 * life) / lives) {
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
  const problems = await servers
    .becomes(sums, machine, 180_000)
    .then(() => servers.arrived(sender))
    .then(async () => [...(await differing(servers, sender)), ...(await caughtUp(machine))])
    .catch((error: Error) => [error.message]);
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
    windows: sender.windows.size,
    problems,
    growths,
  };
  writeFileSync(`${values.out}.summary.json`, `${JSON.stringify(summary, null, 2)}\n`);
  const faults = [...counts.values()].reduce((sum, count) => sum + count, 0);
  process.stdout.write(
    `${elapsed()} s, seed ${values.seed}: ${sender.acknowledged} events acknowledged, ${problems.length === 0 ? `each once in both databases and in the raw table, in ${sender.windows.size} windows; the books balance, no lag is left` : problems.join('\n')}
${faults} faults (${[...counts].map(([name, count]) => `${name} ${count}`).join(', ')}), ${life} lives of the platform, ${sender.refused} attempts in vain
`,
  );
  for (const [column, {median, most, perHour, seconds, grows, ofLife}] of Object.entries(growths))
    process.stdout.write(
      `${column}: median ${round1(median)}, most ${round1(most)}, ${round1(perHour)} an hour over ${seconds} s${ofLife ? ' of its longest life' : ''}${grows ? ': IT GROWS' : ''}\n`,
    );
  if (problems.length > 0 || Object.values(growths).some(({grows}) => grows)) process.exitCode = 1;
} finally {
  isOver = true;
  await servers.stop();
  rmSync(heaps, {recursive: true});
}

function round1(value: number): number {
  return Math.round(value * 10) / 10;
}
