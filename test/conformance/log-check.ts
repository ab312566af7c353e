/** How the suite of every log opens one for each test, and skips by name what a log does not promise. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {Clock} from '../../src/clock.ts';
import type {LogReader, LogWriter, RecordBatch} from '../../src/log/types.ts';

/** A log that was opened for one test, in a place of its own. */
export type OpenLog = {
  writer: LogWriter;
  reader: LogReader;
  /** Behind the names of its topics: where tests share a server, each has topics of its own. */
  suffix: string;
  /** Closes both cleanly and opens them again on the same data. */
  reopen(): Promise<{writer: LogWriter; reader: LogReader}>;
  close(): Promise<void>;
};

/** `topics`: those that the test will use, with their numbers of partitions, without the suffix. */
export type OpenOptions = {clock?: Clock; topics: Record<string, number>};

/** A promise that not every log can give. */
export type Promised = 'sizes' | 'batches' | 'clock' | 'trim';

/** Batches of data that follow each other from one offset to another. */
export function assertFollowing(batches: RecordBatch[], from: number, to: number): void {
  let next = from;
  for (const {baseOffset, count, kind} of batches) {
    assert.deepEqual([baseOffset, kind], [next, 'data']);
    next += count;
  }
  assert.equal(next, to);
}

/** Registers one test; `needs`: what not every log promises. */
export type Check = (
  behaviour: string,
  topics: Record<string, number>,
  body: (log: OpenLog, topic: (name: string) => string) => Promise<void>,
  options?: {clock?: Clock; needs?: Promised},
) => void;

/** Registers a test with a log of its own. @param not what this log does not promise, and why */
export const checker =
  (
    name: string,
    open: (options: OpenOptions) => Promise<OpenLog>,
    not: Partial<Record<Promised, string>>,
  ): Check =>
  (behaviour, topics, body, {clock, needs} = {}) => {
    test(`${name}: ${behaviour}`, {skip: (needs && not[needs]) ?? false}, async () => {
      const log = await open({topics, ...(clock && {clock})});
      try {
        await body(log, (topic) => `${topic}${log.suffix}`);
      } finally {
        await log.close();
      }
    });
  };
