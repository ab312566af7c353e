/**
 * Draining a topic: node bench/kafka-read.bench.ts [millions of events] [rounds]
 *
 * Starts a broker, loads it with job A's events (kafka-drain.ts), and drains the topic in turn by a bare walk, by the reader with memory
 * of its own for each answer, by the reader as the engine uses it, and by the engine with job A and checkpoints. Each is a process of
 * its own, so that its CPU time is its own; the broker is on the same machine. Medians.
 */
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {cpus, loadavg} from 'node:os';
import {join} from 'node:path';
import {startKafka} from '../src/cluster/kafka.ts';

const millions = Number(process.argv[2] ?? 10);
const rounds = Number(process.argv[3] ?? 5);

type Answer = {events: number; seconds: number; cpuSeconds: number; rows: number; memoryMiB: number};

const kafka = await startKafka({optimised: true});
const drain = (...args: string[]): Answer =>
  JSON.parse(
    execFileSync(process.execPath, [
      join(import.meta.dirname, 'kafka-drain.ts'),
      '--brokers',
      kafka.brokers[0]!,
      ...args,
    ]).toString(),
  ) as Answer;
const ways: [string, string[]][] = [
  ['bare walk', ['--mode', 'bare']],
  ['reader', ['--mode', 'read']],
  ['reader, memory used again', ['--mode', 'read', '--reuse']],
  ['engine, job A', ['--mode', 'engine']],
];
const found = new Map<string, Answer[]>(ways.map(([name]) => [name, []]));
try {
  drain('--mode', 'bare', '--load', String(millions * 1e6));
  for (let round = 0; round < rounds; round++)
    for (const [name, args] of ways) {
      const answer = drain(...args);
      assert.equal(answer.events, millions * 1e6);
      found.get(name)!.push(answer);
    }
} finally {
  await kafka.stop();
}

const median = (answers: Answer[], of: (answer: Answer) => number): number =>
  answers.map(of).toSorted((a, b) => a - b)[answers.length >> 1]!;

console.log(
  `${millions} M events, ${rounds} rounds, ${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)}`,
);
for (const [name, answers] of found) {
  const perSecond = median(answers, ({events, seconds}) => events / seconds / 1e6).toFixed(2);
  const cpu = median(answers, ({events, cpuSeconds}) => (cpuSeconds / events) * 1e6).toFixed(3);
  const memory = median(answers, ({memoryMiB}) => memoryMiB);
  console.log(`${name.padEnd(26)} ${perSecond} M/s  ${cpu} CPU s per M  ${memory} MiB`);
}
