/** A generator that writes into the log, in the ingest thread: events, dead letters, ledger and position in one transaction. */
import type {Clock} from '../clock.ts';
import {failpoint} from '../failpoint.ts';
import {Chunk} from '../generate/chunk.ts';
import {parseFaults} from '../generate/faults.ts';
import type {Change, Generator} from '../generate/generator.ts';
import {appendPatiently} from '../ingest/patience.ts';
import type {LogWriter} from '../log/types.ts';
import type {Domain, Generate} from '../model/types.ts';
import type {Telemetry} from '../telemetry.ts';
import type {Transforms} from '../transforms/open.ts';
import {resume} from './generate-resume.ts';
import {type TransactionBuilder, transactionBuilder} from './generate-transaction.ts';
import {GeneratedTransforms} from './generate-transforms.ts';
import {
  checkpointKey,
  type GenerateChange,
  type GenerateStart,
  type GeneratorCheckpoint,
  type GeneratorPosition,
  type GeneratorStatus,
  generatorSource,
  positionKey,
} from './generate-types.ts';

export type GenerateContext = {
  domain: Domain;
  log: LogWriter;
  /** Of topics that are made; those that exist have their own number. */
  partitions: number;
  schemaIds: Readonly<Record<string, number>>;
  transforms: Transforms;
  clock: Clock;
  telemetry: Telemetry;
  signal: AbortSignal;
};

/** Events are looked for so often, ms: what has become due goes into one transaction. */
const stepMs = 40;
/** The thread belongs to others, too: so long at a time, ms. */
const turnMs = 6;
/** Farther behind its rate than this, what was missed is left out, ms. */
const behindMaxMs = 10_000;
/** A restart makes so many events again at most, without writing them. */
const checkpointEvents = 1_000_000;

export class GeneratorSource {
  readonly #context: GenerateContext;
  readonly #start: GenerateStart;
  readonly #generator: Generator;
  readonly #position: GeneratorPosition;
  readonly #chunk: Chunk;
  readonly #transaction: TransactionBuilder;
  readonly #transforms: GeneratedTransforms;
  readonly #own = new AbortController();
  readonly #untilN: number;
  readonly #untilMs: number;
  #checkpointN: number;
  #state: GeneratorStatus['state'] = 'running';
  #failure: {code: string; message: string} | undefined;
  /** Event time and clock at the moment from which both run together, epoch ms. */
  #anchor: {eventMs: number; clockMs: number};
  #wake = () => {};
  /** Whether the log knows that it was paused, or goes on. */
  #isToldPause = true;
  /** Who waits for that. */
  readonly #untold: (() => void)[] = [];

  constructor(context: GenerateContext, start: GenerateStart) {
    const {domain, log, schemaIds, clock} = context;
    const partitions = Object.fromEntries(
      domain.eventTypes.map(({topic}) => [topic, log.ensureTopic(topic, context.partitions)]),
    );
    this.#context = context;
    this.#start = start;
    const lookups = new Map(start.lookups.map((rows) => [rows.name, rows]));
    const read = <T>(key: string): T | undefined => {
      const text = log.progress(key);
      return text === undefined ? undefined : (JSON.parse(text) as T);
    };
    const originMs = start.generate.startMs ?? start.startMs ?? clock.now();
    const {generator, position} = resume(
      {domain, generate: start.generate, lookups, schemaIds, partitions},
      {position: read(positionKey(domain.name)), checkpoint: read(checkpointKey(domain.name)), originMs},
    );
    this.#generator = generator;
    this.#position = position;
    this.#checkpointN = generator.n;
    this.#chunk = new Chunk(generator, domain, partitions);
    this.#transaction = transactionBuilder(domain, schemaIds, clock);
    this.#transforms = new GeneratedTransforms({...context, partitions});
    this.#untilN = Math.min(
      start.untilN ?? Number.POSITIVE_INFINITY,
      start.count === null ? Number.POSITIVE_INFINITY : generator.n + start.count,
    );
    this.#untilMs = start.forMs === null ? Number.POSITIVE_INFINITY : generator.nextMs + start.forMs;
    this.#takeConfiguration(start.generate);
    this.#anchor = {eventMs: generator.nextMs, clockMs: clock.now()};
    if (this.#isLive && !start.fast) this.#skipToNow();
    if (position.paused) this.#state = 'paused';
    this.change(start.change);
  }

  /** Whether event time is the clock's: then what was missed is left out. */
  get #isLive(): boolean {
    return this.#start.generate.startMs === null && this.#start.startMs === null;
  }

  /** Rate and faults as they stand in the configuration hold from now on, when someone has changed them there. */
  #takeConfiguration({rate: {perSecond}, faults}: Generate): void {
    const known = this.#position.configured;
    if (known.perSecond === perSecond && JSON.stringify(known.faults) === JSON.stringify(faults)) return;
    this.#position.configured = {perSecond, faults};
    this.#note({perSecond, faults});
  }

  /** A change before the next event, remembered with its number. */
  #note(change: Omit<Change, 'at'>): void {
    const generator = this.#generator;
    generator.change(change);
    this.#position.changes.push({at: generator.n, ...change});
  }

  #skipToNow(): void {
    const nowMs = this.#context.clock.now();
    const skipMs = Math.floor(nowMs - this.#generator.nextMs);
    if (skipMs > 0) this.#note({skipMs});
    this.#anchor = {eventMs: Math.max(nowMs, this.#generator.nextMs), clockMs: nowMs};
  }

  /** @throws PlatformError USAGE for faults that cannot be read. */
  change({perSecond, faults, paused, passing}: GenerateChange): void {
    const {generate} = this.#start;
    if (faults !== undefined)
      this.#note({faults: parseFaults(faults, this.#generator.faults, generate.faults)});
    if (perSecond !== undefined) this.#note({perSecond});
    if (paused !== undefined && passing !== true && (this.#position.paused === true) !== paused) {
      this.#position.paused = paused;
      this.#isToldPause = false;
    }
    if (paused === true && this.#state === 'running') this.#state = 'paused';
    if (paused === false && this.#state === 'paused') {
      this.#state = 'running';
      if (this.#isLive) this.#skipToNow();
      else this.#anchor = {eventMs: this.#generator.nextMs, clockMs: this.#context.clock.now()};
    }
    this.#wake();
  }

  /** Resolves when the log knows whether it is paused. */
  kept(): Promise<void> {
    if (this.#isToldPause) return Promise.resolve();
    return new Promise((resolve) => this.#untold.push(resolve));
  }

  stop(): void {
    this.#own.abort(new Error('the generator was stopped'));
  }

  status(): GeneratorStatus {
    const generator = this.#generator;
    const {domain, clock} = this.#context;
    const isPaced = this.#state === 'running' && !this.#start.fast;
    return {
      domain: domain.name,
      state: this.#state,
      run: this.#position.run,
      seed: this.#start.generate.seed,
      events: this.#position.n,
      ratePerSecond: generator.rateNow,
      faults: generator.faults,
      openSessions: generator.openSessions,
      eventTimeMs: generator.nextMs,
      behindMs: isPaced ? Math.max(0, Math.round(this.#dueMs(clock.now()) - generator.nextMs)) : 0,
      ...(this.#failure ?? {}),
    };
  }

  /** Event time up to which events are due. */
  #dueMs(nowMs: number): number {
    if (this.#start.fast) return nowMs;
    return this.#anchor.eventMs + (nowMs - this.#anchor.clockMs);
  }

  /** Makes events until it is told to stop or has made what was asked for. @throws LOG_IO */
  async run(): Promise<void> {
    const {clock} = this.#context;
    const signal = AbortSignal.any([this.#context.signal, this.#own.signal]);
    try {
      while (!signal.aborted) {
        const behind = this.#state === 'running' && this.#fill();
        if (this.#chunk.events > 0) await this.#flush(signal);
        else if (!this.#isToldPause) await this.#tellPause(signal);
        if (this.#isDone()) {
          this.#state = 'done';
          return;
        }
        if (!behind) await this.#rest(clock, signal);
      }
      this.#state = 'stopped';
    } catch (error) {
      this.#state = 'stopped';
      if (signal.aborted && !(error as {code?: string}).code) return;
      this.#failure = {
        code: (error as {code?: string}).code ?? 'INTERNAL',
        message: (error as Error).message,
      };
      throw error;
    }
  }

  /** A restart finds it as it was left. */
  async #tellPause(signal: AbortSignal): Promise<void> {
    const {log, clock, telemetry, domain} = this.#context;
    const {paused} = this.#position;
    const position = JSON.stringify(this.#position);
    const source = `${generatorSource} of ${domain.name}`;
    const transaction = {appends: [], progress: [{source: positionKey(domain.name), position}]};
    await appendPatiently(log, transaction, {clock, telemetry, signal, source});
    this.#told(paused);
  }

  #told(paused: boolean | undefined): void {
    this.#isToldPause ||= paused === this.#position.paused;
    if (this.#isToldPause) for (const tell of this.#untold.splice(0)) tell();
  }

  async #rest(clock: Clock, signal: AbortSignal): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await Promise.race([clock.sleep(stepMs, signal), ...(this.#state === 'paused' ? [woken] : [])]);
  }

  #isDone(): boolean {
    return this.#generator.n >= this.#untilN || this.#generator.nextMs >= this.#untilMs;
  }

  /** Takes what is due. @returns whether there is more. */
  #fill(): boolean {
    const generator = this.#generator;
    const chunk = this.#chunk;
    const nowMs = this.#context.clock.now();
    let dueMs = Math.min(this.#dueMs(nowMs), this.#untilMs);
    if (!this.#start.fast && dueMs - generator.nextMs > behindMaxMs) {
      if (this.#isLive) this.#skipToNow();
      else this.#anchor = {eventMs: generator.nextMs, clockMs: nowMs};
      dueMs = Math.min(this.#dueMs(nowMs), this.#untilMs);
    }
    const begin = performance.now();
    while (generator.n < this.#untilN && generator.nextMs < dueMs) {
      if (chunk.full || ((chunk.events & 255) === 255 && performance.now() - begin > turnMs)) return true;
      generator.next();
      chunk.add();
    }
    return false;
  }

  /** The generator's state, when the last one is long ago. */
  #checkpoint(): GeneratorCheckpoint | undefined {
    const {n} = this.#generator;
    if (n - this.#checkpointN < checkpointEvents) return undefined;
    this.#checkpointN = n;
    return {run: this.#position.run, saved: this.#generator.save()};
  }

  async #flush(signal: AbortSignal): Promise<void> {
    const {log, clock, telemetry, domain} = this.#context;
    const chunk = this.#chunk;
    const checkpoint = this.#checkpoint();
    const position = {...this.#position, n: this.#generator.n};
    const transformed = await this.#transforms.settle(chunk, clock.now() + domain.defaults.futureMaxMs);
    const transaction = {...this.#transaction(chunk, position, checkpoint), transformed};
    failpoint('generate.before-append');
    const startMs = clock.now();
    const result = await appendPatiently(log, transaction, {
      clock,
      telemetry,
      signal,
      source: `${generatorSource} of ${domain.name}`,
    });
    failpoint('generate.after-append');
    this.#position.n = position.n;
    this.#told(position.paused);
    for (const counts of transformed) telemetry.emit('EventsTransformed', counts);
    const seconds = (clock.now() - startMs) / 1000;
    for (const [type, {received, appended, rejected}] of chunk.counts.entries()) {
      if (received === 0) continue;
      const {name, topic} = domain.eventTypes[type]!;
      const duplicate = transaction.appends.reduce(
        (sum, append, index) => sum + (append.topic === topic ? result.appends[index]!.duplicate : 0),
        0,
      );
      const counts = {appended: appended - duplicate, duplicate, rejected};
      telemetry.emit('EventsAppended', {
        domain: domain.name,
        eventType: name,
        source: generatorSource,
        ...counts,
        seconds,
      });
    }
    chunk.clear();
  }
}
