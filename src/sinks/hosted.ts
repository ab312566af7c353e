/** Entry of the worker thread or child process that holds one sink; see `remote.ts` for the messages. */
import {parentPort} from 'node:worker_threads';
import type {Telemetry} from '../telemetry.ts';
import {type LocalSink, methodsOf, openLocal, type SinkInit} from './local.ts';
import type {RawBooks} from './raw-apart.ts';
import {type Answer, packError, type Reply, type Request, unpackError} from './remote.ts';

const post: (reply: Reply) => void = parentPort
  ? (reply) => parentPort!.postMessage(reply)
  : (reply) => void process.send!(reply, undefined, undefined, () => {});
const telemetry: Telemetry = {emit: (event, payload) => post({event, payload})};
let opened: Promise<LocalSink> | undefined;
/** Questions to whoever started this host, by number. */
const asked = new Map<number, {resolve(value: unknown): void; reject(error: unknown): void}>();
let nextAsk = 1;
const ask = <T>(method: string, ...args: unknown[]): Promise<T> => {
  const number = nextAsk++;
  post({ask: number, method, args});
  return new Promise((resolve, reject) => {
    asked.set(number, {resolve: resolve as (value: unknown) => void, reject});
  });
};
const books: RawBooks = {
  open: (table, topic) => ask('open', table, topic),
  begin: (table, range) => ask('begin', table, range),
  end: (table, partition, rest, refused) => ask('end', table, partition, rest, refused),
  unread: (table, topic, partition, records) => ask('unread', table, topic, partition, records),
  topic: (table, topic, id, isEmpty) => ask('topic', table, topic, id, isEmpty),
  before: (table, schema) => ask('before', table, schema),
  settled: (table) => ask('settled', table),
};

/** Methods of `Sink` by name, `open`, `close`, and those of RawControl as `raw.<name>`. */
async function answer(method: string, args: unknown[]): Promise<unknown> {
  if (method === 'open') {
    const init = args[0] as SinkInit;
    opened = openLocal(init, telemetry, init.hasBooks ? books : undefined);
    return methodsOf((await opened).sink);
  }
  const local = await opened!;
  if (method === 'close') return local.close();
  const [target, name] = method.startsWith('raw.') ? [local.raw, method.slice(4)] : [local.sink, method];
  return (target as unknown as Record<string, (...args: unknown[]) => unknown>)[name]!(...args);
}

function settle(reply: Answer): void {
  const waiting = asked.get(reply.answer);
  asked.delete(reply.answer);
  if ('error' in reply) waiting?.reject(unpackError(reply.error));
  else waiting?.resolve(reply.value);
}

async function handle(request: Request): Promise<void> {
  if ('answer' in request) return settle(request);
  const {id, method, args} = request;
  try {
    post({id, value: await answer(method, args)});
  } catch (error) {
    post({id, error: packError(error)});
  }
}

if (parentPort) parentPort.on('message', (request: Request) => void handle(request));
else {
  process.on('message', (request: Request) => void handle(request));
  // The parent is gone, or is done with us: nothing may outlive it. Not `exit`: it waits for the library's own threads, a statement
  // that is under way among them, and the directory would stay locked for the next platform.
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  // Ctrl-C reaches the whole process group; the parent drains first and then closes us.
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
}
