/** Single records of Kafka's record batches, and their varints. The grammar is in batch-read.ts. */

/** Header of the first record of a batch that an outbox wrote: the name of the outbox. */
export const outboxHeader = 'millrace.outbox';
/** Header of the first record of a batch that an outbox wrote: its offset there, in digits. */
export const offsetHeader = 'millrace.offset';
/** Header of a record that is an end mark: its event time, epoch ms, in digits. The value is empty. */
export const markHeader = 'millrace.mark';
/** Header of a record that only takes an offset (recover.ts): the epoch of its producer, in digits. The value is empty. */
export const fenceHeader = 'millrace.fence';

/** Place after the varint at `at`. One without an end ends after ten bytes. */
export function skipVarint(bytes: Uint8Array, at: number): number {
  let pos = at;
  const max = at + 10;
  while (bytes[pos++]! > 127) if (pos >= max) break;
  return pos;
}

/** The zigzag varint at `at`, of 32 bits; more bytes than five are passed over. */
export function varint(bytes: Uint8Array, at: number): number {
  let byte = bytes[at]!;
  let value = byte & 127;
  for (let pos = at + 1, shift = 7; byte > 127 && shift < 35; pos++, shift += 7) {
    byte = bytes[pos]!;
    value |= (byte & 127) << shift;
  }
  return (value >>> 1) ^ -(value & 1);
}

const outboxName = Buffer.from(outboxHeader);

/**
 * Whether the record at `at` is one that an outbox begins its batches with: it has no key, and the header of the outbox is its first. Makes
 * no object: it is asked of every batch.
 */
export function isOfOutbox(bytes: Uint8Array, at: number, to: number): boolean {
  // Length, attributes, time and offset.
  let pos = skipVarint(bytes, skipVarint(bytes, skipVarint(bytes, at) + 1));
  if (varint(bytes, pos) !== -1) return false;
  pos = skipVarint(bytes, pos);
  const length = varint(bytes, pos);
  pos = skipVarint(bytes, pos) + Math.max(0, length);
  if (pos >= to || varint(bytes, pos) < 1) return false;
  pos = skipVarint(bytes, pos);
  if (varint(bytes, pos) !== outboxName.length) return false;
  pos = skipVarint(bytes, pos);
  if (pos + outboxName.length > to) return false;
  for (let i = 0; i < outboxName.length; i++) if (bytes[pos + i] !== outboxName[i]) return false;
  return true;
}

export type KafkaHeader = {name: string; value: Uint8Array | null};
/** Views into the batch. */
export type KafkaRecord = {
  offsetDelta: number;
  key: Uint8Array | null;
  value: Uint8Array | null;
  headers: KafkaHeader[];
  /** Where the next one begins. */
  end: number;
};

/** The record at `at` in bytes that end at `to`; undefined when it is torn. */
export function recordAt(bytes: Uint8Array, at: number, to: number): KafkaRecord | undefined {
  let pos = skipVarint(bytes, at);
  const end = pos + varint(bytes, at);
  if (end > to || end < pos) return undefined;
  let isTorn = false;
  const number = () => {
    const value = varint(bytes, pos);
    pos = skipVarint(bytes, pos);
    if (pos > end) isTorn = true;
    return value;
  };
  const field = (): Uint8Array | null => {
    const length = number();
    if (isTorn || length < -1 || length > end - pos) isTorn = true;
    if (isTorn || length < 0) return null;
    pos += length;
    return bytes.subarray(pos - length, pos);
  };
  pos = skipVarint(bytes, pos + 1);
  const offsetDelta = number();
  const key = field();
  const value = field();
  const headers: KafkaHeader[] = [];
  for (let left = number(); left > 0 && !isTorn; left--) {
    const name = field();
    const headerValue = field();
    if (!isTorn) headers.push({name: Buffer.from(name ?? []).toString(), value: headerValue});
  }
  if (isTorn || pos !== end || offsetDelta < 0) return undefined;
  return {offsetDelta, key, value, headers, end};
}
