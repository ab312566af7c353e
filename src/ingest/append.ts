/** Records -> transactions of the log: events, dead letters, ledger and position together, one transaction after another. */
import assert from 'node:assert/strict';
import {unlessAborted} from '../abort.ts';
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import {transactionOf} from './append-transaction.ts';
import {overBudget, warnOfBudget} from './budget.ts';
import {Chunk} from './chunk.ts';
import {type DeadLetterEncoder, deadLetterEncoder, fileDeadLetters} from './deadletters.ts';
import type {IngestFileOptions, IngestReport} from './file.ts';
import {pace} from './pace.ts';
import {appendPatiently} from './patience.ts';
import {type FilePosition, sourceName} from './position.ts';
import {reasonCode} from './reasons.ts';
import type {RecordSource} from './records.ts';
import {untransformed, type WaitingRow} from './transform-input.ts';
import {type Settled, TransformStage} from './transformed.ts';
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
  /** Of an event type with a transform: records wait there before they come into the chunk. */
  readonly #stage: TransformStage<WaitingRow> | undefined;
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
    const {transform: runner} = context;
    assert(context.eventType.transform === undefined || runner, 'a transform is given with its runner');
    this.#stage = runner && new TransformStage({...context, runner});
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
          if (this.#waiting >= credit) {
            if (this.#waiting + this.#chunk.rows > 0) {
              limit.sent(this.#waiting);
              await this.#flush();
            }
            signal?.throwIfAborted();
            credit = await limit.ready(signal);
          }
          if (this.#stage) this.#stage.add(untransformed(source, this.#encoder!, this.#context.input));
          else this.#take(source);
          if (this.#overBudget()) await this.#stopForBudget();
          if (this.#stage?.full ?? this.#chunk.full) {
            limit.sent(this.#waiting);
            // A transaction holds the events of many batches of a transform.
            await (this.#stage ? this.#transform() : this.#flush());
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
    await this.#transform();
    this.#position.done = true;
    this.#position.content = content;
    await this.#flush();
    await this.#pending;
  }

  #done(state: IngestReport['state']): IngestReport {
    const {clock, startMs} = this.#context;
    return {...this.#report, state, seconds: (clock.now() - startMs) / 1000};
  }

  /** Records that were read and are not sent. */
  get #waiting(): number {
    return this.#stage?.size ?? this.#chunk.rows;
  }

  #latestMs = Number.NEGATIVE_INFINITY;

  #believeUntil(): void {
    const {clock, domain} = this.#context;
    if (this.#chunk.rows === 0) this.#latestMs = clock.now() + domain.defaults.futureMaxMs;
  }

  #take(source: RecordSource): void {
    const encoder = this.#encoder!;
    const chunk = this.#chunk;
    const {scanner, row} = source;
    this.#believeUntil();
    this.#position.rows++;
    if (source.reason < 0) {
      this.#reject(source, reasonCode(source.reason), source.detail, 'parse', undefined);
      return;
    }
    const batch = chunk.batch(encoder.partition(scanner, row), encoder.room(source.size));
    const end = encoder.encode(scanner, row, this.#latestMs, batch.bytes, batch.end);
    if (end < 0) {
      const {code, message} = encoder.explain(scanner, end);
      const checked = code.startsWith('CHECK:') || code === 'EXPRESSION';
      this.#reject(source, code, message, checked ? 'check' : 'validate', encoder.givenId(scanner));
      return;
    }
    chunk.added(batch, end, encoder.idsGiven ? encoder.givenId(scanner) : undefined);
    const timeMs = encoder.lastTimeMs();
    if (this.#position.lastMs === null || timeMs > this.#position.lastMs) this.#position.lastMs = timeMs;
  }

  /** Sends the records that wait through the transform, and what becomes of them into the chunk. */
  async #transform(): Promise<void> {
    await this.#stage?.settle(
      () => {
        this.#believeUntil();
        return this.#latestMs;
      },
      (settled) => this.#settled(settled),
    );
  }

  #settled(settled: Settled<WaitingRow>): Promise<void> | undefined {
    const chunk = this.#chunk;
    this.#position.rows++;
    if ('problem' in settled) {
      const {code, message, stage} = settled.problem;
      this.#reject(settled.record, code, message, stage, settled.record.given);
      return this.#overBudget() ? this.#stopForBudget() : undefined;
    }
    const {bytes, events} = settled.encoded;
    for (const {start, end, partition, id, timeMs} of events) {
      const batch = chunk.batch(partition, end - start);
      batch.bytes.set(bytes.subarray(start, end), batch.end);
      chunk.added(batch, batch.end + end - start, id);
      if (this.#position.lastMs === null || timeMs > this.#position.lastMs) this.#position.lastMs = timeMs;
    }
    return chunk.full ? this.#send() : undefined;
  }

  #reject(
    record: Pick<RecordSource, 'row' | 'raw'>,
    code: string,
    message: string,
    stage: string,
    given: string | undefined,
  ): void {
    const {clock} = this.#context;
    const eventId = this.#encoder!.idsGiven ? (given ?? null) : undefined;
    this.#chunk.reject(this.#letterOf(record, {code, message, stage, eventId, timeMs: clock.now()}));
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
    await this.#send();
    await this.#pending;
    throw overBudget(this.#context, {...this.#report, rejected: this.#rejected}, seen, this.#position.rows);
  }

  async #flush(): Promise<void> {
    await this.#transform();
    await this.#send();
  }

  /** Sends what was taken as one transaction, when the one before it is durable. */
  async #send(): Promise<void> {
    const {gate, signal} = this.#context;
    await this.#pending;
    const closed = gate?.();
    if (closed !== undefined) await (signal ? unlessAborted(closed, signal) : closed);
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
    const transformed = this.#stage?.takeCounts();
    const transaction = transactionOf(chunk, {
      ...this.#context,
      position: this.#position,
      source: this.#source,
      encode: this.#encodeDeadLetters,
      transformed,
    });
    failpoint('ingest.before-append');
    const rows = this.#position.rows;
    const rejected = chunk.deadLetters.length;
    const repeated = chunk.duplicates;
    const startMs = clock.now();
    const result = await appendPatiently(log, transaction, {...this.#context, source: this.#source});
    failpoint('ingest.after-append');
    const events = transaction.appends.flatMap(({topic}, i) =>
      topic === this.#context.topic ? [result.appends[i]!] : [],
    );
    const duplicate = events.reduce((sum, append) => sum + append.duplicate, repeated);
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
    if (transformed) {
      telemetry.emit('EventsTransformed', {domain: input.domain, eventType: eventType.name, ...transformed});
      const sum = (this.#report.transformed ??= {in: 0, out: 0, rejected: 0});
      for (const key of ['in', 'out', 'rejected'] as const) sum[key] += transformed[key];
    }
    this.#onRows(rows);
  }
}
