import type {LogSource} from '../../log/open.ts';
import type {Reread} from '../../log/rereads.ts';
import type {RegisteredSchema} from '../../schema/types.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import type {EmittedRows, LookupSnapshot, QueryStatus} from '../types.ts';
import type {EmitFailure} from './emit.ts';
import type {LookupStep} from './lookup-journal.ts';
import type {ReplayTold} from './replay-feed.ts';
import type {SeenIds} from './seen.ts';
import type {Delta, SideRecord} from './types.ts';
import type {SchemaAnswer, WantedSchema} from './worker-schemas.ts';

/** A place in the log where a kernel begins. */
export type OpenPlace = {
  topic: string;
  partition: number;
  offset: number;
  /** Of the topic that the offset is of; undefined where topics have none. */
  topicId?: string | undefined;
  maxTimeMs: number;
  /** Ids that are known there, of a query with `dedup`. */
  seen: SeenIds[];
};

/** Where a query stops to read. */
export type StopPlace = {topic: string; partition: number; offset: number};

/**
 * Between the workers: a query's owner holds its merger, the feeds read for it. `run` numbers the openings of a query, so
 * that what belongs to an earlier one is ignored.
 */
export type PeerMessage =
  /** Owner: begin to read there, with these snapshots (lookup -> id), after those of the steps that lie ahead. */
  | {
      kind: 'open';
      query: string;
      run: number;
      owner: number;
      places: OpenPlace[];
      lookups: Record<string, string>;
      steps: LookupStep[];
    }
  | {kind: 'close'; query: string; run: number}
  /** Owner: read nothing more, hand over what there is, and say `held`. */
  | {kind: 'hold'; query: string; run: number}
  /** Owner: read on, with these snapshots from the next batch. */
  | {kind: 'release'; query: string; run: number; lookups: Record<string, string>}
  /** Owner: delivery is paused, stop reading; or it goes on. */
  | {kind: 'pause'; query: string; run: number; paused: boolean}
  /** Owner: read up to these offsets and no further; null: on and on. */
  | {kind: 'until'; query: string; run: number; places: StopPlace[] | null}
  /** Owner: the delta is merged; the next may come. */
  | {kind: 'merged'; query: string; run: number}
  | {kind: 'delta'; query: string; run: number; delta: Delta}
  | {kind: 'held'; query: string; run: number; worker: number}
  | {kind: 'feedFailed'; query: string; run: number; failure: Failure};

/** An error on its way between threads. */
export type Failure = {code: string | null; message: string; hint?: string; place?: string; stack?: string};

/** To a worker from the main thread. */
export type WorkerCommand =
  | {kind: 'acknowledge'; query: string; sequence: number}
  | {kind: 'marked'; query: string; epoch: number}
  | {kind: 'sideDurable'; query: string; batch: number}
  | {kind: 'pause'; query: string; reason?: Failure}
  | {kind: 'resume'; query: string}
  /** Reads up to these offsets and stops there; null: on and on. */
  | {kind: 'until'; query: string; places: StopPlace[] | null}
  /** Tell the status now. */
  | {kind: 'report'}
  /** Something around the engine failed for good, and the query cannot go on without it. */
  | {kind: 'fail'; query: string; failure: Failure}
  | {kind: 'lookup'; snapshot: DomainSnapshot}
  /** To `schemas`. */
  | {kind: 'schema'; answer: SchemaAnswer}
  /** Another worker began anew: queries of this one send it their places again. */
  | {kind: 'peerRestarted'; worker: number}
  | {kind: 'drain'}
  | {kind: 'stop'};

/** What a worker says of the log. `unpublished`: others cannot be shown how far queries are; told once for a reason. */
export type LogTold =
  | {about: 'away'; message: string}
  | {about: 'back'; seconds: number}
  | {about: 'unpublished'; message: string}
  | {about: 'reread'; reread: Reread};

/** From a worker to the main thread. */
export type WorkerEvent =
  | {kind: 'rows'; rows: EmittedRows}
  | {kind: 'mark'; query: string; epoch: number}
  | {kind: 'side'; query: string; batch: number; side: SideOutput}
  | {kind: 'status'; status: QueryStatus[]}
  /** `isTold`: it stopped for the same before, was tried again and has not come through. */
  | {kind: 'stopped'; query: string; failure: Failure; isTold: boolean}
  /** What it had stopped for is over. */
  | {kind: 'again'; query: string; code: string; seconds: number}
  /** It begins again from its checkpoint by itself: rows that are on their way come again. */
  | {kind: 'reopened'; query: string}
  | {kind: 'log'; told: LogTold}
  | {kind: 'checkpoint'; query: string; bytes: number; seconds: number; pauseSeconds: number}
  /** Records name schemas that the worker does not know; each is answered by itself. */
  | {kind: 'schemas'; worker: number; wanted: WantedSchema[]}
  | {kind: 'drained'; worker: number}
  | {kind: 'ended'; worker: number};

/**
 * What a query tells the log: records that were late or could not be used, values of rows that could not be computed, and what
 * became of replayed events.
 */
export type SideOutput = {records: SideRecord[]; failures: EmitFailure[]; replays: ReplayTold[]};

export type DomainSnapshot = {domain: string; snapshot: LookupSnapshot};

/** How a query begins in this process; decided by the main thread from the checkpoint and the sinks' marks. */
export type QueryStart = {
  plan: QueryPlan;
  /** Lookup -> snapshot id, for a query without a checkpoint. */
  lookups: Record<string, string>;
  /** Epochs already given, for a query without a checkpoint. */
  epoch: number;
};

/** What every worker of an engine is given; structured-cloneable. */
export type WorkerSetup = {
  worker: number;
  /** Openings of queries are numbered from here, so that no two starts of a worker share a number. */
  firstRun: number;
  workers: number;
  log: LogSource;
  stateDir: string;
  /** `CheckpointWriter.lease` */
  lease: number | undefined;
  queries: QueryStart[];
  schemas: RegisteredSchema[];
  /** Others are asked for; else they are not known. */
  asksSchemas: boolean;
  snapshots: DomainSnapshot[];
  /** By index of the query, an int32: how long its feeds keep a delta, ms. */
  paces: SharedArrayBuffer;
  flushMs: number;
  checkpointIntervalMs: number;
};

/** Worker that holds the merger of a query. */
export function ownerOf(query: string, workers: number): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < query.length; at++) hash = Math.imul(hash ^ query.charCodeAt(at), 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) % workers;
}

/** Worker that reads a partition; the partitions of a topic are dealt out one after another. */
export const readerOf = (topic: string, partition: number, workers: number): number =>
  (ownerOf(topic, workers) + partition) % workers;
