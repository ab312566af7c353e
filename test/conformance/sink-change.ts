/** Brings a raw table to its new form; killed on the way by MILLRACE_FAILPOINT. */
import type {BackendChoice} from '../../src/model/types.ts';
import {openSink} from '../../src/sinks/host.ts';
import {changedRaw} from './sink.ts';

const [choice, root, name] = process.argv.slice(2) as [string, string, string];
const sink = await openSink({name: 'subject', choice: JSON.parse(choice) as BackendChoice, root});
try {
  await sink.ensure(changedRaw(name).after);
  process.stdout.write('done\n');
} catch {
  process.stdout.write('failed\n');
}
process.exit(0);
