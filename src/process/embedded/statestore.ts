/**
 * The checkpoint store. Reading is synchronous, by a read-only connection of the calling thread; committing goes over a port to
 * the one writer thread (checkpoint-writer.ts), which makes the commits of several queries durable together.
 */
import {once} from 'node:events';
import type {DatabaseSync, StatementSync} from 'node:sqlite';
import {MessageChannel, type MessagePort, Worker} from 'node:worker_threads';
import {type ErrorCode, PlatformError} from '../../errors.ts';
import {
  type CheckpointRow,
  checkpointCrc,
  corruptCheckpoint,
  journalCrc,
  openStateForReading,
  stateCrc,
  stateError,
} from './statestore-file.ts';

/** One checkpoint of one query, whole or not at all. */
export type StateCommit = {
  /** Names the state: domain, query and revision. */
  query: string;
  /** Grows with every commit of the query. */
  epoch: number;
  /** What the engine wants to know first: offsets, maxima, counts, the plan's fingerprint. JSON text. */
  meta: string;
  /** Rows that are new or changed. The buffers are transferred to the writer: the caller gives them up. */
  puts: {key: string; bytes: Uint8Array}[];
  /** Keys of rows that go; one that is not there is no error. */
  deletes: string[];
  /** Entries added to the query's journal. */
  journal?: string[];
};

/** What was committed; every method throws CHECKPOINT_CORRUPT when a checksum differs, CHECKPOINT_IO when the disk fails. */
export type StateReader = {
  /** The last checkpoint; undefined when there is none. Also checks that exactly its rows are there. */
  load(query: string): {meta: string; epoch: number} | undefined;
  /** One row; undefined when the checkpoint has none of that key. */
  get(query: string, key: string): Uint8Array | undefined;
  /** Keys of all rows, in order. */
  keys(query: string): string[];
  /** Entries that were ever journalled, oldest first; they outlive `drop`. */
  journal(query: string): string[];
  /** Queries that have a checkpoint. */
  queries(): string[];
  /** Bytes of a query's rows. */
  sizeBytes(query: string): number;
};

export type StateStore = StateReader & {
  /**
   * Resolves when durable. Rejects with CHECKPOINT_DISK_FULL (nothing of it was committed, it can be tried again) and
   * CHECKPOINT_IO (the writer accepts nothing more).
   */
  commit(commit: StateCommit): Promise<void>;
  /** Removes checkpoint and rows of a query, whatever their condition; its journal stays. Resolves when durable. */
  drop(query: string): Promise<void>;
  close(): void;
};

/** What goes to the writer thread; `id` numbers the requests of a port. */
export type StateRequest = {id: number} & (
  | {kind: 'commit'; commit: StateCommit}
  | {kind: 'drop'; query: string}
);
/** And comes back: no failure means durable. */
export type StateReply = {
  id: number;
  failure?: {code: ErrorCode | null; message: string; hint?: string | undefined; place?: string | undefined};
};

/** The writer thread, started once in a process. */
export type CheckpointWriter = {
  /** A port for `openStateStore`, to be used in this thread or transferred to another. */
  connect(): MessagePort;
  /** Ends the thread. Await the commits and close the stores first: a commit that is under way may be refused. */
  close(): Promise<void>;
};

/**
 * Starts the writer thread on the store in `dir` and waits until it is open. Rejects with LOCKED, CHECKPOINT_CORRUPT,
 * CHECKPOINT_NEWER, CHECKPOINT_IO, CHECKPOINT_DISK_FULL.
 */
export async function startCheckpointWriter(
  dir: string,
  options: {command?: string} = {},
): Promise<CheckpointWriter> {
  const worker = new Worker(new URL('./checkpoint-writer.ts', import.meta.url), {
    workerData: {dir, command: options.command ?? process.argv.slice(1).join(' ')},
  });
  const [opened] = (await once(worker, 'message')) as [StateReply];
  if (opened.failure) {
    await worker.terminate();
    throw failureOf(opened.failure);
  }
  // Its end is seen by every store through its port; without a listener it would end the whole process.
  worker.on('error', () => {});
  return {
    connect() {
      const {port1, port2} = new MessageChannel();
      worker.postMessage(port2, [port2]);
      return port1;
    },
    async close() {
      const ended = once(worker, 'exit');
      worker.postMessage(null);
      await ended;
    },
  };
}

function failureOf({code, message, hint, place}: NonNullable<StateReply['failure']>): Error {
  if (code === null) return new Error(message);
  return new PlatformError(code, message, {...(hint ? {hint} : {}), ...(place ? {place} : {})});
}

/** Opens the store in `dir` for reading alone, in any thread or process. An absent store is an empty one. */
export function openStateReader(dir: string): StateReader & {close(): void} {
  return new SqliteStateReader(dir);
}

/** Opens the store in `dir` with a port of its writer (`CheckpointWriter.connect`), in any thread of the process. */
export function openStateStore(dir: string, port: MessagePort): StateStore {
  return new PortStateStore(dir, port);
}

const journalHint =
  "put the state directory back from a backup; without one, rename the query: it then begins with today's lookups";

class SqliteStateReader implements StateReader {
  readonly #dir: string;
  #database: DatabaseSync | undefined;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  #all(sql: string, ...values: (string | number)[]): Record<string, unknown>[] {
    try {
      const database = (this.#database ??= openStateForReading(this.#dir));
      if (!database) return [];
      let statement = this.#prepared.get(sql);
      if (!statement) this.#prepared.set(sql, (statement = database.prepare(sql)));
      return statement.all(...values);
    } catch (error) {
      throw stateError(error, this.#dir);
    }
  }

  #checkpoint(query: string): CheckpointRow | undefined {
    const [row] = this.#all(
      'SELECT id, query, epoch, meta, rows, bytes, rows_crc AS rowsCrc, crc FROM checkpoints WHERE query = ?',
      query,
    ) as (CheckpointRow & {crc: number})[];
    if (row && checkpointCrc(row) !== row.crc) throw corruptCheckpoint(query, 'its checksum differs');
    return row;
  }

  load(query: string): {meta: string; epoch: number} | undefined {
    // One snapshot: the writer may commit the next checkpoint between two statements.
    this.#all('BEGIN');
    try {
      return this.#load(query);
    } finally {
      this.#all('COMMIT');
    }
  }

  #load(query: string): {meta: string; epoch: number} | undefined {
    const checkpoint = this.#checkpoint(query);
    if (!checkpoint) return undefined;
    const rows = this.#all('SELECT crc FROM state WHERE query = ?', checkpoint.id) as {crc: number}[];
    if (rows.length !== checkpoint.rows)
      throw corruptCheckpoint(query, `it has ${rows.length} rows of ${checkpoint.rows}`);
    if (rows.reduce((sum, {crc}) => (sum ^ crc) >>> 0, 0) !== checkpoint.rowsCrc)
      throw corruptCheckpoint(query, 'its rows are not those of the checkpoint');
    return {meta: checkpoint.meta, epoch: checkpoint.epoch};
  }

  get(query: string, key: string): Uint8Array | undefined {
    const [row] = this.#all(
      'SELECT crc, bytes FROM state WHERE query = (SELECT id FROM checkpoints WHERE query = ?) AND key = ?',
      query,
      key,
    ) as {crc: number; bytes: Uint8Array}[];
    if (row && stateCrc(query, key, row.bytes) !== row.crc)
      throw corruptCheckpoint(query, `the checksum of ${key} differs`);
    return row?.bytes;
  }

  keys(query: string): string[] {
    return this.#all(
      'SELECT key FROM state WHERE query = (SELECT id FROM checkpoints WHERE query = ?) ORDER BY key',
      query,
    ).map(({key}) => key as string);
  }

  journal(query: string): string[] {
    const rows = this.#all('SELECT number, entry, crc FROM journal WHERE query = ? ORDER BY number', query);
    return (rows as {number: number; entry: string; crc: number}[]).map(({number, entry, crc}, index) => {
      if (number !== index || journalCrc(query, number, entry) !== crc)
        throw corruptCheckpoint(query, `entry ${index} of its lookup journal differs`, journalHint);
      return entry;
    });
  }

  queries(): string[] {
    return this.#all('SELECT query FROM checkpoints ORDER BY query').map(({query}) => query as string);
  }

  sizeBytes(query: string): number {
    return this.#checkpoint(query)?.bytes ?? 0;
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
    this.#prepared.clear();
  }
}

class PortStateStore extends SqliteStateReader implements StateStore {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, {resolve(): void; reject(error: Error): void}>();
  #lastId = 0;
  #ended = false;

  constructor(dir: string, port: MessagePort) {
    super(dir);
    this.#port = port;
    port.on('message', ({id, failure}: StateReply) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) port.unref();
      if (failure) waiting?.reject(failureOf(failure));
      else waiting?.resolve();
    });
    port.on('close', () => {
      this.#ended = true;
      for (const {reject} of this.#waiting.values()) reject(this.#gone());
      this.#waiting.clear();
    });
    port.unref();
  }

  #gone(): PlatformError {
    return new PlatformError('CHECKPOINT_IO', 'the checkpoint writer has ended', {
      hint: 'restart: state continues from the last checkpoint',
    });
  }

  #ask(body: {kind: 'commit'; commit: StateCommit} | {kind: 'drop'; query: string}, transfer: ArrayBuffer[]) {
    return new Promise<void>((resolve, reject) => {
      if (this.#ended) return reject(this.#gone());
      const id = ++this.#lastId;
      this.#port.postMessage({id, ...body} satisfies StateRequest, transfer);
      this.#waiting.set(id, {resolve, reject});
      this.#port.ref();
    });
  }

  commit(commit: StateCommit): Promise<void> {
    // A pooled Buffer's memory belongs to others and cannot be given away.
    const puts = commit.puts.map(({key, bytes}) => ({
      key,
      bytes: Buffer.isBuffer(bytes) ? new Uint8Array(bytes) : bytes,
    }));
    const buffers = new Set(puts.map(({bytes}) => bytes.buffer as ArrayBuffer));
    return this.#ask({kind: 'commit', commit: {...commit, puts}}, [...buffers]);
  }

  drop(query: string): Promise<void> {
    return this.#ask({kind: 'drop', query}, []);
  }

  override close(): void {
    this.#ended = true;
    this.#port.close();
    super.close();
  }
}
