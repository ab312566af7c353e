/**
 * Which partition a record belongs to, exactly as Kafka's default partitioner decides it, so that keys stay where they are
 * when a log moves to Kafka. See `org.apache.kafka.common.utils.Utils.murmur2`.
 */
import assert from 'node:assert/strict';

const multiplier = 0x5bd1e995;
const seed = 0x9747b28c;
const encoder = new TextEncoder();
let scratch = new Uint8Array(1024);

/** 32-bit MurmurHash2 of `bytes[start, end)` as Kafka computes it. @returns a signed 32-bit integer. */
export function murmur2(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const length = end - start;
  let h = seed ^ length;
  let at = start;
  for (const wordsEnd = start + (length & ~3); at < wordsEnd; at += 4) {
    let k = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    k = Math.imul(k, multiplier);
    k ^= k >>> 24;
    h = Math.imul(h, multiplier) ^ Math.imul(k, multiplier);
  }
  const rest = end - at;
  if (rest >= 3) h ^= bytes[at + 2]! << 16;
  if (rest >= 2) h ^= bytes[at + 1]! << 8;
  if (rest >= 1) h = Math.imul(h ^ bytes[at]!, multiplier);
  h = Math.imul(h ^ (h >>> 13), multiplier);
  return h ^ (h >>> 15);
}

/** Partition of a key whose UTF-8 bytes are `bytes[start, end)`. @returns 0..partitions-1. */
export function partitionOfBytes(
  bytes: Uint8Array,
  partitions: number,
  start = 0,
  end = bytes.length,
): number {
  // Kafka's toPositive clears the sign bit; it is not the absolute value.
  return (murmur2(bytes, start, end) & 0x7fffffff) % partitions;
}

/**
 * Partition of a record by its key; without one, by its event id, so that a repeated event meets its first copy.
 * @returns 0..partitions-1.
 */
export function partitionOf(key: string | null, eventId: string, partitions: number): number {
  const text = key ?? eventId;
  if (scratch.length < text.length * 3) scratch = new Uint8Array(text.length * 6);
  return partitionOfBytes(scratch, partitions, 0, encoder.encodeInto(text, scratch).written);
}

/** How many partitions topics have: one number for all of them, or a number by topic. */
export type Partitions = number | Readonly<Record<string, number>>;

/** @returns the number of partitions of a topic, which `partitions` must name where it names topics */
export function partitionsOf(partitions: Partitions, topic: string): number {
  const count = typeof partitions === 'number' ? partitions : partitions[topic];
  assert(count !== undefined && count > 0, `the number of partitions of ${topic} is known`);
  return count;
}
