/** One owner of engine-takeover.test.ts: stands by for the store, then runs its engine until it is told to end, or fenced. */
import {appendFileSync, existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {createInlineEngine} from '../../../src/process/embedded/engine.ts';
import {startCheckpointWriter} from '../../../src/process/embedded/statestore.ts';
import {avroSchema} from '../../../src/schema/avro.ts';
import {all, purchase, strict, view} from './engine-world.ts';

const {dir, name, place, leaseMs} = JSON.parse(process.argv[2]!);
const lines = (file: string): string[] =>
  existsSync(join(dir, file)) ? readFileSync(join(dir, file), 'utf8').split('\n').filter(Boolean) : [];
const write = (file: string, value: unknown) =>
  appendFileSync(
    join(dir, file),
    `${JSON.stringify(value, (_key, each) => (typeof each === 'bigint' ? `${each}n` : each))}\n`,
  );

let isFenced = false;
const writer = await startCheckpointWriter(place, {
  leaseMs,
  isStandby: true,
  onFenced() {
    isFenced = true;
  },
});
write('owners', [name, writer.epoch]);
const engine = createInlineEngine({
  log: {dir: join(dir, 'log')},
  stateDir: place.dir,
  writer,
  schemas: [purchase, view].map((type, index) => ({
    id: index + 1,
    subject: '',
    version: 1,
    schema: avroSchema(type),
  })),
  workers: 1,
  flushMs: 0,
  checkpointIntervalMs: 0,
  // As a sink answers: the highest.
  marked: async ({id}) => {
    const epochs = lines('marks').map((line) => JSON.parse(line) as [string, number]);
    const own = epochs.filter(([query]) => query === id).map(([, epoch]) => epoch);
    return own.length > 0 ? Math.max(...own) : undefined;
  },
  onReset: async ({id}) => write('resets', id),
  onRows(rows) {
    write('rows', rows);
    engine.acknowledge(rows.query, rows.sequence);
  },
  onMark(query, epoch) {
    write('marks', [query, epoch]);
    engine.marked(query, epoch);
  },
  onSide({id}, {records}, durable) {
    for (const {topic, partition, offset, kind} of records)
      write('side', [id, topic, partition, offset, kind]);
    durable();
  },
});
await engine.start([...all, strict]);
while (!isFenced && !existsSync(join(dir, `end-${name}`))) {
  await engine.settle();
  write(`status-${name}`, engine.status());
  await sleep(20);
}
await engine.settle();
write(`status-${name}`, engine.status());
if (isFenced) write('fenced', [name, engine.status().map(({reason}) => reason?.code ?? null)]);
await engine.stop();
await writer.close();
