/** What a forwarder works with and tells. */
import type {PlatformError} from '../../errors.ts';
import type {Outbox} from '../outbox.ts';
import type {StoredBatch} from '../outbox-tables.ts';
import type {KafkaClient} from './client.ts';
import type {Lane} from './lane.ts';

export type ForwarderOptions = {
  client: KafkaClient;
  outbox: Outbox;
  /** A batch that is sent holds no more, before it is compressed, unless one record does. */
  batchBytesMax: number;
  /** Whether this process may write to the topics now. While it may not, everything waits. */
  mayShip: () => boolean;
  /** Looks up what of the lane arrived, and gives it a new producer. Throws PlatformError: it is called again later. */
  recover: (lane: Lane) => Promise<void>;
  /** A broker refuses this one record for good: whoever is told makes a dead letter of it, durable when it resolves. */
  refused: (lane: Lane, record: StoredBatch, error: PlatformError) => Promise<void>;
  /** More of the lane arrived, or its state changed. */
  changed: (lane: Lane) => void;
  told: (what: ForwarderNews) => void;
};

/** What happens on the way, for counters and messages. */
export type ForwarderNews =
  | {kind: 'acknowledged'; records: number; bytes: number; seconds: number}
  | {kind: 'failed'; error: PlatformError; isFinal: boolean; topic: string; partition: number}
  | {kind: 'fatal'; error: PlatformError};
