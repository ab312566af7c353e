/**
 * CRC-32C (Castagnoli; RFC 3720 appendix B.4), the checksum of Kafka's record batches: reflected polynomial 0x82f63b78,
 * sixteen bytes a step by as many tables; longer ones are made shorter first (machine.ts).
 */
import {machine, shortenBytesLeast, shortenBytesMax} from './machine.ts';

const polynomial = 0x82f63b78;
const step = 16;

/** Table k, of 256 entries at k x 256: what a byte does to the checksum when k more bytes follow it. */
const tables = new Int32Array(step * 256);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
  tables[byte] = crc;
}
for (let index = 256; index < tables.length; index++) {
  const before = tables[index - 256]!;
  tables[index] = (before >>> 8) ^ tables[before & 255]!;
}

/** Checksum of `bytes[from, to)`, unsigned 32 bits; `before`: the checksum of what goes before it. */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length, before = 0): number {
  let crc = before;
  let at = from;
  for (; to - at >= shortenBytesLeast; at = Math.min(to, at + shortenBytesMax)) {
    const short = machine()?.shorten(bytes, at, Math.min(to, at + shortenBytesMax), ~crc);
    if (!short) break;
    crc = crc32cByTables(short, 0, short.length, ~0);
  }
  return crc32cByTables(bytes, at, to, crc);
}

/** The same by tables alone. */
export function crc32cByTables(bytes: Uint8Array, from: number, to: number, before: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, to);
  const t = tables;
  let crc = ~before;
  let at = from;
  for (; at + step <= to; at += step) {
    const a = crc ^ view.getInt32(at, true);
    const b = view.getInt32(at + 4, true);
    const c = view.getInt32(at + 8, true);
    const d = view.getInt32(at + 12, true);
    crc =
      t[3840 + (a & 255)]! ^
      t[3584 + ((a >>> 8) & 255)]! ^
      t[3328 + ((a >>> 16) & 255)]! ^
      t[3072 + (a >>> 24)]! ^
      t[2816 + (b & 255)]! ^
      t[2560 + ((b >>> 8) & 255)]! ^
      t[2304 + ((b >>> 16) & 255)]! ^
      t[2048 + (b >>> 24)]! ^
      t[1792 + (c & 255)]! ^
      t[1536 + ((c >>> 8) & 255)]! ^
      t[1280 + ((c >>> 16) & 255)]! ^
      t[1024 + (c >>> 24)]! ^
      t[768 + (d & 255)]! ^
      t[512 + ((d >>> 8) & 255)]! ^
      t[256 + ((d >>> 16) & 255)]! ^
      t[d >>> 24]!;
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ t[(crc ^ bytes[at]!) & 255]!;
  return ~crc >>> 0;
}
