/**
 * Resident memory of the example platform, the whole process tree: `node bench/memory.bench.ts [options of run]`. The flights run
 * through at their rate of 10,000 a second, beside live shoppers at 200 a second, with ClickHouse (child process) and PostgreSQL (worker) both on; then the platform
 * stands for ten seconds, and is asked for its ledger and for a row. RSS counts a page that two processes share twice; PSS
 * counts it once. Linux.
 */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import {startExample} from './example.ts';
import {machine, processTree} from './world.ts';

const standMs = 10_000;
const flights = 336_776;

type Reading = {rssMiB: number; pssMiB: number; parts: {what: string; rssMiB: number}[]};

const number = (text: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024;

function read(root: number): Reading {
  const reading: Reading = {rssMiB: 0, pssMiB: 0, parts: []};
  for (const pid of processTree(root)) {
    try {
      const rssMiB = number(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS');
      reading.rssMiB += rssMiB;
      reading.pssMiB += number(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'), 'Pss');
      const [, script = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        .split('\0')
        .filter((arg) => !arg.startsWith('--'));
      reading.parts.push({what: script.split('/').at(-1)!, rssMiB});
    } catch {
      // It ended in between.
    }
  }
  return reading;
}

const example = startExample(...process.argv.slice(2));
try {
  const readings: Reading[] = [];
  const sampler = setInterval(() => readings.push(read(example.pid)), 250);
  const statusOf = async () => {
    const text = await example.command('ledger', '--json');
    const {ingest} = text === undefined ? {ingest: []} : JSON.parse(text);
    const lines = ingest as {domain: string; appended: number}[];
    return lines.reduce((sum, {domain, appended}) => sum + (domain === 'flights' ? appended : 0), 0);
  };
  const begin = performance.now();
  while (!example.isOwner()) await sleep(10);
  while ((await statusOf()) < flights) {
    assert.ok(performance.now() - begin < 180_000, 'the flights are in the log within three minutes');
    await sleep(2_000);
  }
  const runs = readings.length;
  await sleep(standMs);
  const row = await example.command(
    'query',
    'select sum(departures) as n from flights.departures_per_day',
    '--json',
  );
  assert.deepEqual(JSON.parse(row!), [{n: flights}]);
  await sleep(1_000);
  clearInterval(sampler);
  const peak = readings.reduce((most, each) => (each.rssMiB > most.rssMiB ? each : most));
  const steady = readings.at(-1)!;
  assert.equal(await example.interrupt(), 0, 'Ctrl-C drains');
  const show = ({rssMiB, pssMiB, parts}: Reading) =>
    `RSS ${rssMiB.toFixed(0)} MiB, PSS ${pssMiB.toFixed(0)} MiB (${parts.map((part) => `${part.what} ${part.rssMiB.toFixed(0)}`).join(', ')})`;
  console.log(machine());
  console.log(`peak of ${readings.length} readings (${runs} while flights came): ${show(peak)}`);
  console.log(`after standing ${standMs / 1000} s: ${show(steady)}`);
} finally {
  await example.interrupt().catch(() => {});
  example.remove();
}
