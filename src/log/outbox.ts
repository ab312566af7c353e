/** The outbox: what of an embedded log was shipped to Kafka, and where it lies there; see outbox-tables.ts. */
import type {DatabaseSync} from 'node:sqlite';
import {corrupt, rowCrc, type Stream} from './chain.ts';
import {AbsentRecords, type Withdrawn} from './outbox-absent.ts';
import {OutboxBooks} from './outbox-books.ts';
import {OutboxIdentity} from './outbox-identity.ts';
import {
  checkedRange,
  idStarts,
  type OutboxHead,
  outboxSchema,
  outboxStatements,
  type Position,
  type Range,
  rangesMax,
  refuseOwnLog,
  type StoredBatch,
} from './outbox-tables.ts';
import {OutboxTopics} from './outbox-topics.ts';

/** Batches deleted within one commit. */
const trimMax = 256;

/** The tables of an outbox, for its one writer. What changes is written by `write`, inside the writer's commits. */
export class Outbox {
  readonly #database: DatabaseSync;
  readonly #statements;
  readonly identity: OutboxIdentity;
  /** Which topics its places are of. */
  readonly topics: OutboxTopics;
  readonly books: OutboxBooks;
  readonly #positions = new Map<number, Position>();
  /** The newest range of a stream, which the next one mostly continues. */
  readonly #last = new Map<number, Range>();
  readonly #idStarts: Map<number, number>;
  readonly #changed = new Set<number>();
  readonly #absent: AbsentRecords;
  #ranges: ({stream: number} & Range)[] = [];
  #forgotten: {stream: number; below: number}[] = [];
  /** Ranges that take the place of forgotten ones. */
  #found: ({stream: number} & Range)[] = [];
  #left = 0;

  /** @param owner begins the name of a new one. Throws OUTBOX_OTHER when the log has batches and is no outbox, LOG_CORRUPT. */
  constructor(database: DatabaseSync, dir: string, owner: string) {
    this.#database = database;
    refuseOwnLog(database, dir);
    database.exec(outboxSchema);
    this.#statements = outboxStatements(database);
    this.identity = new OutboxIdentity(database, dir, owner);
    this.topics = new OutboxTopics(database);
    this.books = new OutboxBooks(database);
    this.#absent = new AbsentRecords(database);
    this.#readPositions();
    this.#idStarts = idStarts(database);
  }

  #readPositions(): void {
    const rows = this.#database
      .prepare('SELECT stream, shipped, kafka_next AS kafkaNext, known, crc FROM outbox_streams')
      .all() as ({stream: number; crc: number} & Position)[];
    const last = this.#database.prepare(
      'SELECT first, next, kafka, crc FROM outbox_ranges WHERE stream = ? ORDER BY first DESC LIMIT 1',
    );
    for (const {stream, shipped, kafkaNext, known, crc} of rows) {
      if (rowCrc(stream, shipped, kafkaNext, known) !== crc)
        throw corrupt('outbox', stream, shipped, 'the checksum of the position differs');
      this.#positions.set(stream, {shipped, kafkaNext, known});
      const range = last.get(stream) as (Range & {crc: number}) | undefined;
      if (range) this.#last.set(stream, checkedRange(stream, range));
      this.#absent.read(stream, shipped);
    }
  }

  /** The record takes no place in Kafka, although it was settled: its id may come again. */
  refuse(stream: number, offset: number): void {
    this.#absent.add(stream, offset);
  }

  isRefused(stream: number, offset: number): boolean {
    return this.#absent.has(stream, offset);
  }

  /** These records (their offsets and, of letters, their frames), which are not settled, will not be shipped; their ids are those of others' records. */
  withdraw(stream: Readonly<Stream>, records: ReadonlyMap<number, Uint8Array>): void {
    this.books.withdrawn(stream, records, this.#absent);
    this.#absent.withdraw(stream.id, [...records.keys()]);
  }

  /** The next records from `offset` on that were withdrawn: [first, next), the first of such ranges; undefined when none is. */
  withdrawnFrom(stream: number, offset: number): Readonly<Withdrawn> | undefined {
    return this.#absent.from(stream, offset);
  }

  get head(): OutboxHead {
    return this.identity.head;
  }

  setHead(change: Partial<OutboxHead>): void {
    this.identity.set(change);
  }

  /** Whether something waits for `write`. */
  get isChanged(): boolean {
    return (
      this.identity.isChanged ||
      this.#changed.size > 0 ||
      this.#ranges.length > 0 ||
      this.#forgotten.length > 0 ||
      this.#absent.isChanged ||
      this.topics.isChanged
    );
  }

  /** Undefined for a partition that nothing was shipped of and that was not looked at. */
  position(stream: number): Readonly<Position> | undefined {
    return this.#positions.get(stream);
  }

  /** Offsets [first, next) lie in Kafka from `kafka` on; everything of the stream below `next` is settled. */
  shipped(stream: number, first: number, next: number, kafka: number): void {
    const last = this.#last.get(stream);
    if (last && last.next === first && last.kafka + (last.next - last.first) === kafka) last.next = next;
    else this.#last.set(stream, {first, next, kafka});
    this.#ranges.push({stream, ...this.#last.get(stream)!});
    const [known, kafkaNext] = [this.#positions.get(stream)?.known ?? 0, kafka + next - first];
    this.settle(stream, next, kafkaNext, known === kafka ? kafkaNext : known);
  }

  /** Whether offsets [first, next) are known to lie in Kafka from `kafka` on. */
  hasShipped(stream: number, {first, next, kafka}: Range): boolean {
    const holds = (range: Range | undefined) =>
      range !== undefined &&
      range.first <= first &&
      next <= range.next &&
      range.kafka + first - range.first === kafka;
    if (holds(this.#last.get(stream))) return true;
    const pending = [...this.#ranges, ...this.#found];
    return (
      pending.some((range) => range.stream === stream && holds(range)) ||
      holds(this.#statements.rangeAt.get(stream, first) as Range | undefined)
    );
  }

  /** Everything of the stream below `shipped` is settled, and nothing of it lies in Kafka from `kafkaNext` on. */
  settle(stream: number, shipped: number, kafkaNext: number, known?: number): void {
    const before = this.#positions.get(stream);
    if (!this.#idStarts.has(stream)) this.#idStarts.set(stream, this.#last.get(stream)?.first ?? shipped);
    this.#positions.set(stream, {shipped, kafkaNext, known: known ?? before?.known ?? 0});
    this.#changed.add(stream);
    this.books.settled(stream, shipped);
  }

  /** Whether what was shipped last ends at that offset of Kafka. */
  endsAt(stream: number, kafkaNext: number): boolean {
    const last = this.#last.get(stream);
    return last !== undefined && last.kafka + last.next - last.first === kafkaNext;
  }

  /** The first offset of the stream whose ids count. */
  idsFrom({id, startOffset}: Stream): number {
    return Math.min(this.#idStarts.get(id) ?? startOffset, startOffset);
  }

  /**
   * Kafka has deleted everything of the partition below `kafkaStart`: the ids of those records are forgotten.
   * @returns whether some were
   */
  forget(stream: number, kafkaStart: number): boolean {
    const position = this.#positions.get(stream);
    if (!position) return false;
    const rows = this.#statements.ranges.all(stream) as (Range & {crc: number})[];
    // Those that were not written yet count too, and a stored one may have grown since.
    const ranges = new Map(rows.map((row): [number, Range] => [row.first, checkedRange(stream, row)]));
    const isAll = rows.length < rangesMax;
    if (isAll)
      for (const {stream: of, ...range} of this.#ranges) if (of === stream) ranges.set(range.first, range);
    // Where there are more ranges than one look takes, the next call goes on.
    let start = isAll ? position.shipped : rows.at(-1)!.next;
    for (const {first, next, kafka} of ranges.values()) {
      if (kafka + next - first <= kafkaStart) continue;
      start = Math.max(first, first + kafkaStart - kafka);
      break;
    }
    if (start <= (this.#idStarts.get(stream) ?? start)) return false;
    this.#idStarts.set(stream, start);
    this.#forgotten.push({stream, below: start});
    return true;
  }

  /** What may lie in Kafka of the stream, beyond its ranges, is looked for from the beginning of the partition. */
  lookFromStart(stream: number): void {
    const position = this.#positions.get(stream);
    if (position) this.settle(stream, position.shipped, 0, 0);
  }

  /** Of the stream's records below `below` these lie in Kafka, and the others nowhere: their ids are forgotten. @param found in order */
  beginAnew(stream: number, below: number, found: readonly Range[]): void {
    this.#idStarts.set(stream, found[0]?.first ?? below);
    this.#forgotten.push({stream, below});
    for (const range of found) this.#found.push({stream, ...range});
  }

  /** Batches from the one that holds `offset` on, up to about `bytesMax`, at least one; empty at the end. */
  batchesFrom(stream: Readonly<Stream>, offset: number, bytesMax: number): StoredBatch[] {
    const batches: StoredBatch[] = [];
    let bytes = 0;
    type Row = {
      baseOffset: number;
      count: number;
      kind: number;
      appendMs: number;
      markMs: number;
      bytes: Uint8Array;
    };
    const rows = this.#statements.batches.iterate(stream.id, offset) as Iterable<unknown> as Iterable<Row>;
    for (const {kind, markMs, ...row} of rows) {
      if (batches.length > 0 && bytes + row.bytes.length > bytesMax) break;
      bytes += row.bytes.length;
      const {id: streamId, topic, partition} = stream;
      batches.push({streamId, topic, partition, ...row, markMs: kind === 0 ? undefined : markMs});
    }
    return batches;
  }

  /** Tells of every batch from `shipped` on the offset after it, and its bytes. */
  sizes({id}: Readonly<Stream>, shipped: number, tell: (next: number, bytes: number) => void): void {
    const rows = this.#database
      .prepare(
        'SELECT base_offset + count AS next, length(bytes) AS bytes FROM batches WHERE stream = ? AND base_offset + count > ? ORDER BY base_offset',
      )
      .iterate(id, shipped) as Iterable<unknown> as Iterable<{next: number; bytes: number}>;
    for (const {next, bytes} of rows) tell(next, bytes);
  }

  /**
   * Writes what changed and deletes shipped batches, a limited number, inside the caller's transaction. @param change gives the
   * stream to change. @returns streams whose ids count from a later offset on. Throws LOG_CORRUPT.
   */
  write(streams: Iterable<Stream>, change: (topic: string, partition: number) => Stream): Stream[] {
    this.#writeRows();
    const moved: Stream[] = [];
    this.#left = 0;
    let left = trimMax;
    for (const {id, topic, partition, startOffset} of streams) {
      if (this.#forgotten.some(({stream}) => stream === id)) moved.push(change(topic, partition));
      const shipped = this.#positions.get(id)?.shipped ?? 0;
      if (shipped <= startOffset) continue;
      if (left <= 0) {
        this.#left++;
        continue;
      }
      const stream = change(topic, partition);
      const batches = this.#statements.trim.find(stream, {beforeMs: Infinity, belowOffset: shipped});
      if (batches.length > 0) this.#statements.trim.remove(stream, batches);
      left -= batches.length;
      if (batches.length === trimMax) this.#left++;
    }
    return moved;
  }

  /** Partitions that had more to delete than the last `write` deleted. */
  get left(): number {
    return this.#left;
  }

  #writeRows(): void {
    this.identity.write();
    for (const stream of this.#changed) {
      const {shipped, kafkaNext, known} = this.#positions.get(stream)!;
      const crc = rowCrc(stream, shipped, kafkaNext, known);
      this.#statements.setPosition.run(stream, shipped, kafkaNext, known, crc);
    }
    const newest = new Map(this.#ranges.map((range) => [`${range.stream}/${range.first}`, range]));
    for (const {stream, first, next, kafka} of newest.values())
      this.#statements.setRange.run(stream, first, next, kafka, rowCrc(stream, first, next, kafka));
    for (const {stream, below} of this.#forgotten) this.#removeRanges(stream, below);
    for (const {stream, first, next, kafka} of this.#found)
      this.#statements.setRange.run(stream, first, next, kafka, rowCrc(stream, first, next, kafka));
    this.topics.write();
    this.books.write();
    this.#absent.write((stream) => this.#positions.get(stream)?.shipped ?? 0);
  }

  #removeRanges(stream: number, below: number): void {
    for (let rows: Range[]; ; ) {
      rows = this.#statements.ranges.all(stream) as Range[];
      for (const {first, next, kafka} of rows) {
        if (first >= below) return;
        this.#statements.removeRange.run(stream, first);
        if (next <= below) continue;
        const moved = kafka + below - first;
        this.#statements.setRange.run(stream, below, next, moved, rowCrc(stream, below, next, moved));
      }
      if (rows.length < rangesMax) return;
    }
  }

  /** What `write` wrote is durable. */
  written(): void {
    this.identity.written();
    this.#changed.clear();
    this.#ranges = [];
    this.#found = [];
    this.topics.written();
    this.books.written();
    this.#absent.written();
    for (const {stream, below} of this.#forgotten) {
      const last = this.#last.get(stream);
      // The stored range begins later now; the one in memory must not bring its old beginning back.
      if (last && last.first < below) {
        if (last.next <= below) this.#last.delete(stream);
        else this.#last.set(stream, {first: below, next: last.next, kafka: last.kafka + below - last.first});
      }
    }
    this.#forgotten = [];
  }
}
