/** A process of statestore.test.ts: commits without end, and prints each epoch when it was acknowledged. */
import {openStateStore, startCheckpointWriter} from '../../src/process/embedded/statestore.ts';

const dir = process.argv[2]!;
const writer = await startCheckpointWriter(dir);
const store = openStateStore(dir, writer.connect());
for (let epoch = (store.load('q')?.epoch ?? 0) + 1; ; epoch++) {
  const bytes = new Uint8Array(20_000).fill(epoch);
  await store.commit({query: 'q', epoch, meta: '{}', puts: [{key: 'epoch', bytes}], deletes: []});
  process.stdout.write(`${epoch}\n`);
}
