/**
 * Records of an outbox that take no place in Kafka: brokers refused them, or they were withdrawn, since another outbox had brought
 * their ids there before it was this one's turn. Their ids count no more as those of this outbox.
 *
 * What was settled and lies in no range is absent; of what is not settled a table says which records are withdrawn.
 */
import type {DatabaseSync} from 'node:sqlite';
import {corrupt, rowCrc} from './chain.ts';

/** Records [first, next) of a stream. */
export type Withdrawn = {first: number; next: number};

export class AbsentRecords {
  readonly #statements;
  readonly #absent = new Map<number, Set<number>>();
  /** Those that are not settled, by stream, in order. */
  readonly #withdrawn = new Map<number, Withdrawn[]>();
  #isChanged = false;

  /** Throws LOG_CORRUPT. */
  constructor(database: DatabaseSync) {
    this.#statements = {
      ranges: database.prepare('SELECT first, next FROM outbox_ranges WHERE stream = ? ORDER BY first'),
      set: database.prepare('INSERT OR REPLACE INTO outbox_withdrawn VALUES (?, ?, ?, ?)'),
      clear: database.prepare('DELETE FROM outbox_withdrawn'),
    };
    const rows = database
      .prepare('SELECT stream, first, next, crc FROM outbox_withdrawn ORDER BY stream, first')
      .all() as ({stream: number; crc: number} & Withdrawn)[];
    for (const {stream, first, next, crc} of rows) {
      if (rowCrc(stream, first, next) !== crc)
        throw corrupt('outbox', stream, first, 'the checksum of what was withdrawn differs');
      this.#note(stream, {first, next});
    }
  }

  #note(stream: number, range: Withdrawn): void {
    for (let offset = range.first; offset < range.next; offset++) this.add(stream, offset);
    const ranges = this.#withdrawn.get(stream);
    const last = ranges?.at(-1);
    if (last?.next === range.first) last.next = range.next;
    else if (ranges) ranges.push({...range});
    else this.#withdrawn.set(stream, [{...range}]);
  }

  /** Finds those below `shipped`, behind the first range of the stream. */
  read(stream: number, shipped: number): void {
    let end: number | undefined;
    for (const {first, next} of this.#statements.ranges.iterate(
      stream,
    ) as Iterable<unknown> as Iterable<Withdrawn>) {
      for (let offset = end ?? first; offset < first; offset++) this.add(stream, offset);
      end = next;
    }
    for (let offset = end ?? shipped; offset < shipped; offset++) this.add(stream, offset);
  }

  add(stream: number, offset: number): void {
    const offsets = this.#absent.get(stream);
    if (offsets) offsets.add(offset);
    else this.#absent.set(stream, new Set([offset]));
  }

  has(stream: number, offset: number): boolean {
    return this.#absent.get(stream)?.has(offset) === true;
  }

  /** @param offsets of records that are not settled, in any order */
  withdraw(stream: number, offsets: readonly number[]): void {
    const all = new Set(offsets);
    for (const {first, next} of this.#withdrawn.get(stream) ?? [])
      for (let offset = first; offset < next; offset++) all.add(offset);
    this.#withdrawn.delete(stream);
    for (const offset of [...all].sort((a, b) => a - b))
      this.#note(stream, {first: offset, next: offset + 1});
    this.#isChanged = true;
  }

  from(stream: number, offset: number): Withdrawn | undefined {
    return this.#withdrawn.get(stream)?.find(({next}) => next > offset);
  }

  get isChanged(): boolean {
    return this.#isChanged;
  }

  /** @param shipped gives below which offset all of a stream is settled: there the table says nothing any more */
  write(shipped: (stream: number) => number): void {
    for (const [stream, ranges] of this.#withdrawn) {
      const left = ranges.filter(({next}) => next > shipped(stream));
      if (left.length === ranges.length) continue;
      this.#isChanged = true;
      if (left.length > 0) this.#withdrawn.set(stream, left);
      else this.#withdrawn.delete(stream);
    }
    if (!this.#isChanged) return;
    this.#statements.clear.run();
    for (const [stream, ranges] of this.#withdrawn)
      for (const {first, next} of ranges)
        this.#statements.set.run(stream, first, next, rowCrc(stream, first, next));
  }

  /** What `write` wrote is durable. */
  written(): void {
    this.#isChanged = false;
  }
}
