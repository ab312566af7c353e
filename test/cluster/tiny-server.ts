/** A server that is up at once, for tests of what all servers have in common. Run as a program it is the server itself. */
import {createServer} from 'node:http';
import {fileURLToPath} from 'node:url';
import {ask} from '../../src/cluster/http.ts';
import {type ServerOptions, type SingleServer, startSingle} from '../../src/cluster/single.ts';

/** `broken`: ends at its start; `silent`: never listens; `stubborn`: does not end on SIGTERM. */
export type TinyMode = 'plain' | 'broken' | 'silent' | 'stubborn';

const program = fileURLToPath(import.meta.url);

export async function startTiny(
  options: ServerOptions & {mode?: TinyMode; readyMsMax?: number} = {},
): Promise<SingleServer & {url: string}> {
  const {mode = 'plain', readyMsMax = 10_000} = options;
  const server = await startSingle('tiny', ['http'] as const, options, async ({ports}) => ({
    title: 'Tiny',
    command: process.execPath,
    args: [program, mode, String(ports.http)],
    ready: async () => (await ask(`http://127.0.0.1:${ports.http}`)).status === 200,
    readyMsMax,
    end: {signal: 'SIGTERM', graceMs: 2_000},
  }));
  return Object.assign(server, {url: `http://127.0.0.1:${server.ports.http}`});
}

if (process.argv[1] === program) {
  const [, , mode, port] = process.argv as [string, string, TinyMode, string];
  process.stdout.write('reading the configuration\n');
  if (mode === 'broken') {
    process.stderr.write('fatal: no colour was chosen\n');
    process.exit(1);
  }
  if (mode === 'stubborn') process.on('SIGTERM', () => {});
  if (mode === 'silent') setInterval(() => {}, 1_000);
  else
    createServer((_, response) => response.end('tiny'))
      .on('error', (error) => {
        process.stderr.write(`${error.message}\n`);
        process.exit(1);
      })
      .listen(Number(port), '127.0.0.1');
}
