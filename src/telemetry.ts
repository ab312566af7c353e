/**
 * What happened, as named events; only `observe/` turns them into metrics and log lines. One event for a batch, never
 * one for a record. Names are past tense.
 */
export type TelemetryEvents = {
  /** A batch of records was made durable in the log. */
  EventsAppended: {
    domain: string;
    eventType: string;
    source: string;
    appended: number;
    duplicate: number;
    rejected: number;
    seconds: number;
  };
  /** Records that were read and not taken, since the log did not take them (LOG_STANDBY, LOG_FULL and others): they are to be sent again. */
  EventsRefused: {domain: string; eventType: string; source: string; refused: number};
  /** A batch of records that passed a transform was made durable, as `out` events and `rejected` dead letters. */
  EventsTransformed: {domain: string; eventType: string; in: number; out: number; rejected: number};
  /** Requests that Kafka acknowledged since the last time this was told; `seconds`: their sum. */
  RecordsProduced: {requests: number; records: number; bytes: number; seconds: number};
  /** A request to Kafka, or one partition of it, failed; `retry`: it may succeed by itself. Nothing is lost. */
  ProduceFailed: {code: string; message: string; retry: boolean};
  /** Records were acknowledged as durable in the outbox, before Kafka had them. */
  RecordsSpooled: {records: number};
  /** A broker makes this process wait for so long, since it is over a quota. */
  KafkaThrottled: {seconds: number};
  /** Records that waited in the outbox are not sent: another process had brought them to Kafka. */
  RecordsWithdrawn: {topic: string; records: number};
  /** What waits in the outbox for Kafka; `isSpooling`: appends do not wait for the brokers just now. */
  SpoolObserved: {bytes: number; records: number; limitBytes: number; isSpooling: boolean};
  /** Other programs wrote records into a topic that only the platform writes to; they were met now. */
  RecordsPassedOver: {topic: string; records: number};
  /** What a broker answered of a place was damaged, or said that something is wrong, and is asked for again. */
  RecordsReread: {topic: string};
  /** Another process appends events to the topics, in words, and this one refuses them; null: it takes them. */
  StandbyObserved: {standby: string | null};
  /** A request that brought events was answered. */
  RequestAnswered: {status: number; seconds: number};
  /** The schema registry answered a request with that HTTP status. */
  RegistryAnswered: {status: number; seconds: number};
  /** A schema that a record names was asked for at the registry: found, unknown there, or the registry did not answer. */
  SchemaAsked: {outcome: 'found' | 'unknown' | 'failed'};
  /** The registry does not answer; told once until it does again. */
  RegistryLost: {message: string};
  /** A sink acknowledged a batch. */
  RowsWritten: {sink: string; table: string; rows: number; seconds: number};
  /** Every sink of a query has its rows; all events below the offsets in `through` are in them or in earlier ones. */
  RowsAcknowledged: {
    query: string;
    rows: number;
    through: {topic: string; partition: number; offset: number}[];
  };
  /** Active parts of the largest partition of a table were counted; `pauseSeconds`: what its inserts wait between two. */
  PartsCounted: {sink: string; table: string; parts: number; pauseSeconds: number};
  SinkFailed: {sink: string; table: string; code: string; message: string; retry: boolean};
  /** `message`: what the sink said last; `place`: the sink, and where it stands in the configuration. */
  SinkPaused: {sink: string; table: string; message: string; place?: string; hint?: string};
  /** `seconds`: for how long it was paused. */
  SinkResumed: {sink: string; table: string; seconds: number};
  /** Letters of a domain were replayed with that outcome. */
  LettersReplayed: {domain: string; outcome: string; letters: number};
  /** A sink refused rows for good and took the others; they became dead letters. */
  RowsRefused: {sink: string; table: string; rows: number; message: string};
  /** A query stopped, until someone acts or what it stopped for has passed (`QueryResumed`). */
  QueryStopped: {
    domain: string;
    query: string;
    code: string;
    message: string;
    hint?: string;
    place?: string;
  };
  /** It had stopped for what passes by itself, and runs again; `seconds`: since it stopped. */
  QueryResumed: {domain: string; query: string; code: string; seconds: number};
  CheckpointCommitted: {domain: string; query: string; bytes: number; seconds: number; pauseSeconds: number};
  /** This process has the lease on the checkpoints, as its owner number `epoch`. */
  LeaseTaken: {place: string; epoch: number};
  /** Another process took it. */
  LeaseLost: {place: string};
  /** Whether this process holds the lease of a sink: of several with the role `sinks` one writes into it. */
  SinkLeaseObserved: {sink: string; isHeld: boolean};
  /** The store of the checkpoints does not answer: commits wait; null: it does again. */
  CheckpointStoreTroubled: {place: string; message: string | null};
  /** A lookup's file was read and is what the lookup says from now on. */
  LookupAccepted: {domain: string; lookup: string; rows: number};
  /** A lookup's file cannot be used; told once for a failure. `hasLast`: the last good snapshot stands in. */
  LookupRefused: {domain: string; lookup: string; message: string; hasLast: boolean};
  /** A generator was looked at; `behindSeconds`: how far it is behind its rate. */
  GeneratorObserved: {
    domain: string;
    running: boolean;
    ratePerSecond: number;
    openSessions: number;
    behindSeconds: number;
  };
  InputFinished: {domain: string; input: string; rows: number; rejected: number};
  InputStopped: {domain: string; input: string; code: string; message: string; hint?: string};
  Log: {level: 'info' | 'warn' | 'error'; message: string; fields?: Record<string, string | number>};
};

export type Telemetry = {
  emit<K extends keyof TelemetryEvents>(name: K, event: TelemetryEvents[K]): void;
};

export const noTelemetry: Telemetry = {emit: () => {}};
