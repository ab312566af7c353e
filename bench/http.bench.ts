/**
 * Events over HTTP into the durable log, deduplicated, the load in another process (`http-load.ts`): batches of JSON lines as fast
 * as they are answered, and single events at a fixed rate, open loop. Afterwards the log holds what was acknowledged, once.
 *
 *     node bench/http.bench.ts [seconds] [rounds]
 */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {text} from 'node:stream/consumers';
import {openLogReader} from '../src/log/embedded.ts';
import {machine, median, purchaseYaml, range, startOn} from './world.ts';

const [seconds = 5, rounds = 3] = process.argv.slice(2).map(Number);

type Load = {
  requests: number;
  events: number;
  eventsPerSecond: number;
  failed: number;
  firstFailure: string;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
};

/** No queries and no raw events: what is measured is the way into the log. */
const files = {
  'platform.yaml':
    'platform: bench\nsinks: {rows: {backend: file}}\ndefaults: {raw: none, aggregates: rows}\n',
  'domains/ecommerce.yaml': purchaseYaml.replace(/aggregations:[\s\S]*/, ''),
};

/** One run of the load against a new platform. @returns what it saw, and CPU seconds of the platform by million events. */
async function run(args: string[]): Promise<Load & {cpuSeconds: number}> {
  const {running, root, remove} = await startOn(files);
  try {
    const token = readFileSync(join(root, '.millrace/token'), 'utf8').trim();
    const cpu = process.cpuUsage();
    const load = spawn(
      process.execPath,
      [
        join(import.meta.dirname, 'http-load.ts'),
        '--port',
        new URL(running.url).port,
        '--token',
        token,
        '--path',
        '/v1/events/ecommerce/purchase',
        '--seconds',
        String(seconds),
        ...args,
      ],
      {stdio: ['ignore', 'pipe', 'inherit']},
    );
    const told = JSON.parse(await text(load.stdout)) as Load;
    const used = process.cpuUsage(cpu);
    assert.equal(told.failed, 0, told.firstFailure);
    const log = openLogReader(running.dirs.log);
    const ends = Array.from({length: log.partitions('ecommerce.purchase')}, (_, partition) =>
      log.endOffset('ecommerce.purchase', partition),
    );
    log.close();
    const logged = ends.reduce((sum, end) => sum + end, 0);
    // What was under way when the load ended may be in the log unanswered.
    assert.ok(logged >= told.events, `${logged} in the log, ${told.events} acknowledged`);
    await running.drain();
    return {...told, cpuSeconds: (used.user + used.system) / logged};
  } finally {
    remove();
  }
}

const variants: [string, string[]][] = [
  ['batches of 100, ids of the platform', ['--ids', 'none', '--connections', '48']],
  ['batches of 100, ids of the sender in order of time (v7)', ['--ids', 'ordered', '--connections', '48']],
  ['batches of 100, random ids of the sender (v4)', ['--ids', 'random', '--connections', '48']],
  [
    'single events, 8,000/s open loop, ids of the platform',
    ['--batch', '1', '--rate', '8000', '--ids', 'none', '--connections', '128'],
  ],
  [
    'single events, 2,000/s open loop, ids of the platform',
    ['--batch', '1', '--rate', '2000', '--ids', 'none', '--connections', '128'],
  ],
  ['single events, closed loop: capacity', ['--batch', '1', '--ids', 'none', '--connections', '128']],
];
console.log(`${machine()}; ${seconds} s after 2 s of warming up, ${rounds} rounds, medians (ranges)`);
const results = variants.map((): Awaited<ReturnType<typeof run>>[] => []);
for (let round = 0; round < rounds; round++)
  for (const [index, [, args]] of variants.entries()) results[index]!.push(await run(args));
for (const [index, [name]] of variants.entries()) {
  const of = (pick: (load: Load & {cpuSeconds: number}) => number, digits = 0) => {
    const values = results[index]!.map(pick);
    return `${median(values).toFixed(digits)} (${range(values, digits)})`;
  };
  console.log(
    `${name}: ${of(({eventsPerSecond}) => eventsPerSecond / 1000, 1)} k events/s, p50 ${of(({p50Ms}) => p50Ms, 1)} ms, p99 ${of(({p99Ms}) => p99Ms, 1)} ms, CPU of the platform ${of(({cpuSeconds}) => cpuSeconds, 1)} us/event`,
  );
}
