/** Records inside a batch: `length:u32 little-endian, frame`, one after another (types.ts). */
import assert from 'node:assert/strict';

/** The batch without the records that are marked in `dropped` (one entry a record). */
export function withoutRecords(bytes: Uint8Array, dropped: readonly boolean[]): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kept = new Uint8Array(bytes.length);
  let to = 0;
  let from = 0;
  for (const drop of dropped) {
    const end = from + 4 + view.getUint32(from, true);
    if (!drop) {
      kept.set(bytes.subarray(from, end), to);
      to += end - from;
    }
    from = end;
  }
  assert.equal(from, bytes.length, 'the batch holds as many records as it has ids');
  return kept.subarray(0, to);
}

/** Number of records in the bytes; undefined when they are not whole records. */
export function countRecords(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let count = 0;
  let at = 0;
  for (; at + 4 <= bytes.length; count++) at += 4 + view.getUint32(at, true);
  return at === bytes.length ? count : undefined;
}

/** Frames of a batch, as views into its bytes. Throws RangeError when they are not whole records. */
export function* framesOf(bytes: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + view.getUint32(at, true);
    if (end > bytes.length) throw new RangeError('a record passes the end of its batch');
    yield bytes.subarray(at + 4, end);
    at = end;
  }
}
