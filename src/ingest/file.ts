/** A file -> validated events in the log, each once, however often it is begun again. */
import assert from 'node:assert/strict';
import {join} from 'node:path';
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {LogWriter} from '../log/types.ts';
import type {Domain, EventType, Input} from '../model/types.ts';
import type {Telemetry} from '../telemetry.ts';
import type {TransformRunner} from '../transforms/types.ts';
import {Appender, type AppenderContext} from './append.ts';
import {CsvScanner, readCsvHeader} from './csv.ts';
import {deadLetterTopic} from './deadletters.ts';
import {lateJudge} from './horizon.ts';
import {rowIds} from './identity.ts';
import {JsonScanner} from './jsonl.ts';
import {contentName, hashing, isPacked, type OpenFile, openFile, textOnly, withInner} from './open.ts';
import {type FilePosition, identify, progressKey, sourceName} from './position.ts';
import {type RecordScanner, type RecordSource, StreamRecords} from './records.ts';
import {sortRecords} from './sort.ts';
import {compileRows, type RowEncoder, wantedColumns} from './validate.ts';

export type IngestProgress = {
  /** `sorting`: the file is read and sorted; `appending`: events go to the log. */
  phase: 'sorting' | 'appending';
  bytesRead: number;
  bytesTotal: number;
  /** Records done in this phase, and of how many (null: not known before the end). */
  rows: number;
  rowsTotal: number | null;
};

export type IngestFileOptions = {
  domain: Domain;
  eventType: EventType;
  input: Input;
  path: string;
  /** The name its rows are known by instead of the file's own. */
  as?: string;
  log: LogWriter;
  /** For topics that are new. */
  partitions: number;
  /** Ids of the event type's schema and of `deadLetterSchema` in the registry. */
  schemaId: number;
  deadLetterSchemaId: number;
  /** Of an event type with a transform. */
  transform?: TransformRunner;
  clock: Clock;
  telemetry: Telemetry;
  /** Stops after the transaction that is under way; the position is kept. */
  signal?: AbortSignal;
  /** Events per second; null: as fast as it goes. Default: the input's. */
  rate?: number | null;
  /** Where sort runs are spilled, e.g. `.millrace/tmp`. */
  tempDir: string;
  /** A promise while nothing more should be read (backpressure); undefined: go on. */
  gate?: () => Promise<void> | undefined;
  /** Running maximum of event time by partition of a topic, epoch ms; null: none yet. */
  maxima?: (topic: string) => readonly (number | null)[];
  /** Accept rows beyond the horizon. */
  late?: boolean;
  /** Append an end mark to each partition, past the last window. */
  final?: boolean;
  onProgress?: (progress: IngestProgress) => void;
  /** Sizes, for tests. Defaults: runs of 64 MiB, batches of 256 KiB. */
  limits?: {runBytes?: number; batchBytes?: number};
};

export type IngestReport = {
  /** `unchanged`: this content was ingested before; `stopped`: by the signal, the position is kept. */
  state: 'finished' | 'unchanged' | 'stopped';
  /** `<input>/<file>`, as in ledger and dead letters. */
  source: string;
  /** Records that were done before this run. */
  resumedAt: number;
  /** Counts of this run: received = appended + duplicate + rejected. */
  received: number;
  appended: number;
  duplicate: number;
  rejected: number;
  /** Of an event type with a transform: records given to it, events that it made, records that it made dead letters of. */
  transformed?: {in: number; out: number; rejected: number};
  /** Rejected records by code. */
  reasons: Record<string, number>;
  seconds: number;
  /** Whether this run moved time past the last window. */
  final?: true;
};

/**
 * Ingests one file of an input.
 * @throws PlatformError INPUT_MISSING, INPUT_FORMAT, INPUT_HEADER, INPUT_COLUMNS, INPUT_CHANGED, INPUT_BUSY, INPUT_LATE before anything is
 * appended (INPUT_FORMAT also later, for a damaged file), INPUT_BUDGET, and LOG_IO: the position is kept.
 */
export async function ingestFile(options: IngestFileOptions): Promise<IngestReport> {
  const {input, domain, telemetry, log, path} = options;
  const key = progressKey(input, options.as ?? contentName(path));
  const running = active.get(log) ?? new Set();
  active.set(log, running);
  if (running.has(key))
    throw new PlatformError('INPUT_BUSY', `${path} is being ingested already`, {
      place: path,
      hint: 'wait until it is done: npx millrace status',
    });
  running.add(key);
  try {
    return await ingest(options);
  } catch (error) {
    if (error instanceof PlatformError)
      telemetry.emit('InputStopped', {
        domain: domain.name,
        input: input.name,
        code: error.code,
        message: error.message,
        ...(error.hint === undefined ? {} : {hint: error.hint}),
      });
    throw error;
  } finally {
    running.delete(key);
  }
}

/** Sources that are being ingested: two at once would both begin at the same position. */
const active = new WeakMap<LogWriter, Set<string>>();

/** An opened file and what its records become. */
type Opened = {
  source: RecordSource;
  encoder: RowEncoder;
  bytesRead(): number;
  bytesTotal: number;
  rowsTotal: number | null;
  /** SHA-256 of the content as far as it was read, hex; undefined for a plain file, which is its content. */
  digest: (() => string) | undefined;
};

async function ingest(options: IngestFileOptions): Promise<IngestReport> {
  const {input, domain, eventType, log, path, clock} = options;
  const name = options.as ?? contentName(path);
  const startMs = clock.now();
  const topic = eventType.topic;
  const partitions = log.ensureTopic(topic, options.partitions);
  log.ensureTopic(deadLetterTopic(domain.name), 1);
  const stored = log.progress(progressKey(input, name));
  const prior = stored === undefined ? undefined : (JSON.parse(stored) as FilePosition);
  let opened: Opened | undefined;
  const open = async () => (opened ??= await openRecords(options, name, partitions, prior));
  // Sorting reads the whole file before the first event, so that its hash comes with it.
  const sortedContent = async () => (await open()).digest!();
  const sorted = input.orderBy === 'timestamp';
  try {
    const position = await identify(path, input, name, prior, sorted ? sortedContent : undefined);
    const context: AppenderContext = {...options, position, name, topic, partitions, startMs};
    if (position.done) return await finishAgain(context);
    const {source, encoder, bytesRead, bytesTotal, rowsTotal, digest} = await open();
    if (input.format === 'csv') position.columns = [...source.scanner.columns];
    const content = digest ?? (() => position.file);
    if (sorted) position.content ??= content();
    const appender = new Appender(context, encoder, (rows) =>
      options.onProgress?.({phase: 'appending', bytesRead: bytesRead(), bytesTotal, rows, rowsTotal}),
    );
    return await appender.run(source, content);
  } catch (error) {
    if (options.signal?.aborted && !(error instanceof PlatformError))
      return emptyReport(options, name, prior, 'stopped');
    throw error;
  } finally {
    await opened?.source.close();
  }
}

/** A file that is done already: nothing to do, but for an end mark that was not asked for at the time. */
async function finishAgain(context: AppenderContext): Promise<IngestReport> {
  const report = emptyReport(context, context.name, context.position, 'unchanged');
  const {position} = context;
  if (!context.final || position.final || position.lastMs === null) return report;
  await new Appender(context, undefined, () => {}).finish(position.content);
  return {...report, final: true};
}

const emptyReport = (
  {input}: IngestFileOptions,
  name: string,
  position: FilePosition | undefined,
  state: IngestReport['state'],
): IngestReport => ({
  state,
  source: sourceName(input, name),
  resumedAt: position?.rows ?? 0,
  received: 0,
  appended: 0,
  duplicate: 0,
  rejected: 0,
  reasons: {},
  seconds: 0,
});

/** Opens the file, sorts it if the input says so, and refuses it when rows would come too late. */
async function openRecords(
  options: IngestFileOptions,
  name: string,
  partitions: number,
  prior: FilePosition | undefined,
): Promise<Opened> {
  const {input, path, onProgress} = options;
  const survey = prior === undefined ? lateSurvey(options) : undefined;
  if (input.orderBy === 'none') {
    if (survey !== undefined) {
      const {source, encoder} = await openStream(options, name, partitions);
      while (await source.fill()) {
        options.signal?.throwIfAborted();
        while (source.next())
          if (source.reason === 0)
            survey.row(encoder, encoder.timeOf(source.scanner), source.scanner, source.row);
      }
      survey.judge(path);
    }
    return openStream(options, name, partitions);
  }
  let rows = 0;
  const stream = await openStream(options, name, partitions, (file) =>
    onProgress?.({
      phase: 'sorting',
      bytesRead: file.bytesRead(),
      bytesTotal: file.bytesTotal,
      rows,
      rowsTotal: null,
    }),
  );
  const {encoder} = stream;
  const source = await sortRecords(stream.source, {
    timeOf: encoder.timeOf,
    onRecord: (timeMs, scanner, row) => {
      rows = row;
      survey?.row(encoder, timeMs, scanner, row);
    },
    dir: join(options.tempDir, `sort-${input.domain}-${input.name}-${encodeURIComponent(name)}`),
    runBytes: options.limits?.runBytes ?? 64 * 1024 * 1024,
    ...(options.signal === undefined ? {} : {signal: options.signal}),
  });
  try {
    survey?.judge(path);
  } catch (error) {
    await source.close();
    throw error;
  }
  return {...stream, source, rowsTotal: stream.source.row};
}

async function* reporting(chunks: AsyncIterable<Uint8Array>, report: () => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    report();
    yield chunk;
  }
}

/** Opens the file as a stream of records, as they lie in it. @throws INPUT_MISSING, INPUT_FORMAT, INPUT_HEADER, INPUT_COLUMNS */
export async function openStream(
  options: Pick<IngestFileOptions, 'input' | 'eventType' | 'path' | 'schemaId'>,
  name: string,
  partitions: number,
  onChunk: (file: OpenFile) => void = () => {},
): Promise<Opened> {
  const {input, eventType, path} = options;
  const file = await openFile(path);
  // A plain file's hash is known by now (identify): it is that of its content.
  const {chunks, digest} = isPacked(path)
    ? hashing(file.chunks, () => onChunk(file))
    : {chunks: reporting(file.chunks, () => onChunk(file)), digest: undefined};
  let scanner: RecordScanner =
    input.format === 'csv' ? new CsvScanner([]) : new JsonScanner(wantedColumns(eventType, input));
  const source = new StreamRecords(textOnly(chunks, path), scanner);
  try {
    if (input.format === 'csv') scanner = await readCsvHeader(source, path);
    const ids = rowIds(input.domain, input.name, name);
    const encoder = compileRows(
      {eventType, input, schemaId: options.schemaId, partitions, ids},
      scanner.columns,
      path,
    );
    return {source, encoder, bytesRead: file.bytesRead, bytesTotal: file.bytesTotal, rowsTotal: null, digest};
  } catch (error) {
    await source.close();
    throw withInner(error, file.inner);
  }
}

/** Counts the rows that would not count, given what the topic's partitions already hold; undefined when nothing can be late. */
export function lateSurvey(options: Pick<IngestFileOptions, 'domain' | 'eventType' | 'late' | 'maxima'>) {
  const {domain, eventType, late} = options;
  const maxima = options.maxima?.(eventType.topic) ?? [];
  const latestMs = Math.max(...maxima.map((ms) => ms ?? Number.NEGATIVE_INFINITY), Number.NEGATIVE_INFINITY);
  if (late || latestMs === Number.NEGATIVE_INFINITY) return undefined;
  const isLate = lateJudge(domain, eventType);
  let rows = 0;
  let lateRows = 0;
  return {
    row(encoder: RowEncoder, timeMs: number, scanner: RecordScanner, row: number): void {
      rows++;
      // Most rows are not late even by the latest partition, and their own need not be known.
      if (Number.isNaN(timeMs) || !isLate(timeMs, latestMs)) return;
      const maximum = maxima[encoder.partition(scanner, row)];
      if (maximum !== null && maximum !== undefined && isLate(timeMs, maximum)) lateRows++;
    },
    judge(path: string): void {
      if (lateRows === 0) return;
      assert(Number.isFinite(latestMs));
      throw new PlatformError(
        'INPUT_LATE',
        `${lateRows} of ${rows} rows lie too far behind ${new Date(latestMs).toISOString()}, the latest event of ${eventType.topic}, to be counted`,
        {place: path, hint: 'with --late they are ingested and end up as late events of the queries'},
      );
    },
  };
}
