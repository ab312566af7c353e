/**
 * The thread of a transform, from outside: started, asked, and ended with what never returns. The record at which that
 * happened is known, because the thread counts in shared memory which one it has begun.
 */
import {statSync} from 'node:fs';
import {Worker} from 'node:worker_threads';
import {PlatformError} from '../errors.ts';
import type {EventType} from '../model/types.ts';
import type {Telemetry} from '../telemetry.ts';
import type {TransformInput, WorkerReply, WorkerRequest, WorkerStart} from './types.ts';

export type TransformOptions = {
  eventType: EventType;
  telemetry: Telemetry;
  /** Take up a changed module while running. */
  reload: boolean;
  /** How often its files are looked at, ms. Default 500. */
  reloadMs?: number;
  /** How long the module may take to load, ms. Default 30 s. */
  loadMs?: number;
  /** Memory of the thread, MiB. Default 256. */
  memoryMiB?: number;
};

export type Thread = {
  worker: Worker;
  progress: Int32Array;
  /** Files that the module consists of, and how they looked when it was loaded. */
  files: string[];
  seen: string;
  ended: boolean;
  /** Number of the last batch that it was sent. */
  batch: number;
};

export type Answer =
  | {kind: 'done'; results: number[]; values: unknown[]}
  | {kind: 'lost'; code: string; message: string};

/** Says something about the transform. */
export type Tell = (level: 'info' | 'warn', message: string) => void;

const loadLimitMs = 30_000;
const memoryMaxMiB = 256;
/** Lines that a transform may print a second; the rest is counted. */
const linesPerSecond = 20;

/** Starts a thread and loads the module. @throws TRANSFORM_LOAD */
export async function startThread(options: TransformOptions, name: string, tell: Tell): Promise<Thread> {
  const {eventType, loadMs = loadLimitMs, memoryMiB = memoryMaxMiB} = options;
  const {path, outputsMax} = eventType.transform!;
  const shared = new SharedArrayBuffer(8);
  const start: WorkerStart = {
    path,
    fields: eventType.fields.map(({name, type}) => ({name, type})),
    outputsMax,
    progress: shared,
  };
  const seen = look([path]);
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: start,
    // What it gives may depend on the record alone; and no secret of the platform is its business.
    env: {},
    argv: [],
    execArgv: [],
    stdout: true,
    stderr: true,
    resourceLimits: {maxOldGenerationSizeMb: memoryMiB, maxYoungGenerationSizeMb: 32},
  });
  const thread: Thread = {
    worker,
    progress: new Int32Array(shared),
    files: [path],
    seen,
    ended: false,
    batch: 0,
  };
  worker.once('exit', () => {
    thread.ended = true;
  });
  relay(worker, tell);
  const loaded = await new Promise<WorkerReply>((resolve) => {
    const late = setTimeout(
      () => resolve({kind: 'failed', message: `it was not loaded within ${loadMs / 1000} s`}),
      loadMs,
    );
    const settle = (reply: WorkerReply) => {
      clearTimeout(late);
      resolve(reply);
    };
    worker.on('message', (reply: WorkerReply) => {
      if (reply.kind === 'ready' || reply.kind === 'failed') settle(reply);
      else if (reply.kind === 'leftover')
        tell('warn', `something that a record left behind failed: ${reply.message}`);
    });
    worker.on('error', (error: Error) => settle({kind: 'failed', message: error.message}));
    worker.once('exit', (code) => settle({kind: 'failed', message: `its thread ended (exit code ${code})`}));
  });
  if (loaded.kind === 'ready') {
    thread.files = loaded.files;
    thread.seen = look(loaded.files);
    return thread;
  }
  await worker.terminate();
  const message = loaded.kind === 'failed' ? loaded.message : 'it gave an unexpected answer';
  throw new PlatformError('TRANSFORM_LOAD', `the ${name} cannot be loaded: ${message}`, {
    place: path,
    hint: 'mend the module, then: npx millrace resume <input>',
  });
}

/** Sends a batch and waits for its results, or until the thread is lost. */
export function askThread(
  thread: Thread,
  records: readonly TransformInput[],
  timeoutMs: number,
): Promise<Answer> {
  const {worker, progress} = thread;
  const batch = ++thread.batch;
  Atomics.store(progress, 0, 0);
  return new Promise((resolve) => {
    let begun = Atomics.load(progress, 1);
    let sinceMs = performance.now();
    const settle = (answer: Answer) => {
      clearInterval(watchdog);
      worker.off('message', onMessage);
      worker.off('error', onError);
      worker.off('exit', onExit);
      resolve(answer);
    };
    const onMessage = (reply: WorkerReply) => {
      if (reply.kind === 'done' && reply.batch === batch) settle(reply);
    };
    const onError = (error: Error & {code?: string}) => {
      thread.ended = true;
      const message =
        error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'the transform ran out of memory' : error.message;
      settle({kind: 'lost', code: 'TRANSFORM_ENDED', message});
    };
    const onExit = (code: number) =>
      settle({
        kind: 'lost',
        code: 'TRANSFORM_ENDED',
        message: `the transform ended its thread (exit code ${code})`,
      });
    // A record is out of time when no other has been begun for so long.
    const watchdog = setInterval(
      () => {
        const now = Atomics.load(progress, 1);
        const nowMs = performance.now();
        if (now !== begun) {
          begun = now;
          sinceMs = nowMs;
        } else if (nowMs - sinceMs >= timeoutMs) {
          thread.ended = true;
          worker.off('exit', onExit);
          clearInterval(watchdog);
          const message = `the transform did not return within ${timeoutMs} ms`;
          void worker.terminate().then(() => settle({kind: 'lost', code: 'TRANSFORM_TIMEOUT', message}));
        }
      },
      Math.max(5, timeoutMs / 8),
    );
    worker.on('message', onMessage);
    worker.on('error', onError);
    worker.on('exit', onExit);
    const values: unknown[] = [];
    const extras: WorkerRequest['extras'] = [];
    for (const record of records) {
      for (const value of record.values) values.push(value);
      extras.push(record.extra);
    }
    worker.postMessage({batch, values, extras} satisfies WorkerRequest);
  });
}

/** What the module prints becomes messages of the platform: its standard output belongs to the platform. */
function relay(worker: Worker, tell: Tell): void {
  let second = 0;
  let lines = 0;
  for (const stream of [worker.stdout, worker.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.split('\n')) {
        if (line.trim() === '') continue;
        const now = Math.floor(performance.now() / 1000);
        if (now !== second) {
          second = now;
          lines = 0;
        }
        if (++lines <= linesPerSecond) tell('info', line.slice(0, 500));
      }
    });
}

/** How files look from outside: another text when one of them changed. */
export function look(files: readonly string[]): string {
  return files
    .map((file) => {
      try {
        const {mtimeMs, size, ino} = statSync(file);
        return `${mtimeMs}/${size}/${ino}`;
      } catch {
        return 'gone';
      }
    })
    .join(' ');
}
