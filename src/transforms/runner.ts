/**
 * One transform, in a thread of its own: what never returns is ended with its thread, and the record at which that happened
 * is known, because the thread counts in shared memory which one it has begun.
 */
import assert from 'node:assert/strict';
import {statSync} from 'node:fs';
import {basename} from 'node:path';
import {Worker} from 'node:worker_threads';
import {PlatformError} from '../errors.ts';
import type {EventType} from '../model/types.ts';
import type {Telemetry} from '../telemetry.ts';
import type {
  TransformInput,
  TransformOutcome,
  TransformRunner,
  WorkerReply,
  WorkerRequest,
  WorkerStart,
} from './types.ts';

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

type Thread = {
  worker: Worker;
  progress: Int32Array;
  /** Files that the module consists of, and how they looked when it was loaded. */
  files: string[];
  seen: string;
  ended: boolean;
};

type Answer =
  | {kind: 'done'; results: number[]; values: unknown[]}
  | {kind: 'lost'; code: string; message: string};

const reloadEveryMs = 500;
const loadLimitMs = 30_000;
const memoryMaxMiB = 256;
/** Lines that a transform may print a second; the rest is counted. */
const linesPerSecond = 20;

/** The transform of an event type that has one; the thread starts with the first record. */
export function createTransform(options: TransformOptions): TransformRunner {
  return new Runner(options);
}

class Runner implements TransformRunner {
  readonly #options: TransformOptions;
  readonly #spec: NonNullable<EventType['transform']>;
  readonly #name: string;
  #thread: Promise<Thread> | undefined;
  /** A newer version of the module, loaded, that takes over with the next batch. */
  #next: Thread | undefined;
  #batch = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #triedSeen = '';
  #closed = false;

  constructor(options: TransformOptions) {
    const {transform, domain, name} = options.eventType;
    assert(transform, 'the event type has a transform');
    this.#options = options;
    this.#spec = transform;
    this.#name = `transform of ${domain}.${name}`;
  }

  run(records: readonly TransformInput[]): Promise<TransformOutcome[]> {
    // One batch at a time, whoever brings it: several files and requests share the thread.
    const turn = this.#queue.then(() => this.#run(records));
    this.#queue = turn.catch(() => {});
    return turn;
  }

  async #run(records: readonly TransformInput[]): Promise<TransformOutcome[]> {
    const thread = await this.#current();
    const answer = await this.#ask(thread, records);
    if (answer.kind === 'done') return this.#outcomes(answer);
    if (this.#closed) throw stopped(this.#name);
    const guilty = Math.min(Atomics.load(thread.progress, 0), records.length - 1);
    this.#thread = undefined;
    const outcome: TransformOutcome = {kind: 'rejected', code: answer.code, message: answer.message};
    if (guilty === 0) return [outcome];
    // What came before went with the thread: it is done again, and gives the same.
    const before = await this.#run(records.slice(0, guilty));
    return before.length === guilty ? [...before, outcome] : before;
  }

  #outcomes({results, values}: Answer & {kind: 'done'}): TransformOutcome[] {
    const fields = this.#options.eventType.fields.length;
    let at = 0;
    return results.map((count) => {
      if (count < 0) {
        at += 2;
        return {kind: 'rejected', code: String(values[at - 2]), message: String(values[at - 1])};
      }
      const from = at;
      at += count * fields;
      return {kind: 'events', count, values: values.slice(from, at)};
    });
  }

  /** The thread to use now. @throws TRANSFORM_LOAD, TRANSFORM_STOPPED */
  async #current(): Promise<Thread> {
    if (this.#closed) throw stopped(this.#name);
    if (this.#next !== undefined && !this.#next.ended) {
      const old = this.#thread;
      this.#thread = Promise.resolve(this.#next);
      this.#next = undefined;
      void old?.then(({worker}) => worker.terminate()).catch(() => {});
    }
    if (this.#thread !== undefined) {
      const thread = await this.#thread;
      if (!thread.ended) return thread;
    }
    const starting = this.#start();
    this.#thread = starting;
    try {
      const thread = await starting;
      this.#watch();
      return thread;
    } catch (error) {
      this.#thread = undefined;
      throw error;
    }
  }

  /** Starts a thread and loads the module. @throws TRANSFORM_LOAD */
  async #start(): Promise<Thread> {
    const {eventType, loadMs = loadLimitMs, memoryMiB = memoryMaxMiB} = this.#options;
    const {path, outputsMax} = this.#spec;
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
    const thread: Thread = {worker, progress: new Int32Array(shared), files: [path], seen, ended: false};
    worker.once('exit', () => {
      thread.ended = true;
    });
    this.#relay(worker);
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
          this.#tell('warn', `something that a record left behind failed: ${reply.message}`);
      });
      worker.on('error', (error: Error) => settle({kind: 'failed', message: error.message}));
      worker.once('exit', (code) =>
        settle({kind: 'failed', message: `its thread ended (exit code ${code})`}),
      );
    });
    if (loaded.kind === 'ready') {
      thread.files = loaded.files;
      thread.seen = look(loaded.files);
      return thread;
    }
    await worker.terminate();
    const message = loaded.kind === 'failed' ? loaded.message : 'it gave an unexpected answer';
    throw new PlatformError('TRANSFORM_LOAD', `the ${this.#name} cannot be loaded: ${message}`, {
      place: path,
      hint: 'mend the module, then: npx millrace resume <input>',
    });
  }

  /** Sends a batch and waits for its results, or until the thread is lost. */
  #ask(thread: Thread, records: readonly TransformInput[]): Promise<Answer> {
    const {worker, progress} = thread;
    const {timeoutMs} = this.#spec;
    const batch = ++this.#batch;
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
      worker.postMessage({batch, records} satisfies WorkerRequest);
    });
  }

  /** In development: looks at the files of the module and loads it again beside the old one when they changed. */
  #watch(): void {
    const {reload, reloadMs = reloadEveryMs} = this.#options;
    if (!reload || this.#timer !== undefined) return;
    let busy = false;
    this.#timer = setInterval(() => {
      if (busy) return;
      busy = true;
      void this.#renew().finally(() => {
        busy = false;
      });
    }, reloadMs);
    this.#timer.unref();
  }

  async #renew(): Promise<void> {
    const current = this.#next ?? (await this.#thread?.catch(() => undefined));
    if (current === undefined || this.#closed) return;
    const seen = look(current.files);
    if (seen === current.seen || seen === this.#triedSeen) return;
    this.#triedSeen = seen;
    try {
      const thread = await this.#start();
      if (this.#closed) await thread.worker.terminate();
      else {
        const unused = this.#next;
        this.#next = thread;
        void unused?.worker.terminate();
        this.#tell('info', 'changed; the new version is used from here on');
      }
    } catch (error) {
      this.#tell('warn', `changed, and the old version goes on: ${(error as Error).message}`);
    }
  }

  /** What the module prints becomes messages of the platform: its standard output belongs to the platform. */
  #relay(worker: Worker): void {
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
          if (++lines <= linesPerSecond) this.#tell('info', line.slice(0, 500));
        }
      });
  }

  #tell(level: 'info' | 'warn', message: string): void {
    this.#options.telemetry.emit('Log', {
      level,
      message: `${this.#name} (${basename(this.#spec.path)}): ${message}`,
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    const thread = await this.#thread?.catch(() => undefined);
    await Promise.all([thread?.worker.terminate(), this.#next?.worker.terminate()]);
    await this.#queue;
  }
}

const stopped = (name: string): PlatformError =>
  new PlatformError('TRANSFORM_STOPPED', `the ${name} was stopped: the platform is draining`);

/** How files look from outside: another text when one of them changed. */
function look(files: readonly string[]): string {
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
