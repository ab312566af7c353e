import type {Clock} from '../../clock.ts';
import type {LogReader} from '../../log/types.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import type {LookupSnapshot} from '../types.ts';
import type {CheckpointHeader, LookupSwitch} from './checkpoint.ts';
import {stepsFrom} from './lookup-journal.ts';
import type {Merger} from './merger.ts';
import type {PartitionPlace} from './merger-time.ts';
import type {StateStore} from './statestore.ts';
import {
  type PeerMessage,
  type QueryStart,
  readerOf,
  type StopPlace,
  type WorkerEvent,
} from './worker-messages.ts';
import type {WriterSchemas} from './worker-schemas.ts';

/** All partitions that a query reads, with the start of what the log holds, or of what the revision begins with. */
export const placesOf = ({sources, startsAt = []}: QueryPlan, log: LogReader): PartitionPlace[] =>
  sources.flatMap(({topic}) =>
    Array.from({length: log.partitions(topic)}, (_, partition) => {
      const startOffset = log.startOffset(topic, partition);
      const begin = startsAt.find((place) => place.topic === topic && place.partition === partition);
      if (!begin || begin.offset < startOffset) return {topic, partition, startOffset};
      const startMaxMs = begin.maxTimeMs ?? -Infinity;
      return {topic, partition, startOffset: begin.offset, startMaxMs};
    }),
  );

/** All partitions that a query reads, with the end of what the log holds. */
export const endsOf = (plan: QueryPlan, log: LogReader): CheckpointHeader['starts'] =>
  placesOf(plan, log).map(({topic, partition}) => {
    return {topic, partition, offset: log.endOffset(topic, partition)};
  });

/** Where a query without a checkpoint begins. */
export const beginsOf = (places: PartitionPlace[]): CheckpointHeader['starts'] =>
  places.map(({topic, partition, startOffset: offset}) => ({topic, partition, offset}));

/** What the owner of a query is given. */
export type OwnerOptions = {
  start: QueryStart;
  /** Openings are numbered from here. */
  firstRun: number;
  /** This worker, and how many there are. */
  worker: number;
  workers: number;
  log: LogReader;
  store: StateStore;
  clock: Clock;
  flushMs: number;
  checkpointIntervalMs: number;
  schemas: WriterSchemas;
  /** A lookup's snapshot that this worker was given. */
  snapshotOf(domain: string, lookup: string, id: string): LookupSnapshot;
  toWorker(worker: number, message: PeerMessage): void;
  toMain(event: WorkerEvent): void;
  /** How long the query's feeds keep a delta, ms. */
  setPace(ms: number): void;
};

/** What an owner says to the feeds of its query. */
export class Feeds {
  /** Workers that read for the query. */
  readonly workers: ReadonlySet<number>;
  #query: string;
  #options: OwnerOptions;

  constructor(query: string, places: PartitionPlace[], options: OwnerOptions) {
    this.#query = query;
    this.#options = options;
    this.workers = new Set(places.map(({topic, partition}) => readerOf(topic, partition, options.workers)));
  }

  /** A worker begins anew, where the merger stands. @param journal of the query's lookups */
  open(worker: number, run: number, merger: Merger, journal: LookupSwitch[]): void {
    merger.kernelBegins(worker);
    if (!this.workers.has(worker)) return;
    const places = merger.time.partitions
      .filter(({topic, partition}) => readerOf(topic, partition, this.#options.workers) === worker)
      .map(({topic, partition, offset, maxTimeMs}) => {
        const topicId = merger.topics[topic];
        return {topic, topicId, partition, offset, maxTimeMs, seen: merger.seen.of(topic, partition)};
      });
    const owner = this.#options.worker;
    const message = {kind: 'open', query: this.#query, run, owner, places} as const;
    const lookups = {...merger.lookups};
    this.#options.toWorker(worker, {...message, lookups, steps: stepsFrom(journal, places, lookups)});
  }

  close(run: number): void {
    this.#tell({kind: 'close', query: this.#query, run});
  }

  hold(run: number): void {
    this.#tell({kind: 'hold', query: this.#query, run});
  }

  release(run: number, lookups: Record<string, string>): void {
    this.#tell({kind: 'release', query: this.#query, run, lookups});
  }

  pause(run: number, paused: boolean): void {
    this.#tell({kind: 'pause', query: this.#query, run, paused});
  }

  until(run: number, places: StopPlace[] | null): void {
    this.#tell({kind: 'until', query: this.#query, run, places});
  }

  merged(worker: number, run: number): void {
    this.#options.toWorker(worker, {kind: 'merged', query: this.#query, run});
  }

  #tell(message: PeerMessage): void {
    for (const worker of this.workers) this.#options.toWorker(worker, message);
  }
}
