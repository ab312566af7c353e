/** A process of checkpoint-stores.test.ts: owns a store and commits without end, telling what it does line by line. */
import {mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {PlatformError} from '../../src/errors.ts';
import {openStateStore, startCheckpointWriter} from '../../src/process/embedded/statestore.ts';
import {commitOf} from './checkpoint-commits.ts';

const {
  place,
  leaseMs,
  until = Number.POSITIVE_INFINITY,
  isStandby = false,
  pauseMs = 0,
} = JSON.parse(process.argv[2]!);
const say = (what: string, value: unknown) => process.stdout.write(`${what} ${value}\n`);
const writer = await startCheckpointWriter(place, {
  leaseMs,
  isStandby,
  onWaiting: () => say('waiting', ''),
  onFenced: (error) => say('fenced', (error as PlatformError).code),
});
say('owner', writer.epoch);
const store = openStateStore(place.dir, writer.connect());
mkdirSync(join(place.dir, 'beside'), {recursive: true});
let epoch = (store.load('q')?.epoch ?? 0) + 1;
try {
  for (; epoch <= until; epoch++) {
    if (place.remote) writeFileSync(join(place.dir, 'beside/file'), `${epoch}`);
    await store.commit(commitOf(epoch));
    say('committed', epoch);
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
} catch (error) {
  say('refused', (error as PlatformError).code);
}
store.close();
await writer.close();
