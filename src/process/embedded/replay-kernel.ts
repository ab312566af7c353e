import assert from 'node:assert/strict';
import type {RecordBatch} from '../../log/types.ts';
import {packRecords} from '../../schema/frame.ts';
import type {AvroSchema} from '../../schema/types.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import type {LookupSnapshot} from '../types.ts';
import {createTopicDecoder, type TopicDecoder} from './decode.ts';
import {createKernel, type Kernel} from './kernel.ts';
import type {Delta} from './types.ts';

/** What a query makes of an event, when lateness is no matter. */
export type ReplayVerdict = {kind: 'aggregated' | 'filtered'} | {kind: 'dead'; code: string; message: string};

/** No worker has this number: group ids of replays are their own. */
const replayWorker = -1;
/** Beyond every event time: nothing is late. */
const everMs = 8.64e15;

/** Runs events through a query's own code one by one, whatever their lateness. */
export class ReplayKernel {
  #plan: QueryPlan;
  #decoders: Map<string, TopicDecoder>;
  #kernel: Kernel;

  /** @param schemaOf writer's schema of an id */
  constructor(
    plan: QueryPlan,
    schemaOf: (id: number) => AvroSchema | undefined,
    lookups: Iterable<LookupSnapshot> = [],
  ) {
    // An event that was set aside was seen when it was: it is no duplicate of itself.
    const {dedupMs: _, ...rest} = plan;
    this.#plan = {...rest, late: 'correct', correctForMs: everMs};
    this.#decoders = new Map(
      plan.sources.map(({topic}) => [topic, createTopicDecoder(topic, [this.#plan], schemaOf)]),
    );
    this.#kernel = createKernel({
      plan: this.#plan,
      worker: replayWorker,
      decoders: this.#decoders,
      lookups: [...lookups],
    });
  }

  setLookup(snapshot: LookupSnapshot): void {
    this.#kernel.setLookup(snapshot);
  }

  /**
   * What the query makes of each, and what they add to it. `timeMs`: when the replay began, which their times are compared with.
   * `isUnchecked`: nobody has judged it yet.
   */
  run(events: readonly {topic: string; frame: Uint8Array; timeMs: number; isUnchecked?: boolean}[]): {
    verdicts: ReplayVerdict[];
    delta: Delta;
  } {
    // A partition for each event, so that the cut and the side output tell which one it was.
    for (const [partition, {topic, frame, timeMs, isUnchecked}] of events.entries()) {
      assert.ok(this.#decoders.has(topic), `query ${this.#plan.id} does not read ${topic}`);
      this.#kernel.open(topic, partition, 0, -Infinity);
      const batch: RecordBatch = {
        ...{topic, partition, baseOffset: 0, count: 1, appendTimeMs: timeMs, kind: 'data'},
        ...(isUnchecked ? {isUnchecked} : {}),
        bytes: packRecords([frame]),
      };
      this.#kernel.process(this.#decoders.get(topic)!.decode(batch, 0));
    }
    const delta = this.#kernel.take({endGeneration: true});
    for (const decoder of this.#decoders.values()) decoder.endGeneration();
    const cuts = new Map(delta.cuts.map((cut) => [cut.partition, cut]));
    const dead = new Map(delta.side.map((record) => [record.partition, record]));
    const verdicts = events.map((_, index): ReplayVerdict => {
      const record = dead.get(index);
      if (record?.kind === 'dead') return {kind: 'dead', code: record.code, message: record.message};
      return {kind: cuts.get(index)!.filtered === 1 ? 'filtered' : 'aggregated'};
    });
    return {verdicts, delta: {...delta, cuts: [], side: []}};
  }
}
