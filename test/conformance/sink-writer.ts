/** Writes rows and raw events until it is killed, and prints the number of each batch when it is acknowledged. */
import type {BackendChoice} from '../../src/model/types.ts';
import {openSink} from '../../src/sinks/host.ts';
import {killBatch, killTables, rawBatch} from './sink.ts';

const [choice, root] = process.argv.slice(2) as [string, string];
const sink = await openSink({name: 'subject', choice: JSON.parse(choice) as BackendChoice, root});
const {table, raw} = killTables;
await sink.ensure(table);
await sink.ensure(raw);
for (let index = 0; ; index++) {
  await Promise.all([
    sink.write(table, killBatch(index)),
    sink.writeRaw!(raw, rawBatch(raw, 0, index * 10, index * 10 + 10)),
  ]);
  process.stdout.write(`${index}\n`);
}
