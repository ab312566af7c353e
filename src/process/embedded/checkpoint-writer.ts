/** The thread that writes checkpoints: entry point of the worker that `startCheckpointWriter` starts. */
import assert from 'node:assert/strict';
import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import type {DatabaseSync} from 'node:sqlite';
import {type MessagePort, parentPort, workerData} from 'node:worker_threads';
import {PlatformError} from '../../errors.ts';
import {failpoint} from '../../failpoint.ts';
import {syncNames} from '../../log/directory.ts';
import {acquireLock} from '../../log/lock.ts';
import {acknowledgedCommits, openWitness, type Witness} from '../../log/witness.ts';
import type {StateCommit, StateReply, StateRequest} from './statestore.ts';
import {
  type CheckpointRow,
  checkpointCrc,
  journalCrc,
  openStateForWriting,
  stateCrc,
  stateError,
  stateWitness,
} from './statestore-file.ts';

type Waiting = {request: StateRequest; port: MessagePort};

function failureOf(error: unknown): NonNullable<StateReply['failure']> {
  if (error instanceof PlatformError)
    return {code: error.code, message: error.message, hint: error.hint, place: error.place};
  return {code: null, message: error instanceof Error ? (error.stack ?? error.message) : String(error)};
}

/** Prepared statements; each of the two functions runs inside the caller's transaction. */
function stateStatements(database: DatabaseSync) {
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
  const journalled = database.prepare('SELECT count(*) AS count FROM journal WHERE query = ?');
  const addToJournal = database.prepare('INSERT INTO journal VALUES (?, ?, ?, ?)');

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
    commit(commit: StateCommit): void {
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
      update.run(
        epoch,
        meta,
        rows,
        bytes,
        rowsCrc,
        checkpointCrc({...checkpoint, epoch, meta}),
        checkpoint.id,
      );
      if (!commit.journal?.length) return;
      let {count} = journalled.get(commit.query) as {count: number};
      for (const entry of commit.journal)
        addToJournal.run(commit.query, count, entry, journalCrc(commit.query, count++, entry));
    },
    drop(query: string): void {
      const row = find.get(query) as CheckpointRow | undefined;
      if (!row) return;
      deleteRows.run(row.id);
      deleteCheckpoint.run(row.id);
    },
    epochOf: (query: string) => (find.get(query) as CheckpointRow | undefined)?.epoch,
  };
}

class CheckpointThread {
  readonly #database: DatabaseSync;
  readonly #witness: Witness;
  readonly #statements;
  readonly #count;
  #sequence: number;
  #waiting: Waiting[] = [];
  #scheduled = false;
  #failure: PlatformError | undefined;

  constructor(database: DatabaseSync, witness: Witness, sequence: number) {
    this.#database = database;
    this.#witness = witness;
    this.#sequence = sequence;
    this.#statements = stateStatements(database);
    this.#count = database.prepare('UPDATE meta SET sequence = ?');
  }

  serve(port: MessagePort): void {
    port.on('message', (request: StateRequest) => {
      this.#waiting.push({request, port});
      if (this.#scheduled) return;
      this.#scheduled = true;
      // Requests that arrive in the same turn, of whichever query, share one fsync.
      setImmediate(() => this.flush());
    });
  }

  /** Commits everything that waits, together. */
  flush(): void {
    this.#scheduled = false;
    const group = this.#waiting;
    this.#waiting = [];
    if (group.length === 0) return;
    const replies: (() => void)[] = [];
    try {
      if (this.#failure) throw this.#failure;
      this.#database.exec('BEGIN IMMEDIATE');
      for (const {request, port} of group) {
        const {id} = request;
        try {
          this.#carryOut(request);
          replies.push(() => port.postMessage({id} satisfies StateReply));
        } catch (error) {
          if (!(error instanceof assert.AssertionError)) throw error;
          replies.push(() => port.postMessage({id, failure: failureOf(error)} satisfies StateReply));
        }
      }
      this.#count.run(this.#sequence + 1);
      failpoint('state.before-commit');
      this.#database.exec('COMMIT');
      failpoint('state.after-commit');
      this.#witness.acknowledged(++this.#sequence);
    } catch (error) {
      const failure = failureOf(this.#rollBack(error));
      for (const {request, port} of group) port.postMessage({id: request.id, failure} satisfies StateReply);
      return;
    }
    for (const reply of replies) reply();
  }

  #carryOut(request: StateRequest): void {
    if (request.kind === 'drop') {
      this.#statements.drop(request.query);
      return;
    }
    const {query, epoch} = request.commit;
    assert.ok(epoch > (this.#statements.epochOf(query) ?? -1), `the epoch of ${query} grows`);
    this.#statements.commit(request.commit);
  }

  #rollBack(error: unknown): unknown {
    const failure = stateError(error, 'state.db');
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
    } catch (cause) {
      this.#failure = new PlatformError('CHECKPOINT_IO', 'a failed checkpoint could not be taken back', {
        cause,
      });
    }
    // After a failed write nobody knows what is on disk: only a fresh open may go on.
    if (failure instanceof PlatformError && failure.code !== 'CHECKPOINT_DISK_FULL') this.#failure = failure;
    return failure;
  }

  close(): void {
    this.flush();
    this.#witness.close();
    this.#database.close();
  }
}

const {dir, command} = workerData as {dir: string; command: string};
try {
  mkdirSync(dir, {recursive: true});
  const lock = acquireLock(join(dir, 'lock'), {command});
  const acknowledged = acknowledgedCommits(stateWitness(dir));
  const {database, sequence} = openStateForWriting(dir, acknowledged);
  const witness = openWitness(stateWitness(dir), sequence);
  syncNames(dir);
  const thread = new CheckpointThread(database, witness, sequence);
  parentPort!.on('message', (port: MessagePort | null) => {
    if (port !== null) return thread.serve(port);
    // Lets requests of this turn in first.
    setImmediate(() => {
      thread.close();
      lock.release();
      process.exit();
    });
  });
  parentPort!.postMessage({id: 0} satisfies StateReply);
} catch (error) {
  parentPort!.postMessage({id: 0, failure: failureOf(stateError(error, dir))} satisfies StateReply);
}
