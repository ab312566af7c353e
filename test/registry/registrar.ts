/** A process that serves a registry: `registrar.ts DIR`. Prints its address. */
import {startRegistry} from './server.ts';

const [dir] = process.argv.slice(2);
process.stdout.write(`${(await startRegistry(dir)).url}\n`);
