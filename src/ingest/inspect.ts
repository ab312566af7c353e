/** What ingesting a file would do, without doing it. */
import type {Clock} from '../clock.ts';
import type {Domain, EventType, Input} from '../model/types.ts';
import type {TransformRunner} from '../transforms/types.ts';
import {lateSurvey, openStream} from './file.ts';
import {contentName} from './open.ts';
import {type FilePosition, identify, progressKey, sourceName} from './position.ts';
import {reasonCode} from './reasons.ts';
import {untransformed, type WaitingRow} from './transform-input.ts';
import {TransformStage} from './transformed.ts';

export type InspectOptions = {
  domain: Domain;
  eventType: EventType;
  input: Input;
  path: string;
  /** The name its rows would be known by instead of the file's own. */
  as?: string;
  clock: Clock;
  /** Of the event type's topic. */
  partitions: number;
  /** What the log knows of a source; undefined for everything where there is no log yet. */
  progress: (key: string) => string | undefined;
  /** Running maximum of event time by partition of a topic, epoch ms; null: none yet. */
  maxima: (topic: string) => readonly (number | null)[];
  /** Of an event type with a transform, which sees the records as it would. */
  transform?: TransformRunner;
  /** Rows beyond the horizon would be accepted. */
  late: boolean;
};

export type Inspection = {
  /** `unchanged`: nothing would be appended; `continues`: it was begun before and goes on. */
  state: 'new' | 'continues' | 'unchanged';
  /** `<input>/<file>`, as in ledger and dead letters. */
  source: string;
  format: Input['format'];
  /** Columns as the file's header names them; of JSONL those that are looked for. */
  columns: string[];
  /** Records in the file, and those of them that were done before. */
  rows: number;
  done: number;
  /** How many of the file would become dead letters, by code; not looked at when nothing is left to do. */
  rejected: number;
  reasons: Record<string, number>;
  /** Events that its records would become; absent without a transform. */
  events?: number;
};

/**
 * Reads the whole file and checks every record as ingesting it would. Nothing is written; whether the log has seen an event
 * id before, and the budget of dead letters, are not looked at.
 * @throws PlatformError TRANSFORM_LOAD, INPUT_MISSING, INPUT_FORMAT, INPUT_HEADER, INPUT_COLUMNS, INPUT_CHANGED, INPUT_LATE
 */
export async function inspectFile(options: InspectOptions): Promise<Inspection> {
  const {input, domain, path, progress, clock, eventType, transform: runner} = options;
  const name = options.as ?? contentName(path);
  const stored = progress(progressKey(input, name));
  const prior = stored === undefined ? undefined : (JSON.parse(stored) as FilePosition);
  const position = await identify(path, input, name, prior);
  const survey = prior === undefined ? lateSurvey(options) : undefined;
  // The schema's id is of no consequence for what a record is worth.
  const {source, encoder} = await openStream({...options, schemaId: 1}, name, options.partitions);
  const latestMs = clock.now() + domain.defaults.futureMaxMs;
  const reasons: Record<string, number> = {};
  const stage = runner && new TransformStage<WaitingRow>({...options, eventType, schemaId: 1, runner});
  let room = new Uint8Array(0);
  let rows = 0;
  let rejected = 0;
  const reject = (code: string) => {
    rejected++;
    reasons[code] = (reasons[code] ?? 0) + 1;
  };
  const settle = async () =>
    stage?.settle(
      () => latestMs,
      (settled) => {
        if ('problem' in settled) reject(settled.problem.code);
        return undefined;
      },
    );
  try {
    const {columns} = source.scanner;
    while (await source.fill())
      while (source.next()) {
        const {scanner, row, reason} = source;
        rows++;
        if (position.done) continue;
        if (stage) {
          if (reason === 0) survey?.row(encoder, encoder.timeOf(scanner), scanner, row);
          stage.add(untransformed(source, encoder, input));
          if (stage.full) await settle();
          continue;
        }
        if (reason < 0) {
          reject(reasonCode(reason));
          continue;
        }
        survey?.row(encoder, encoder.timeOf(scanner), scanner, row);
        const size = encoder.room(source.size);
        if (room.length < size) room = new Uint8Array(2 * size);
        const end = encoder.encode(scanner, row, latestMs, room, 0);
        if (end < 0) reject(encoder.explain(scanner, end).code);
      }
    survey?.judge(path);
    await settle();
    return {
      state: position.done ? 'unchanged' : prior === undefined ? 'new' : 'continues',
      source: sourceName(input, name),
      format: input.format,
      columns: [...columns],
      rows,
      done: position.rows,
      rejected,
      reasons,
      ...(stage && {events: stage.takeCounts().out}),
    };
  } finally {
    await source.close();
  }
}
