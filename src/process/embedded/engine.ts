/** The embedded engine as the platform sees it: workers in threads, or turned by hand in this one. */
import {availableParallelism} from 'node:os';
import {systemClock} from '../../clock.ts';
import {PlatformError} from '../../errors.ts';
import {noTelemetry} from '../../telemetry.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import {stoppedStatus} from '../status.ts';
import type {Engine, LookupSnapshot, QueryStatus} from '../types.ts';
import {Drain} from './engine-drain.ts';
import {tellLog} from './engine-log.ts';
import type {EngineOptions} from './engine-options.ts';
import {prepareQuery} from './engine-start.ts';
import {type EngineThreads, startInline, startThreads} from './engine-workers.ts';
import {type CheckpointWriter, openStateStore, startCheckpointWriter} from './statestore.ts';
import {WantedSchemas} from './wanted-schemas.ts';
import {errorOf, failureOf} from './worker-failure.ts';
import {
  type DomainSnapshot,
  ownerOf,
  type QueryStart,
  type WorkerCommand,
  type WorkerEvent,
  type WorkerSetup,
} from './worker-messages.ts';

export type EmbeddedEngine = Engine & {
  /** Whether the query could be started, so that `resume` can; false for one that `start` found a reason against. */
  owns(query: string): boolean;
  /** Every sink of the query has marked the epoch. */
  marked(query: string, epoch: number): void;
  /** A new snapshot; queries switch to it as soon as `semantics` allow, with a committed checkpoint. */
  refreshLookup(domain: string, snapshot: LookupSnapshot): void;
  /** Reads up to these offsets and stops there; null: on and on. Ends of batches only, such as the log's end. */
  until(query: string, places: {topic: string; partition: number; offset: number}[] | null): void;
  /** Asks every worker for its status now instead of within a second. */
  report(): void;
  /** Stops reading for a query, because its delivery waits. */
  pause(query: string, reason?: PlatformError): void;
  /** Stops a query that cannot go on, visibly and with that reason, until `resume`: from its checkpoint. */
  fail(query: string, reason: Error): void;
};

export type InlineEngine = EmbeddedEngine & {
  /** Turns the workers until all that was appended is read, emitted, acknowledged, marked and in a checkpoint. */
  settle(): Promise<void>;
  /** One turn of every worker. */
  turn(): Promise<void>;
};

/** `auto`: all cores but one, for the main thread. */
export const workerCount = (workers: number | 'auto'): number =>
  workers === 'auto' ? Math.max(1, availableParallelism() - 1) : workers;

/** An engine whose workers are threads. Nothing runs before `start`. */
export const createEngine = (options: EngineOptions): EmbeddedEngine => new Host(options, startThreads);

/** The same engine in this thread, turned by hand: what tests and `millrace test` use. */
export const createInlineEngine = (options: EngineOptions): InlineEngine => new Host(options, startInline);

class Host implements InlineEngine {
  #options: EngineOptions;
  #startWorkers: typeof startThreads;
  #workers: EngineThreads | undefined;
  #writer: CheckpointWriter | undefined;
  #plans = new Map<string, QueryPlan>();
  #owned = new Set<string>();
  #status = new Map<string, QueryStatus>();
  #count: number;
  #wanted: WantedSchemas;
  #drain: Drain | undefined;
  #isStopping = false;

  constructor(options: EngineOptions, startWorkers: typeof startThreads) {
    this.#options = options;
    this.#startWorkers = startWorkers;
    this.#count = workerCount(options.workers);
    this.#wanted = new WantedSchemas(options.clock ?? systemClock);
  }

  /** Starts every query that can start; the others are `stopped` in the status with their reason. @throws CHECKPOINT_*, LOG_*, LOCKED */
  async start(plans: QueryPlan[]): Promise<void> {
    const {log, stateDir, schemas, flushMs, checkpointIntervalMs} = this.#options;
    this.#writer = this.#options.writer ?? (await startCheckpointWriter(stateDir));
    const snapshots: DomainSnapshot[] = [];
    const newer: DomainSnapshot[] = [];
    const queries: QueryStart[] = [];
    const store = openStateStore(stateDir, this.#writer.connect(), this.#writer.lease);
    for (const plan of plans) {
      this.#plans.set(plan.id, plan);
      try {
        const prepared = await prepareQuery(plan, {...this.#options, store});
        queries.push(prepared.start);
        this.#owned.add(plan.id);
        snapshots.push(...prepared.snapshots);
        newer.push(...prepared.newer);
      } catch (error) {
        const isLater = error instanceof PlatformError && this.#options.onCannotBegin?.(plan, error);
        if (!isLater) this.#stopped(plan, failureOf(error));
      }
    }
    store.close();
    const setup: Omit<WorkerSetup, 'worker' | 'firstRun'> = {
      workers: this.#count,
      log,
      stateDir,
      lease: this.#writer.lease,
      queries,
      schemas,
      asksSchemas: this.#options.schemaOf !== undefined,
      snapshots,
      paces: new SharedArrayBuffer(4 * Math.max(1, queries.length)),
      flushMs,
      checkpointIntervalMs,
    };
    this.#workers = await this.#startWorkers({
      setup,
      connect: () => this.#writer!.connect(),
      clock: this.#options.clock ?? systemClock,
      onEvent: (event) => this.#event(event),
      onCrash: (worker, error) => this.#crashed(worker, error),
    });
    for (const {domain, snapshot} of newer) this.refreshLookup(domain, snapshot);
  }

  owns(query: string): boolean {
    return this.#owned.has(query);
  }

  acknowledge(query: string, sequence: number): void {
    this.#command(query, {kind: 'acknowledge', query, sequence});
  }

  marked(query: string, epoch: number): void {
    this.#command(query, {kind: 'marked', query, epoch});
  }

  pause(query: string, reason?: PlatformError): void {
    this.#command(query, {kind: 'pause', query, ...(reason ? {reason: failureOf(reason)} : {})});
  }

  until(query: string, places: {topic: string; partition: number; offset: number}[] | null): void {
    this.#command(query, {kind: 'until', query, places});
  }

  report(): void {
    for (let worker = 0; worker < this.#count; worker++) this.#workers?.command(worker, {kind: 'report'});
  }

  fail(query: string, reason: Error): void {
    this.#command(query, {kind: 'fail', query, failure: failureOf(reason)});
  }

  /** Reads on; a query that stopped begins again from its checkpoint. */
  resume(query: string): void {
    this.#command(query, {kind: 'resume', query});
  }

  refreshLookup(domain: string, snapshot: LookupSnapshot): void {
    for (let worker = 0; worker < this.#count; worker++)
      this.#workers?.command(worker, {kind: 'lookup', snapshot: {domain, snapshot}});
  }

  status(): QueryStatus[] {
    return this.#wanted.shown([...this.#plans.keys()].flatMap((id) => this.#status.get(id) ?? []));
  }

  async settle(): Promise<void> {
    await this.#workers?.settle();
  }

  async turn(): Promise<void> {
    await this.#workers?.turn();
  }

  async drain(withinMs = Infinity): Promise<boolean> {
    if (!this.#workers) return true;
    if (!this.#drain || this.#drain.isOver) {
      this.#drain = new Drain(this.#count);
      for (let worker = 0; worker < this.#count; worker++) this.#workers.command(worker, {kind: 'drain'});
    }
    const done = this.#drain.within(withinMs);
    await this.#workers.untilDrained(done);
    return done;
  }

  /** Ends the workers as they are; what was not in a checkpoint is read again next time. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#drain?.end();
    await this.#workers?.stop();
    if (!this.#options.writer) await this.#writer?.close();
    this.#workers = undefined;
    this.#writer = undefined;
  }

  #command(query: string, command: WorkerCommand): void {
    this.#workers?.command(ownerOf(query, this.#count), command);
  }

  #event(event: WorkerEvent): void {
    const {onRows, onMark, onSide, onStatus, telemetry = noTelemetry} = this.#options;
    switch (event.kind) {
      case 'rows':
        onRows(event.rows);
        break;
      case 'mark':
        onMark(event.query, event.epoch);
        break;
      case 'side': {
        const {query, batch, side} = event;
        onSide(this.#plans.get(query)!, side, () =>
          this.#command(query, {kind: 'sideDurable', query, batch}),
        );
        break;
      }
      case 'status':
        for (const status of event.status) this.#status.set(status.query, status);
        onStatus?.(this.status());
        break;
      case 'reopened':
        this.#options.onStopped?.(event.query);
        // Deliveries that it waited for were given up with what they had, and say nothing more of that.
        this.resume(event.query);
        break;
      case 'log':
        tellLog(telemetry, event.told);
        break;
      case 'stopped':
        this.#stopped(this.#plans.get(event.query)!, event.failure, event.isTold);
        break;
      case 'again': {
        const {domain, query} = this.#plans.get(event.query)!;
        telemetry.emit('QueryResumed', {domain, query, code: event.code, seconds: event.seconds});
        break;
      }
      case 'checkpoint': {
        const {domain, query} = this.#plans.get(event.query)!;
        const {bytes, seconds, pauseSeconds} = event;
        telemetry.emit('CheckpointCommitted', {domain, query, bytes, seconds, pauseSeconds});
        break;
      }
      case 'schemas':
        this.#wanted.ask(event.wanted, this.#options.schemaOf!, (answer) =>
          this.#workers?.command(event.worker, {kind: 'schema', answer}),
        );
        break;
      case 'drained':
        this.#drain?.drained(event.worker);
        break;
      case 'ended':
        break;
    }
  }

  #stopped(plan: QueryPlan, failure: ReturnType<typeof failureOf>, isTold = false): void {
    const {telemetry = noTelemetry, onStatus, onStopped} = this.#options;
    const error = errorOf(failure);
    const {code, message, hint, place} = error;
    onStopped?.(plan.id);
    const known = this.#status.get(plan.id);
    const state = code === 'QUERY_FAILED' ? 'failed' : 'stopped';
    this.#status.set(plan.id, stoppedStatus(plan.id, state, error, known));
    const more = {...(hint ? {hint} : {}), ...(place ? {place} : {})};
    if (!isTold)
      telemetry.emit('QueryStopped', {domain: plan.domain, query: plan.query, code, message, ...more});
    if (failure.stack)
      telemetry.emit('Log', {level: 'error', message: failure.stack, fields: {query: plan.id}});
    onStatus?.(this.status());
  }

  /** A worker ended by itself: it is started again, and its queries go on from their checkpoints. */
  #crashed(worker: number, error: Error): void {
    if (this.#isStopping) return;
    const {telemetry = noTelemetry} = this.#options;
    for (const id of this.#owned) {
      const known = this.#status.get(id);
      if (known && ownerOf(id, this.#count) === worker)
        this.#status.set(id, {...known, settled: false, waitsFor: ['start']});
    }
    telemetry.emit('Log', {
      level: 'error',
      message: `engine worker ${worker} ended and is started again: ${error.stack ?? error.message}`,
      fields: {worker},
    });
  }
}
