/** Records that come in memory -> the log: validated, encoded, made durable together, each with a verdict. */
import {failpoint} from '../failpoint.ts';
import {deadLetterTopic} from './deadletters.ts';
import {IncomingGroup, type Taken} from './incoming-group.ts';
import {BodyRefused, type RecordReader} from './incoming-json.ts';
import {IncomingKeys} from './incoming-keys.ts';
import {IncomingLanes, type IncomingOptions, type Lane} from './incoming-lanes.ts';
import {IncomingTransform, type ReadRecord, takeTransformed} from './incoming-transform.ts';
import type {IncomingBatch, IncomingResult, RefusalCode} from './incoming-types.ts';
import {tellRefused} from './patience.ts';
import {reasonCode} from './reasons.ts';
import {oversizeKeptBytes} from './records.ts';
import type {Problem, Untransformed} from './transformed.ts';

const keyReused = 'the Idempotency-Key named another body before';

/** A transaction is closed at about this size, bytes; a batch is never divided between two. */
const groupBytesMax = 4 * 1024 * 1024;

export class Incoming {
  readonly #options: IncomingOptions;
  readonly #lanes: IncomingLanes;
  readonly #keys: IncomingKeys;
  #scheduled = false;
  /** The body that is being read, with a byte to spare. */
  #body = new Uint8Array(64 * 1024);

  constructor(options: IncomingOptions) {
    this.#options = options;
    this.#lanes = new IncomingLanes(options);
    this.#keys = new IncomingKeys(options.log);
  }

  /**
   * Reads a batch at once; resolves when it is durable. Batches taken in one turn of the event loop share a transaction.
   * Rejects with LOG_FULL, LOG_DISK_FULL, LOG_IO.
   */
  take(batch: IncomingBatch): Promise<IncomingResult> {
    return new Promise((resolve, reject) => this.read(batch, resolve, reject));
  }

  /** `take` for callers that answer many batches at once: those of one transaction are told in one turn. */
  read(
    batch: IncomingBatch,
    resolve: (result: IncomingResult) => void,
    reject: (error: unknown) => void,
  ): void {
    let lane: Lane;
    try {
      lane = this.#lanes.of(batch);
    } catch (error) {
      // A log that failed is asked nothing any more.
      reject(error);
      return;
    }
    const taken: Taken = {partitions: [], ids: [], problems: [], letters: [], resolve, reject};
    const key = this.#keys.note(batch);
    if (key === null) {
      resolve({kind: 'refused', code: 'KEY_REUSED', message: keyReused});
      return;
    }
    if (key) this.#keys.hold(key, taken);
    this.#read(lane, this.#group(lane), batch, taken);
    this.#taken(lane);
  }

  #group(lane: Lane): IncomingGroup {
    return (lane.open ??= lane.spare.pop() ?? new IncomingGroup(lane.records.partitions));
  }

  /** Something may have come into the open group. */
  #taken(lane: Lane): void {
    if (lane.open !== undefined && lane.open.bytes >= groupBytesMax) this.#flush(lane);
    else this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      for (const lane of this.#lanes.all()) this.#flush(lane);
    });
  }

  #read(lane: Lane, group: IncomingGroup, batch: IncomingBatch, taken: Taken): void {
    const {length} = batch.bytes;
    const bytes = this.#copy(batch.bytes);
    group.begin();
    try {
      const waiting: Untransformed<ReadRecord>[] | undefined = lane.transform && [];
      const refusal = this.#readAll(lane, group, batch, taken, bytes, waiting);
      if (refusal === undefined) {
        if (lane.transform) this.#transform(lane, batch, taken, waiting!);
        else group.keep(taken);
        return;
      }
      group.rollback();
      taken.resolve({kind: 'refused', ...refusal});
    } catch (error) {
      group.rollback();
      if (error instanceof BodyRefused)
        this.#refuseBody(
          lane,
          group,
          batch,
          taken,
          error,
          bytes.slice(0, Math.min(length, oversizeKeptBytes)),
        );
      else taken.reject(error);
    }
  }

  /** @returns why the batch is not taken although every record of it could be found. @throws BodyRefused */
  #readAll(
    lane: Lane,
    group: IncomingGroup,
    batch: IncomingBatch,
    taken: Taken,
    bytes: Uint8Array,
    waiting: Untransformed<ReadRecord>[] | undefined,
  ): {code: RefusalCode; message: string} | undefined {
    const {recordsMax} = batch;
    const reader = lane.records.open(batch, bytes, batch.bytes.length);
    while (reader.next()) {
      if ((waiting ?? taken.ids).length === recordsMax)
        return {code: 'BATCH_TOO_LARGE', message: `the batch has more than ${recordsMax} records`};
      if (waiting) waiting.push(IncomingTransform.read(lane.records, reader, batch, waiting.length));
      else this.#record(lane, group, batch, taken, reader);
    }
    return (waiting ?? taken.ids).length > 0
      ? undefined
      : {code: 'BODY_EMPTY', message: 'the body holds no record'};
  }

  /** What was read goes through the transform, and then into whichever group is open. */
  #transform(lane: Lane, batch: IncomingBatch, taken: Taken, waiting: Untransformed<ReadRecord>[]): void {
    lane.transform!.run(waiting, lane.records.latestMs()).then((transformed) => {
      const group = this.#group(lane);
      const setAside = (record: ReadRecord, problem: Problem) =>
        this.#setAside(lane, batch, taken, record, problem);
      group.keep(takeTransformed(group, transformed, taken, setAside));
      this.#taken(lane);
    }, taken.reject);
  }

  #copy(bytes: Uint8Array): Uint8Array {
    if (bytes.length >= this.#body.length) {
      const body = new Uint8Array(bytes.length + 1);
      body.set(bytes);
      if (bytes.length < 1024 * 1024) this.#body = body;
      return body;
    }
    this.#body.set(bytes);
    return this.#body;
  }

  #record(lane: Lane, group: IncomingGroup, batch: IncomingBatch, taken: Taken, reader: RecordReader): void {
    const {records} = lane;
    const index = taken.ids.length;
    if (reader.reason < 0) {
      const problem = {code: reasonCode(reader.reason), message: reader.detail};
      this.#reject(lane, batch, taken, problem, 'parse', null, reader.original());
      return;
    }
    const {encoder, scanner} = records;
    const partition = encoder.partition(scanner, index);
    const part = group.part(partition, encoder.room(reader.size));
    const end = encoder.encode(scanner, index, records.latestMs(), part.bytes, part.end);
    if (end < 0) {
      const problem = encoder.explain(scanner, end);
      const checked = problem.code.startsWith('CHECK:') || problem.code === 'EXPRESSION';
      const id = problem.code === 'EVENT_ID' ? null : records.idOf(index);
      this.#reject(lane, batch, taken, problem, checked ? 'check' : 'validate', id, reader.original());
      return;
    }
    const id = records.idOf(index);
    group.added(partition, end, id);
    taken.partitions.push(partition);
    taken.ids.push(id);
  }

  #reject(
    lane: Lane,
    batch: IncomingBatch,
    taken: Taken,
    problem: {code: string; message: string},
    stage: string,
    eventId: string | null,
    original: Uint8Array,
  ): void {
    const index = taken.ids.length;
    taken.partitions.push(-1);
    taken.ids.push(eventId);
    this.#setAside(lane, batch, taken, {index, id: eventId, original}, {...problem, stage});
  }

  /** Tells why a record is not logged, and keeps its bytes unless the sender does not want that. */
  #setAside(
    {source, letterIds}: Lane,
    {domain, eventType, request, deadLetters}: IncomingBatch,
    taken: Taken,
    {index, id: eventId, original}: ReadRecord,
    {stage, ...problem}: Problem,
  ): void {
    taken.problems.push({index, ...problem});
    if (!deadLetters) return;
    taken.letters.push({
      id: letterIds.of(`${eventType}/${request}/${index}/${stage}`),
      timeMs: this.#options.clock.now(),
      domain,
      eventType,
      stage,
      query: null,
      ...problem,
      source,
      position: {request, index},
      eventId,
      schemaId: null,
      original,
    });
  }

  /** A body that cannot be divided is one bad record: its dead letter becomes durable before the refusal is told. */
  #refuseBody(
    lane: Lane,
    group: IncomingGroup,
    batch: IncomingBatch,
    {resolve, reject}: Taken,
    {code, message}: BodyRefused,
    original: Uint8Array,
  ): void {
    const whole: Taken = {
      partitions: [],
      ids: [],
      problems: [],
      letters: [],
      resolve: () => resolve({kind: 'refused', code, message}),
      reject,
    };
    const reason =
      code === 'SCHEMA' ? 'UNKNOWN_SCHEMA' : batch.format.startsWith('avro') ? 'AVRO' : 'JSON_SYNTAX';
    this.#reject(lane, batch, whole, {code: reason, message}, 'parse', null, original);
    group.keep(whole);
  }

  #flush(lane: Lane): void {
    const group = lane.open;
    if (group === undefined || group.taken.length === 0) return;
    lane.open = undefined;
    void this.#append(lane, group).finally(() => {
      group.clear();
      lane.spare.push(group);
    });
  }

  async #append(lane: Lane, group: IncomingGroup): Promise<void> {
    const {log, telemetry} = this.#options;
    const {topic, source, encodeLetters} = lane;
    const [domain = '', eventType = ''] = topic.split('.');
    const appends = group.appends(topic);
    const keys = group.keys();
    const letters = group.taken.flatMap((taken) => taken.letters);
    const received = group.taken.reduce((sum, {ids}) => sum + ids.length, 0);
    const rejected = group.taken.reduce((sum, {problems}) => sum + problems.length, 0);
    const counts = {domain, eventType, source};
    const ledger = [{...counts, received, appended: received - rejected, duplicate: 0, rejected}];
    const transformed = group.transformed();
    const startMs = performance.now();
    try {
      failpoint('incoming.before-append');
      const {appends: results} = await log.append({
        appends:
          letters.length === 0
            ? appends
            : [
                ...appends,
                {
                  topic: deadLetterTopic(domain),
                  partition: 0,
                  count: letters.length,
                  bytes: encodeLetters(letters),
                  ids: letters.map(({id}) => id),
                },
              ],
        ...(keys.length > 0 ? {progress: keys} : {}),
        ledger,
        ...(lane.transform && {transformed: [{...counts, ...transformed, letters: ofTransform(letters)}]}),
      });
      failpoint('incoming.after-append');
      const events = appends.reduce((sum, _, i) => sum + results[i]!.duplicate, 0);
      // A record that was rejected before is a duplicate now, as the log counts it.
      const known = letters.length === 0 ? 0 : results[appends.length]!.duplicate;
      telemetry.emit('EventsAppended', {
        ...counts,
        appended: received - rejected - events,
        duplicate: events + known,
        rejected: rejected - known,
        seconds: (performance.now() - startMs) / 1000,
      });
      if (lane.transform) {
        const {dropped} = results[appends.length] ?? {};
        const again = dropped ? ofTransform(letters).filter((index) => dropped[index]).length : 0;
        const {in: given, out, rejected: refused} = transformed;
        const told = {in: given - again, out, rejected: refused - again};
        telemetry.emit('EventsTransformed', {domain, eventType, ...told});
      }
      group.settle(appends, results);
    } catch (error) {
      tellRefused(telemetry, {ledger});
      for (const {reject} of group.taken) reject(error);
    }
  }
}

/** Places of the letters of records that the transform rejected. */
const ofTransform = (letters: readonly {stage: string}[]): number[] =>
  letters.flatMap(({stage}, index) => (stage === 'transform' ? [index] : []));
