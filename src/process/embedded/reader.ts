import {PlatformError} from '../../errors.ts';
import {failpoint} from '../../failpoint.ts';
import type {LogReader, RecordBatch} from '../../log/types.ts';
import {walkRecords} from '../../schema/frame.ts';
import type {DecodedBatch, TopicDecoder} from './decode.ts';
import {idOf} from './decode-frames.ts';
import {SchemaWanted, type WantedSchema, type WriterSchemas} from './worker-schemas.ts';

/** Bytes of one read, which is one turn. */
const readBytesMax = 2 ** 20;

/** One query's place in one partition; the reader moves `offset`. */
export type Cursor = {
  topic: string;
  partition: number;
  offset: number;
  /** @throws when the topic that has the name is not the one that the offset is of */
  check?(log: LogReader): void;
  /** Whether it may read now: not paused, not held, delta not too large. */
  wants(): boolean;
  /** Takes a batch that begins at `offset`. Must not throw: a query's failure is its own. */
  process(decoded: DecodedBatch): void;
  /** The log cannot be read there. */
  fail(error: unknown): void;
};

type Partition = {
  topic: string;
  partition: number;
  endOffset: number;
  cursors: Set<Cursor>;
  /** Offset -> schema ids without which the batch there cannot be decoded yet. Usually empty. */
  held: Map<number, Set<number>>;
  /** Its broker does not answer: it is not read before this time, `performance.now()`. */
  notBefore: number;
};

/** A partition whose broker does not answer is asked for again after so long, ms. */
const awayMs = 250;

/** Ids of one batch that are asked for at once; bytes that are no events can name many. */
const idsMax = 1024;

/**
 * Reads the partitions of one worker for all its queries. Cursors that stand at one offset share the read and the decode;
 * one that fell behind reads by itself until it meets the others. Turns go round over distinct positions, so a query that
 * catches up does not starve the live ones.
 */
export class Reader {
  #log: LogReader;
  #decoders: ReadonlyMap<string, TopicDecoder>;
  #schemas: WriterSchemas | undefined;
  #partitions = new Map<string, Partition>();
  /** Cursors that came from beyond the end of their partition: of a log that is another one, or lost records. A read tells. */
  #beyond = new Set<Cursor>();
  /** Positions of this round that had no turn yet. */
  #round: {partition: Partition; cursors: Cursor[]}[] = [];

  /** @param schemas what the decoders know; a partition waits where they have to ask */
  constructor(log: LogReader, decoders: ReadonlyMap<string, TopicDecoder>, schemas?: WriterSchemas) {
    this.#log = log;
    this.#decoders = decoders;
    this.#schemas = schemas;
  }

  add(cursor: Cursor): void {
    const {topic, partition} = cursor;
    const key = `${topic}/${partition}`;
    let known = this.#partitions.get(key);
    if (!known) {
      const endOffset = this.#log.endOffset(topic, partition);
      known = {topic, partition, endOffset, cursors: new Set(), held: new Map(), notBefore: 0};
      this.#partitions.set(key, known);
    }
    known.cursors.add(cursor);
    if (cursor.offset > known.endOffset) this.#beyond.add(cursor);
  }

  remove(cursor: Cursor): void {
    this.#beyond.delete(cursor);
    this.#partitions.get(`${cursor.topic}/${cursor.partition}`)?.cursors.delete(cursor);
  }

  /** Looks at the ends of the partitions again; wanted after an append. */
  refresh(): void {
    for (const known of this.#partitions.values()) {
      known.endOffset = this.#log.endOffset(known.topic, known.partition);
      this.#check(known);
    }
  }

  /** What reads a topic that is another one now fails. */
  #check({topic, cursors}: Partition): void {
    if (this.#log.topicId?.(topic) === undefined) return;
    for (const cursor of [...cursors])
      try {
        cursor.check?.(this.#log);
      } catch (error) {
        cursor.fail(error);
      }
  }

  /** End of a partition at the last look; undefined when nobody reads it here. */
  endOffset(topic: string, partition: number): number | undefined {
    return this.#partitions.get(`${topic}/${partition}`)?.endOffset;
  }

  /** Whether some query may read something. */
  hasWork(): boolean {
    const now = performance.now();
    for (const {endOffset, cursors, held, notBefore} of this.#partitions.values())
      for (const cursor of notBefore > now ? [] : cursors)
        if (this.#isWork(cursor, endOffset) && !held.has(cursor.offset) && cursor.wants()) return true;
    return false;
  }

  #isWork(cursor: Cursor, endOffset: number): boolean {
    return cursor.offset < endOffset || this.#beyond.has(cursor);
  }

  /** Whether some partition waits for a schema. */
  isWaiting(): boolean {
    for (const {held} of this.#partitions.values()) if (held.size > 0) return true;
    return false;
  }

  /** What is to be said of a schema is known: what waited for it goes on. */
  answered(id: number): void {
    for (const {held} of this.#partitions.values())
      for (const [offset, ids] of held) if (ids.delete(id) && ids.size === 0) held.delete(offset);
  }

  /**
   * One read at one position, handed to every query that stands there; where the log cannot be read, they fail.
   * @returns whether there was anything to read
   */
  async turn(): Promise<boolean> {
    if (this.#round.length === 0) this.#round = this.#positions();
    for (let next = this.#round.shift(); next; next = this.#round.shift()) {
      const {partition, cursors} = next;
      const [first] = cursors.filter((cursor) => partition.cursors.has(cursor) && cursor.wants());
      if (!first || !this.#isWork(first, partition.endOffset) || partition.held.has(first.offset)) continue;
      const {offset} = first;
      try {
        await this.#read(partition, offset);
      } catch (error) {
        // It is not the query's failure, and passes: others are read meanwhile.
        if (error instanceof PlatformError && error.code === 'KAFKA_UNAVAILABLE')
          partition.notBefore = performance.now() + awayMs;
        else for (const cursor of [...partition.cursors]) if (cursor.offset === offset) cursor.fail(error);
      }
      return true;
    }
    return false;
  }

  #positions(): {partition: Partition; cursors: Cursor[]}[] {
    const positions = [];
    const now = performance.now();
    for (const partition of this.#partitions.values()) {
      if (partition.notBefore > now) continue;
      const byOffset = new Map<number, Cursor[]>();
      for (const cursor of partition.cursors) {
        const {offset} = cursor;
        const isWork = this.#isWork(cursor, partition.endOffset);
        if (!isWork || partition.held.has(offset) || !cursor.wants()) continue;
        byOffset.set(offset, [...(byOffset.get(offset) ?? []), cursor]);
      }
      for (const cursors of byOffset.values()) positions.push({partition, cursors});
    }
    return positions;
  }

  async #read(partition: Partition, offset: number): Promise<void> {
    const decoder = this.#decoders.get(partition.topic)!;
    const batches = await this.#log.read(partition.topic, partition.partition, offset, readBytesMax);
    failpoint('engine.after-read');
    // Ids do not come back: a topic that is the same now was the same when it was read.
    this.#check(partition);
    // The log knows the offset: an end that was seen before was old.
    for (const cursor of partition.cursors) if (cursor.offset === offset) this.#beyond.delete(cursor);
    for (const batch of batches) {
      const endOffset = batch.baseOffset + batch.count;
      // Usually one group: after the first read of a query all positions are ends of batches.
      const here = new Map<number, Cursor[]>();
      for (const cursor of partition.cursors) {
        const isHere = cursor.offset >= batch.baseOffset && cursor.offset < endOffset;
        if (isHere && !partition.held.has(cursor.offset) && cursor.wants())
          here.set(cursor.offset, [...(here.get(cursor.offset) ?? []), cursor]);
      }
      if (here.size === 0) break;
      for (const [from, cursors] of here) {
        const decoded = this.#decode(decoder, partition, batch, from);
        if (!decoded) continue;
        for (const cursor of cursors) {
          cursor.process(decoded);
          cursor.offset = endOffset;
        }
      }
      partition.endOffset = Math.max(partition.endOffset, endOffset);
    }
  }

  /** Undefined where a schema is not known yet: the place is held until it is. */
  #decode(
    decoder: TopicDecoder,
    {topic, partition, held}: Partition,
    batch: RecordBatch,
    from: number,
  ): DecodedBatch | undefined {
    try {
      return decoder.decode(batch, from);
    } catch (error) {
      if (!(error instanceof SchemaWanted)) throw error;
      const ids = new Set([error.id]);
      // All of the batch at once: one wait for them, not one after the other.
      walkRecords(batch, (index, pos, end) => {
        if (batch.baseOffset + index < from || ids.size >= idsMax) return;
        if (end - pos < 5 || batch.bytes[pos] !== 0) return;
        const id = idOf(batch.bytes, pos);
        if (this.#schemas!.isWanted(id)) ids.add(id);
      });
      held.set(from, ids);
      this.#schemas!.want([...ids].map((id): WantedSchema => ({id, topic, partition, offset: from})));
      return undefined;
    }
  }
}
