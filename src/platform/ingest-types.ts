import type {IngestProgress, IngestReport} from '../ingest/file.ts';
import type {IncomingBatch, IncomingResult} from '../ingest/incoming-types.ts';
import type {KafkaWriterOptions} from '../log/kafka/writer-options.ts';
import type {AppendResult, AppendTransaction} from '../log/types.ts';
import type {Domain} from '../model/types.ts';
import type {Forgotten} from '../privacy/keys.ts';
import type {PrivacySetting} from '../privacy/opener.ts';
import type {RegistrySource} from '../schema/registry-open.ts';
import type {PortableError} from '../sinks/remote.ts';
import type {TelemetryEvents} from '../telemetry.ts';
import type {GenerateOrder, GeneratorStatus} from './generate-types.ts';

/** What the ingest thread needs to write to Kafka. */
export type IngestKafka = Pick<
  KafkaWriterOptions,
  'kafka' | 'topics' | 'spoolBytesMax' | 'spoolAfterMs' | 'compression' | 'lease'
>;

/** What the ingest thread is started with. */
export type IngestStart = {
  domains: Domain[];
  logDir: string;
  /** Of a log that is embedded. */
  sizeMaxBytes: number | null;
  /** Where records go by way of an outbox in `logDir`; null: they stay there. Never print it. */
  kafka: IngestKafka | null;
  /** Wakes the readers of the log in other threads. */
  counter: SharedArrayBuffer;
  partitions: number;
  /** Topic -> id of its newest schema. */
  schemaIds: Record<string, number>;
  /** Where schemas that frames name are looked up. Never print it. */
  registry: RegistrySource;
  tempDir: string;
  /** Key of what is protected, and where its keys are; null without one. Never print it. */
  privacy: PrivacySetting | null;
  /** Take up changed modules of transforms while running, and write the types of events beside them. */
  develop: boolean;
  /** What a refused second process is told. */
  command: string;
};

/** A file to ingest. */
export type IngestJob = {
  domain: string;
  input: string;
  /** Absolute path. */
  path: string;
  as: string | null;
  /** Ignore the input's rate. */
  fast: boolean;
  late: boolean;
  final: boolean;
  /** Running maxima of event time by partition of the input's topic, epoch ms. */
  maxima: (number | null)[];
};

/** Messages between the platform and the ingest thread: one reply to each request, events in between. */
export type IngestRequest = {id: number} & (
  | {kind: 'ingest'; job: IngestJob}
  | {kind: 'append'; transaction: AppendTransaction}
  | {kind: 'trim'; topic: string; partition: number; beforeMs: number; belowOffset: number}
  | {kind: 'generate'; domain: string; order: GenerateOrder}
  | {kind: 'generators'}
  /** Destroys keys of protected values and of dead letters. */
  | {kind: 'forget'; names: Uint8Array[]}
  /** Keeps on record what was forgotten. */
  | {kind: 'forgot'; entry: Forgotten}
  /** Ends what is being ingested and generated; positions are kept. */
  | {kind: 'stop'}
  | {kind: 'close'}
);
/**
 * Batches of records that were asked for in one turn of the event loop, each answered by its id. Small bodies lie behind one
 * another in `small`, `size` bytes each, and their `bytes` are empty: one buffer crosses threads cheaper than many.
 */
export type RecordsRequest = {
  records: {id: number; batch: IncomingBatch; size: number}[];
  small: Uint8Array<ArrayBuffer>;
};
/** The thread sends lists of these: what it tells in one turn of its event loop. */
export type IngestReply =
  | {
      id: number;
      value:
        | IngestReport
        | AppendResult
        | IncomingResult
        | GeneratorStatus
        | GeneratorStatus[]
        | number
        | null;
    }
  | {id: number; error: PortableError}
  | {progress: IngestProgress; job: number}
  | {event: keyof TelemetryEvents; payload: TelemetryEvents[keyof TelemetryEvents]}
  | {ready: true}
  | {failed: PortableError};
