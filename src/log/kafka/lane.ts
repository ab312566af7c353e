/** A partition on its way to Kafka: what waits, what is under way, what arrived. It decides nothing about time or brokers. */
import assert from 'node:assert/strict';
import type {Stream} from '../chain.ts';
import type {Outbox} from '../outbox.ts';
import type {StoredBatch} from '../outbox-tables.ts';
import {
  type Compression,
  type EncodedBatch,
  encodeBatch,
  encodeEmpty,
  type HeadersOf,
  nextSequence,
  setProducer,
} from './batch-write.ts';
import {provenanceOf} from './provenance.ts';
import {markHeader, offsetHeader, outboxHeader} from './record.ts';

/** A batch that was encoded and is not acknowledged. */
export type Sent = {
  batch: EncodedBatch;
  /** Offsets of the outbox: of its first record, and after its last. */
  first: number;
  next: number;
  sequence: number;
  isUnderWay: boolean;
  /** Where it lies in Kafka, when it was acknowledged before one that was sent earlier. */
  base: number | undefined;
  /** A broker has refused it for good, once. */
  wasRefused?: boolean;
};

/** `open`: batches go out. `unknown`: what arrived must be looked up first. `refused`: the broker refuses the next batch. */
export type LaneState = 'open' | 'unknown' | 'recovering';

/** Parts of what waits are counted together up to this size. */
const sizeStep = 64 * 1024;
/** Brokers forget a producer that is silent for a day (`producer.id.expiration.ms`); a part of that, ms. */
const knownMs = 600_000;
/** What is read of the outbox at once. */
const readBytes = 1024 * 1024;

export class Lane {
  readonly stream: Readonly<Stream>;
  readonly #outbox: string;
  readonly #compression: Compression;
  readonly #headersOf: HeadersOf | undefined;
  state: LaneState;
  /** Producer of its batches. */
  producer = {id: -1, epoch: -1};
  #sequence = 0;
  /** When a broker has last taken a batch of the producer, ms of performance.now(). */
  #takenMs = -Infinity;
  /** Committed batches whose bytes are at hand; empty although something waits: it is read from the outbox. */
  #waiting: StoredBatch[] = [];
  /** Position of the next record in the first of them. */
  #at = 0;
  /** Offset of the next record that is encoded. */
  #offset: number;
  /** Offset after the last record whose bytes are at hand. */
  #tail: number;
  #sent: Sent[] = [];
  #acknowledged: number;
  #end: number;
  #sizes: {next: number; bytes: number}[] = [];
  #bytes = 0;
  /** Attempts in a row that failed. */
  failures = 0;
  /** No attempt before, ms of performance.now(). */
  notBefore = 0;
  /** Most that the next batch may hold; smaller while a broker refuses one. */
  countMax = Number.POSITIVE_INFINITY;
  /** First offset that the partition in Kafka still has, as far as it was asked. */
  kafkaStart = 0;
  /** Its appends are acknowledged when they are durable in the outbox. */
  isSpooling = false;

  constructor(
    stream: Readonly<Stream>,
    options: {outbox: string; compression: Compression; shipped: number},
  ) {
    this.stream = stream;
    this.#outbox = options.outbox;
    this.#compression = options.compression;
    this.#headersOf = provenanceOf(stream.topic);
    this.#acknowledged = this.#offset = this.#tail = options.shipped;
    this.#end = stream.endOffset;
    this.state = options.shipped < stream.endOffset ? 'unknown' : 'open';
  }

  /** Everything below is in Kafka, offset of the outbox. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Of the outbox: offset of the next record that is committed. */
  get end(): number {
    return this.#end;
  }

  /** Bytes of records that are not acknowledged. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes at hand that were not encoded yet. */
  get bytesAtHand(): number {
    let bytes = -this.#at;
    for (const batch of this.#waiting) bytes += batch.bytes.length;
    return this.#waiting.length === 0 ? 0 : bytes;
  }

  /** Records wait that were not encoded. */
  get hasWaiting(): boolean {
    return this.#offset < this.#end;
  }

  /** A batch is acknowledged, and one that was sent before it is not. */
  get hasArrivedBehind(): boolean {
    return this.#sent.some(({base}) => base !== undefined);
  }

  /** Batches that failed and are to be sent again. */
  get hasFailed(): boolean {
    return this.#sent.some(({isUnderWay, base}) => !isUnderWay && base === undefined);
  }

  get underWay(): number {
    return this.#sent.filter(({isUnderWay}) => isUnderWay).length;
  }

  get isEmpty(): boolean {
    return this.#acknowledged === this.#end;
  }

  /** Counts what the outbox had when it was opened. */
  count(next: number, bytes: number): void {
    const last = this.#sizes.at(-1);
    if (last && last.bytes < sizeStep) {
      last.next = next;
      last.bytes += bytes;
    } else this.#sizes.push({next, bytes});
    this.#bytes += bytes;
  }

  /** A batch was committed. @param keep its bytes may be held until it is acknowledged */
  add(batch: StoredBatch, keep: boolean): void {
    this.#end = batch.baseOffset + batch.count;
    this.count(this.#end, batch.bytes.length);
    if (!keep || this.#tail !== batch.baseOffset) return;
    this.#waiting.push(batch);
    this.#tail = this.#end;
  }

  /** Bytes that are not encoded belong to others again: they are read from the outbox when their turn comes. */
  letGo(): void {
    this.#waiting = [];
    this.#at = 0;
    this.#tail = this.#offset;
  }

  /** Reads what waits when it is not at hand. */
  load(read: (stream: Readonly<Stream>, offset: number, bytesMax: number) => StoredBatch[]): void {
    if (this.#waiting.length > 0 || !this.hasWaiting) return;
    const batches = read(this.stream, this.#offset, readBytes);
    const first = batches[0];
    assert(first && first.baseOffset <= this.#offset, 'the outbox holds what was not acknowledged');
    this.#waiting = batches;
    this.#at = 0;
    const view = new DataView(first.bytes.buffer, first.bytes.byteOffset, first.bytes.length);
    for (let skip = this.#offset - first.baseOffset; skip > 0; skip--)
      this.#at += 4 + view.getUint32(this.#at, true);
    this.#tail = batches.at(-1)!.baseOffset + batches.at(-1)!.count;
  }

  /** The first batch that is to be sent again. */
  again(): Sent | undefined {
    const sent = this.#sent.find(({isUnderWay, base}) => !isUnderWay && base === undefined);
    if (sent) sent.isUnderWay = true;
    return sent;
  }

  /** Offset of the outbox: of the next record that is encoded. */
  get offset(): number {
    return this.#offset;
  }

  /** Encodes the next records that are at hand, `countMax` at most. */
  encode(bytesMax: number, countMax: number): Sent {
    const [head] = this.#waiting;
    assert(head, 'something is at hand');
    const first = this.#offset;
    const headers = [
      [outboxHeader, this.#outbox],
      [offsetHeader, String(first)],
    ] as const;
    const common = {timeMs: head.appendMs, compression: this.#compression, headersOf: this.#headersOf};
    let batch: EncodedBatch;
    let given = 1;
    if (head.markMs !== undefined)
      batch = encodeEmpty({...common, headers: [...headers, [markHeader, String(head.markMs)]]});
    else {
      const mark = this.#waiting.findIndex(({markMs}) => markMs !== undefined);
      const batches = mark < 0 ? this.#waiting : this.#waiting.slice(0, mark);
      const sources = batches.map(({bytes}, index) => ({bytes, at: index === 0 ? this.#at : 0}));
      given = sources.length;
      batch = encodeBatch(sources, {...common, headers}, bytesMax, Math.min(countMax, this.countMax));
    }
    this.#waiting.splice(0, batch.sources);
    this.#at = batch.sources < given ? batch.end : 0;
    this.#offset = first + batch.count;
    const sent: Sent = {
      batch,
      first,
      next: this.#offset,
      sequence: this.#sequence,
      isUnderWay: true,
      base: undefined,
    };
    setProducer(batch, {...this.producer, sequence: sent.sequence});
    this.#sequence = nextSequence(this.#sequence, batch.count);
    this.#sent.push(sent);
    return sent;
  }

  /** The broker has the batch at `base`. @returns what arrived in the order of the outbox: ranges that are settled now */
  arrived(sent: Sent, base: number): {first: number; next: number; kafka: number}[] {
    sent.isUnderWay = false;
    sent.base = base;
    this.#takenMs = performance.now();
    const settled: {first: number; next: number; kafka: number}[] = [];
    for (let head = this.#sent[0]; head?.base !== undefined; head = this.#sent[0]) {
      this.#sent.shift();
      settled.push({first: head.first, next: head.next, kafka: head.base});
      this.#settle(head.next);
    }
    return settled;
  }

  #settle(next: number): void {
    this.#acknowledged = next;
    let done = 0;
    for (const {next: end, bytes} of this.#sizes) {
      if (end > next) break;
      this.#bytes -= bytes;
      done++;
    }
    this.#sizes.splice(0, done);
  }

  failed(sent: Sent): void {
    sent.isUnderWay = false;
  }

  /** Whether it is the batch that everything else waits for. */
  isFirst(sent: Sent): boolean {
    return this.#sent[0] === sent;
  }

  /** Takes back what was encoded and did not arrive: it is encoded anew, by the same producer. Nothing may be under way. */
  takeBack(): void {
    const [head] = this.#sent;
    if (head === undefined) return;
    assert.equal(this.underWay, 0, 'nothing is under way');
    assert(
      this.#sent.every(({base}) => base === undefined),
      'nothing arrived behind what did not',
    );
    this.#sent = [];
    this.#sequence = head.sequence;
    this.#offset = head.first;
    this.letGo();
  }

  /** Everything below `acknowledged` is settled; the rest is encoded anew. */
  restart(acknowledged: number): void {
    this.#sent = [];
    this.#settle(acknowledged);
    this.#offset = acknowledged;
    this.letGo();
  }

  /** Its next batches are those of another producer, or of another epoch. */
  setProducer(id: number, epoch: number, sequence: number): void {
    this.producer = {id, epoch};
    this.#sequence = sequence;
    this.#takenMs = sequence > 0 ? performance.now() : -Infinity;
  }

  /**
   * Whether the broker knows the producer. One that it does not know may begin with any number: a second batch would be taken although
   * the first was refused, and what is left of that one could not follow in its order.
   */
  get isKnown(): boolean {
    return performance.now() - this.#takenMs < knownMs;
  }
}

/** The lane of a stream, as the outbox has it. */
export function openLane(stream: Readonly<Stream>, outbox: Outbox, compression: Compression): Lane {
  const shipped = outbox.position(stream.id)?.shipped ?? stream.startOffset;
  const lane = new Lane(stream, {outbox: outbox.head.name, compression, shipped});
  outbox.sizes(stream, shipped, (next, bytes) => lane.count(next, bytes));
  return lane;
}
