/** The engine starts again while it runs: a sink has come back, or a query is to be another one. What ran before must run afterwards. */
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {stoppedStatus} from '../process/status.ts';
import type {QueryStatus} from '../process/types.ts';
import {counted} from '../quantity.ts';
import type {Telemetry} from '../telemetry.ts';
import {tellStopped} from './engine-failure.ts';

export type RestartsOptions = {
  start(plans: QueryPlan[]): Promise<void>;
  /** Ends what has begun. */
  stop(): Promise<void>;
  /** What is said of a query as long as it does not run. */
  show(plan: QueryPlan, status: QueryStatus): void;
  clock: Clock;
  telemetry: Telemetry;
};

const firstMs = 500;
const pauseMsMax = 10_000;

/** One restart after another, whoever asks for it. */
export class Restarts {
  readonly #options: RestartsOptions;
  readonly #ending = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(options: RestartsOptions) {
    this.#options = options;
  }

  /**
   * Stops what runs and starts the plans; while the checkpoints are away (a bucket that does not answer, say) they are paused, and it
   * is tried again. Does nothing once it is the end.
   * @param prepare what is to run then; undefined: it is left as it is
   * @throws what does not pass, for which the queries are stopped then, and CHANGE_STOPPED at the end
   */
  next(prepare: () => Promise<QueryPlan[] | undefined>): Promise<void> {
    const next = this.#running.then(async () => {
      if (this.#ending.signal.aborted) return;
      const wanted = await prepare();
      if (!wanted) return;
      await this.#options.stop();
      await this.#start(wanted);
    });
    this.#running = next.catch(() => {});
    return next;
  }

  /** Resolves when none is under way. */
  settled(): Promise<void> {
    return this.#running;
  }

  /** Nothing starts any more; resolves when nothing is under way. */
  end(): Promise<void> {
    this.#ending.abort(new PlatformError('CHANGE_STOPPED', 'the platform ends'));
    return this.#running;
  }

  async #start(plans: QueryPlan[]): Promise<void> {
    const {start, stop, show, clock, telemetry} = this.#options;
    const {signal} = this.#ending;
    let told = '';
    for (let pauseMs = firstMs; ; pauseMs = Math.min(pauseMs * 2, pauseMsMax)) {
      signal.throwIfAborted();
      try {
        return await start(plans);
      } catch (error) {
        await stop();
        if (!(error instanceof PlatformError)) throw error;
        for (const plan of plans) show(plan, statusOf(plan, error, telemetry));
        if (!error.retry) throw error;
        const {code, message} = error;
        if (message !== told)
          telemetry.emit('Log', {
            level: 'warn',
            message: `${counted(plans.length, 'query', 'queries')} to be started again: ${code} ${message}`,
          });
        told = message;
        await clock.sleep(pauseMs, signal);
      }
    }
  }
}

const statusOf = (plan: QueryPlan, error: PlatformError, telemetry: Telemetry): QueryStatus =>
  error.retry
    ? {...stoppedStatus(plan.id, 'stopped', error), state: 'paused', settled: false}
    : tellStopped(plan, error, telemetry);
