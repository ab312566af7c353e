/** Delivers rows from their topics into the sinks that the configuration names: the engine may be another process. */
import type {Clock} from '../clock.ts';
import type {PlatformError} from '../errors.ts';
import type {LogReader} from '../log/types.ts';
import type {Table} from '../model/types.ts';
import {createDelivery} from '../sinks/delivery.ts';
import type {Book} from '../sinks/kafka/book.ts';
import {queryOf, rowsTopic} from '../sinks/kafka/rows.ts';
import type {RefusedRow} from '../sinks/refused.ts';
import {sinkError} from '../sinks/retry.ts';
import {tableId} from '../sinks/tables.ts';
import type {Sink} from '../sinks/types.ts';
import type {Telemetry} from '../telemetry.ts';
import {SinksAway} from './rows-away.ts';
import {RowsBook} from './rows-book.ts';
import {RowsDrops} from './rows-drops.ts';
import {RowsFeed, type RowsPositions} from './rows-feed.ts';
import {type RowsWay, statusOfWay} from './rows-way.ts';
import {standsBy} from './sink-guard.ts';
import type {SinkLeases} from './sink-leases.ts';
import type {RowsStatus} from './status.ts';

export type RowsServiceOptions = {
  /** Topic of the book. */
  book: string;
  log: LogReader;
  /** Names of the sinks of a query, `<domain>.<query>`; empty for one that is not in the configuration. */
  sinksOf(query: string): readonly string[];
  /** Names of all sinks that rows go to. */
  sinks: readonly string[];
  openSink(name: string): Promise<Sink>;
  /** Which of them this process writes into; default: all. */
  leases?: Pick<SinkLeases, 'isHeld' | 'mayWrite'>;
  positionsOf(sink: string): RowsPositions;
  /** Keeps rows that a sink refuses. */
  refused(table: Table, sink: string, rows: RefusedRow[]): Promise<void>;
  telemetry: Telemetry;
  clock: Clock;
};

export type RowsService = {
  status(): RowsStatus[];
  /** Whether something of it may still write into a sink. */
  isWriting(sink: string): boolean;
  /** Starts again what stopped; false when nothing of that name did. @param name `<domain>.<query>` or a table */
  resume(name: string): boolean;
  /** Resolves when everything that is in the topics now is in the sinks and their places are kept. */
  settled(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
};

const waitMs = 250;
const saveMs = 1_000;
const againMs = 1_000;

/** Reads the book and starts a way for every table and sink. @throws the log's errors */
export async function startRowsService(options: RowsServiceOptions): Promise<RowsService> {
  const service = new Service(options);
  await service.start();
  return {
    status: () => service.status(),
    isWriting: (sink) => service.isWriting(sink),
    resume: (name) => service.resume(name),
    settled: (signal) => service.settled(signal),
    close: () => service.close(),
  };
}

class Service {
  readonly #options: RowsServiceOptions;
  readonly #follower: RowsBook;
  readonly #book: Book;
  readonly #ways = new Map<string, RowsWay>();
  /** By the same key: the wait for the last write of one that ends. */
  readonly #ending = new Map<string, Promise<void>>();
  readonly #shown = new Map<string, string>();
  readonly #drops: RowsDrops;
  readonly #away: SinksAway;
  readonly #closing = new AbortController();
  #watching: Promise<void> = Promise.resolve();

  constructor(options: RowsServiceOptions) {
    this.#options = options;
    this.#away = new SinksAway(options.telemetry);
    this.#follower = new RowsBook(options);
    this.#book = this.#follower.book;
    // What is still being written would make a dropped table again, or fail.
    const isHeld = (sink: string) => this.#isHeld(sink) && !isOfSink(this.#ending, sink);
    this.#drops = new RowsDrops({...options, isHeld, book: this.#book});
  }

  async start(): Promise<void> {
    await this.#follower.read();
    this.#watching = this.#watch();
  }

  async #watch(): Promise<void> {
    const {log, clock, telemetry} = this.#options;
    const {signal} = this.#closing;
    while (!signal.aborted) {
      try {
        await this.#follower.read();
        await this.#arrange();
        await log.waitForAppend(waitMs);
      } catch (error) {
        if (signal.aborted) return;
        telemetry.emit('Log', {level: 'warn', message: `rows wait: ${(error as Error).message}`});
        await clock.sleep(againMs, signal).catch(() => {});
      }
      for (const way of this.#ways.values()) way.wake();
    }
  }

  #isHeld(sink: string): boolean {
    return this.#options.leases?.isHeld(sink) ?? true;
  }

  isWriting(sink: string): boolean {
    return this.#drops.isWorking(sink) || isOfSink(this.#ways, sink) || isOfSink(this.#ending, sink);
  }

  /** Ends ways of tables that were dropped, also of those that were made again since, and of sinks that others have; begins new ones. */
  async #arrange(): Promise<void> {
    for (const [key, way] of this.#ways)
      if (!this.#isOf(way) || !this.#isHeld(way.sinkName)) {
        this.#ways.delete(key);
        // A sink that does not answer keeps no other one waiting.
        const ended = this.#end(way).finally(() => this.#ending.delete(key));
        this.#ending.set(key, ended);
      }
    for (const [id, table] of this.#book.tables)
      for (const sinkName of this.#options.sinksOf(queryOf(table)))
        if (
          !this.#ways.has(`${sinkName} ${id}`) &&
          this.#isHeld(sinkName) &&
          !this.#ending.has(`${sinkName} ${id}`) &&
          this.#away.isDue(sinkName, id)
        ) {
          // Its topic may be newer than what is known of the cluster.
          if (this.#options.log.partitions(rowsTopic(table)) === 0) await this.#options.log.refresh();
          // A sink that does not open keeps no other one waiting, and the looks at the book go on.
          await this.#begin(sinkName, table).then(
            () => this.#away.opened(sinkName, id),
            (error) => this.#closing.signal.aborted || this.#away.failed(sinkName, id, error),
          );
        }
    for (const [view, shown] of this.#book.views)
      if (shown === null) for (const sink of this.#options.sinks) this.#shown.delete(`${sink} ${view}`);
    this.#drops.look();
  }

  /** Whether its table is there, and the one that it began with. */
  #isOf({id, feed}: RowsWay): boolean {
    return this.#book.tables.has(id) && this.#book.made.get(id) === feed.made;
  }

  async #begin(sinkName: string, table: Table): Promise<void> {
    const {openSink, positionsOf, refused, telemetry, clock, log} = this.#options;
    const sink = await openSink(sinkName);
    await this.#drops.returns(sinkName, tableId(table));
    if (this.#closing.signal.aborted || !this.#isHeld(sinkName)) return;
    const delivery = createDelivery({
      sink,
      sinkName,
      table,
      clock,
      random: Math.random,
      telemetry,
      callbacks: {onRefused: (rows) => refused(table, sinkName, rows)},
    });
    const positions = positionsOf(sinkName);
    const made = this.#book.made.get(tableId(table));
    const feed = new RowsFeed({table, made, sinkName, sink, delivery, log, positions, telemetry});
    const way: RowsWay = {
      id: tableId(table),
      sinkName,
      sink,
      table,
      feed,
      delivery,
      stop: new AbortController(),
      wake: () => {},
      stopped: undefined,
      waits: undefined,
      done: Promise.resolve(),
    };
    this.#ways.set(`${sinkName} ${way.id}`, way);
    way.done = this.#run(way);
  }

  async #run(way: RowsWay): Promise<void> {
    const {signal} = way.stop;
    let isOpen = false;
    let savedMs = performance.now();
    const mayWrite = () => this.#options.leases?.mayWrite(way.sinkName) ?? true;
    while (!signal.aborted) {
      try {
        if (!mayWrite()) {
          way.waits = standsBy(way.sinkName);
          await this.#news(way);
          continue;
        }
        if (!isOpen) await way.feed.open();
        isOpen = true;
        if (signal.aborted) break;
        const hasRead = await way.feed.turn();
        way.waits = undefined;
        await this.#follow(way);
        if (!hasRead || performance.now() - savedMs >= saveMs) {
          savedMs = performance.now();
          await way.feed.save();
        }
        if (!hasRead) await this.#news(way);
      } catch (error) {
        if (!signal.aborted) await this.#failed(way, sinkError(error));
      }
    }
  }

  /** Marks and views that the rows have come up to. */
  async #follow(way: RowsWay): Promise<void> {
    const {feed, sink, table, id, sinkName} = way;
    const mark = this.#book.marks.get(id);
    if (mark && feed.reached(mark.ends)) await feed.mark(mark.epoch);
    const view = queryOf(table);
    const shown = this.#book.views.get(view);
    const key = `${sinkName} ${view}`;
    if (shown?.table !== id || this.#shown.get(key) === id || !feed.reached(shown.ends)) return;
    await this.#drops.returns(sinkName, view);
    await sink.switchView?.(table);
    this.#shown.set(key, id);
  }

  /** Resolves at the next wake. Whoever aborts wakes as well, and an end that came before the wait is no news to wait for. */
  #news(way: RowsWay): Promise<void> {
    if (way.stop.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      way.wake = resolve;
    });
  }

  /** What passes is tried again; for what does not, somebody has to act. */
  async #failed(way: RowsWay, error: PlatformError): Promise<void> {
    const {clock, telemetry} = this.#options;
    const {signal} = way.stop;
    if (error.retry) {
      const text = `rows of ${way.id} wait for ${way.sinkName}: ${error.code} ${error.message}`;
      if (way.waits?.message !== error.message) telemetry.emit('Log', {level: 'warn', message: text});
      way.waits = error;
      return clock.sleep(againMs, signal).catch(() => {});
    }
    way.stopped = error;
    const {code, message, place = `sink ${way.sinkName}`, hint} = error;
    const text = `rows of ${way.id} for ${way.sinkName} stopped: ${code} ${message}, at ${place}${hint === undefined ? '' : `; ${hint}`}`;
    telemetry.emit('Log', {level: 'error', message: text});
    while (way.stopped && !signal.aborted) await this.#news(way);
    way.delivery.resume();
  }

  resume(name: string): boolean {
    let found = false;
    for (const way of this.#ways.values()) {
      if (!way.stopped || (way.id !== name && queryOf(way.table) !== name)) continue;
      way.stopped = undefined;
      way.wake();
      found = true;
    }
    return found;
  }

  async settled(signal: AbortSignal): Promise<void> {
    const {log, clock, book} = this.#options;
    for (;;) {
      await log.refresh([book, ...[...this.#ways.values()].map(({feed}) => feed.topic)]);
      await this.#follower.read();
      const isSettled = [...this.#ways.values()].every(
        ({feed, id, delivery}) =>
          feed.lagRows === 0 &&
          delivery.counts().pending === 0 &&
          (this.#book.marks.get(id)?.epoch ?? 0) <= feed.epoch,
      );
      const isArranged = [...this.#book.tables].every(([id, table]) =>
        this.#options.sinksOf(queryOf(table)).every((sinkName) => {
          const way = this.#ways.get(`${sinkName} ${id}`);
          return way && this.#isOf(way);
        }),
      );
      if (isSettled && isArranged) break;
      await clock.sleep(waitMs, signal);
    }
    await Promise.all([...this.#ways.values()].map(({feed}) => feed.save()));
  }

  status(): RowsStatus[] {
    return [...this.#ways.values()].map(statusOfWay);
  }

  async #end(way: RowsWay): Promise<void> {
    way.stop.abort(new Error('the delivery ends'));
    way.delivery.close();
    way.wake();
    await way.done;
    // With a dropped table its view may go.
    const view = `${way.sinkName} ${queryOf(way.table)}`;
    if (this.#shown.get(view) === way.id) this.#shown.delete(view);
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the deliveries end'));
    await Promise.all([...[...this.#ways.values()].map((way) => this.#end(way)), ...this.#ending.values()]);
    await Promise.all([this.#watching, this.#drops.close()]);
  }
}

/** Whether some of the keys, `<sink> <table>`, are of a sink. */
const isOfSink = (keys: ReadonlyMap<string, unknown>, sink: string): boolean =>
  [...keys.keys()].some((key) => key.startsWith(`${sink} `));
