/**
 * The log in Kafka as its readers see it: committed records only, raw answers walked into our batches. Questions about offsets
 * are answered as of the last look; what only an outbox knows (ledger, progress, ids) is asked of it where this machine has one.
 */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {PlatformError} from '../../errors.ts';
import type {OpenLogOptions} from '../open.ts';
import {openLogReader} from '../reader.ts';
import type {Reread} from '../rereads.ts';
import {remade} from '../topic-ids.ts';
import type {IngestCounts, LogReader, RecordBatch, TransformCounts} from '../types.ts';
import {BatchFailure} from './batch-header.ts';
import {KafkaClient} from './client.ts';
import {EndTable} from './ends.ts';
import {Fetcher} from './fetcher.ts';
import {commitOffsets} from './group-offsets.ts';
import {listOffsets, type Partition} from './offsets.ts';
import {patiently} from './patience.ts';
import {readOnce} from './read-once.ts';
import {lostBeyond, trimmed, unled, unreadable} from './reader-errors.ts';
import {clientDefaults, type KafkaSettings} from './settings.ts';
import type {Stream} from './stream.ts';
import {StreamTable} from './stream-table.ts';
import {anyBroker, noLeader} from './trouble.ts';

/** As the log is opened, whatever it is in. */
export type KafkaReaderOptions = OpenLogOptions;

/** How long a read waits that is not told otherwise: leaders change within it. */
const patienceDefaultMs = 20_000;
/** Ends of partitions that nobody polls are asked for so often, while somebody wants to know them, ms. */
const lookMs = 250;
/** A look at the ends that somebody waits for takes no longer, ms. */
const endsMsMax = 1_000;
/** A smaller read is a question about one place: nothing is read ahead for it. */
const smallRead = 16 * 1024;

/** Opens the log for reading. Throws KAFKA_UNAVAILABLE, KAFKA_ACCESS, KAFKA_PROTOCOL, and of an outbox LOG_CORRUPT, LOG_FORMAT. */
export async function openKafkaReader(
  source: {dir: string; counter?: SharedArrayBuffer; kafka: KafkaSettings},
  options: KafkaReaderOptions = {},
): Promise<KafkaReader> {
  const outbox = () =>
    existsSync(join(source.dir, 'log.db'))
      ? openLogReader(source.dir, source.counter ? {counter: source.counter} : {})
      : undefined;
  const reader = new KafkaReader(new KafkaClient(source.kafka), outbox, options);
  try {
    await reader.refresh(options.topics);
    return reader;
  } catch (error) {
    reader.close();
    throw error;
  }
}

export class KafkaReader implements LogReader {
  readonly #client: KafkaClient;
  readonly #openOutbox: () => LogReader | undefined;
  #outbox: LogReader | undefined;
  readonly #patienceMs: number;
  readonly #metadataMs: number;
  readonly #reread: (told: Reread) => void;
  readonly #fetcher: Fetcher;
  readonly #ends: EndTable;
  readonly #streams: StreamTable;
  #seen = 0;
  #looking: Promise<void> | undefined;
  #metadataAt = 0;
  readonly #timer: NodeJS.Timeout;
  readonly #closing = new AbortController();

  /** @param outbox opens the embedded log of this machine; undefined when there is none (yet) */
  constructor(client: KafkaClient, outbox: () => LogReader | undefined, options: KafkaReaderOptions) {
    this.#client = client;
    this.#openOutbox = outbox;
    this.#patienceMs = options.patienceMs ?? patienceDefaultMs;
    this.#metadataMs = client.settings.client?.metadataMs ?? clientDefaults.metadataMs;
    this.#reread = options.reread ?? (() => {});
    this.#ends = new EndTable();
    this.#fetcher = new Fetcher(
      client,
      {
        offsets: (stream, start, end) => this.#ends.told(stream, start, end),
        endOf: (topic, partition) => this.#ends.end(topic, partition),
        reread: this.#reread,
      },
      {reuse: options.reuse === true, gapMs: options.gapMs ?? 0},
    );
    this.#streams = new StreamTable(this.#fetcher.streams);
    client.remade = (topic) => {
      this.#ends.forget(topic);
      const is = this.topicId(topic) ?? '';
      this.#streams.end(topic, ({topicId: was = ''}) => remade(topic, {was, is}));
    };
    this.#timer = setInterval(() => this.#tick(), lookMs);
    this.#timer.unref();
  }

  identity(): string {
    return `Kafka cluster ${this.#client.metadata.clusterId}`;
  }

  topicId(topic: string): string | undefined {
    return this.#client.metadata.topicIds.get(topic);
  }

  /** Why the brokers cannot be read just now, and for how long, ms; undefined when they can. */
  trouble(): {error: PlatformError; ms: number} | undefined {
    return this.#fetcher.trouble.now();
  }

  async refresh(topics: readonly string[] = []): Promise<void> {
    await this.#patiently(async () => {
      const metadata = await this.#client.refreshMetadata();
      this.#metadataAt = performance.now();
      const all: Partition[] = [];
      for (const [topic, partitions] of metadata.topics)
        for (const partition of partitions.keys()) all.push({topic, partition});
      const untold = await Promise.all([this.#look(all, 'start'), this.#look(all, 'end')]);
      const missed = untold.flat().find(({topic}) => topics.includes(topic));
      if (missed) throw this.#unled(missed);
    });
  }

  async lookAtEnds(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, endsMsMax, false);
    });
    const looked = this.#look(this.#ends.wanted(), 'end').then(
      (untold) => untold.length === 0,
      () => false,
    );
    return Promise.race([looked, over]).finally(() => clearTimeout(timer));
  }

  topics(): string[] {
    return [...this.#client.metadata.topics.keys()];
  }

  partitions(topic: string): number {
    return this.#client.metadata.topics.get(topic)?.length ?? 0;
  }

  startOffset(topic: string, partition: number): number {
    return this.#ends.start(topic, partition);
  }

  endOffset(topic: string, partition: number): number {
    return this.#ends.ask(topic, partition);
  }

  async read(topic: string, partition: number, offset: number, bytesMax: number): Promise<RecordBatch[]> {
    if (partition >= this.partitions(topic)) return [];
    const found = this.#streams.at(topic, partition, offset);
    const again = found?.again(offset);
    if (again) return again;
    if (!found || (!found.hasRecords && found.failure === undefined)) {
      // Who reads at the end wants to know when it moves.
      const end = () => this.#ends.ask(topic, partition);
      if (offset > end()) await this.#patiently(() => this.#lookSurely({topic, partition}, 'end'));
      if (offset === end()) return [];
      if (offset > end()) throw lostBeyond(topic, partition, offset, end());
      const start = () => this.#ends.start(topic, partition);
      // What is gone has to be said twice.
      if (offset < start()) await this.#patiently(() => this.#lookSurely({topic, partition}, 'start'));
      if (offset < start()) throw trimmed(topic, partition, offset, start());
    }
    if (!found && bytesMax < smallRead)
      return this.#patiently(() =>
        readOnce(this.#client, {topic, partition, offset, bytesMax}, this.#reread),
      );
    const stream = found ?? this.#streams.add(topic, partition, offset, this.topicId(topic));
    return this.#take(stream, offset, bytesMax);
  }

  async #take(stream: Stream, offset: number, bytesMax: number): Promise<RecordBatch[]> {
    stream.usedAt = performance.now();
    this.#fetcher.pump();
    if (!stream.hasRecords && stream.failure === undefined) {
      await stream.arrival(this.#patienceMs);
      // Another read of the same place, which waited as well, has taken what came.
      if (stream.head !== offset) return this.read(stream.topic, stream.partition, offset, bytesMax);
    }
    stream.usedAt = performance.now();
    try {
      if (stream.hasRecords) return stream.take(bytesMax);
    } catch (error) {
      if (!(error instanceof BatchFailure)) throw error;
      stream.restart();
      this.#fetcher.again(stream, unreadable(stream.topic, stream.partition, offset, error.message));
      return this.#take(stream, offset, bytesMax);
    } finally {
      this.#fetcher.pump();
    }
    if (stream.failure === undefined) throw this.#unavailable(`${stream.topic}/${stream.partition}`);
    // The next read asks again: what is wrong may have been mended.
    this.#streams.drop(stream);
    throw stream.failure;
  }

  async waitForAppend(timeoutMs: number): Promise<boolean> {
    const untilMs = performance.now() + timeoutMs;
    // Its own: what another one who waits meanwhile has seen, this one has not.
    const seen = this.#seen;
    for (;;) {
      if (this.#ends.news !== seen) {
        this.#seen = this.#ends.news;
        return true;
      }
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0 || this.#closing.signal.aborted) return false;
      await this.#ends.nextNews(leftMs);
    }
  }

  publish(name: string, places: {topic: string; partition: number; offset: number}[]): Promise<void> {
    const offsets = places.map((place) => ({...place, metadata: ''}));
    return commitOffsets(this.#client, `${this.#client.settings.clientId}.${name}`, offsets);
  }

  ledger(): IngestCounts[] {
    return this.#box()?.ledger() ?? [];
  }

  transformed(): TransformCounts[] {
    return this.#box()?.transformed() ?? [];
  }

  progress(source: string): string | undefined {
    return this.#box()?.progress(source);
  }

  knows(topic: string, ids: readonly string[]): boolean[] {
    return this.#box()?.knows(topic, ids) ?? ids.map(() => false);
  }

  placeOf(topic: string, id: string): {partition: number; offset: number} | undefined {
    return this.#box()?.placeOf(topic, id);
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new PlatformError('KAFKA_UNAVAILABLE', 'the reader was closed'));
    clearInterval(this.#timer);
    for (const stream of this.#fetcher.streams) stream.fail(this.#closing.signal.reason);
    this.#fetcher.close();
    this.#client.close();
    this.#outbox?.close();
    this.#ends.wake();
  }

  #box(): LogReader | undefined {
    this.#outbox ??= this.#openOutbox();
    return this.#outbox;
  }

  /** @returns the partitions of which nobody told it */
  #look(places: readonly Partition[], kind: 'start' | 'end'): Promise<Partition[]> {
    return listOffsets(this.#client, places, kind, (place, offset) => {
      if (kind === 'start') this.#ends.told(place, offset, 0);
      else this.#ends.told(place, 0, offset);
    });
  }

  /** @throws KAFKA_UNAVAILABLE when nobody tells where the partition begins, or ends */
  async #lookSurely(place: Partition, kind: 'start' | 'end'): Promise<void> {
    const startsAt = (_: Partition, offset: number) => this.#ends.startsAt(place, offset);
    const looked =
      kind === 'end' ? this.#look([place], kind) : listOffsets(this.#client, [place], kind, startsAt);
    const [untold] = await looked;
    if (untold) throw this.#unled(untold);
  }

  #unled({topic, partition}: Partition): PlatformError {
    return unled(topic, partition, this.#client.partition(topic, partition)?.leader ?? -1);
  }

  #tick(): void {
    const now = performance.now();
    this.#streams.expire(now);
    if (this.#looking) return;
    const wanted = this.#ends.wanted((key) => !this.#streams.isAsked(key));
    const isOld = now - this.#metadataAt > this.#metadataMs;
    if (wanted.length === 0) this.#fetcher.trouble.clear(noLeader);
    if (wanted.length === 0 && !isOld) return;
    this.#looking = (async () => {
      if (isOld) await this.#client.refreshMetadata();
      if (isOld) this.#metadataAt = performance.now();
      const [untold] = wanted.length > 0 ? await this.#look(wanted, 'end') : [];
      if (untold) this.#fetcher.trouble.note(noLeader, this.#unled(untold));
      else this.#fetcher.trouble.clear(noLeader);
    })()
      .then(
        () => this.#fetcher.trouble.clear(anyBroker),
        (error: unknown) => this.#fetcher.trouble.note(anyBroker, error),
      )
      .finally(() => {
        this.#looking = undefined;
      });
  }

  #unavailable(place: string): PlatformError {
    const {error} = this.trouble() ?? {};
    return new PlatformError(
      'KAFKA_UNAVAILABLE',
      error?.message ?? `${place} was not answered within ${this.#patienceMs} ms`,
      {hint: error?.hint ?? 'check that the brokers run', place, cause: error},
    );
  }

  #patiently<T>(work: () => Promise<T>): Promise<T> {
    return patiently(this.#patienceMs, work, this.#closing.signal);
  }
}
