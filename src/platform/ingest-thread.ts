import {Worker} from 'node:worker_threads';
import {PlatformError} from '../errors.ts';
import type {IngestProgress, IngestReport} from '../ingest/file.ts';
import type {IncomingBatch, IncomingResult} from '../ingest/incoming-types.ts';
import type {AppendResult, AppendTransaction} from '../log/types.ts';
import type {Forgotten} from '../privacy/keys.ts';
import {type PortableError, unpackError} from '../sinks/remote.ts';
import type {Telemetry, TelemetryEvents} from '../telemetry.ts';
import type {GenerateOrder, GeneratorStatus} from './generate-types.ts';
import type {IngestJob, IngestReply, IngestRequest, IngestStart, RecordsRequest} from './ingest-types.ts';

/** The ingest thread, as the platform sees it. Failures are those of `ingestFile` and of the log's writer. */
export type IngestThread = {
  ingest(job: IngestJob, onProgress: (progress: IngestProgress) => void): Promise<IngestReport>;
  append(transaction: AppendTransaction): Promise<AppendResult>;
  /**
   * Validates, encodes and appends records; batches that wait share one transaction. Resolves when the batch is durable as a
   * whole. Rejects with LOG_FULL, LOG_DISK_FULL (nothing of it was appended, later attempts may succeed), LOG_IO, INGEST_LOST.
   */
  records(batch: IncomingBatch): Promise<IncomingResult>;
  /** Destroys keys of what is protected, for good. @returns how many there were */
  forget(names: Uint8Array[]): Promise<number>;
  /** Keeps on record what was forgotten. */
  forgot(entry: Forgotten): Promise<void>;
  trim(topic: string, partition: number, limits: {beforeMs: number; belowOffset: number}): Promise<number>;
  /** Gives an order to the generator of a domain. @returns its status; null when there is none. @throws USAGE, NAME_UNKNOWN */
  generate(domain: string, order: GenerateOrder): Promise<GeneratorStatus | null>;
  generators(): Promise<GeneratorStatus[]>;
  /** Ends what is being ingested after the transaction under way; each `ingest` then reports `stopped`. */
  stop(): Promise<void>;
  /** Closes the log and ends the thread. */
  close(): Promise<void>;
  /** Resolves when the log can take nothing more: its disk failed (LOG_IO), somebody else writes it (LOG_FENCED), or the thread ended by itself. */
  failed: Promise<PlatformError>;
};

/** Rows are bytes in reused buffers: a larger nursery would only be filled. */
const youngMiB = 12;

/** Bodies up to this size are copied into one buffer with others of their turn, larger ones change hands. */
const smallBytesMax = 4096;

type Call = IngestRequest extends infer R ? (R extends {id: number} ? Omit<R, 'id'> : never) : never;

/** Starts the thread and waits until it holds the log. @throws LOCKED, LOG_CORRUPT and the other errors of opening a log. */
export async function startIngestThread(start: IngestStart, telemetry: Telemetry): Promise<IngestThread> {
  const worker = new Worker(new URL('./ingest-worker.ts', import.meta.url), {
    workerData: start,
    resourceLimits: {maxYoungGenerationSizeMb: youngMiB},
  });
  const waiting = new Map<number, {resolve(value: unknown): void; reject(error: unknown): void}>();
  const listeners = new Map<number, (progress: IngestProgress) => void>();
  let nextId = 1;
  let ended: Error | undefined;
  let closing: Promise<void> | undefined;
  let fail: (error: PlatformError) => void = () => {};
  const failed = new Promise<PlatformError>((resolve) => {
    fail = resolve;
  });
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));

  const settle = (reply: {id: number} & ({value: unknown} | {error: PortableError})) => {
    const call = waiting.get(reply.id);
    waiting.delete(reply.id);
    if ('error' in reply) {
      const error = unpackError(reply.error);
      if (error instanceof PlatformError && (error.code === 'LOG_IO' || error.code === 'LOG_FENCED'))
        fail(error);
      call?.reject(error);
    } else call?.resolve(reply.value);
  };
  const opened = new Promise<void>((resolve, reject) => {
    const take = (reply: IngestReply) => {
      if ('ready' in reply) return resolve();
      if ('failed' in reply) return reject(unpackError(reply.failed));
      if ('progress' in reply) return listeners.get(reply.job)?.(reply.progress);
      if ('event' in reply)
        return telemetry.emit(reply.event, reply.payload as TelemetryEvents[typeof reply.event]);
      settle(reply);
    };
    worker.on('message', (replies: IngestReply[]) => replies.forEach(take));
    const lose = (message: string, cause?: unknown) => {
      const lost = new PlatformError('INGEST_LOST', message, {cause});
      ended = lost;
      fail(lost);
      reject(lost);
      for (const call of waiting.values()) call.reject(lost);
      waiting.clear();
    };
    worker.on('error', (error) => lose(`the ingest thread ended: ${(error as Error).message}`, error));
    // What it has told before is heard by now: what still waits for an answer gets none.
    worker.on('exit', () => {
      if (!ended && (waiting.size > 0 || !closing)) lose('the ingest thread ended');
    });
  });
  await opened;

  const call = <T>(post: (id: number) => void): Promise<T> => {
    if (ended) return Promise.reject(ended);
    const id = nextId++;
    return new Promise<T>((resolve, reject) => {
      waiting.set(id, {resolve: resolve as (value: unknown) => void, reject});
      post(id);
    });
  };
  const send = <T>(message: Call, onId?: (id: number) => void): Promise<T> =>
    call((id) => {
      onId?.(id);
      worker.postMessage({...message, id});
    });
  const records = recordsSender(worker);
  return {
    async ingest(job, onProgress) {
      let own = 0;
      try {
        return await send<IngestReport>({kind: 'ingest', job}, (id) => listeners.set((own = id), onProgress));
      } finally {
        listeners.delete(own);
      }
    },
    append: (transaction) => send({kind: 'append', transaction}),
    records: (batch) => call((id) => records(id, batch)),
    trim: (topic, partition, limits) => send({kind: 'trim', topic, partition, ...limits}),
    generate: (domain, order) => send({kind: 'generate', domain, order}),
    generators: () => send({kind: 'generators'}),
    forget: (names) => send({kind: 'forget', names}),
    forgot: async (entry) => {
      await send({kind: 'forgot', entry});
    },
    stop: () => send({kind: 'stop'}),
    close() {
      closing ??= send({kind: 'close'}).then(() => exited);
      return closing;
    },
    failed,
  };
}

/** Posts batches to the thread, all of one turn of the event loop together. */
function recordsSender(worker: Worker): (id: number, batch: IncomingBatch) => void {
  const nothing = new Uint8Array(0);
  let waiting: RecordsRequest['records'] = [];
  let bodies: Uint8Array[] = [];
  let bytes = 0;
  let transfer: ArrayBuffer[] = [];
  const post = () => {
    const small = new Uint8Array(bytes);
    let at = 0;
    for (const body of bodies) {
      small.set(body, at);
      at += body.length;
    }
    const message: RecordsRequest = {records: waiting, small};
    transfer.push(small.buffer);
    worker.postMessage(message, transfer);
    waiting = [];
    bodies = [];
    bytes = 0;
    transfer = [];
  };
  return (id, batch) => {
    const size = batch.bytes.length;
    if (size <= smallBytesMax) {
      bodies.push(batch.bytes);
      bytes += size;
      waiting.push({id, batch: {...batch, bytes: nothing}, size});
    } else {
      const {buffer} = batch.bytes;
      // A view on a larger buffer would bring all of it along.
      const owned = buffer instanceof ArrayBuffer && buffer.byteLength === size;
      if (owned) transfer.push(buffer);
      waiting.push({id, batch: owned ? batch : {...batch, bytes: new Uint8Array(batch.bytes)}, size});
    }
    if (waiting.length === 1) setImmediate(post);
  };
}
