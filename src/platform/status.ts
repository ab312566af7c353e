import type {ErrorCode} from '../errors.ts';
import type {Role} from '../model/roles.ts';
import type {QueryStatus} from '../process/types.ts';
import type {EventShare} from './events-budget.ts';
import type {GeneratorStatus} from './generate-types.ts';
import type {SpoolStatus} from './spool.ts';

/** What runs, as `status` and the live view show it; JSON-serialisable. */
export type PlatformStatus = {
  name: string;
  env: string;
  pid: number;
  startedMs: number;
  url: string;
  /** In this order. */
  phase: 'starting' | 'running' | 'draining' | 'stopped';
  inputs: InputStatus[];
  generators: GeneratorStatus[];
  queries: QueryStatus[];
  /** Queries that have not told anything yet. */
  startingQueries: string[];
  deliveries: DeliveryStatus[];
  /** Of a process that delivers for an engine elsewhere. */
  rows: RowsStatus[];
  raw: RawStatus[];
  /** Absent where it is in this process. */
  registry?: RegistryStatus;
  /** Which other process appends events, in words; absent while this one takes them. */
  standby?: string;
  /** Which sinks this process writes into, and who into the others; absent where it has no leases of sinks. */
  sinkLeases?: SinkLeaseStatus[];
  /** Why commits of checkpoints wait for their store; absent while they do not. */
  checkpointsWait?: string;
  /** What waits for Kafka; absent with a log of our own. */
  spool?: SpoolStatus;
  /** Of a platform in several processes, each by itself; `spool` and `registry` are then of all of them. */
  processes?: ProcessStatus[];
  /** Event types of which records came over HTTP in the last minutes. */
  events: EventShare[];
  totals: {
    /** Since the log began. */
    received: number;
    appended: number;
    duplicate: number;
    rejected: number;
    /** Since this process started. */
    rowsWritten: number;
    late: number;
    dead: number;
    ledgerBalanced: boolean;
  };
};

/** One process of a platform that several are. */
export type ProcessStatus = Pick<PlatformStatus, 'pid' | 'url' | 'startedMs' | 'phase'> &
  Partial<Pick<PlatformStatus, 'registry' | 'standby' | 'sinkLeases' | 'checkpointsWait' | 'spool'>> & {
    roles: readonly Role[];
  };

/** Whether a process writes into a sink, of several that could. */
export type SinkLeaseStatus = {
  sink: string;
  /** `asking`: nobody has said yet who writes into it. */
  state: 'asking' | 'held' | 'standby';
  /** Which process does while this one stands by, in words; absent while that is not known. */
  holder?: string;
  /** Why it cannot be asked for just now. */
  message?: string;
};

export type InputStatus = {
  domain: string;
  name: string;
  state: 'waiting' | 'sorting' | 'running' | 'done' | 'stopped';
  /** Share of the file that is in the log, 0..1; null when unknown. */
  share: number | null;
  rows: number;
  rejected: number;
  /** Why it stopped, a code of the catalogue. */
  code?: ErrorCode;
  message?: string;
};

/** The schema registry, as far as it is a server of its own. */
export type RegistryStatus = {
  /** Its addresses. */
  place: string;
  /** As it was when it was needed last; `refused`: it answers, and a person has to mend something. */
  state: 'running' | 'down' | 'refused';
  message?: string;
  /** Subjects that are to be registered once it answers. */
  pending: number;
  /** Schema ids that are being asked for. */
  wanted: number;
};

export type DeliveryStatus = {
  sink: string;
  table: string;
  state: 'running' | 'paused' | 'stopped';
  emitted: number;
  written: number;
  pending: number;
  /** Rows that the sink refused, kept as dead letters. */
  dead: number;
  /** Events in the log that are not in rows of the sink: unread ones, and those whose rows wait. */
  lagEvents: number;
  /** For how long the oldest of them has been waiting, ms. */
  lagMs: number;
  message?: string;
  /** The sink, and where it stands in the configuration, when there is a message. */
  place?: string;
};

/** Rows on their way from a topic into a sink, in a process that delivers for an engine elsewhere. */
export type RowsStatus = Omit<DeliveryStatus, 'lagEvents'> & {
  /** Rows in the topic that the sink does not have. */
  lagRows: number;
  /** Records of the topic that are no rows of the table. */
  skipped: number;
};

export type RawStatus = {
  sink: string;
  table: string;
  state: 'starting' | 'running' | 'paused' | 'stopped';
  /** Events, since the sink was opened. */
  written: number;
  /** Events that the sink refused while it took others, kept as dead letters. */
  dead: number;
  /** Events that are being written. */
  pending: number;
  /** Events that are not written yet; null while it starts. */
  lagEvents: number | null;
  /** Age of the oldest of them, ms. */
  lagMs: number;
  /** Why it stopped or waits, a code of the catalogue. */
  code?: string;
  message?: string;
  /** The sink, and where it stands in the configuration, where that is known. */
  place?: string;
};
