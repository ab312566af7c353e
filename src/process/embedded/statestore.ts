/**
 * The checkpoint store. Reading is synchronous, by a read-only connection of the calling thread; committing goes over a port to
 * the one writer thread (checkpoint-writer.ts), which makes the commits of several queries durable together.
 */
import {MessageChannel, type MessagePort, Worker} from 'node:worker_threads';
import {type ErrorCode, PlatformError} from '../../errors.ts';
import type {S3Settings} from '../../store/s3.ts';
import {type Holder, leaseMsDefault, newHolderId} from './state-lease.ts';
import {SqliteStateReader} from './statestore-sqlite.ts';

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
   * Resolves when durable. Rejects with CHECKPOINT_DISK_FULL (nothing of it was committed, it can be tried again), with FENCED
   * (another process has the lease) and CHECKPOINT_IO; after both the writer accepts nothing more.
   */
  commit(commit: StateCommit): Promise<void>;
  /** Removes checkpoint and rows of a query, whatever their condition; its journal stays. Resolves when durable. */
  drop(query: string): Promise<void>;
  /**
   * Resolves when the lease was seen to be ours after the call, and the files beside the checkpoints are as durable as these.
   * Rejects as `commit` does. To be awaited before something is done outside that another owner could not take back.
   */
  sync(): Promise<void>;
  close(): void;
};

/** What goes to the writer thread; `id` numbers the requests of a port. */
export type StateRequest = {id: number} & StateWork;
export type StateWork =
  | {kind: 'commit'; commit: StateCommit}
  | {kind: 'drop'; query: string}
  | {kind: 'sync'};
type Failure = {
  code: ErrorCode | null;
  message: string;
  hint?: string | undefined;
  place?: string | undefined;
};
/** And comes back: no failure means durable. */
export type StateReply = {id: number; failure?: Failure};

/** What the writer thread is given. */
export type WriterSetup = {
  dir: string;
  remote: RemotePlace | undefined;
  command: string;
  holderId: string;
  leaseMs: number;
  isStandby: boolean;
  /** A Float64: when the lease was seen to be ours, ms of `process.hrtime`. */
  renewedMs: SharedArrayBuffer;
};
/** What it tells the thread that started it. */
export type WriterMessage =
  | {kind: 'waiting'; holder: Holder | null}
  | {kind: 'opened'; epoch: number}
  | {kind: 'failed'; failure: Failure}
  | {kind: 'fenced'; failure: Failure}
  /** The store does not answer and is asked again; null: it does again. */
  | {kind: 'trouble'; message: string | null};

/** Where checkpoints are kept. */
export type CheckpointPlace = {
  /** Directory of the SQLite file: the store itself, or this machine's copy of what the object store holds. */
  dir: string;
  /** An object store that holds them; the file is a copy. */
  remote?: RemotePlace | undefined;
};

/** Objects of a bucket whose names begin with `prefix`, which ends with a slash or is empty. */
export type RemotePlace = {s3: S3Settings; prefix: string};

export type WriterOptions = {
  /** What others are told of the holder. */
  command?: string;
  /** Who opens again what it holds has the same one. */
  holderId?: string;
  leaseMs?: number;
  /** Wait until the lease can be had instead of being refused. */
  isStandby?: boolean;
  /** While it waits: who holds the lease, at first and when that changes. */
  onWaiting?(holder: Holder | null): void;
  /** Somebody else took the lease: nothing is committed any more. */
  onFenced?(error: Error): void;
  /** The store does not answer; `null`: it does again. */
  onTrouble?(message: string | null): void;
  /** Ends the waiting. */
  signal?: AbortSignal;
};

/** The writer thread, started once in a process. */
export type CheckpointWriter = {
  /** A port for `openStateStore`, to be used in this thread or transferred to another. */
  connect(): MessagePort;
  /** Number of this owner: it grows with every one that the store has had. */
  epoch: number;
  /** The same where other owners write to the same file; undefined where every machine has a copy of its own. */
  lease: number | undefined;
  /** For how long the lease is certain to be ours, ms; 0 or less: it may be another's. */
  heldForMs(): number;
  /**
   * Ends the thread. Await the commits and close the stores first: a commit that is under way may be refused. `isKept`: the lease
   * is not given back, since the same holder opens the store again at once.
   */
  close(options?: {isKept?: boolean}): Promise<void>;
};

/**
 * Starts the writer thread on a store and waits until it has the lease. @param place a directory, or more
 * Rejects with LOCKED, CHECKPOINT_CORRUPT, CHECKPOINT_NEWER, CHECKPOINT_IO, CHECKPOINT_DISK_FULL, STORE_*.
 */
export async function startCheckpointWriter(
  place: string | CheckpointPlace,
  options: WriterOptions = {},
): Promise<CheckpointWriter> {
  const {leaseMs = leaseMsDefault, signal} = options;
  const renewedMs = new SharedArrayBuffer(8);
  const setup: WriterSetup = {
    dir: typeof place === 'string' ? place : place.dir,
    remote: typeof place === 'string' ? undefined : place.remote,
    command: options.command ?? process.argv.slice(1).join(' '),
    holderId: options.holderId ?? newHolderId(),
    leaseMs,
    isStandby: options.isStandby ?? false,
    renewedMs,
  };
  const worker = new Worker(new URL('./checkpoint-writer.ts', import.meta.url), {workerData: setup});
  // From now on: whoever closes it after it has ended by itself would wait for ever, with nothing that keeps the process alive.
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const epoch = await new Promise<number>((resolve, reject) => {
    const abort = () => {
      void worker.terminate();
      reject(signal!.reason);
    };
    if (signal?.aborted) return abort();
    signal?.addEventListener('abort', abort, {once: true});
    worker.once('error', reject);
    worker.on('message', (message: WriterMessage) => {
      if (message.kind === 'waiting') options.onWaiting?.(message.holder);
      else if (message.kind === 'trouble') options.onTrouble?.(message.message);
      else if (message.kind === 'fenced') options.onFenced?.(failureOf(message.failure));
      else {
        signal?.removeEventListener('abort', abort);
        if (message.kind === 'opened') resolve(message.epoch);
        else void worker.terminate().then(() => reject(failureOf(message.failure)));
      }
    });
  });
  // Its end is seen by every store through its port; without a listener it would end the whole process.
  worker.on('error', () => {});
  const renewed = new Float64Array(renewedMs);
  return {
    epoch,
    lease: setup.remote ? undefined : epoch,
    connect() {
      const {port1, port2} = new MessageChannel();
      worker.postMessage(port2, [port2]);
      return port1;
    },
    heldForMs: () => renewed[0]! + leaseMs - Number(process.hrtime.bigint() / 1_000_000n),
    async close({isKept = false} = {}) {
      worker.postMessage({isKept});
      await exited;
    },
  };
}

function failureOf({code, message, hint, place}: Failure): Error {
  if (code === null) return new Error(message);
  return new PlatformError(code, message, {...(hint ? {hint} : {}), ...(place ? {place} : {})});
}

/** Opens the store in `dir` for reading alone, in any thread or process. An absent store is an empty one. */
export function openStateReader(dir: string): StateReader & {close(): void} {
  return new SqliteStateReader(dir);
}

/**
 * Opens the store in `dir` with a port of its writer (`CheckpointWriter.connect`), in any thread of the process.
 * @param lease `CheckpointWriter.lease`: reading what a later owner wrote is refused with FENCED, since it is not what this
 * one's own state goes on from
 */
export function openStateStore(dir: string, port: MessagePort, lease?: number): StateStore {
  return new PortStateStore(dir, port, lease);
}

/** Drops states of a store, by their names. */
export async function dropStates(dir: string, port: MessagePort, states: readonly string[]): Promise<void> {
  const store = openStateStore(dir, port);
  try {
    for (const state of states) await store.drop(state);
  } finally {
    store.close();
  }
}

class PortStateStore extends SqliteStateReader implements StateStore {
  readonly #port: MessagePort;
  readonly #waiting = new Map<number, {resolve(): void; reject(error: Error): void}>();
  #lastId = 0;
  #ended = false;

  constructor(dir: string, port: MessagePort, lease: number | undefined) {
    super(dir, lease);
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

  #ask(body: StateWork, transfer: ArrayBuffer[]) {
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

  sync(): Promise<void> {
    return this.#ask({kind: 'sync'}, []);
  }

  override close(): void {
    this.#ended = true;
    this.#port.close();
    super.close();
  }
}
