/** Generated events -> batches of a log transaction, and what cannot be events. Buffers are used again. */
import type {Value} from '../expr/types.ts';
import {type Partitions, partitionsOf} from '../log/partition.ts';
import type {Append} from '../log/types.ts';
import type {Domain} from '../model/types.ts';
import {schemaIdOf} from '../schema/frame.ts';
import {DecodeFailure} from '../schema/read.ts';
import {type CheckFailure, compileChecks} from './checks.ts';
import {damaged} from './faults.ts';
import type {Generator} from './generator.ts';

/** Records of one kind, one behind the other: with ids where a second copy is or will be sent. */
type Segment = {from: number; count: number; ids: string[] | undefined};
type Buffer = {u8: Uint8Array; view: DataView; end: number; segments: Segment[]};

/** An event that does not reach its topic. `original`: its frame as it was sent. */
export type Rejected = {
  type: number;
  n: number;
  stage: string;
  code: string;
  message: string;
  eventId: string;
  original: Uint8Array;
};

/** An event that its type's transform sees before it is one of the chunk. `original`: its frame. */
export type Untransformed = {
  type: number;
  n: number;
  eventId: string;
  duplicate: boolean;
  values: Record<string, Value>;
  original: Uint8Array;
};

/** What the log was given of one event type. */
export type ChunkCounts = {received: number; appended: number; rejected: number};

/** A transaction holds at most about so many bytes. */
const bytesMax = 1024 * 1024;
const bufferBytes = 64 * 1024;
const rejectedMax = 2_000;
/** Events of one transaction that wait for a transform: each may become many. */
const waitingMax = 500;

export class Chunk {
  readonly rejected: Rejected[] = [];
  /** In the order in which they were made; whoever transforms them gives back what became of each with `put` or `reject`. */
  readonly waiting: Untransformed[] = [];
  readonly counts: ChunkCounts[];
  /** Events that were taken. */
  events = 0;
  full = false;
  readonly #generator: Generator;
  readonly #buffers: Buffer[][];
  /** By event type: the first check that the decided event fails. */
  readonly #checks: ((() => CheckFailure | undefined) | undefined)[];
  readonly #topics: string[];
  /** By event type. */
  readonly #transformed: boolean[];
  #bytes = 0;

  constructor(generator: Generator, {eventTypes}: Pick<Domain, 'eventTypes'>, partitions: Partitions) {
    this.#generator = generator;
    this.#topics = eventTypes.map(({topic}) => topic);
    this.#transformed = eventTypes.map(({transform}) => transform !== undefined);
    this.#checks = eventTypes.map((eventType, type) => {
      // Of an event type with a transform, what comes out of it is checked.
      const checks = this.#transformed[type] ? undefined : compileChecks(eventType);
      if (!checks) return undefined;
      const read = generator.shapes[type]!.pick(checks.wanted);
      return () => checks.failed(read(generator.timeMs, generator.made));
    });
    this.counts = eventTypes.map(() => ({received: 0, appended: 0, rejected: 0}));
    this.#buffers = eventTypes.map(({topic}) =>
      Array.from({length: partitionsOf(partitions, topic)}, () => {
        const u8 = new Uint8Array(bufferBytes);
        return {u8, view: new DataView(u8.buffer), end: 0, segments: []};
      }),
    );
  }

  /** Takes the event that the generator has decided. */
  add(): void {
    const {type, made, fault, duplicate, timeMs, shapes} = this.#generator;
    const shape = shapes[type]!;
    const counts = this.counts[type]!;
    const buffer = this.#buffers[type]![shape.partition(made)]!;
    if (buffer.end + 2 * shape.sizeMax > buffer.u8.length) grow(buffer);
    const from = buffer.end;
    const end = shape.write(buffer.u8, buffer.view, from, timeMs, made);
    this.events++;
    if (this.#transformed[type] && fault !== 'corrupt' && fault !== 'drift') {
      this.#wait(buffer.u8.slice(from + 4, end));
      return;
    }
    counts.received++;
    if (fault === 'corrupt' || fault === 'drift' || this.#checks[type] !== undefined) {
      const rejected = this.#judge(buffer.u8.subarray(from + 4, end));
      if (rejected) {
        counts.rejected++;
        this.rejected.push(rejected);
        if (this.rejected.length >= rejectedMax) this.full = true;
        return;
      }
    }
    counts.appended++;
    buffer.end = end;
    const last = buffer.segments[buffer.segments.length - 1];
    if (!duplicate) {
      if (last !== undefined && last.ids === undefined) last.count++;
      else buffer.segments.push({from, count: 1, ids: undefined});
    } else this.#twice(buffer, from, last);
    this.#bytes += end - from;
    if (this.#bytes >= bytesMax) this.full = true;
  }

  #wait(original: Uint8Array): void {
    const {type, made, duplicate, shapes} = this.#generator;
    const eventId = shapes[type]!.idOf(made.n);
    this.waiting.push({type, n: made.n, eventId, duplicate, values: this.#generator.values(), original});
    if (this.waiting.length >= waitingMax) this.full = true;
  }

  /** Takes an event that a transform made: its record (length and frame), sent twice for a duplicate. */
  put(type: number, partition: number, record: Uint8Array, id: string, isDuplicate: boolean): void {
    const buffer = this.#buffers[type]![partition]!;
    const copies = isDuplicate ? 2 : 1;
    const counts = this.counts[type]!;
    let last = buffer.segments[buffer.segments.length - 1];
    if (last?.ids === undefined) {
      last = {from: buffer.end, count: 0, ids: []};
      buffer.segments.push(last);
    }
    for (let copy = 0; copy < copies; copy++) {
      while (buffer.end + record.length > buffer.u8.length) grow(buffer);
      buffer.u8.set(record, buffer.end);
      buffer.end += record.length;
      last.ids!.push(id);
    }
    last.count += copies;
    counts.received += copies;
    counts.appended += copies;
  }

  /** Takes an event that is none after all. */
  reject(rejected: Rejected): void {
    const counts = this.counts[rejected.type]!;
    counts.received++;
    counts.rejected++;
    this.rejected.push(rejected);
  }

  /** The event and its second copy, both with their id, so that the log keeps one. */
  #twice(buffer: Buffer, from: number, last: Segment | undefined): void {
    const {type, made, shapes} = this.#generator;
    const {end} = buffer;
    buffer.u8.copyWithin(end, from, end);
    buffer.end = end + (end - from);
    const id = shapes[type]!.idOf(made.n);
    this.counts[type]!.received++;
    this.counts[type]!.appended++;
    if (last?.ids !== undefined) {
      last.ids.push(id, id);
      last.count += 2;
    } else buffer.segments.push({from, count: 2, ids: [id, id]});
  }

  /** Why the event that was written as `frame` is none; undefined when it is one. */
  #judge(frame: Uint8Array): Rejected | undefined {
    const {type, made, fault, shapes} = this.#generator;
    const broken = fault === 'corrupt' || fault === 'drift';
    const original = broken ? damaged(frame, fault, made.a, made.b) : frame;
    const failure = broken ? unreadable(original) : this.#checks[type]?.();
    if (!failure) return undefined;
    return {
      type,
      n: made.n,
      stage: broken ? 'decode' : 'check',
      ...failure,
      eventId: shapes[type]!.idOf(made.n),
      original: Uint8Array.from(original),
    };
  }

  appends(): Append[] {
    return this.#buffers.flatMap((partitions, type) =>
      partitions.flatMap(({u8, end, segments}, partition) =>
        segments.map(({from, count, ids}, index) => ({
          topic: this.#topics[type]!,
          partition,
          count,
          bytes: u8.subarray(from, segments[index + 1]?.from ?? end),
          ...(ids === undefined ? {} : {ids}),
        })),
      ),
    );
  }

  clear(): void {
    for (const partitions of this.#buffers)
      for (const buffer of partitions) {
        buffer.end = 0;
        buffer.segments.length = 0;
      }
    for (const counts of this.counts) counts.received = counts.appended = counts.rejected = 0;
    this.rejected.length = 0;
    this.waiting.length = 0;
    this.events = 0;
    this.full = false;
    this.#bytes = 0;
  }
}

function grow(buffer: Buffer): void {
  const u8 = new Uint8Array(2 * buffer.u8.length + 65_536);
  u8.set(buffer.u8.subarray(0, buffer.end));
  buffer.u8 = u8;
  buffer.view = new DataView(u8.buffer);
}

/** What a reader of the log would say of the frame. */
function unreadable(frame: Uint8Array): CheckFailure {
  try {
    const id = schemaIdOf(frame, 0, frame.length);
    if (id >= 0x7fff_0000) return {code: 'UNKNOWN_SCHEMA', message: `the registry has no schema ${id}`};
  } catch (failure) {
    if (!(failure instanceof DecodeFailure)) throw failure;
    return {code: 'DECODE', message: failure.message};
  }
  return {code: 'DECODE', message: 'the record ends before its last field'};
}
