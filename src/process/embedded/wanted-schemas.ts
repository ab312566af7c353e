import type {Clock} from '../../clock.ts';
import type {AvroSchema} from '../../schema/types.ts';
import type {HeldPartition, QueryStatus} from '../types.ts';
import type {SchemaAnswer, WantedSchema} from './worker-schemas.ts';

/** Schemas that workers asked for, as the main thread keeps them until they are answered. */
export class WantedSchemas {
  readonly #held = new Map<string, HeldPartition>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Asks for each; `answer` is called when one is there. */
  ask(
    wanted: readonly WantedSchema[],
    schemaOf: (id: number, waits: (why: string) => void) => Promise<AvroSchema | null>,
    answer: (answer: SchemaAnswer) => void,
  ): void {
    for (const {id, topic, partition, offset} of wanted) {
      const key = `${topic}/${partition}/${offset}/${id}`;
      const held: HeldPartition = {topic, partition, offset, schemaId: id, sinceMs: this.#clock.now()};
      this.#held.set(key, held);
      const waits = (why: string) => {
        held.message = why;
      };
      void schemaOf(id, waits).then((schema) => {
        this.#held.delete(key);
        answer({id, schema});
      });
    }
  }

  /** Statuses with the partitions in which they wait: those that a query has read up to where the schema is wanted. */
  shown(all: QueryStatus[]): QueryStatus[] {
    if (this.#held.size === 0) return all;
    return all.map((status) => {
      const held = [...this.#held.values()].filter(({topic, partition, offset}) =>
        status.positions?.some(
          (place) => place.topic === topic && place.partition === partition && place.offset === offset,
        ),
      );
      return held.length > 0 ? {...status, held} : status;
    });
  }
}
