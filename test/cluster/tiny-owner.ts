/** A process that starts a server and says so. Arguments: nothing, and it waits; or `plain` or `detached` and a directory, and it ends. */
import {startTiny} from './tiny-server.ts';

const [, , kind, dir] = process.argv;
const server = await startTiny({detached: kind === 'detached', ...(dir === undefined ? {} : {dir})});
process.stdout.write(`${JSON.stringify({process: server.process, dir: server.dir})}\n`);
if (kind === undefined) setInterval(() => {}, 1_000);
