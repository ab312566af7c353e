import {type Clock, onward} from '../../clock.ts';
import type {LogReader} from '../../log/types.ts';
import {AppendNews} from './append-news.ts';
import {Reader} from './reader.ts';
import type {StateStore} from './statestore.ts';
import {Ages} from './worker-ages.ts';
import {errorOf} from './worker-failure.ts';
import {decodersOf, FeedTable} from './worker-feed-table.ts';
import {
  ownerOf,
  type PeerMessage,
  type WorkerCommand,
  type WorkerEvent,
  type WorkerSetup,
} from './worker-messages.ts';
import {QueryOwner} from './worker-owner.ts';
import {PublishedOffsets} from './worker-published.ts';
import {WriterSchemas} from './worker-schemas.ts';

/** Ends of partitions are looked at, and idle partitions noticed, at least so often. */
const idleTurnMs = 250;
const statusMs = 1_000;
/** A log that cannot be read for so long is told of. */
const awayTellMs = 1_000;

export type WorkerOptions = {
  setup: WorkerSetup;
  /** Closed with the worker. */
  log: LogReader;
  store: StateStore;
  clock: Clock;
  toPeer(worker: number, message: PeerMessage): void;
  toMain(event: WorkerEvent): void;
};

/**
 * One worker of the engine: reads its share of the partitions for all queries, and owns the mergers of some. It does nothing
 * by itself: `run` turns it in a thread, tests and `millrace test` turn it by hand.
 */
export class EngineWorker {
  readonly owners = new Map<string, QueryOwner>();
  #options: WorkerOptions;
  #setup: WorkerSetup;
  #log: LogReader;
  #reader: Reader;
  #schemas: WriterSchemas;
  #feeds: FeedTable;
  #published: PublishedOffsets | undefined;
  #paces: Int32Array;
  readonly #news: AppendNews;
  /** A message came since the turn began. */
  #hasMail = false;
  #isStopped = false;
  #isDraining = false;
  #statusMs = -Infinity;
  #endsMs = -Infinity;
  /** A status is being put together. */
  #telling: Promise<void> | undefined;
  /** Since when the log cannot be read, as it was told. */
  #awayMs: number | undefined;
  /** Of what is due; the time of day is that of the options. */
  readonly #clock: Clock;
  readonly #ages: Ages;

  constructor(options: WorkerOptions) {
    this.#options = options;
    const {setup, store} = options;
    const clock = onward(options.clock);
    this.#clock = clock;
    this.#setup = setup;
    this.#paces = new Int32Array(setup.paces);
    this.#log = options.log;
    this.#news = new AppendNews(this.#log);
    this.#ages = new Ages(this.#log);
    if (this.#log.publish) this.#published = new PublishedOffsets(this.#log, options.toMain);
    const ask: ConstructorParameters<typeof WriterSchemas>[2] = (wanted) =>
      options.toMain({kind: 'schemas', worker: setup.worker, wanted});
    this.#schemas = new WriterSchemas(setup.schemas, clock, setup.asksSchemas ? ask : undefined);
    const decoders = decodersOf(setup, this.#schemas);
    this.#reader = new Reader(this.#log, decoders, this.#schemas);
    this.#feeds = new FeedTable(setup, decoders, this.#reader, this.#paces, (to, message) =>
      this.#toWorker(to, message),
    );
    const {worker, workers, flushMs, checkpointIntervalMs} = setup;
    for (const [index, start] of setup.queries.entries()) {
      if (ownerOf(start.plan.id, workers) !== worker) continue;
      const owner = new QueryOwner({
        start,
        firstRun: setup.firstRun,
        worker,
        workers,
        log: this.#log,
        store,
        clock,
        flushMs,
        checkpointIntervalMs,
        schemas: this.#schemas,
        snapshotOf: (domain, lookup, id) => this.#feeds.snapshotOf(domain, lookup, id),
        toWorker: (to, message) => this.#toWorker(to, message),
        toMain: options.toMain,
        setPace: (ms) => void Atomics.store(this.#paces, index, ms),
      });
      this.owners.set(start.plan.id, owner);
    }
  }

  /** Opens the queries that this worker owns. */
  async open(): Promise<void> {
    await Promise.all([...this.owners.values()].map((owner) => owner.open()));
  }

  /** One round: at most one read, then what is due. @returns ms until something is due; 0 when there is more to read */
  async turn(): Promise<number> {
    const clock = this.#clock;
    const startMs = clock.now();
    this.#hasMail = false;
    if (startMs - this.#endsMs >= idleTurnMs) this.lookAtEnds();
    let hasRead = !this.#isDraining && (await this.#reader.turn());
    for (const owner of this.owners.values()) if (owner.wantsReplay && (await owner.replay())) hasRead = true;
    const nowMs = clock.now();
    let dueMs = Math.min(idleTurnMs, this.#feeds.pump(nowMs));
    for (const owner of this.owners.values()) dueMs = Math.min(dueMs, owner.pump(nowMs));
    if (nowMs - this.#statusMs >= statusMs) {
      this.#statusMs = nowMs;
      for (const owner of this.owners.values()) owner.lookForPartitions();
      this.#published?.look(this.owners.values());
      // Ends are asked for over the network then, and ages as well: records do not wait for that.
      if (this.#log.lookAtEnds) this.#tellStatus();
      else await this.sendStatus();
    }
    if (this.#isDraining && this.#isDrained()) {
      this.#isDraining = false;
      // An older one must not come after the last.
      await this.#telling;
      await this.sendStatus();
      if (this.#awayMs === undefined) await this.#published?.last(this.owners.values());
      this.#options.toMain({kind: 'drained', worker: this.#setup.worker});
    }
    return hasRead || this.#reader.hasWork() ? 0 : dueMs;
  }

  /** Turns until `stop`. */
  async run(): Promise<void> {
    while (!this.#isStopped) {
      const dueMs = await this.turn();
      // Lets messages in between two turns.
      if (dueMs < 1) await new Promise((resolve) => setImmediate(resolve));
      else if (!this.#hasMail && (await this.#news.next(dueMs))) this.lookAtEnds();
    }
    this.close();
    this.#options.toMain({kind: 'ended', worker: this.#setup.worker});
  }

  /** Looks at the log as it is now, wherever it is. */
  async refreshLog(): Promise<void> {
    await this.#log.refresh();
    this.lookAtEnds();
  }

  lookAtEnds(): void {
    this.#endsMs = this.#clock.now();
    this.#reader.refresh();
    const ends = new Map<string, number>();
    const endOf = (topic: string, partition: number) => {
      const place = `${topic}/${partition}`;
      let end = ends.get(place) ?? this.#reader.endOffset(topic, partition);
      if (end === undefined) end = this.#log.endOffset(topic, partition);
      ends.set(place, end);
      return end;
    };
    for (const owner of this.owners.values()) owner.observeEnds(endOf);
  }

  /** Beside the turns; the next one waits until this one was told. */
  #tellStatus(): void {
    this.#telling ??= this.sendStatus().finally(() => {
      this.#telling = undefined;
    });
  }

  async sendStatus(): Promise<void> {
    const {clock, toMain} = this.#options;
    // What a status says of the lag is true at its moment.
    const isFresh = (await this.#log.lookAtEnds?.()) ?? true;
    this.lookAtEnds();
    const nowMs = clock.now();
    const lagMsOf = this.#ages.at(nowMs);
    const status = await Promise.all([...this.owners.values()].map((owner) => owner.status(lagMsOf, nowMs)));
    const logAway = this.#lookAtLog();
    const known = isFresh ? status : status.map((each) => ({...each, settled: false}));
    toMain({kind: 'status', status: logAway ? known.map((each) => ({...each, logAway})) : known});
  }

  /** Tells when the log cannot be read for a while, and when it can again. @returns why it cannot */
  #lookAtLog(): string | undefined {
    const {toMain} = this.#options;
    const clock = this.#clock;
    const {error, ms = 0} = this.#log.trouble?.() ?? {};
    if (error && this.#awayMs === undefined && ms >= awayTellMs) {
      this.#awayMs = clock.now() - ms;
      toMain({kind: 'log', told: {about: 'away', message: error.message}});
    } else if (!error && this.#awayMs !== undefined) {
      const seconds = (clock.now() - this.#awayMs) / 1000;
      toMain({kind: 'log', told: {about: 'back', seconds}});
      this.#awayMs = undefined;
    }
    return this.#awayMs === undefined ? undefined : error?.message;
  }

  /** A message from another worker, or from this one. */
  receive(message: PeerMessage): void {
    switch (message.kind) {
      case 'delta':
      case 'held':
      case 'feedFailed': {
        this.owners.get(message.query)?.receive(message);
        break;
      }
      default:
        this.#feeds.receive(message);
    }
    this.#hasMail = true;
    this.#news.wake();
  }

  command(command: WorkerCommand): void {
    switch (command.kind) {
      case 'acknowledge':
        this.owners.get(command.query)?.acknowledge(command.sequence);
        break;
      case 'marked':
        this.owners.get(command.query)?.marked(command.epoch);
        break;
      case 'sideDurable':
        this.owners.get(command.query)?.sideDurable(command.batch);
        break;
      case 'pause':
        this.owners.get(command.query)?.pause(command.reason);
        break;
      case 'resume':
        this.owners.get(command.query)?.resume();
        break;
      case 'until':
        this.owners.get(command.query)?.until(command.places);
        break;
      case 'report':
        this.#statusMs = -Infinity;
        break;
      case 'fail':
        this.owners.get(command.query)?.fail(errorOf(command.failure), command.failure);
        break;
      case 'schema':
        this.#schemas.answer(command.answer);
        this.#reader.answered(command.answer.id);
        break;
      case 'lookup': {
        const {domain, snapshot} = command.snapshot;
        this.#feeds.keep(command.snapshot);
        for (const owner of this.owners.values())
          if (owner.plan.domain === domain) owner.lookup(snapshot.name, snapshot.id);
        break;
      }
      case 'peerRestarted':
        for (const owner of this.owners.values()) owner.openFeed(command.worker);
        break;
      case 'drain':
        this.#isDraining = true;
        this.#statusMs = -Infinity;
        for (const owner of this.owners.values()) owner.drain();
        break;
      case 'stop':
        this.#isStopped = true;
    }
    this.#hasMail = true;
    this.#news.wake();
  }

  /** Whether everything that was appended is read, in rows that were acknowledged and marked, and in a checkpoint. */
  isSettled(): boolean {
    if (this.#reader.hasWork() || this.#reader.isWaiting()) return false;
    if (this.#feeds.isWaiting()) return false;
    for (const owner of this.owners.values()) if (!owner.isSettled) return false;
    return true;
  }

  close(): void {
    this.#isStopped = true;
    this.#log.close();
    this.#options.store.close();
  }

  #isDrained(): boolean {
    for (const owner of this.owners.values()) if (!owner.isSettled) return false;
    return true;
  }

  #toWorker(to: number, message: PeerMessage): void {
    if (to === this.#setup.worker) this.receive(message);
    else this.#options.toPeer(to, message);
  }
}
