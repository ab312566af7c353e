/** Runs the engine of engine-kill.test.ts until it has nothing left to do, or until a failpoint kills it. */
import {appendFileSync, existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {createInlineEngine} from '../../../src/process/embedded/engine.ts';
import {avroSchema} from '../../../src/schema/avro.ts';
import {all, purchase, strict, view} from './engine-world.ts';

const dir = process.argv[2]!;
const lines = (name: string): string[] =>
  existsSync(join(dir, name)) ? readFileSync(join(dir, name), 'utf8').split('\n').filter(Boolean) : [];
const write = (name: string, value: unknown) =>
  appendFileSync(
    join(dir, name),
    `${JSON.stringify(value, (_key, each) => (typeof each === 'bigint' ? `${each}n` : each))}\n`,
  );

const engine = createInlineEngine({
  log: {dir: join(dir, 'log')},
  stateDir: join(dir, 'state'),
  schemas: [purchase, view].map((type, index) => ({
    id: index + 1,
    subject: '',
    version: 1,
    schema: avroSchema(type),
  })),
  workers: 1,
  flushMs: 0,
  checkpointIntervalMs: 0,
  marked: async ({id}) => {
    const epochs = lines('marks').map((line) => JSON.parse(line) as [string, number]);
    return epochs.findLast(([query]) => query === id)?.[1];
  },
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
await engine.settle();
write('status', engine.status());
await engine.stop();
