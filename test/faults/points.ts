/** Where the sweeps kill: named places and system calls, spread over a run, the same ones for the same seed. */
import type {Fault} from './process.ts';
import {seeded} from './world.ts';

/** Every named place from the file to the sinks, with how often a run of the world passes it at least. */
const failpoints: Record<string, number> = {
  'ingest.before-append': 8,
  'ingest.after-append': 8,
  'log.before-commit': 20,
  'log.after-commit': 20,
  'log.acknowledged': 20,
  'engine.after-read': 12,
  'engine.after-process': 12,
  'engine.before-merge': 16,
  'engine.after-merge': 16,
  'emit.before-send': 16,
  'emit.before-acknowledge': 16,
  'emit.after-acknowledge': 16,
  'emit.before-mark': 8,
  'emit.after-mark': 8,
  'checkpoint.before-copy': 12,
  'checkpoint.before-commit': 12,
  'checkpoint.after-commit': 12,
  'state.before-commit': 8,
  'state.after-commit': 8,
  'raw.before-write': 8,
  'raw.after-write': 8,
  'file.before-sync': 40,
  'file.after-sync': 40,
  'file.before-rename': 12,
  'file.after-rename': 12,
  'lookup.before-keep': 1,
  'lookup.after-keep': 1,
};

/** With the log in Kafka, too: between the outbox and the brokers. */
const kafkaFailpoints: Record<string, number> = {'kafka.before-produce': 8, 'kafka.after-produce': 8};
/** With checkpoints in a bucket. */
const bucketFailpoints: Record<string, number> = {'state.before-head': 8, 'state.after-head': 8};
/** Passed at a start after a kill with batches on their way to Kafka. */
const recoveries = ['kafka.before-fence', 'kafka.after-fence'];

/** System calls that change something on disk, with how often the busiest thread of a run makes them, and turns of each. */
const calls: [string, number, number][] = [
  ['pwrite64', 100, 2],
  ['pwrite64', 360, 3],
  ['fdatasync', 16, 2],
  ['fsync', 50, 2],
  ['rename', 6, 1],
  ['openat', 250, 1],
  ['ftruncate', 2, 1],
];

/** Three of five are failpoints, by turns; counts are spread over a run. */
export function pointsOf(seed: number): () => Fault {
  const next = seeded(seed);
  const places = Object.entries(failpoints);
  const turns = calls.flatMap((each) => Array.from({length: each[2]}, () => each));
  let place = next(places.length);
  let call = next(turns.length);
  let turn = 0;
  return () => {
    if (turn++ % 5 < 3) {
      const [failpoint, most] = places[place++ % places.length]!;
      return {failpoint, count: 1 + next(most)};
    }
    const [name, most] = turns[call++ % turns.length]!;
    return {call: name, count: 1 + next(most)};
  };
}

/**
 * Failpoints of runs with the log in Kafka, in chains for one directory: every third is killed with batches on their way, and in the
 * recovery from that. Steps apart, so that few chains are spread over the whole way too.
 */
export function kafkaChainsOf(seed: number, length: number, hasBucket = false): () => Fault[] {
  const next = seeded(seed);
  const places = Object.entries({...failpoints, ...kafkaFailpoints, ...(hasBucket && bucketFailpoints)});
  let place = next(places.length);
  let turn = 0;
  const any = (first: boolean): Fault => {
    place += 7;
    const [failpoint, most] = places[place % places.length]!;
    // What an earlier run has done is not done again.
    return {failpoint, count: 1 + next(first ? most : Math.min(most, 3))};
  };
  return () => {
    const faults: Fault[] = [];
    if (turn++ % 3 === 0) {
      const [failpoint] = Object.entries(kafkaFailpoints)[turn % 2]!;
      faults.push({failpoint, count: 1 + next(6)}, {failpoint: recoveries[next(2)]!, count: 1});
    }
    while (faults.length < length) faults.push(any(faults.length === 0));
    return faults;
  };
}
