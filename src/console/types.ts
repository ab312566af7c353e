/** What a console says of a platform; JSON-serialisable. */
import type {PlatformStatus} from '../platform/status.ts';

/** A partition as Kafka knows it, and how far somebody has come there. */
export type SeenPartition = {
  partition: number;
  /** Next offset that is wanted; null: nothing was published, so from the start. */
  offset: number | null;
  /** Null when nobody tells it just now. */
  end: number | null;
  /** Records from there to the end; null when one of both is not known. */
  lag: number | null;
};

/** How far somebody has come with a topic. */
export type SeenTopicLag = {
  topic: string;
  /** Sum over its partitions; null when one of them is not known. */
  lag: number | null;
  /** Age of the oldest record that is left, by when it was appended, ms; 0 without lag; null when it could not be read. */
  lagMs: number | null;
  partitions: SeenPartition[];
};

/** A query or a sink, by the offsets that it publishes as those of a consumer group. */
export type SeenGroup = {
  /** `<domain>.<query>`, or the name of a sink. */
  name: string;
  group: string;
  /** `unpublished`: nothing was published yet, or not by a process of that role; `unknown`: it could not be asked. */
  state: 'known' | 'unpublished' | 'unknown';
  lag: number | null;
  lagMs: number | null;
  topics: SeenTopicLag[];
  /** Why something of it is not known. */
  message?: string;
};

export type SeenTopic = {
  topic: string;
  /** 0: it does not exist; with a message it is not known whether it does. */
  partitions: number;
  /** Offsets between start and end, summed; null when nobody tells them of some partition just now. */
  records: number | null;
  starts: (number | null)[];
  ends: (number | null)[];
  /** Why nothing is known of it. */
  message?: string;
};

/** Who has something that one process has at a time; `holder` null: nobody, or it is not known here. */
export type SeenLease = {what: string; place: string; holder: string | null; message?: string};

/** What Kafka alone tells. */
export type KafkaView = {
  /** `away`: what stands here is as of `asOfMs`. */
  state: 'starting' | 'answering' | 'away';
  /** Why it is away. */
  message?: string;
  hint?: string;
  /** When it was looked at last, epoch ms; null: never. */
  asOfMs: number | null;
  cluster: string;
  queries: SeenGroup[];
  sinks: SeenGroup[];
  topics: SeenTopic[];
};

export type ConsoleStatus = {
  name: string;
  env: string;
  pid: number;
  startedMs: number;
  url: string;
  phase: 'console';
  kafka: KafkaView;
  leases: SeenLease[];
  /** What the processes of its own directory say of themselves; null: none runs there. */
  here: PlatformStatus | null;
  /** Why the processes of its directory could not be asked. */
  hereMessage?: string;
};
