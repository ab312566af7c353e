/** Generated events on their way through the transforms of their types, between generator and log. */
import type {Value} from '../expr/types.ts';
import type {Chunk, Untransformed} from '../generate/chunk.ts';
import {inputValue} from '../ingest/transform-input.ts';
import {type Settled, TransformStage} from '../ingest/transformed.ts';
import {type Partitions, partitionsOf} from '../log/partition.ts';
import type {TransformCounts} from '../log/types.ts';
import type {Domain, EventType} from '../model/types.ts';
import type {Transforms} from '../transforms/open.ts';
import type {TransformInput} from '../transforms/types.ts';
import {generatorSource} from './generate-types.ts';

type StageContext = {
  domain: Domain;
  transforms: Transforms;
  schemaIds: Readonly<Record<string, number>>;
  partitions: Partitions;
};

/** One for each event type, in model order; undefined where it has no transform. `R` is what the caller knows a record by. */
export const stagesOf = <R>({domain, transforms, schemaIds, partitions}: StageContext) =>
  domain.eventTypes.map((eventType): TransformStage<R> | undefined => {
    const runner = transforms.of(eventType);
    const {topic} = eventType;
    const schemaId = schemaIds[topic] ?? 0;
    return (
      runner &&
      new TransformStage<R>({eventType, schemaId, partitions: partitionsOf(partitions, topic), runner})
    );
  });

/** A generated event as its transform gets it: the same as if it came from a file. */
export const generatedInput = ({fields}: EventType, values: Record<string, Value>): TransformInput => ({
  values: fields.map(({name, type}) => {
    const value = values[name] ?? null;
    return value === null ? null : inputValue(type, value);
  }),
  extra: null,
});

export class GeneratedTransforms {
  readonly #domain: Domain;
  readonly #stages: (TransformStage<Untransformed> | undefined)[];

  constructor(context: StageContext) {
    this.#domain = context.domain;
    this.#stages = stagesOf(context);
  }

  /**
   * Transforms what waits in a chunk, and puts what comes of it there. A duplicate is transformed once and counted twice: the second
   * result would be the same.
   * @param latestMs the latest event time that is believed, epoch ms.
   * @returns additions to the ledger of transforms. @throws TRANSFORM_LOAD, TRANSFORM_STOPPED
   */
  async settle(chunk: Chunk, latestMs: number): Promise<TransformCounts[]> {
    const {name: domain, eventTypes} = this.#domain;
    const all: TransformCounts[] = [];
    for (const waiting of chunk.waiting) {
      const {type, eventId, values, original} = waiting;
      const input = generatedInput(eventTypes[type]!, values);
      this.#stages[type]!.add({record: waiting, bytes: original.length, eventId, input});
    }
    for (const [type, stage] of this.#stages.entries()) {
      if (!stage || stage.size === 0) continue;
      const counts = {in: 0, out: 0, rejected: 0};
      await stage.settle(
        () => latestMs,
        (settled) => {
          take(chunk, settled, counts);
          return undefined;
        },
      );
      all.push({domain, eventType: eventTypes[type]!.name, source: generatorSource, ...counts});
    }
    return all;
  }
}

function take(
  chunk: Chunk,
  settled: Settled<Untransformed>,
  counts: {in: number; out: number; rejected: number},
): void {
  const {type, n, eventId, duplicate, original} = settled.record;
  if ('problem' in settled) {
    counts.in++;
    counts.rejected++;
    chunk.reject({type, n, eventId, original, ...settled.problem});
    return;
  }
  const {bytes, events} = settled.encoded;
  const copies = duplicate ? 2 : 1;
  counts.in += copies;
  counts.out += copies * events.length;
  for (const {start, end, partition, id} of events)
    chunk.put(type, partition, bytes.subarray(start, end), id, duplicate);
}
