/** Worker threads that a test watches, or ends. */
import type {TestContext} from 'node:test';
import type {Worker} from 'node:worker_threads';

/** Worker threads of this process, in the order in which they start from now on. */
export function threadsOf(t: TestContext): Worker[] {
  const threads: Worker[] = [];
  const onWorker = (worker: Worker) => void threads.push(worker);
  process.on('worker', onWorker);
  t.after(() => process.off('worker', onWorker));
  return threads;
}
