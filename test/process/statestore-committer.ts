/** A worker of statestore.test.ts: commits a query some times, then tells how much of its last buffer it still has. */
import {parentPort, workerData} from 'node:worker_threads';
import {openStateStore} from '../../src/process/embedded/statestore.ts';

const {dir, port, query, commits} = workerData;
const store = openStateStore(dir, port);
let bytes = new Uint8Array(0);
for (let epoch = 1; epoch <= commits; epoch++) {
  bytes = new Uint8Array(1000).fill(epoch);
  await store.commit({query, epoch, meta: '{}', puts: [{key: 'pane', bytes}], deletes: []});
}
store.close();
parentPort!.postMessage(bytes.length);
