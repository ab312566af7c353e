/** Where incoming records wait: one lane an event type and source, made when its first batch comes. */
import assert from 'node:assert/strict';
import type {Clock} from '../clock.ts';
import type {LogWriter} from '../log/types.ts';
import type {Domain, EventType} from '../model/types.ts';
import type {RegisteredSchema} from '../schema/types.ts';
import type {Uuid5} from '../schema/uuid5.ts';
import type {Telemetry} from '../telemetry.ts';
import type {Transforms} from '../transforms/open.ts';
import {type DeadLetterEncoder, deadLetterEncoder, deadLetterTopic} from './deadletters.ts';
import {deadLetterIds} from './identity.ts';
import type {IncomingGroup} from './incoming-group.ts';
import {type IncomingRecords, incomingRecords} from './incoming-records.ts';
import {IncomingTransform} from './incoming-transform.ts';
import type {IncomingBatch} from './incoming-types.ts';

export type IncomingOptions = {
  domains: readonly Domain[];
  log: LogWriter;
  clock: Clock;
  telemetry: Telemetry;
  /** Topic -> id of its newest schema. */
  schemaIds: Record<string, number>;
  /** The schema that a frame names; undefined when the registry has no such id. */
  schemaById: (id: number) => RegisteredSchema | undefined;
  /** Of the event types that have one. */
  transforms?: Transforms;
};

/** Records of one event type and source wait here for their transaction. */
export type Lane = {
  topic: string;
  source: string;
  records: IncomingRecords;
  encodeLetters: DeadLetterEncoder;
  /** Ids of dead letters, by `<event type>/<request>/<index>/<stage>`. */
  letterIds: Uuid5;
  /** Where the event type has one. */
  transform: IncomingTransform | undefined;
  open: IncomingGroup | undefined;
  spare: IncomingGroup[];
};

export class IncomingLanes {
  readonly #options: IncomingOptions;
  readonly #records = new Map<string, IncomingRecords>();
  readonly #letters = new Map<string, DeadLetterEncoder>();
  readonly #lanes = new Map<string, Lane>();

  constructor(options: IncomingOptions) {
    this.#options = options;
  }

  all(): Iterable<Lane> {
    return this.#lanes.values();
  }

  /** The lane of a batch, made when it is the first. */
  of({domain, eventType, source}: Pick<IncomingBatch, 'domain' | 'eventType' | 'source'>): Lane {
    const topic = `${domain}.${eventType}`;
    const key = `${topic}/${source}`;
    let lane = this.#lanes.get(key);
    // A topic in Kafka may get more partitions: keys are spread over all of them from here on.
    const records = this.#recordsOf(topic);
    if (lane && lane.records !== records) {
      lane.records = records;
      lane.transform = this.#transformOf(topic, records.partitions);
    }
    if (lane === undefined) {
      lane = {
        topic,
        source,
        records,
        encodeLetters: this.#letterEncoder(domain),
        letterIds: deadLetterIds(domain, source),
        transform: this.#transformOf(topic, records.partitions),
        open: undefined,
        spare: [],
      };
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  #eventType(topic: string): {domain: Domain; eventType: EventType} {
    for (const domain of this.#options.domains) {
      const eventType = domain.eventTypes.find((each) => each.topic === topic);
      if (eventType) return {domain, eventType};
    }
    return assert.fail(`event type ${topic} exists`);
  }

  #transformOf(topic: string, partitions: number): IncomingTransform | undefined {
    const {eventType} = this.#eventType(topic);
    const runner = this.#options.transforms?.of(eventType);
    assert(runner || eventType.transform === undefined, 'a transform is given with its runner');
    const schemaId = this.#options.schemaIds[topic]!;
    return runner && new IncomingTransform({eventType, schemaId, partitions, runner});
  }

  #recordsOf(topic: string): IncomingRecords {
    const {log, clock, schemaIds, schemaById} = this.#options;
    // The topic exists: the number of partitions asked for is of no consequence.
    const partitions = log.ensureTopic(topic, 1);
    const known = this.#records.get(topic);
    if (known?.partitions === partitions) return known;
    const {domain, eventType} = this.#eventType(topic);
    const schemaId = schemaIds[topic]!;
    const records = incomingRecords({domain, eventType, partitions, schemaId, schemaById, clock});
    this.#records.set(topic, records);
    return records;
  }

  #letterEncoder(domain: string): DeadLetterEncoder {
    let encoder = this.#letters.get(domain);
    if (encoder === undefined) {
      encoder = deadLetterEncoder(this.#options.schemaIds[deadLetterTopic(domain)]!);
      this.#letters.set(domain, encoder);
    }
    return encoder;
  }
}
