/**
 * A witness file beside a database in WAL mode: how many commits were acknowledged. SQLite ends its recovery at the first
 * damaged frame of the write-ahead log and says nothing; with this number a database that lost acknowledged commits (a flipped
 * bit or a missing tail in the WAL, a WAL that was deleted, an older file put back) is noticed when it is opened.
 *
 * Written after each commit's fsync and without one of its own: after a kill it is exact, after a power failure it may be
 * old, and it is never ahead of the database.
 *
 *   file := slot slot        slot := sequence:f64 little-endian, crc32 of sequence:u32, 0:u32
 *
 * Commits go to the slots in turn, so that one survives a torn write. Both unreadable: nothing is known, as without a file.
 */
import {closeSync, fsyncSync, openSync, readFileSync, writeSync} from 'node:fs';
import {crc32} from 'node:zlib';

const slotBytes = 16;

/** Acknowledged commits as far as the witness at `path` knows; 0 when it knows nothing. */
export function acknowledgedCommits(path: string): number {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return 0;
  }
  let sequence = 0;
  for (let at = 0; at + slotBytes <= bytes.length; at += slotBytes)
    if (bytes.readUInt32LE(at + 8) === crc32(bytes.subarray(at, at + 8)))
      sequence = Math.max(sequence, bytes.readDoubleLE(at));
  return sequence;
}

/** The writer's side. */
export type Witness = {acknowledged(sequence: number): void; close(): void};

/** Opens the witness at `path` for the database's one writer, which stands at `sequence`. */
export function openWitness(path: string, sequence: number): Witness {
  const slot = Buffer.alloc(slotBytes);
  const fill = (value: number) => {
    slot.writeDoubleLE(value, 0);
    slot.writeUInt32LE(crc32(slot.subarray(0, 8)), 8);
    return slot;
  };
  const file = openSync(path, 'a+');
  closeSync(file);
  const head = openSync(path, 'r+');
  for (const at of [0, slotBytes]) writeSync(head, fill(sequence), 0, slotBytes, at);
  fsyncSync(head);
  return {
    acknowledged(value) {
      try {
        writeSync(head, fill(value), 0, slotBytes, (value % 2) * slotBytes);
      } catch {
        // The commit is durable all the same, and an old number is still a true one; a disk that fails shows at the next commit.
      }
    },
    close: () => closeSync(head),
  };
}
