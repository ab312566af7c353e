/** What the writer of a Kafka log is opened with. */
import type {Clock} from '../../clock.ts';
import type {PlatformError} from '../../errors.ts';
import type {Telemetry} from '../../telemetry.ts';
import type {StoredBatch} from '../outbox-tables.ts';
import type {Append} from '../types.ts';
import type {Compression} from './batch-write.ts';
import type {LeaseOptions} from './lease-gate.ts';
import type {KafkaSettings} from './settings.ts';
import type {WantedTopic} from './topics.ts';

export type KafkaWriterOptions = {
  /** Directory of the outbox. */
  dir: string;
  kafka: KafkaSettings;
  /**
   * Made where they are missing. `isAppended`: the ids that others brought into it are to be known; default true. `isLeased`: one
   * process at a time is to append to it.
   */
  topics: readonly (WantedTopic & {isAppended?: boolean; isLeased?: boolean})[];
  /** Bytes that may wait for Kafka: beyond them appends are refused with LOG_FULL. When nothing waits, one of any size is taken. */
  spoolBytesMax: number;
  /** An append waits so long for Kafka, then it is acknowledged as durable in the outbox, ms. */
  spoolAfterMs: number;
  compression: Compression;
  clock?: Clock;
  telemetry: Telemetry;
  /** Grows with every commit of the outbox. */
  counter?: SharedArrayBuffer;
  /** One process at a time appends events; undefined: whoever opens it does. */
  lease?: LeaseOptions;
  /** What a refused second process is told. */
  command?: string;
  /**
   * Makes the dead letter of a record that a broker refuses for good; undefined when there is none, as for a letter itself: then
   * its partition waits.
   */
  refused?: (record: StoredBatch, error: PlatformError) => Append | undefined;
};
