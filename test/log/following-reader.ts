/** A worker of damage.test.ts: follows a partition up to an offset and posts the texts of its records. */
import {parentPort, workerData} from 'node:worker_threads';
import {openLogReader} from '../../src/log/embedded.ts';
import {textsOf} from '../support/log-records.ts';

const {dir, counter, until} = workerData;
const reader = openLogReader(dir, {counter});
const texts: string[] = [];
while (texts.length < until) {
  const batches = await reader.read('t', 0, texts.length, 10_000);
  texts.push(...textsOf(batches));
  if (batches.length === 0) await reader.waitForAppend(10_000);
}
reader.close();
parentPort!.postMessage({texts});
