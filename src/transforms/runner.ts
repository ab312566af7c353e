/** The transform of one event type: one batch after another, over threads that may be lost, and over versions of its module. */
import assert from 'node:assert/strict';
import {basename} from 'node:path';
import {PlatformError} from '../errors.ts';
import type {EventType} from '../model/types.ts';
import {type Answer, askThread, look, startThread, type Thread, type TransformOptions} from './thread.ts';
import type {TransformInput, TransformOutcome, TransformRunner} from './types.ts';

/** How often the files of a module are looked at in development, ms. */
const reloadEveryMs = 500;

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
    const answer = await askThread(thread, records, this.#spec.timeoutMs);
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

  /** @throws TRANSFORM_LOAD */
  #start(): Promise<Thread> {
    return startThread(this.#options, this.#name, (level, message) => this.#tell(level, message));
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
