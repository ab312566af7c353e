/** The thread that writes checkpoints, when it ends by itself. */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {openStateStore, startCheckpointWriter} from '../../../src/process/embedded/statestore.ts';

test('a writer that ended by itself is told to whoever waits for it, and closing it ends', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-writer-'));
  t.after(() => rmSync(dir, {recursive: true, force: true}));
  const exited = new Promise<void>((resolve) =>
    process.once('worker', (worker) => worker.once('exit', () => resolve())),
  );
  const writer = await startCheckpointWriter(dir);
  const store = openStateStore(dir, writer.connect(), writer.lease);
  t.after(() => store.close());
  await store.sync();
  // No request of ours: the thread fails at it.
  writer.connect().postMessage(null);
  await exited;
  await assert.rejects(store.sync(), {code: 'CHECKPOINT_IO', message: /writer has ended/});
  await writer.close();
});
