/** A log of its own with events of a model's event types, and the same events as the obvious evaluator wants them. */
import {rmSync} from 'node:fs';
import type {Value} from '../../src/expr/types.ts';
import {openLogReader, openLogWriter} from '../../src/log/embedded.ts';
import type {Append, AppendTransaction, LogReader, LogWriter} from '../../src/log/types.ts';
import type {Domain, EventType} from '../../src/model/types.ts';
import type {NaiveEvent} from '../../src/process/naive.ts';
import {avroSchema} from '../../src/schema/avro.ts';
import {compileEncoder, type Encoder} from '../../src/schema/encode.ts';
import {packRecords} from '../../src/schema/frame.ts';
import type {AvroSchema} from '../../src/schema/types.ts';
import {scratchDir} from './scratch.ts';

/** What is appended together: events of one partition, a mark, or records that are no events. */
export type Step =
  | {kind: 'events'; topic: string; partition: number; events: Record<string, Value>[]}
  | {kind: 'mark'; topic: string; partition: number; timeMs: number}
  | {kind: 'broken'; topic: string; partition: number; frames: Uint8Array[]};

/** NaN is NULL everywhere, so the engine reads it as that. */
const logged = (event: Record<string, Value>): Record<string, Value> =>
  Object.fromEntries(
    Object.entries(event).map(([name, value]) => [name, Number.isNaN(value) ? null : value]),
  );

export class EventLog {
  readonly dir = scratchDir('events');
  readonly counter = new SharedArrayBuffer(4);
  readonly writer: LogWriter;
  readonly reader: LogReader;
  /** Events and marks in the order in which they were appended. */
  readonly naive: NaiveEvent[] = [];
  /** Where a record is that does not decode. */
  readonly broken: {topic: string; partition: number; offset: number}[] = [];
  readonly schemas = new Map<number, AvroSchema>();
  #types = new Map<string, {eventType: EventType; encoder: Encoder}>();
  #next = new Map<string, number>();

  constructor() {
    this.writer = openLogWriter(this.dir, {counter: this.counter});
    this.reader = openLogReader(this.dir, {counter: this.counter});
  }

  /** Creates the topics of the domain. @param partitions of an event type by name. */
  add(domain: Domain, partitions: (eventType: string) => number): void {
    for (const eventType of domain.eventTypes) {
      const id = this.schemas.size + 1;
      const schema = avroSchema(eventType);
      this.schemas.set(id, schema);
      this.#types.set(eventType.topic, {eventType, encoder: compileEncoder(schema, id)});
      this.writer.ensureTopic(eventType.topic, partitions(eventType.name));
    }
  }

  readonly schemaOf = (id: number): AvroSchema | undefined => this.schemas.get(id);

  /** One transaction; every step is a batch. */
  async append(steps: Step[]): Promise<void> {
    const transaction: Required<Pick<AppendTransaction, 'appends' | 'marks'>> = {appends: [], marks: []};
    for (const step of steps) {
      const {topic, partition} = step;
      if (step.kind === 'mark') transaction.marks.push({topic, partition, timeMs: step.timeMs});
      else transaction.appends.push(this.#batch(step));
    }
    const {appendTimeMs} = await this.writer.append(transaction);
    // Marks follow the batches of their transaction.
    for (const step of steps) if (step.kind !== 'mark') this.#remember(step, appendTimeMs);
    for (const step of steps) if (step.kind === 'mark') this.#remember(step, appendTimeMs);
  }

  #batch(step: Exclude<Step, {kind: 'mark'}>): Append {
    const {topic, partition} = step;
    if (step.kind === 'broken')
      return {topic, partition, count: step.frames.length, bytes: packRecords(step.frames)};
    const {eventType, encoder} = this.#types.get(topic)!;
    const frames = step.events.map((event) => {
      const values = eventType.fields.map(({name}) => event[name] ?? null);
      const buffer = new Uint8Array(encoder.sizeMax(values));
      return buffer.subarray(0, encoder.encode(values, buffer, 0));
    });
    return {topic, partition, count: frames.length, bytes: packRecords(frames)};
  }

  #remember(step: Step, appendTimeMs: number): void {
    const {topic, partition} = step;
    const key = `${topic}/${partition}`;
    let offset = this.#next.get(key) ?? 0;
    if (step.kind === 'mark')
      this.naive.push({topic, partition, offset: offset++, values: {timestamp: step.timeMs}, mark: true});
    else if (step.kind === 'events')
      for (const event of step.events)
        this.naive.push({topic, partition, offset: offset++, values: logged(event), appendTimeMs});
    else for (const _ of step.frames) this.broken.push({topic, partition, offset: offset++});
    this.#next.set(key, offset);
  }

  async close(): Promise<void> {
    this.reader.close();
    await this.writer.close();
    rmSync(this.dir, {recursive: true});
  }
}
