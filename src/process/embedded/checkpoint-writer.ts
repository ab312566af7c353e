/** The thread that writes checkpoints: entry point of the worker that `startCheckpointWriter` starts. */
import {type MessagePort, parentPort, workerData} from 'node:worker_threads';
import {PlatformError} from '../../errors.ts';
import {type OwnedState, type TakeOptions, takeDirectory} from './state-directory.ts';
import {renewalMs} from './state-lease.ts';
import type {Outcome} from './state-local.ts';
import type {StateReply, StateRequest, WriterMessage, WriterSetup} from './statestore.ts';
import {stateError} from './statestore-file.ts';

type Waiting = {request: StateRequest; port: MessagePort};

function failureOf(error: unknown): NonNullable<StateReply['failure']> {
  if (error instanceof PlatformError)
    return {code: error.code, message: error.message, hint: error.hint, place: error.place};
  return {code: null, message: error instanceof Error ? (error.stack ?? error.message) : String(error)};
}

const tell = (message: WriterMessage): void => parentPort!.postMessage(message);

/** Milliseconds of a clock that is the same in all threads and never goes back. */
const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);

class CheckpointThread {
  readonly #owned: OwnedState;
  readonly #setup: WriterSetup;
  readonly #renewedMs: Float64Array;
  #waiting: Waiting[] = [];
  #scheduled = false;
  #fenced: unknown;
  #work: Promise<void> = Promise.resolve();
  #renewal: NodeJS.Timeout;

  constructor(owned: OwnedState, setup: WriterSetup) {
    this.#owned = owned;
    this.#setup = setup;
    this.#renewedMs = new Float64Array(setup.renewedMs);
    this.#renewedMs[0] = monotonicMs();
    // Beside a commit that is under way: its objects may take longer to arrive than the lease lasts.
    this.#renewal = setInterval(() => void this.#renew(), renewalMs(setup.leaseMs));
  }

  serve(port: MessagePort): void {
    port.on('message', (request: StateRequest) => {
      this.#waiting.push({request, port});
      if (this.#scheduled) return;
      this.#scheduled = true;
      // Requests that arrive in the same turn, of whichever query, share one fsync.
      setImmediate(() => this.#enqueue(() => this.#flush()));
    });
  }

  /** One after another: what comes meanwhile waits together. */
  #enqueue(work: () => Promise<void>): void {
    this.#work = this.#work.then(work);
  }

  /** Commits everything that waits, together. */
  async #flush(): Promise<void> {
    this.#scheduled = false;
    const group = this.#waiting;
    this.#waiting = [];
    if (group.length === 0) return;
    const outcomes = await this.#write(group.map(({request}) => request));
    for (const [index, {request, port}] of group.entries()) {
      const failure = outcomes[index]?.failure;
      port.postMessage({
        id: request.id,
        ...(failure === undefined ? {} : {failure: failureOf(failure)}),
      } satisfies StateReply);
    }
  }

  async #write(requests: StateRequest[]): Promise<Outcome[]> {
    const startedMs = monotonicMs();
    try {
      if (this.#fenced) throw this.#fenced;
      const outcomes = await this.#owned.write(requests);
      this.#renewedMs[0] = startedMs;
      return outcomes;
    } catch (failure) {
      this.#lost(failure);
      return requests.map(() => ({failure}));
    }
  }

  async #renew(): Promise<void> {
    const startedMs = monotonicMs();
    // A commit renews as well.
    if (this.#fenced || startedMs - this.#renewedMs[0]! < renewalMs(this.#setup.leaseMs) / 2) return;
    try {
      await this.#owned.renew();
      this.#renewedMs[0] = startedMs;
    } catch (error) {
      this.#lost(error);
    }
  }

  /** The lease is another's: from now on everything is refused, and the store is not touched any more. */
  #lost(error: unknown): void {
    if (!(error instanceof PlatformError) || error.code !== 'FENCED' || this.#fenced) return;
    this.#fenced = error;
    this.#renewedMs[0] = -Infinity;
    tell({kind: 'fenced', failure: failureOf(error)});
  }

  async close(isKept: boolean): Promise<void> {
    clearInterval(this.#renewal);
    this.#enqueue(() => this.#flush());
    this.#owned.giveUp?.();
    await this.#work;
    await this.#owned.close(isKept || this.#fenced !== undefined);
  }
}

const setup = workerData as WriterSetup;
const options: TakeOptions = {...setup, onWaiting: (holder) => tell({kind: 'waiting', holder})};
const take = async (): Promise<OwnedState> => {
  if (!setup.remote) return takeDirectory(options);
  // What only a bucket needs is loaded for one alone.
  const {takeBucket} = await import('./state-bucket.ts');
  return takeBucket(setup.remote, {...options, onTrouble: (message) => tell({kind: 'trouble', message})});
};
try {
  const owned = await take();
  const thread = new CheckpointThread(owned, setup);
  parentPort!.on('message', (message: MessagePort | {isKept: boolean}) => {
    if (!('isKept' in message)) return thread.serve(message);
    // Lets requests of this turn in first.
    setImmediate(async () => {
      await thread.close(message.isKept);
      process.exit();
    });
  });
  tell({kind: 'opened', epoch: owned.epoch});
} catch (error) {
  tell({kind: 'failed', failure: failureOf(stateError(error, setup.dir))});
}
