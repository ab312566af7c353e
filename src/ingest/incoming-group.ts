/** What one transaction of incoming records will append: whole batches of one topic and source, and their dead letters. */
import type {Append, AppendResult} from '../log/types.ts';
import type {DeadLetter} from '../schema/side.ts';
import type {KeyNote} from './incoming-keys.ts';
import type {IncomingResult} from './incoming-types.ts';

/** A batch of the log is cut at about this size, bytes; it never holds less than a record. */
const batchBytesMax = 256 * 1024;
const bufferBytes = 64 * 1024;
/** A buffer that a large batch made larger than this is not kept. */
const bufferKeptBytes = 1024 * 1024;

/** Records of one partition. */
type Part = {bytes: Uint8Array; end: number; ids: string[]};

/** A batch that was read and waits for its transaction. */
export type Taken = {
  /** By record: its partition, -1 when it was rejected. */
  partitions: number[];
  ids: (string | null)[];
  problems: {index: number; code: string; message: string}[];
  letters: DeadLetter[];
  /** Its name and its body, where the sender named it. */
  key?: KeyNote;
  /** What its transform did, where there is one. */
  transformed?: {in: number; out: number; rejected: number};
  resolve(result: IncomingResult): void;
  reject(error: unknown): void;
};

/** Buffers are used again; `begin` and `rollback` bracket a batch, so that one that cannot be read leaves nothing. */
export class IncomingGroup {
  readonly #parts: Part[] = [];
  readonly #marks: {end: number; count: number}[] = [];
  readonly taken: Taken[] = [];
  /** Bytes of records and dead letters so far. */
  bytes = 0;

  constructor(partitions: number) {
    this.#grow(partitions);
  }

  /** The topic may have got more partitions since. */
  #grow(partitions: number): void {
    while (this.#parts.length < partitions)
      this.#parts.push({bytes: new Uint8Array(bufferBytes), end: 0, ids: []});
  }

  begin(): void {
    this.#parts.forEach(({end, ids}, partition) => {
      this.#marks[partition] = {end, count: ids.length};
    });
  }

  rollback(): void {
    this.#parts.forEach((part, partition) => {
      const {end, count} = this.#marks[partition] ?? {end: 0, count: 0};
      part.end = end;
      part.ids.length = count;
    });
  }

  /** The records of a partition with `room` bytes free behind their end. */
  part(partition: number, room: number): {readonly bytes: Uint8Array; readonly end: number} {
    this.#grow(partition + 1);
    const part = this.#parts[partition]!;
    if (part.bytes.length - part.end < room) {
      const larger = new Uint8Array(2 * (part.end + room));
      larger.set(part.bytes.subarray(0, part.end));
      part.bytes = larger;
    }
    return part;
  }

  /** A record was written up to `end`. */
  added(partition: number, end: number, id: string): void {
    const part = this.#parts[partition]!;
    this.bytes += end - part.end;
    part.end = end;
    part.ids.push(id);
  }

  keep(taken: Taken): void {
    this.taken.push(taken);
    for (const {original} of taken.letters) this.bytes += original.length + 512;
  }

  /** What the transform did, of all batches. */
  transformed(): {in: number; out: number; rejected: number} {
    const sum = {in: 0, out: 0, rejected: 0};
    for (const {transformed} of this.taken) {
      sum.in += transformed?.in ?? 0;
      sum.out += transformed?.out ?? 0;
      sum.rejected += transformed?.rejected ?? 0;
    }
    return sum;
  }

  /** Keys of batches of which something is appended; what was rejected whole may be mended and sent again under its key. */
  keys(): KeyNote[] {
    return this.taken.flatMap(({key, partitions}) =>
      key && partitions.some((partition) => partition >= 0) ? [key] : [],
    );
  }

  appends(topic: string): Append[] {
    return this.#parts.flatMap(({bytes, end, ids}, partition) =>
      ids.length === 0 ? [] : cut(bytes, end, ids).map((piece) => ({topic, partition, ...piece})),
    );
  }

  /** Tells every batch what became of its records. @param results of `appends`, in their order. */
  settle(appends: readonly Append[], results: AppendResult['appends']): void {
    const dropped = new Map<number, boolean[]>();
    appends.forEach(({partition, count}, i) => {
      const {duplicate, dropped: marks} = results[i]!;
      if (duplicate === 0 && !dropped.has(partition) && appends[i + 1]?.partition !== partition) return;
      const all = dropped.get(partition) ?? [];
      for (let record = 0; record < count; record++) all.push(marks?.[record] ?? false);
      dropped.set(partition, all);
    });
    const next = this.#parts.map(() => 0);
    for (const {partitions, ids, problems, resolve} of this.taken) {
      const statuses = new Uint8Array(partitions.length);
      partitions.forEach((partition, index) => {
        if (partition < 0) statuses[index] = 2;
        else if (dropped.get(partition)?.[next[partition]!++] === true) statuses[index] = 1;
      });
      resolve({kind: 'done', statuses, ids, problems});
    }
  }

  clear(): void {
    for (const part of this.#parts) {
      part.end = 0;
      part.ids = [];
      if (part.bytes.length > bufferKeptBytes) part.bytes = new Uint8Array(bufferBytes);
    }
    this.taken.length = 0;
    this.bytes = 0;
  }
}

/** Records in batches of a size that readers like. */
function cut(
  bytes: Uint8Array,
  end: number,
  ids: string[],
): {count: number; bytes: Uint8Array; ids: string[]}[] {
  if (end <= 2 * batchBytesMax) return [{count: ids.length, bytes: bytes.subarray(0, end), ids}];
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  const pieces: {count: number; bytes: Uint8Array; ids: string[]}[] = [];
  let from = 0;
  let first = 0;
  let at = 0;
  for (let record = 0; record < ids.length; record++) {
    at += 4 + view.getUint32(at, true);
    if (at - from < batchBytesMax && record + 1 < ids.length) continue;
    const count = record + 1 - first;
    pieces.push({count, bytes: bytes.subarray(from, at), ids: ids.slice(first, record + 1)});
    from = at;
    first = record + 1;
  }
  return pieces;
}
