import type {Clock} from '../../clock.ts';
import type {AvroSchema, RegisteredSchema} from '../../schema/types.ts';

/** What the registry said of an id: its schema, or null for an id that it does not have. */
export type SchemaAnswer = {id: number; schema: AvroSchema | null};

/** A record that has to wait for the schema that it names. */
export type WantedSchema = {id: number; topic: string; partition: number; offset: number};

/** Thrown out of a decoder: the schema has to be asked for, and the batch decoded again when the answer is there. */
export class SchemaWanted extends Error {
  readonly id: number;
  constructor(id: number) {
    super(`schema ${id} was not asked for yet`);
    this.name = 'SchemaWanted';
    this.id = id;
  }
}

/** An id that the registry did not have is asked for again after so long: it may have been registered since. */
const absentMs = 30_000;
/**
 * Bytes that are no event can name any id. Of so many the answer is kept: more than one batch can name, since the answers of a
 * batch must be there together when it is decoded again.
 */
const absentMax = 400_000;

/** Writers' schemas as one worker knows them: those of the start, and those that it asked for since. */
export class WriterSchemas {
  readonly #known: Map<number, AvroSchema>;
  /** Id -> when it may be asked for again. */
  readonly #absent = new Map<number, number>();
  /** Id -> places that wait for it. */
  readonly #asked = new Map<number, Set<string>>();
  readonly #clock: Clock;
  readonly #ask: ((wanted: WantedSchema[]) => void) | undefined;

  /** @param ask answered by `answer`, some time; without it nothing is known but what is given */
  constructor(given: readonly RegisteredSchema[], clock: Clock, ask?: (wanted: WantedSchema[]) => void) {
    this.#known = new Map(given.map(({id, schema}) => [id, schema]));
    this.#clock = clock;
    this.#ask = ask;
  }

  /** The schema of an id, undefined when the registry does not have it. @throws SchemaWanted when that is not known yet */
  readonly schemaOf = (id: number): AvroSchema | undefined => {
    const known = this.#known.get(id);
    if (known !== undefined || !this.isWanted(id)) return known;
    throw new SchemaWanted(id);
  };

  /** The same for a record that was looked at before: what is not known is not there. */
  readonly schemaNow = (id: number): AvroSchema | undefined => this.#known.get(id);

  /** Whether a record that names this id has to wait for an answer. */
  isWanted(id: number): boolean {
    if (this.#known.has(id) || !this.#ask) return false;
    const untilMs = this.#absent.get(id);
    return untilMs === undefined || this.#clock.now() >= untilMs;
  }

  /** Asks for what was not asked for yet at that place. */
  want(wanted: readonly WantedSchema[]): void {
    const fresh = wanted.filter(({id, topic, partition}) => {
      const places = this.#asked.get(id) ?? new Set();
      this.#asked.set(id, places);
      const place = `${topic}/${partition}`;
      return !places.has(place) && places.add(place);
    });
    if (fresh.length > 0) this.#ask?.(fresh);
  }

  /** An id that the registry did not have may be asked for again at once. */
  recheck(id: number): void {
    this.#absent.delete(id);
  }

  answer({id, schema}: SchemaAnswer): void {
    this.#asked.delete(id);
    if (schema !== null) {
      this.#known.set(id, schema);
      return;
    }
    this.#absent.delete(id);
    this.#absent.set(id, this.#clock.now() + absentMs);
    if (this.#absent.size < absentMax) return;
    // The oldest half: those of the batch that waits are younger.
    let left = absentMax / 2;
    for (const old of this.#absent.keys()) {
      if (left-- === 0) break;
      this.#absent.delete(old);
    }
  }
}
