/** Takes out of the sinks what the book of rows says is gone: also what went while nobody delivered, or while a sink was away. */
import type {PlatformError} from '../errors.ts';
import type {Book} from '../sinks/kafka/book.ts';
import {sinkError} from '../sinks/retry.ts';
import type {Sink} from '../sinks/types.ts';
import type {Telemetry} from '../telemetry.ts';

export type RowsDropsOptions = {
  book: Book;
  /** Names of all sinks that rows go to. A query's rows may have gone to another one before. */
  sinks: readonly string[];
  openSink(name: string): Promise<Sink>;
  /** Whether this process writes into a sink, and waits for no write that is to be the last one of its table. */
  isHeld(sink: string): boolean;
  telemetry: Telemetry;
};

type Gone = {id: string; isView: boolean};

/** A sink that failed is asked again after so long. */
const againMs = 1_000;

export class RowsDrops {
  readonly #options: RowsDropsOptions;
  /** `<sink> <table or view>`: what was dropped since this process began. */
  readonly #done = new Set<string>();
  /** Sink -> work under way: one that does not answer holds up no other. */
  readonly #working = new Map<string, Promise<void>>();
  /** Sink -> the drop under way. */
  readonly #current = new Map<string, {key: string; drop: Promise<void>}>();
  /** Sink -> what it said last, and when it is asked again, ms of performance.now(). */
  readonly #failed = new Map<string, {message: string; untilMs: number}>();
  #isClosed = false;

  constructor(options: RowsDropsOptions) {
    this.#options = options;
  }

  /** Begins to drop what is left. What fails is left for a later look. */
  look(): void {
    for (const sink of this.#options.sinks) {
      const mayAsk = performance.now() >= (this.#failed.get(sink)?.untilMs ?? 0);
      if (this.#isClosed || this.#working.has(sink) || !mayAsk || !this.#options.isHeld(sink)) continue;
      if (this.#gone(sink).length === 0) continue;
      const working = this.#drop(sink).finally(() => this.#working.delete(sink));
      this.#working.set(sink, working);
    }
  }

  /** A table or view is about to be there again: resolves when no drop of it is under way. */
  async returns(sink: string, id: string): Promise<void> {
    const key = `${sink} ${id}`;
    const current = this.#current.get(sink);
    if (current?.key === key) await current.drop.catch(() => {});
    this.#done.delete(key);
  }

  /** Whether a drop is under way. */
  isWorking(sink: string): boolean {
    return this.#working.has(sink);
  }

  /** Begins nothing any more; resolves when nothing is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#working.values());
  }

  /** What the sink may have still: tables, then views. */
  #gone(sink: string): Gone[] {
    const {dropped, views} = this.#options.book;
    return [
      ...[...dropped].map((id) => ({id, isView: false})),
      ...[...views.keys()].map((id) => ({id, isView: true})),
    ].filter((gone) => this.#isGone(gone) && !this.#done.has(`${sink} ${gone.id}`));
  }

  #isGone({id, isView}: Gone): boolean {
    const {dropped, views} = this.#options.book;
    return isView ? views.get(id) === null : dropped.has(id);
  }

  async #drop(name: string): Promise<void> {
    let failure: PlatformError | undefined;
    for (const gone of this.#gone(name)) {
      // What was gone may be there again.
      if (this.#isClosed || !this.#isGone(gone)) continue;
      failure = (await this.#one(name, gone)) ?? failure;
      // It is away: the others would wait for it in vain as well.
      if (failure?.retry) break;
    }
    const told = this.#failed.get(name)?.message;
    if (!failure) this.#failed.delete(name);
    else this.#failed.set(name, {message: failure.message, untilMs: performance.now() + againMs});
    if (failure && failure.message !== told)
      this.#options.telemetry.emit('Log', {
        level: 'warn',
        message: `what was dropped stays in ${name} for now: ${failure.code} ${failure.message}`,
      });
  }

  /** @returns why it is there still */
  async #one(name: string, {id, isView}: Gone): Promise<PlatformError | undefined> {
    const key = `${name} ${id}`;
    const work = async () => {
      const sink = await this.#options.openSink(name);
      await (isView ? sink.dropView?.(id) : sink.drop?.(id));
    };
    const drop = work();
    this.#current.set(name, {key, drop});
    try {
      await drop;
      this.#done.add(key);
    } catch (error) {
      return sinkError(error);
    } finally {
      this.#current.delete(name);
    }
    return undefined;
  }
}
