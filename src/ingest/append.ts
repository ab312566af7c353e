/** Records -> transactions of the log: events, dead letters, ledger and position together, one transaction after another. */
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import type {AppendResult, AppendTransaction} from '../log/types.ts';
import {overBudget, warnOfBudget} from './budget.ts';
import {Chunk} from './chunk.ts';
import {type DeadLetterEncoder, deadLetterEncoder, deadLetterTopic, fileDeadLetters} from './deadletters.ts';
import type {IngestFileOptions, IngestReport} from './file.ts';
import {finalMarkMs} from './horizon.ts';
import {pace} from './pace.ts';
import {type FilePosition, progressKey, sourceName} from './position.ts';
import {reasonCode} from './reasons.ts';
import type {RecordSource} from './records.ts';
import type {RowEncoder} from './validate.ts';

export type AppenderContext = IngestFileOptions & {
  /** Where the source stands. */
  position: FilePosition;
  /** What its rows are known by. */
  name: string;
  topic: string;
  partitions: number;
  startMs: number;
};

/** How long a full log is left alone before the next attempt, ms. */
const retryMs = 1000;

export class Appender {
  readonly #context: AppenderContext;
  readonly #encoder: RowEncoder | undefined;
  readonly #onRows: (rows: number) => void;
  readonly #source: string;
  readonly #report: IngestReport;
  readonly #encodeDeadLetters: DeadLetterEncoder;
  readonly #letterOf: ReturnType<typeof fileDeadLetters>;
  /** As it will be when everything that was taken is durable. */
  #position: FilePosition;
  #chunk: Chunk;
  #spare: Chunk;
  /** The transaction under way: one at a time, since a later one must not become durable without it. */
  #pending: Promise<void> = Promise.resolve();

  constructor(context: AppenderContext, encoder: RowEncoder | undefined, onRows: (rows: number) => void) {
    this.#context = context;
    this.#encoder = encoder;
    this.#onRows = onRows;
    this.#position = {...context.position};
    this.#source = sourceName(context.input, context.name);
    this.#encodeDeadLetters = deadLetterEncoder(context.deadLetterSchemaId);
    this.#letterOf = fileDeadLetters(context.eventType, this.#source, context.input.name, context.name);
    const chunk = () => new Chunk(context.partitions, encoder?.idsGiven ?? false, context.limits?.batchBytes);
    this.#chunk = chunk();
    this.#spare = chunk();
    this.#report = {
      state: 'finished',
      source: this.#source,
      resumedAt: this.#position.rows,
      received: 0,
      appended: 0,
      duplicate: 0,
      rejected: 0,
      reasons: {},
      seconds: 0,
    };
  }

  /**
   * Appends what `source` has behind the position. @param digest of the content when all of it was read.
   * @throws PlatformError INPUT_BUDGET, LOG_IO and what reading throws.
   */
  async run(source: RecordSource, digest: () => string): Promise<IngestReport> {
    const {signal, input, rate, clock} = this.#context;
    const limit = pace(rate === undefined ? input.ratePerSecond : rate, clock);
    let skip = this.#position.rows;
    let credit = 0;
    try {
      while (await source.fill()) {
        while (source.next()) {
          if (skip > 0) {
            skip--;
            continue;
          }
          if (this.#chunk.rows >= credit) {
            if (this.#chunk.rows > 0) {
              limit.sent(this.#chunk.rows);
              await this.#flush();
            }
            signal?.throwIfAborted();
            credit = await limit.ready(signal);
          }
          this.#take(source);
          if (this.#overBudget()) await this.#stopForBudget();
          if (this.#chunk.full) {
            limit.sent(this.#chunk.rows);
            await this.#flush();
            signal?.throwIfAborted();
            credit = await limit.ready(signal);
          }
        }
      }
      await this.finish(digest());
    } catch (error) {
      const failure = await this.#pending.then(
        () => error,
        (pendingError) => pendingError,
      );
      // Rows that were taken and not made durable are taken again by the next run.
      if (signal?.aborted && !(failure instanceof PlatformError)) return this.#done('stopped');
      throw failure;
    }
    this.#context.telemetry.emit('InputFinished', {
      domain: input.domain,
      input: input.name,
      rows: this.#position.rows,
      rejected: this.#report.rejected,
    });
    warnOfBudget(this.#context, this.#source, this.#rejected, this.#position.rows - this.#report.resumedAt);
    return this.#done('finished');
  }

  /** Appends the rest, the end marks if they are wanted, and the fact that the file is done. */
  async finish(content: string | null): Promise<void> {
    this.#position.done = true;
    this.#position.content = content;
    await this.#flush();
    await this.#pending;
  }

  #done(state: IngestReport['state']): IngestReport {
    const {clock, startMs} = this.#context;
    return {...this.#report, state, seconds: (clock.now() - startMs) / 1000};
  }

  #latestMs = Number.NEGATIVE_INFINITY;

  #take(source: RecordSource): void {
    const encoder = this.#encoder!;
    const chunk = this.#chunk;
    const {scanner, row} = source;
    if (chunk.rows === 0) {
      const {clock, domain} = this.#context;
      this.#latestMs = clock.now() + domain.defaults.futureMaxMs;
    }
    this.#position.rows++;
    if (source.reason < 0) {
      this.#reject(source, reasonCode(source.reason), source.detail, 'parse');
      return;
    }
    const batch = chunk.batch(encoder.partition(scanner, row), encoder.room(source.size));
    const end = encoder.encode(scanner, row, this.#latestMs, batch.bytes, batch.end);
    if (end < 0) {
      const {code, message} = encoder.explain(scanner, end);
      const checked = code.startsWith('CHECK:') || code === 'EXPRESSION';
      this.#reject(source, code, message, checked ? 'check' : 'validate');
      return;
    }
    chunk.added(batch, end, encoder.idsGiven ? encoder.givenId(scanner) : undefined);
    const timeMs = encoder.lastTimeMs();
    if (this.#position.lastMs === null || timeMs > this.#position.lastMs) this.#position.lastMs = timeMs;
  }

  #reject(source: RecordSource, code: string, message: string, stage: string): void {
    const {clock} = this.#context;
    const encoder = this.#encoder!;
    const given = stage === 'parse' ? undefined : encoder.givenId(source.scanner);
    const eventId = encoder.idsGiven ? (given ?? null) : undefined;
    this.#chunk.reject(this.#letterOf(source, {code, message, stage, eventId, timeMs: clock.now()}));
    this.#report.reasons[code] = (this.#report.reasons[code] ?? 0) + 1;
    this.#rejected++;
  }

  /** Bad records of this run, durable or not: the budget counts from where a run begins, so that one can go on after a fix. */
  #rejected = 0;

  #overBudget(): boolean {
    const {budgetAfter, budgetShare} = this.#context.domain.defaults.deadLetters;
    const seen = this.#position.rows - this.#report.resumedAt;
    return this.#rejected > 0 && seen >= budgetAfter && this.#rejected > budgetShare * seen;
  }

  async #stopForBudget(): Promise<never> {
    const seen = this.#position.rows - this.#report.resumedAt;
    await this.#flush();
    await this.#pending;
    throw overBudget(this.#context, {...this.#report, rejected: this.#rejected}, seen, this.#position.rows);
  }

  /** Sends what was taken as one transaction, when the one before it is durable. */
  async #flush(): Promise<void> {
    const {gate, signal} = this.#context;
    await this.#pending;
    const closed = gate?.();
    if (closed !== undefined) await untilOpen(closed, signal);
    const chunk = this.#chunk;
    this.#pending = this.#append(chunk);
    // It is awaited before the next one; until then a failure must not count as unheard.
    this.#pending.catch(() => {});
    this.#chunk = this.#spare;
    this.#spare = chunk;
    this.#chunk.clear();
  }

  async #append(chunk: Chunk): Promise<void> {
    const {log, clock, telemetry, input, eventType} = this.#context;
    const transaction = this.#transaction(chunk);
    failpoint('ingest.before-append');
    const rows = this.#position.rows;
    const rejected = chunk.deadLetters.length;
    const startMs = clock.now();
    const result = await this.#retrying(() => log.append(transaction));
    failpoint('ingest.after-append');
    const events = transaction.appends.flatMap(({topic}, i) =>
      topic === this.#context.topic ? [result.appends[i]!] : [],
    );
    const duplicate = events.reduce((sum, append) => sum + append.duplicate, 0);
    const appended = chunk.rows - rejected - duplicate;
    this.#report.received += chunk.rows;
    this.#report.appended += appended;
    this.#report.duplicate += duplicate;
    this.#report.rejected += rejected;
    telemetry.emit('EventsAppended', {
      domain: input.domain,
      eventType: eventType.name,
      source: this.#source,
      appended,
      duplicate,
      rejected,
      seconds: (clock.now() - startMs) / 1000,
    });
    this.#onRows(rows);
  }

  #transaction(chunk: Chunk): AppendTransaction {
    const {input, eventType, name, topic, partitions, domain, final} = this.#context;
    const position = this.#position;
    const letters = chunk.deadLetters;
    const appends = chunk.appends(topic);
    if (letters.length > 0)
      appends.push({
        topic: deadLetterTopic(input.domain),
        partition: 0,
        count: letters.length,
        bytes: this.#encodeDeadLetters(letters),
        ids: letters.map(({id}) => id),
      });
    const mark = position.done && final === true && position.lastMs !== null;
    if (mark) position.final = true;
    const timeMs = mark ? finalMarkMs(domain, eventType, position.lastMs!) : 0;
    const counts = {
      received: chunk.rows,
      appended: chunk.rows - letters.length,
      duplicate: 0,
      rejected: letters.length,
    };
    return {
      appends,
      ...(mark
        ? {marks: Array.from({length: partitions}, (_, partition) => ({topic, partition, timeMs}))}
        : {}),
      progress: [{source: progressKey(input, name), position: JSON.stringify(position)}],
      // The log itself moves records with known ids from appended to duplicate.
      ledger: [{domain: input.domain, eventType: eventType.name, source: this.#source, ...counts}],
    };
  }

  /** A full log is waited for: nothing of the transaction was appended, so it is sent again as it is. */
  async #retrying(append: () => Promise<AppendResult>): Promise<AppendResult> {
    const {clock, telemetry, signal} = this.#context;
    for (let attempt = 0; ; attempt++) {
      try {
        return await append();
      } catch (error) {
        const full =
          error instanceof PlatformError && (error.code === 'LOG_FULL' || error.code === 'LOG_DISK_FULL');
        if (!full) throw error;
        if (attempt % 30 === 0)
          telemetry.emit('Log', {level: 'warn', message: `${this.#source} waits: ${error.message}`});
        await clock.sleep(retryMs, signal);
      }
    }
  }
}

/** Resolves when the gate opens, rejects when the signal is aborted before. */
function untilOpen(gate: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return gate;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, {once: true});
    gate.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
