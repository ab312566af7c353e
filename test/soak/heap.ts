/**
 * Preloaded into every thread of a platform that is soaked (`node --expose-gc --import`): now and then it collects what is garbage and
 * writes down what is left. V8 leaves garbage lie for minutes when memory is plenty, so that resident memory grows without a leak.
 */
import {renameSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {getHeapStatistics} from 'node:v8';
import {threadId} from 'node:worker_threads';

const directory = process.env.SOAK_HEAP_DIR;
/** Between two collections: rare, so that resident memory says in between what it is without them. */
const collectSeconds = 120;
const firstSeconds = 30;

if (directory && globalThis.gc) {
  const path = join(directory, `${process.pid}-${threadId}`);
  let seconds = 0;
  let left = '';
  setInterval(() => {
    if (seconds++ % collectSeconds === firstSeconds) {
      globalThis.gc!();
      const {used_heap_size: heap, external_memory: external} = getHeapStatistics();
      left = JSON.stringify({heap, external});
    }
    // Written again and again: a file that is old is that of a thread that has ended.
    if (left) {
      writeFileSync(`${path}.new`, left);
      renameSync(`${path}.new`, path);
    }
  }, 1_000).unref();
}
