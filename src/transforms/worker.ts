/** The thread of one transform: loads the user's module and runs it over records, one after another. */
import assert from 'node:assert/strict';
import {registerHooks} from 'node:module';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {parentPort, workerData} from 'node:worker_threads';
import {checkPlain} from '../plain-file.ts';
import {describeError} from './place.ts';
import {BadResult, collect, Rejection, reject} from './results.ts';
import {
  replyCharsMax,
  replyMs,
  type TransformInput,
  type WorkerReply,
  type WorkerRequest,
  type WorkerStart,
} from './types.ts';

assert(parentPort, 'this module runs in a worker thread');
const port = parentPort;
const start = workerData as WorkerStart;
const {path, outputsMax} = start;
const names = start.fields.map(({name}) => name);
const isField = new Set(names);
const progress = new Int32Array(start.progress);
// Kept from before the user's code runs, which shares these globals.
const {parse} = JSON;
const now = performance.now.bind(performance);
const send = (reply: WorkerReply) => port.postMessage(reply);

type Transform = (event: Record<string, unknown>, tools: {reject: typeof reject}) => unknown;
const tools = Object.freeze({reject});

/** Loads the module and tells which files it consists of, so that a change of any can be seen. */
async function load(): Promise<Transform | undefined> {
  const files = new Set([path]);
  const hooks = registerHooks({
    load(url, context, next) {
      if (url.startsWith('file:') && !url.includes('/node_modules/')) {
        const file = fileURLToPath(url);
        // A thread that waits for one who writes into a pipe could not be ended.
        mustEnd(file);
        files.add(file);
      }
      return next(url, context);
    },
  });
  try {
    const {default: transform} = (await import(pathToFileURL(path).href)) as {default?: unknown};
    if (typeof transform !== 'function')
      throw new TypeError('the module has no function as its default export: export default (event) => ...');
    send({kind: 'ready', files: [...files]});
    return transform as Transform;
  } catch (error) {
    send({kind: 'failed', message: describeError(error, path)});
    return undefined;
  } finally {
    hooks.deregister();
  }
}

function mustEnd(file: string): void {
  try {
    checkPlain(file);
  } catch (error) {
    // What is not there is told better by who looks for it.
    if ((error as NodeJS.ErrnoException).code === undefined)
      throw new Error(`${file} cannot be read: ${(error as Error).message}`);
  }
}

/** The record as the user's function gets it: its fields, and beside them whatever else it says. */
function eventOf(values: unknown[], from: number, extra: TransformInput['extra']): Record<string, unknown> {
  const event: Record<string, unknown> = {};
  for (let i = 0; i < names.length; i++) event[names[i]!] = values[from + i];
  if (extra === null) return event;
  const more = (typeof extra === 'string' ? parse(extra) : extra) as Record<string, unknown>;
  // A key of this name would not be a property of the event but its prototype.
  for (const key in more) if (!isField.has(key) && key !== '__proto__') event[key] = more[key];
  return event;
}

async function transformAll(transform: Transform, {values: given, extras}: WorkerRequest) {
  const results: number[] = [];
  const values: unknown[] = [];
  const startMs = now();
  let chars = 0;
  const refuse = (at: number, code: string, message: string) => {
    values.length = at;
    values.push(code, message);
    results.push(-1);
    chars += message.length;
  };
  for (let index = 0; index < extras.length; index++) {
    Atomics.store(progress, 0, index);
    Atomics.add(progress, 1, 1);
    const at = values.length;
    try {
      let result = transform(eventOf(given, index * names.length, extras[index]!), tools);
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === 'function') result = await result;
      const rejection = Rejection.read(result);
      if (rejection) refuse(at, `REJECTED:${rejection.code}`, rejection.message);
      else {
        const collected = collect(result, names, outputsMax, values);
        chars += collected.chars;
        results.push(collected.count);
      }
    } catch (error) {
      if (error instanceof BadResult) refuse(at, 'TRANSFORM_OUTPUT', error.message);
      else refuse(at, 'TRANSFORM_ERROR', describeError(error, path));
    }
    if (chars >= replyCharsMax || now() - startMs >= replyMs) break;
  }
  return {results, values};
}

// What a record left behind must not be laid on the record that happens to be at work when it fails.
const leftover = (error: unknown) => send({kind: 'leftover', message: describeError(error, path)});
process.on('unhandledRejection', leftover);
process.on('uncaughtException', leftover);

// Not awaited at the top: a module that never loads would be reported by Node in its own words.
void load().then((transform) => {
  if (transform === undefined) return;
  port.on('message', async (request: WorkerRequest) => {
    const {results, values} = await transformAll(transform, request);
    send({kind: 'done', batch: request.batch, results, values});
  });
});
