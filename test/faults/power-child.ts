/**
 * A process of power.test.ts: appends to a log and commits checkpoints, in several openings, and prints `log <records>` and
 * `state <epoch> <records>` when each was acknowledged. Every call writes one line, so that a trace of the calls has them in order.
 */
import {writeSync} from 'node:fs';
import {join} from 'node:path';
import {openLogWriter} from '../../src/log/embedded.ts';
import {openStateStore, startCheckpointWriter} from '../../src/process/embedded/statestore.ts';
import {batchOf} from '../support/log-records.ts';

const [dir, openings, rounds] = [process.argv[2]!, Number(process.argv[3]), Number(process.argv[4])];
const recordsOfRound = 4;
for (let opening = 0; opening < openings; opening++) {
  const log = openLogWriter(join(dir, 'log'));
  const states = await startCheckpointWriter(join(dir, 'state'));
  const store = openStateStore(join(dir, 'state'), states.connect());
  log.ensureTopic('t', 1);
  let records = Number(log.progress('numbers') ?? 0);
  let epoch = store.load('q')?.epoch ?? 0;
  for (let round = 0; round < rounds; round++) {
    const texts = Array.from({length: recordsOfRound}, (_, i) => `${records + i}`.padEnd(3_000, '.'));
    const ids = texts.map((text) => text.replaceAll('.', ''));
    await log.append({
      appends: [{topic: 't', partition: 0, ids, ...batchOf(...texts)}],
      progress: [{source: 'numbers', position: `${records + recordsOfRound}`}],
      ledger: [],
    });
    records += recordsOfRound;
    writeSync(1, `log ${records}\n`);
    epoch++;
    // A large piece that grows old and a small one that changes every time, as panes and headers are.
    const puts = [{key: 'sum', bytes: new Uint8Array(Buffer.from(`${records} `.repeat(20 + (epoch % 7))))}];
    if (epoch % 3 === 0) puts.push({key: `pane/${epoch}`, bytes: new Uint8Array(9_000).fill(epoch)});
    const deletes = epoch % 9 === 0 ? [`pane/${epoch - 6}`] : [];
    await store.commit({query: 'q', epoch, meta: JSON.stringify({records}), puts, deletes});
    writeSync(1, `state ${epoch} ${records}\n`);
  }
  store.close();
  await states.close();
  await log.close();
}
