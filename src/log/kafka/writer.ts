/**
 * Writing to Kafka: what is appended is committed to the outbox, an embedded log, and acknowledged when Kafka has it. While the
 * brokers are away it is acknowledged once it is durable in the outbox, which ships it in order when they are back.
 */
import {type Clock, systemClock} from '../../clock.ts';
import {PlatformError} from '../../errors.ts';
import type {OutboxWriter} from '../group.ts';
import {Outbox} from '../outbox.ts';
import type {StoredBatch} from '../outbox-tables.ts';
import type {AppendResult, AppendTransaction, IngestCounts, LogWriter} from '../types.ts';
import {openOutboxWriter} from '../writer.ts';
import {withIds} from './adopt.ts';
import {KafkaClient} from './client.ts';
import {connectOutbox, noteRemade, type Parts, partitionsOf, recoverLane} from './connect.ts';
import {drained, emptied} from './drained.ts';
import {Forwarder} from './forwarder.ts';
import {Growth} from './growth.ts';
import {type Lane, openLane} from './lane.ts';
import {LeaseGate} from './lease-gate.ts';
import {SpoolNews} from './news.ts';
import {OutboxCommits} from './outbox-commits.ts';
import {whileReached} from './patience.ts';
import {beginEpoch, type Fence} from './recover.ts';
import {takeOver} from './take-over.ts';
import {Waiting} from './waiting.ts';
import type {KafkaWriterOptions} from './writer-options.ts';

/** A batch is at most so large before it is compressed: half of what brokers take by default. */
const batchBytesMax = 512 * 1024;
/** Batches that were not sent yet are kept in memory up to this; beyond it they are read from the outbox. */
const memoryBytesMax = 32 * 2 ** 20;
const tickMs = 100;
/** Time to ship what waits, when another process asks for the lease. */
const yieldMs = 3_000;
/** Pause before the next attempt to reach a cluster that was away at the start. */
const reconnectMs = 500;

/**
 * Opens the outbox and connects it. When no broker can be reached, and the outbox knows the topics, it begins by spooling.
 * @throws LOCKED, LOG_CORRUPT, OUTBOX_OTHER and others of `openLogWriter`; KAFKA_* when a topic is not there and cannot be made;
 * LOG_STANDBY
 */
export async function openKafkaWriter(options: KafkaWriterOptions): Promise<KafkaWriter> {
  const writer = new KafkaWriter(options);
  try {
    await writer.open();
    return writer;
  } catch (error) {
    await writer.close();
    throw error;
  }
}

export class KafkaWriter implements LogWriter {
  readonly #options: KafkaWriterOptions;
  readonly #clock: Clock;
  readonly #client: KafkaClient;
  readonly #log: OutboxWriter;
  #outbox!: Outbox;
  #commits!: OutboxCommits;
  readonly #forwarder: Forwarder;
  readonly #waiting: Waiting;
  readonly #news: SpoolNews;
  /** Batches of transactions that were committed and whose appends were not answered. */
  readonly #stored = new Map<AppendTransaction, StoredBatch[]>();
  readonly #fences = new Map<Lane, Fence>();
  #timer: NodeJS.Timeout | undefined;
  #isConnected = false;
  #isClosed = false;
  #gate: LeaseGate | undefined;
  readonly #growth: Growth;
  #failure: PlatformError | undefined;

  constructor(options: KafkaWriterOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#client = new KafkaClient(options.kafka);
    this.#client.remade = (topic) => noteRemade(topic, this.#forwarder, this.#parts());
    this.#waiting = new Waiting(options.spoolAfterMs);
    this.#log = openOutboxWriter(options.dir, {
      clock: this.#clock,
      sizeMaxBytes: options.spoolBytesMax,
      ...(options.counter && {counter: options.counter}),
      ...(options.command === undefined ? {} : {command: options.command}),
      attach: (database) => {
        this.#outbox = new Outbox(database, options.dir, options.kafka.clientId);
        this.#commits = new OutboxCommits(this.#outbox, {
          dir: options.dir,
          bytesMax: options.spoolBytesMax,
          bytes: () => this.bytes,
          committed: (batches) => this.#committed(batches),
        });
        return this.#commits;
      },
    });
    this.#forwarder = new Forwarder({
      client: this.#client,
      outbox: this.#outbox,
      batchBytesMax,
      mayShip: () => this.#gate?.isSure ?? !this.#options.lease,
      recover: (lane) => this.#recover(lane),
      refused: (lane, record, error) => this.#refused(lane, record, error),
      changed: (lane) => this.#changed(lane),
      told: (what) => {
        if (what.kind === 'fatal') this.#fail(what.error);
        this.#news.told(what);
      },
    });
    this.#news = new SpoolNews(options.telemetry, options.spoolBytesMax, this.#forwarder, this.#client);
    this.#growth = new Growth({parts: () => this.#parts(), opened: () => this.#addLanes()});
  }

  #committed(transactions: ReadonlyMap<AppendTransaction, StoredBatch[]>): void {
    let atHand = this.#forwarder.bytesAtHand;
    for (const [transaction, batches] of transactions) {
      if (batches.length === 0) continue;
      this.#stored.set(transaction, batches);
      for (const batch of batches) {
        const lane = this.#forwarder.lane(batch.streamId)!;
        atHand += batch.bytes.length;
        lane.add(batch, !lane.isSpooling && atHand <= memoryBytesMax);
      }
    }
    this.#forwarder.wake();
  }

  /** Opens lanes for what the outbox has, and connects; without a broker it goes on trying. */
  async open(): Promise<void> {
    this.#addLanes();
    try {
      await whileReached(this.#client, this.#clock, () => this.#connect());
    } catch (error) {
      this.#addLanes();
      const canSpool = this.#options.topics.every(({name}) => partitionsOf(this.#log, name) > 0);
      const isAway = error instanceof PlatformError && error.code === 'KAFKA_UNAVAILABLE';
      if (!isAway || !canSpool) throw error;
      for (const lane of this.#forwarder.lanes) lane.isSpooling = true;
      this.#news.away(error);
      this.#connectLater();
    }
    this.#timer = setInterval(() => this.#tick(), tickMs);
  }

  #addLanes(): void {
    for (const stream of this.#log.streams()) {
      if (stream.partition < 0 || this.#forwarder.lane(stream.id)) continue;
      const lane = openLane(stream, this.#outbox, this.#options.compression);
      if (this.#isConnected) beginEpoch(lane, this.#outbox.head, this.#fences, this.#clock.now());
      this.#forwarder.add(lane);
    }
  }

  async #connect(): Promise<void> {
    await connectOutbox(this.#parts());
    this.#addLanes();
    for (const lane of this.#forwarder.lanes) {
      beginEpoch(lane, this.#outbox.head, this.#fences, this.#clock.now());
      lane.isSpooling = false;
    }
    this.#growth.connected();
    this.#isConnected = true;
    this.#forwarder.start();
    const {lease, telemetry, dir, command = ''} = this.#options;
    if (!lease || this.#gate) return;
    this.#gate = new LeaseGate(this.#client, lease, {
      learn: () => {
        this.#forwarder.suspect();
        return takeOver(this.#parts(), this.#growth, this.#clock.now());
      },
      wants: () => this.bytes > 0,
      // One that is behind keeps it: it would have to refuse everybody for as long as that lasts.
      yields: async () => this.bytes <= batchBytesMax && (await emptied(this.#forwarder.lanes, yieldMs)),
      lost: () => this.#waiting.releaseAll(),
      telemetry,
      command,
      dir,
    });
    await this.#gate.decided();
  }

  #parts(): Parts {
    const {topics, dir, telemetry, lease} = this.#options;
    const [client, outbox, log, isLeased] = [this.#client, this.#outbox, this.#log, lease !== undefined];
    const [write, fail] = [() => this.#write(), (error: PlatformError) => this.#fail(error)];
    return {client, outbox, log, topics, dir, telemetry, write, fail, isLeased};
  }

  #connectLater(): void {
    const timer = setTimeout(async () => {
      if (this.#isClosed) return;
      try {
        await this.#connect();
      } catch (error) {
        if (!(error instanceof PlatformError)) throw error;
        if (error.retry) this.#news.away(error);
        else this.#news.told({kind: 'failed', error, isFinal: true, topic: '', partition: -1});
        if (error.code === 'OUTBOX_OTHER') this.#fail(error);
        this.#connectLater();
      }
    }, reconnectMs);
    timer.unref();
  }

  /** Writes places and deletions with a commit of their own. */
  #write(): Promise<unknown> {
    this.#commits.request();
    return this.#log.append({appends: []});
  }

  #tick(): void {
    this.#news.look();
    if (this.#isConnected) this.#growth.look();
    if (!this.#isClosed && this.#commits.isDue)
      this.#write().catch((error) => this.#fail(error as PlatformError));
  }

  async #recover(lane: Lane): Promise<void> {
    await recoverLane(lane, {
      client: this.#client,
      outbox: this.#outbox,
      log: this.#log,
      fences: this.#fences,
      nowMs: this.#clock.now(),
      write: () => this.#write(),
      lost: (message) => this.#options.telemetry.emit('Log', {level: 'error', message}),
      withdrawn: (records) => this.#news.withdrawn(lane, records),
    });
  }

  async #refused(lane: Lane, record: StoredBatch, error: PlatformError): Promise<void> {
    const letter = this.#options.refused?.(record, error);
    if (!letter) throw error;
    await this.#log.append({appends: [letter]});
    this.#news.refused(lane, record, error);
  }

  #changed(lane: Lane): void {
    if (lane.isSpooling && lane.failures === 0 && lane.bytes <= batchBytesMax) lane.isSpooling = false;
    this.#waiting.arrived(lane);
    if (lane.isSpooling) {
      this.#waiting.release(lane);
      lane.letGo();
    }
  }

  #fail(error: PlatformError): void {
    this.#failure ??= error;
    this.#waiting.releaseAll();
  }

  /** Bytes that wait for Kafka. */
  get bytes(): number {
    return this.#forwarder.bytes;
  }

  /** Whether the brokers can be reached, as far as is known. */
  get isConnected(): boolean {
    return this.#isConnected;
  }

  /**
   * Kafka's number of partitions, as it is now: it may grow. The wanted number is used when the topic is made
   * (`KafkaWriterOptions.topics`). @throws KAFKA_UNAVAILABLE for a topic that was never seen
   */
  ensureTopic(topic: string): number {
    return this.#growth.partitions(topic);
  }

  async append(given: AppendTransaction): Promise<AppendResult> {
    const refusal = this.#failure ?? this.#gate?.refusal();
    if (refusal) throw refusal;
    const transaction = this.#outbox.head.rebuilt ? withIds(given) : given;
    const result = await this.#log.append(transaction);
    const batches = this.#stored.get(transaction);
    if (!batches) return result;
    this.#stored.delete(transaction);
    const isArrived = await this.#waiting.wait(
      batches.map(({streamId, baseOffset, count}) => ({
        lane: this.#forwarder.lane(streamId)!,
        until: baseOffset + count,
      })),
      () => this.#gate?.refusal() !== undefined,
    );
    if (isArrived) return result;
    // Who holds the lease now takes it from the sender: what waits here is compared with that before it is shipped.
    const lost = this.#gate?.lateRefusal(given);
    if (lost) throw lost;
    this.#news.spooled(batches);
    return result;
  }

  progress(source: string): string | undefined {
    return this.#log.progress(source);
  }

  ledger(): IngestCounts[] {
    return this.#log.ledger();
  }

  /** Kafka's own retention deletes what it has; what was shipped leaves the outbox by itself. */
  trim(): number {
    return 0;
  }

  /** Gives what is under way some time; what does not arrive is shipped by the next process that opens the directory. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    if (this.#isConnected && !this.#failure && !this.#gate?.refusal()) await drained(this.#forwarder.lanes);
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.#gate?.close();
    this.#forwarder.close();
    this.#waiting.releaseAll();
    this.#client.close();
    if (this.#outbox.isChanged) await this.#write().catch(() => {});
    this.#news.close();
    await this.#log.close();
  }
}
