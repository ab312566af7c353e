/**
 * Queries that stopped because retention has deleted what they had not read. Those that say `on_trimmed: archive` are filled anew by
 * the change that `backfill --from archive` makes; nobody is there to be asked, so what the command would ask about is a stop.
 */
import {PlatformError} from '../errors.ts';
import type {Metrics} from '../observe/metrics.ts';
import type {QueryStatus} from '../process/types.ts';
import {counted} from '../quantity.ts';
import type {TelemetryEvents} from '../telemetry.ts';
import {type ChangeLine, carryOut, isChanging, lagMaxDefaultMs, type Wish} from './change.ts';
import type {EngineHost} from './engine.ts';
import type {RunningPlatform} from './runtime.ts';

/** What is done about one stop, the so many-th of the query. */
type Attempt = {stop: number; doing: string; failure?: {text: string; hint: string | undefined}};

const lookMs = 500;
/** Retention may pass a revision, too, while it is filled: so many are begun for one stop. */
const attemptsMax = 3;

/** The queries of one engine that retention passed. */
export class TrimmedQueries {
  readonly #engine: Pick<EngineHost, 'status' | 'plan'>;
  /** Query -> how often it stopped: a stop that follows another is looked at anew, also where it says the same. */
  readonly #stops = new Map<string, number>();
  readonly #attempts = new Map<string, Attempt>();
  readonly #ending = new AbortController();
  #isWatching = false;
  #underWay: Promise<void> | undefined;

  /** @param metrics tells of stops */
  constructor(engine: Pick<EngineHost, 'status' | 'plan'>, metrics: Metrics) {
    this.#engine = engine;
    metrics.observers.push((name, event) => {
      if (name !== 'QueryStopped') return;
      const {domain, query} = event as TelemetryEvents['QueryStopped'];
      const id = `${domain}.${query}`;
      this.#stops.set(id, this.#stopOf(id) + 1);
    });
  }

  /** Statuses of queries with what is done about them: those that are being filled, or will be, are paused. */
  shown(queries: QueryStatus[]): QueryStatus[] {
    return queries.map((status) => {
      if (!this.#isWanted(status)) return status;
      const {doing = 'it waits to be filled from the raw table', failure} = this.#attemptOf(status) ?? {};
      const {hint, ...reason} = status.reason!;
      if (!failure) {
        const message = `${reason.message}; ${doing}`;
        return {...status, state: 'paused', settled: false, reason: {...reason, message}};
      }
      const message = `${reason.message}; not filled from the raw table: ${failure.text}`;
      const way = failure.hint ?? hint;
      return {...status, reason: {...reason, message, ...(way === undefined ? {} : {hint: way})}};
    });
  }

  /** Fills what has stopped and what stops from now on, one change at a time. @returns what ends that */
  watch(running: RunningPlatform): NodeJS.Timeout {
    this.#isWatching = true;
    this.#look(running);
    return setInterval(() => this.#look(running), lookMs);
  }

  /** Ends what is under way; the next start goes on with it. */
  async end(): Promise<void> {
    this.#ending.abort(new PlatformError('REBUILD_STOPPED', 'the platform ends'));
    await this.#underWay;
  }

  #stopOf(query: string): number {
    return this.#stops.get(query) ?? 0;
  }

  #isWanted({query, state, reason}: QueryStatus): boolean {
    return (
      this.#isWatching &&
      state === 'stopped' &&
      reason?.code === 'LOG_TRIMMED' &&
      this.#engine.plan(query)?.onTrimmed === 'archive'
    );
  }

  #attemptOf({query}: QueryStatus): Attempt | undefined {
    const known = this.#attempts.get(query);
    return known?.stop === this.#stopOf(query) ? known : undefined;
  }

  #look(running: RunningPlatform): void {
    if (this.#underWay || this.#ending.signal.aborted || isChanging(running)) return;
    const stopped = this.#stopped().filter((status) => !this.#attemptOf(status)?.failure);
    if (stopped.length === 0) return;
    this.#underWay = this.#fillAll(running, stopped).finally(() => {
      this.#underWay = undefined;
    });
  }

  #stopped(): QueryStatus[] {
    return this.#engine.status().filter((status) => this.#isWanted(status));
  }

  async #fillAll(running: RunningPlatform, stopped: QueryStatus[]): Promise<void> {
    for (const {query, reason} of stopped) {
      const message = `${query}: ${reason!.message}; on_trimmed: archive fills a new revision from the raw table and the log`;
      running.metrics.emit('Log', {level: 'warn', message});
    }
    const queries = stopped.map(({query}) => query);
    if (await this.#fill(running, queries)) return;
    for (const query of queries)
      if (this.#stopped().some((status) => status.query === query)) await this.#fill(running, [query]);
  }

  /** @returns false where several were tried together in vain, and each is to be tried by itself */
  async #fill(running: RunningPlatform, queries: string[], count = 1): Promise<boolean> {
    for (const query of queries)
      this.#attempts.set(query, {stop: this.#stopOf(query), doing: 'a revision of it begins'});
    const told = new Told(running, (query, doing) => {
      const known = this.#attempts.get(query);
      if (known) known.doing = doing;
    });
    const {signal} = this.#ending;
    try {
      const wishes = queries.map((query): Wish => ({query, why: 'backfill', archive: true}));
      const options = {yes: false, lagMaxMs: lagMaxDefaultMs, signal, isUnasked: true};
      for await (const line of carryOut(running, wishes, {...options, platform: running.configured}))
        told.hear(line, queries);
      if (told.refusal === undefined) this.#forget(queries);
      else if (queries.length > 1) return false;
      else
        this.#failed(running, queries[0]!, {
          text: `${told.refusal}; nothing was switched`,
          hint: `the new revision is kept: npx millrace backfill <query> --from archive --yes switches to it all the same`,
        });
      return true;
    } catch (error) {
      if (signal.aborted) return true;
      if (isPassed(error) && count < attemptsMax) return this.#fill(running, queries, count + 1);
      // Somebody was faster: it is looked at again when that is over.
      if (error instanceof PlatformError && error.code === 'CHANGE_STOPPED') this.#forget(queries);
      else if (queries.length > 1) return false;
      else this.#failed(running, queries[0]!, failureOf(error));
      return true;
    }
  }

  #forget(queries: string[]): void {
    for (const query of queries) this.#attempts.delete(query);
  }

  #failed(running: RunningPlatform, query: string, {text, hint}: NonNullable<Attempt['failure']>): void {
    const way = hint?.replace('<query>', query);
    const known = this.#attempts.get(query);
    if (known) known.failure = {text, hint: way};
    const message = `${query} stays stopped: ${text}${way ? `\n  hint: ${way}` : ''}`;
    running.metrics.emit('Log', {level: 'error', message});
  }
}

/** In words; of what is our own mistake with the place where it was made. */
const failureOf = (error: unknown): NonNullable<Attempt['failure']> =>
  error instanceof PlatformError
    ? {text: `${error.code} ${error.message}`, hint: error.hint}
    : {text: String((error as Error).stack), hint: undefined};

/** Retention was faster than the revision that was being filled. */
const isPassed = (error: unknown): boolean =>
  error instanceof PlatformError &&
  (error.code === 'LOG_TRIMMED' ||
    (error.code === 'REBUILD_STOPPED' && (error.cause as QueryStatus['reason'])?.code === 'LOG_TRIMMED'));

/** Hears how a change goes on: for the status, and for a line at its end. */
class Told {
  readonly #running: RunningPlatform;
  readonly #onDoing: (query: string, doing: string) => void;
  /** Topic -> events and offsets of the archive. */
  readonly #archived = new Map<string, {events: number; offsets: number}>();
  /** Query -> events that its revision read. */
  readonly #events = new Map<string, number>();
  /** What the command would ask about. */
  refusal: string | undefined;

  constructor(running: RunningPlatform, onDoing: (query: string, doing: string) => void) {
    this.#running = running;
    this.#onDoing = onDoing;
  }

  hear(line: ChangeLine, queries: string[]): void {
    if ('archive' in line) {
      this.#archived.set(line.archive, line);
      for (const query of queries) this.#onDoing(query, `the raw table is read: ${this.#archiveText()}`);
    } else if ('lagEvents' in line) {
      const {query, revision, events, lagEvents} = line;
      this.#events.set(query, Math.max(events, this.#events.get(query) ?? 0));
      this.#onDoing(query, `revision ${revision} of it is filled: ${counted(lagEvents, 'event')} to go`);
    } else if ('waits' in line) this.refusal = line.reason;
    else if ('switched' in line) {
      const {query, revision} = line;
      const message = `${query} goes on as revision ${revision}: ${counted(this.#events.get(query) ?? 0, 'event')} read, ${this.#archiveText()}`;
      this.#running.metrics.emit('Log', {level: 'info', message});
    }
  }

  #archiveText(): string {
    return [...this.#archived]
      .map(
        ([topic, {events, offsets}]) =>
          `${counted(events, 'event')} from the raw table for ${counted(offsets, 'offset')} of ${topic} that the log no longer has`,
      )
      .join(', ');
  }
}
