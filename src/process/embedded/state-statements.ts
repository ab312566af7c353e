/** Statements of the checkpoint store's writer. */
import type {DatabaseSync} from 'node:sqlite';
import type {StateCommit} from './statestore.ts';
import {type CheckpointRow, checkpointCrc, journalCrc, stateCrc} from './statestore-file.ts';

/** Prepared; each runs inside the caller's transaction. */
export type StateStatements = {
  /** All but its journal. */
  commit(commit: StateCommit): void;
  /** Adds entries to a query's journal. @param from number of the first, when some of them may be there already */
  journal(query: string, entries: readonly string[], from?: number): void;
  drop(query: string): void;
  /** Epoch of the query's last checkpoint. */
  epochOf(query: string): number | undefined;
  /** Entries in the query's journal. */
  journalled(query: string): number;
};

/** Prepares them for a database that is open for writing. */
export function stateStatements(database: DatabaseSync): StateStatements {
  const find = database.prepare(
    'SELECT id, query, epoch, meta, rows, bytes, rows_crc AS rowsCrc FROM checkpoints WHERE query = ?',
  );
  const create = database.prepare("INSERT INTO checkpoints VALUES (NULL, ?, 0, '', 0, 0, 0, 0)");
  const update = database.prepare(
    'UPDATE checkpoints SET epoch = ?, meta = ?, rows = ?, bytes = ?, rows_crc = ?, crc = ? WHERE id = ?',
  );
  const findRow = database.prepare(
    'SELECT id, crc, length(bytes) AS bytes FROM state WHERE query = ? AND key = ?',
  );
  const insertRow = database.prepare('INSERT INTO state VALUES (NULL, ?, ?, ?, ?)');
  const updateRow = database.prepare('UPDATE state SET crc = ?, bytes = ? WHERE id = ?');
  const deleteRow = database.prepare('DELETE FROM state WHERE id = ?');
  const deleteRows = database.prepare('DELETE FROM state WHERE query = ?');
  const deleteCheckpoint = database.prepare('DELETE FROM checkpoints WHERE id = ?');
  const countJournal = database.prepare('SELECT count(*) AS count FROM journal WHERE query = ?');
  const addToJournal = database.prepare('INSERT INTO journal VALUES (?, ?, ?, ?)');

  const journalled = (query: string) => (countJournal.get(query) as {count: number}).count;

  /** Takes the row of `key` out of the checkpoint's sums. @returns its id, when there is one. */
  function subtract(checkpoint: CheckpointRow, key: string): number | undefined {
    const row = findRow.get(checkpoint.id, key) as {id: number; crc: number; bytes: number} | undefined;
    if (!row) return undefined;
    checkpoint.rows--;
    checkpoint.bytes -= row.bytes;
    checkpoint.rowsCrc = (checkpoint.rowsCrc ^ row.crc) >>> 0;
    return row.id;
  }

  function checkpointOf(query: string): CheckpointRow {
    const row = find.get(query) as CheckpointRow | undefined;
    if (row) return row;
    const {lastInsertRowid} = create.run(query);
    return {id: Number(lastInsertRowid), query, epoch: 0, meta: '', rows: 0, bytes: 0, rowsCrc: 0};
  }

  return {
    commit(commit) {
      const checkpoint = checkpointOf(commit.query);
      for (const key of commit.deletes) {
        const id = subtract(checkpoint, key);
        if (id !== undefined) deleteRow.run(id);
      }
      for (const {key, bytes} of commit.puts) {
        const crc = stateCrc(commit.query, key, bytes);
        const id = subtract(checkpoint, key);
        if (id === undefined) insertRow.run(checkpoint.id, key, crc, bytes);
        else updateRow.run(crc, bytes, id);
        checkpoint.rows++;
        checkpoint.bytes += bytes.length;
        checkpoint.rowsCrc = (checkpoint.rowsCrc ^ crc) >>> 0;
      }
      const {epoch, meta} = commit;
      const {rows, bytes, rowsCrc} = checkpoint;
      const crc = checkpointCrc({...checkpoint, epoch, meta});
      update.run(epoch, meta, rows, bytes, rowsCrc, crc, checkpoint.id);
    },
    journal(query, entries, from) {
      let count = journalled(query);
      for (const entry of entries.slice(from === undefined ? 0 : count - from))
        addToJournal.run(query, count, entry, journalCrc(query, count++, entry));
    },
    drop(query) {
      const row = find.get(query) as CheckpointRow | undefined;
      if (!row) return;
      deleteRows.run(row.id);
      deleteCheckpoint.run(row.id);
    },
    epochOf: (query) => (find.get(query) as CheckpointRow | undefined)?.epoch,
    journalled,
  };
}
