/** Records that pass a transform before they are written: they wait here in their order until the transform has answered. */
import assert from 'node:assert/strict';
import type {EventType} from '../model/types.ts';
import {uuid5Number, uuid5Of} from '../schema/uuid5.ts';
import type {TransformInput, TransformRunner} from '../transforms/types.ts';
import {domainNamespace} from './identity.ts';
import {compileObjectEncoder, noRoom, type ObjectEncoder, roomMax} from './objects.ts';
import {recordBytesMax} from './records.ts';

/** Why a record is not logged. */
export type Problem = {code: string; message: string; stage: string};

/** A record before the transform: readable, or bad already. `R` is what the caller knows it by. */
export type Untransformed<R> = {record: R; bytes: number; eventId: string} & (
  | {input: TransformInput}
  | {problem: Problem}
);

/** Events of one record, encoded one after another in `bytes`; valid until the next call of `settle`. */
export type Encoded = {
  bytes: Uint8Array;
  events: {start: number; end: number; partition: number; id: string; timeMs: number}[];
};

/** What became of a record. Its events are logged all or not at all. */
export type Settled<R> = {record: R} & ({problem: Problem} | {encoded: Encoded});

/** A batch is sent to the transform at about this size. */
const recordsMax = 500;
const bytesMax = 256 * 1024;

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Ids of the events that a transform makes of a record: uuid5(event id, n), n from 0. An id that is no UUID names one in its domain. */
export function derivedIds(domain: string): (eventId: string) => (n: number) => string {
  const names = uuid5Of(domainNamespace(domain), 'event/');
  return (eventId) => {
    const namespace = uuid.test(eventId) ? eventId : names.of(eventId);
    return (n) => uuid5Number(namespace, n);
  };
}

export class TransformStage<R> {
  readonly #runner: TransformRunner;
  readonly #encoder: ObjectEncoder;
  readonly #fields: number;
  readonly #id: number;
  readonly #time: number;
  readonly #partitions: number;
  readonly #idsOf: (eventId: string) => (n: number) => string;
  #waiting: Untransformed<R>[] = [];
  #bytes = 0;
  #scratch = new Uint8Array(64 * 1024);
  /** What passed since `takeCounts`: records given to the transform, events that it made, records that it made dead letters of. */
  readonly #isHidden: boolean;
  #counts = {in: 0, out: 0, rejected: 0};

  constructor(options: {
    eventType: EventType;
    schemaId: number;
    partitions: number;
    runner: TransformRunner;
  }) {
    const {eventType, schemaId, partitions, runner} = options;
    this.#runner = runner;
    this.#encoder = compileObjectEncoder(eventType, schemaId, 'list');
    this.#fields = eventType.fields.length;
    this.#id = eventType.fields.findIndex(({role}) => role === 'id');
    this.#time = eventType.fields.findIndex(({role}) => role === 'time');
    this.#partitions = partitions;
    this.#idsOf = derivedIds(eventType.domain);
    this.#isHidden = eventType.fields.some(({pii}) => pii);
  }

  /** What a function of a user's says may hold what it was given: where that is personal data, its place and name are left. */
  #shown(code: string, message: string): string {
    if (!this.#isHidden || code === 'TRANSFORM_TIMEOUT' || code === 'TRANSFORM_ENDED') return message;
    const [place = ''] = /^[\w.-]+:\d+(?=: )/.exec(message) ?? [];
    return `${place === '' ? '' : `${place}: `}what it says is not shown, the event type has personal data`;
  }

  add(record: Untransformed<R>): void {
    this.#waiting.push(record);
    this.#bytes += record.bytes;
  }

  /** Records that wait. */
  get size(): number {
    return this.#waiting.length;
  }

  /** Whether as many wait as should be sent at once. */
  get full(): boolean {
    return this.#waiting.length >= recordsMax || this.#bytes >= bytesMax;
  }

  /** Forgets what waits. */
  drop(): void {
    this.#waiting = [];
    this.#bytes = 0;
  }

  /** Counts since the last call. */
  takeCounts(): {in: number; out: number; rejected: number} {
    const counts = this.#counts;
    this.#counts = {in: 0, out: 0, rejected: 0};
    return counts;
  }

  /**
   * Transforms what waits and hands each record over in order; those that `stop` leaves wait on.
   * @param latestMs the latest event time that is believed, epoch ms.
   * @param settled returns a promise when it wants to be waited for.
   * @throws PlatformError TRANSFORM_LOAD, TRANSFORM_STOPPED, and what `settled` throws.
   */
  async settle(
    latestMs: () => number,
    settled: (record: Settled<R>) => Promise<void> | undefined,
  ): Promise<void> {
    while (this.#waiting.length > 0) {
      const inputs = this.#waiting.flatMap((each) => ('input' in each ? [each.input] : []));
      const outcomes = inputs.length === 0 ? [] : await this.#runner.run(inputs);
      let next = 0;
      let done = 0;
      for (const each of this.#waiting) {
        if (!('problem' in each) && next === outcomes.length) break;
        done++;
        if ('problem' in each) {
          const wait = settled({record: each.record, problem: each.problem});
          if (wait !== undefined) await wait;
          continue;
        }
        const outcome = outcomes[next++]!;
        this.#counts.in++;
        const result: {problem: Problem} | {encoded: Encoded} =
          outcome.kind === 'rejected'
            ? {
                problem: {
                  code: outcome.code,
                  message: this.#shown(outcome.code, outcome.message),
                  stage: 'transform',
                },
              }
            : this.#encode(each.input, each.eventId, outcome, latestMs());
        if ('problem' in result) this.#counts.rejected++;
        else this.#counts.out += result.encoded.events.length;
        const wait = settled({record: each.record, ...result});
        if (wait !== undefined) await wait;
      }
      assert(done > 0, 'a transform answers for one record at least');
      for (const {bytes} of this.#waiting.splice(0, done)) this.#bytes -= bytes;
    }
  }

  /** Validates and encodes the events of a record; one that is bad makes the whole record a dead letter. */
  #encode(
    input: TransformInput,
    eventId: string,
    {count, values}: {count: number; values: unknown[]},
    latestMs: number,
  ): {problem: Problem} | {encoded: Encoded} {
    const idOf = this.#idsOf(eventId);
    const events: Encoded['events'] = [];
    let at = 0;
    for (let n = 0; n < count; n++) {
      const event = values.slice(n * this.#fields, (n + 1) * this.#fields);
      const id = idOf(n);
      event[this.#id] = id;
      event[this.#time] ??= input.values[this.#time];
      let end = this.#encoder.encode(event, latestMs, this.#scratch, at);
      while (end === noRoom) {
        this.#grow(at);
        end = this.#encoder.encode(event, latestMs, this.#scratch, at);
      }
      if (end < 0) {
        const {code, message} = this.#encoder.explain(event, end);
        const which =
          count === 1 ? 'the event of the transform' : `event ${n + 1} of ${count} of the transform`;
        return {problem: {code, message: `${which}: ${message}`, stage: 'transform'}};
      }
      events.push({
        start: at,
        end,
        partition: this.#encoder.lastPartition(this.#partitions),
        id,
        timeMs: this.#encoder.lastTimeMs(),
      });
      at = end;
    }
    return {encoded: {bytes: this.#scratch, events}};
  }

  #grow(used: number): void {
    const larger = new Uint8Array(
      this.#scratch.length < recordBytesMax ? 4 * this.#scratch.length : this.#scratch.length + roomMax,
    );
    larger.set(this.#scratch.subarray(0, used));
    this.#scratch = larger;
  }
}
