/** When the writer of the embedded log copies its write-ahead log into the database. */
import type {DatabaseSync} from 'node:sqlite';
import {pageBytes} from './database.ts';

/**
 * The writer copies the write-ahead log into the database whenever it has grown by this much: 3 to 8 ms of its thread. Larger
 * steps bring no throughput and stall in proportion (64 MiB: 90 ms).
 */
const checkpointBytes = 4 * 2 ** 20;
/** Pages that a commit writes beside the batches: rows of the partition, index, progress, ledger. */
const commitPages = 5;
/** A write-ahead log that readers kept from starting over for this long waits for them once. */
const walBytesMax = 64 * 2 ** 20;

/** Counts what commits write; `run` copies it. */
export function walCheckpoints(database: DatabaseSync) {
  const checkpoint = database.prepare('PRAGMA wal_checkpoint(PASSIVE)');
  let waitingBytes = 0;
  return {
    /** Adds a commit. @param bytes of its batches and of its index of ids. @returns whether it is time to run */
    committed(bytes: number): boolean {
      waitingBytes += bytes + commitPages * pageBytes;
      return waitingBytes >= checkpointBytes;
    },
    /** Throws what SQLite throws; that is no loss, since the write-ahead log has everything. */
    run(): void {
      const {log} = checkpoint.get() as {log: number};
      if (log * pageBytes > walBytesMax) database.exec('PRAGMA wal_checkpoint(RESTART)');
      waitingBytes = 0;
    },
  };
}
