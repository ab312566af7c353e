import type {Append} from '../log/types.ts';
import type {DeadLetter} from '../schema/side.ts';

/** A batch of a partition is closed at about this size, bytes. */
const batchBytesMax = 256 * 1024;
/** A transaction is closed at about this many times the size of a batch, however many partitions share it. */
const batchesMax = 4;
/** What a batch's buffer begins with, bytes; topics may have many partitions. */
const bufferBytes = 64 * 1024;
/** Bad records keep their bytes in memory until they are appended. */
const deadLetterBytesMax = 1024 * 1024;

type Batch = {bytes: Uint8Array; end: number; count: number; ids: string[] | undefined};

/** What one transaction will append: a batch a partition, and the dead letters between. Buffers are used again. */
export class Chunk {
  readonly #batches: Batch[];
  readonly deadLetters: DeadLetter[] = [];
  /** Records taken, good and bad. */
  rows = 0;
  /** Records with the id of an earlier one: of those the first that was read stays, whatever partitions they belong to. */
  duplicates = 0;
  full = false;
  readonly #ids = new Set<string>();
  #deadLetterBytes = 0;
  #bytes = 0;
  readonly #bytesMax: number;

  constructor(partitions: number, withIds: boolean, bytesMax = batchBytesMax) {
    this.#bytesMax = bytesMax;
    this.#batches = Array.from({length: partitions}, () => ({
      bytes: new Uint8Array(bufferBytes),
      end: 0,
      count: 0,
      ids: withIds ? [] : undefined,
    }));
  }

  /** The batch of a partition with `room` bytes free behind its end. */
  batch(partition: number, room: number): Batch {
    const batch = this.#batches[partition]!;
    if (batch.bytes.length - batch.end < room) {
      const larger = new Uint8Array(2 * (batch.end + room));
      larger.set(batch.bytes.subarray(0, batch.end));
      batch.bytes = larger;
    }
    return batch;
  }

  /** A record was written into the batch up to `end`. */
  added(batch: Batch, end: number, id: string | undefined): void {
    this.rows++;
    this.#bytes += end - batch.end;
    if (end >= this.#bytesMax || this.#bytes >= batchesMax * this.#bytesMax) this.full = true;
    if (id !== undefined && batch.ids) {
      if (this.#ids.has(id)) {
        this.duplicates++;
        return;
      }
      this.#ids.add(id);
      batch.ids.push(id);
    }
    batch.end = end;
    batch.count++;
  }

  reject(letter: DeadLetter): void {
    this.deadLetters.push(letter);
    this.rows++;
    this.#deadLetterBytes += letter.original.length + 512;
    if (this.#deadLetterBytes >= deadLetterBytesMax) this.full = true;
  }

  appends(topic: string): Append[] {
    return this.#batches.flatMap(({bytes, end, count, ids}, partition) =>
      count === 0
        ? []
        : [{topic, partition, count, bytes: bytes.subarray(0, end), ...(ids === undefined ? {} : {ids})}],
    );
  }

  clear(): void {
    for (const batch of this.#batches) {
      batch.end = 0;
      batch.count = 0;
      if (batch.ids !== undefined) batch.ids = [];
    }
    this.deadLetters.length = 0;
    this.rows = 0;
    this.duplicates = 0;
    this.#ids.clear();
    this.full = false;
    this.#deadLetterBytes = 0;
    this.#bytes = 0;
  }
}
