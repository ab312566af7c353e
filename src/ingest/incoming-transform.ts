/** Incoming records that pass a transform: read at once, transformed in the order of their batches, and only then put into a group. */
import type {EventType} from '../model/types.ts';
import type {TransformRunner} from '../transforms/types.ts';
import type {IncomingGroup, Taken} from './incoming-group.ts';
import type {RecordReader} from './incoming-json.ts';
import type {IncomingRecords} from './incoming-records.ts';
import {type IncomingBatch, type IncomingResult, verdictStatuses} from './incoming-types.ts';
import {reasonCode} from './reasons.ts';
import {type Problem, type Settled, TransformStage, type Untransformed} from './transformed.ts';

/** A record that was read. `id`: its own, or the one that it gets; null when it cannot have one. */
export type ReadRecord = {index: number; id: string | null; original: Uint8Array};

/** A record behind the transform. */
export type TransformedRecord = ReadRecord & {
  problem: Problem | null;
  events: {bytes: Uint8Array; partition: number; id: string}[];
};

export type TransformedBatch = {
  records: TransformedRecord[];
  counts: {in: number; out: number; rejected: number};
};

/** Most that the events of one batch may hold, bytes: they are in memory until all of them are known. */
const batchBytesMax = 32 * 1024 * 1024;

export class IncomingTransform {
  readonly #stage: TransformStage<ReadRecord>;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: {
    eventType: EventType;
    schemaId: number;
    partitions: number;
    runner: TransformRunner;
  }) {
    this.#stage = new TransformStage(options);
  }

  /** The record that `reader` stands at, copied. */
  static read(
    {encoder, scanner, idOf}: IncomingRecords,
    reader: RecordReader,
    {format}: IncomingBatch,
    index: number,
  ): Untransformed<ReadRecord> {
    const original = reader.original();
    const bad = (id: string | null, problem: Problem) => ({
      record: {index, id, original},
      bytes: reader.size,
      eventId: '',
      problem,
    });
    if (reader.reason < 0)
      return bad(null, {code: reasonCode(reader.reason), message: reader.detail, stage: 'parse'});
    const values = encoder.inputs!.values(scanner, index);
    if (typeof values === 'number') {
      const problem = {...encoder.explain(scanner, values), stage: 'validate'};
      return bad(problem.code === 'EVENT_ID' ? null : idOf(index), problem);
    }
    const id = String(values[0]);
    const isJson = format === 'json' || format === 'ndjson';
    const extra = isJson ? Buffer.from(original).toString('utf8') : null;
    return {record: {index, id, original}, bytes: reader.size, eventId: id, input: {values, extra}};
  }

  /** @throws PlatformError TRANSFORM_LOAD, TRANSFORM_STOPPED */
  run(waiting: readonly Untransformed<ReadRecord>[], latestMs: number): Promise<TransformedBatch> {
    const turn = this.#turn.then(() => this.#run(waiting, latestMs));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #run(waiting: readonly Untransformed<ReadRecord>[], latestMs: number): Promise<TransformedBatch> {
    const records: TransformedRecord[] = [];
    let bytes = 0;
    const settled = (result: Settled<ReadRecord>): undefined => {
      let problem = 'problem' in result ? result.problem : null;
      const encoded = 'encoded' in result ? result.encoded : undefined;
      bytes += encoded?.events.at(-1)?.end ?? 0;
      if (bytes > batchBytesMax)
        problem ??= {
          code: 'TRANSFORM_OUTPUT',
          message: `the events of its batch hold more than ${batchBytesMax} bytes`,
          stage: 'transform',
        };
      const events = problem === null ? (encoded?.events ?? []) : [];
      records.push({
        ...result.record,
        problem,
        events: events.map(({start, end, partition, id}) => ({
          bytes: encoded!.bytes.slice(start, end),
          partition,
          id,
        })),
      });
    };
    for (const each of waiting) this.#stage.add(each);
    try {
      await this.#stage.settle(() => latestMs, settled);
    } finally {
      // After a failure nothing of the batch may wait for the next one.
      this.#stage.drop();
    }
    return {records, counts: countsOf(records)};
  }
}

function countsOf(records: readonly TransformedRecord[]): TransformedBatch['counts'] {
  const counts = {in: 0, out: 0, rejected: 0};
  for (const {problem, events} of records) {
    if (problem !== null && problem.stage !== 'transform') continue;
    counts.in++;
    counts.out += events.length;
    if (problem !== null) counts.rejected++;
  }
  return counts;
}

/**
 * Puts the events of a batch into a group.
 * @param reject writes the dead letter of a record.
 * @returns the batch as the group settles it: by event, where `taken` is by record.
 */
export function takeTransformed(
  group: IncomingGroup,
  {records, counts}: TransformedBatch,
  taken: Taken,
  reject: (record: ReadRecord, problem: Problem) => void,
): Taken {
  const partitions: number[] = [];
  const ids: (string | null)[] = [];
  const problems: Taken['problems'] = [];
  const places = records.map((record) => {
    const from = partitions.length;
    if (record.problem !== null) {
      reject(record, record.problem);
      problems.push({index: from, code: record.problem.code, message: record.problem.message});
      partitions.push(-1);
      ids.push(null);
    }
    for (const {bytes, partition, id} of record.events) {
      const part = group.part(partition, bytes.length);
      part.bytes.set(bytes, part.end);
      group.added(partition, part.end + bytes.length, id);
      partitions.push(partition);
      ids.push(id);
    }
    return {from, to: partitions.length};
  });
  const resolve = (result: IncomingResult) =>
    taken.resolve(result.kind === 'refused' ? result : byRecord(result, places, records, taken));
  return {
    partitions,
    ids,
    problems,
    letters: taken.letters,
    transformed: counts,
    resolve,
    reject: taken.reject,
  };
}

/** A record is a duplicate when every event of it is, dropped when there is none, and appended when one is new. */
function byRecord(
  {statuses: byEvent}: IncomingResult & {kind: 'done'},
  places: readonly {from: number; to: number}[],
  records: readonly TransformedRecord[],
  {problems}: Taken,
): IncomingResult {
  const appended = verdictStatuses.indexOf('appended');
  const statuses = Uint8Array.from(places, ({from, to}) => {
    const own = byEvent.subarray(from, to);
    if (own.length === 0) return verdictStatuses.indexOf('dropped');
    return own.includes(appended) ? appended : own[0]!;
  });
  return {kind: 'done', statuses, ids: records.map(({id}) => id), problems};
}
