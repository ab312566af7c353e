/** Long because it is one list: every metric, with its labels and what it says. */

/** One metric: what is registered and what the reference says are the same data. */
export type MetricSpec = {
  type: 'counter' | 'gauge' | 'histogram';
  labels: readonly string[];
  help: string;
};

/**
 * Every metric, by its Prometheus name. Counters begin at 0 with the process. Gauges over `query` are read when somebody asks;
 * those that count events are the ledger's, cumulative since the revision began, so they survive a restart. A histogram's
 * unit is the second.
 */
export const metricSpecs = {
  events_produced_total: {
    type: 'counter',
    labels: ['domain', 'event_type', 'status'],
    help: 'Events offered to the log, by what became of them: appended, duplicate, rejected; refused: they were read, and the log did not take them (it is full, or another process appends), so they are to be sent again, and no ledger has them',
  },
  millrace_transformed_total: {
    type: 'counter',
    labels: ['domain', 'event_type', 'status'],
    help: 'Records that passed a transform: in (records given to it), out (events that it made), rejected (dead letters)',
  },
  produce_latency_seconds: {
    type: 'histogram',
    labels: ['domain', 'event_type'],
    help: 'From handing a batch to the log until it is durable',
  },
  millrace_kafka_produced_records_total: {
    type: 'counter',
    labels: [],
    help: 'Records that Kafka acknowledged',
  },
  millrace_kafka_produced_bytes_total: {
    type: 'counter',
    labels: [],
    help: 'Bytes of the record batches that Kafka acknowledged, as they were sent',
  },
  millrace_kafka_produce_requests_total: {
    type: 'counter',
    labels: [],
    help: 'Requests that Kafka acknowledged',
  },
  millrace_kafka_produce_request_seconds_total: {
    type: 'counter',
    labels: [],
    help: 'Sum of the times from sending such a request to its answer: over the number of requests it is the mean',
  },
  millrace_kafka_produce_errors_total: {
    type: 'counter',
    labels: ['code'],
    help: 'Failed requests to Kafka, or partitions of them; nothing of them is lost, they are sent again',
  },
  millrace_kafka_withdrawn_records_total: {
    type: 'counter',
    labels: ['topic'],
    help: 'Records that waited in the outbox and were not sent, since another process had brought them to Kafka: there they are appended, and in the ledger here duplicates. Where their senders had an answer from here, events_produced_total counts them as appended in both processes',
  },
  millrace_records_passed_over_total: {
    type: 'counter',
    labels: ['topic'],
    help: 'Records that other programs wrote to a topic which only the platform writes to (dlq, late, replay, agg, <client_id>.rows): what is not ours is passed over',
  },
  millrace_kafka_throttled_seconds_total: {
    type: 'counter',
    labels: [],
    help: 'Time for which brokers made the process that appends wait, since it was over a quota (producer_byte_rate, consumer_byte_rate)',
  },
  millrace_kafka_spooled_records_total: {
    type: 'counter',
    labels: [],
    help: 'Records that were acknowledged as durable in the outbox, before Kafka had them',
  },
  millrace_kafka_outbox_bytes: {
    type: 'gauge',
    labels: [],
    help: 'Bytes that wait in the outbox for Kafka; absent with a log of our own',
  },
  millrace_kafka_outbox_records: {
    type: 'gauge',
    labels: [],
    help: 'Records that wait in the outbox for Kafka; absent with a log of our own',
  },
  millrace_kafka_spooling: {
    type: 'gauge',
    labels: [],
    help: '1 while appends do not wait for Kafka: it is away, or what waited is still being sent; absent with a log of our own',
  },
  millrace_kafka_standby: {
    type: 'gauge',
    labels: [],
    help: '1 while another process appends events to the topics and this one refuses them',
  },
  millrace_kafka_rereads_total: {
    type: 'counter',
    labels: ['topic'],
    help: 'Times a place of a topic was asked for again, since what came was damaged or could not be; what stays so stops who reads it',
  },
  millrace_observed_kafka_available: {
    type: 'gauge',
    labels: [],
    help: '1 while Kafka answers a console (--only console); the other figures named observed are then as of its last look. Absent in other processes',
  },
  millrace_observed_lag_events: {
    type: 'gauge',
    labels: ['query'],
    help: 'As a console sees it in Kafka: records behind the offsets that the query has published, so since its last checkpoint. Not to be added to millrace_lag_events, which says the same from within',
  },
  millrace_observed_lag_seconds: {
    type: 'gauge',
    labels: ['query'],
    help: 'As a console sees it: age of the oldest of them, by when it was appended',
  },
  millrace_observed_rows_lag: {
    type: 'gauge',
    labels: ['sink', 'topic'],
    help: 'As a console sees it: rows in the topic behind the offsets that the process with the sinks has published. Not to be added to millrace_rows_lag',
  },
  millrace_observed_rows_lag_seconds: {
    type: 'gauge',
    labels: ['sink', 'topic'],
    help: 'As a console sees it: age of the oldest of them, by when the engine wrote it',
  },
  millrace_observed_topic_records: {
    type: 'gauge',
    labels: ['topic'],
    help: 'As a console sees it: offsets between the beginning and the end of a topic of the platform',
  },
  millrace_ingest_request_seconds: {
    type: 'histogram',
    labels: ['status'],
    help: 'From the head of a request that brings events to its answer, by the HTTP status of that',
  },
  millrace_registry_request_seconds: {
    type: 'histogram',
    labels: ['status'],
    help: 'From the head of a request to the schema registry to its answer, by the HTTP status of that',
  },
  millrace_schemas_asked_total: {
    type: 'counter',
    labels: ['outcome'],
    help: 'Schemas that records name and that were asked for at the registry: found, unknown, failed (it did not answer)',
  },
  millrace_registry_lost_total: {
    type: 'counter',
    labels: [],
    help: 'Times a registry that is a server stopped answering',
  },
  millrace_registry_available: {
    type: 'gauge',
    labels: [],
    help: '1 while a registry that is a server answers, as far as it was needed; absent with the embedded one',
  },
  millrace_ingest_in_flight_bytes: {
    type: 'gauge',
    labels: [],
    help: 'Bodies of events that are arriving, unpacked or waiting for the log',
  },
  millrace_ingest_in_flight_requests: {
    type: 'gauge',
    labels: [],
    help: 'Requests that bring events and are not answered',
  },
  millrace_ingest_rejected_share: {
    type: 'gauge',
    labels: ['domain', 'event_type'],
    help: 'Share of the records of the last 5 minutes over HTTP that were rejected; absent when none came',
  },
  millrace_ingest_over_budget: {
    type: 'gauge',
    labels: ['domain', 'event_type'],
    help: '1 while that share is above dead_letters.budget, of dead_letters.after records or more',
  },
  millrace_input_stops_total: {
    type: 'counter',
    labels: ['domain', 'input', 'code'],
    help: 'Times an input stopped with an error',
  },
  millrace_lease_epoch: {
    type: 'gauge',
    labels: ['place'],
    help: 'Number of this process among the owners of the checkpoints, while it has the lease; 0 once another process took it',
  },
  millrace_sink_lease_held: {
    type: 'gauge',
    labels: ['sink'],
    help: '1 while this process has the lease of the sink and writes into it, 0 while it stands by for another one; absent in a process without --only sinks',
  },
  millrace_checkpoint_store_troubled: {
    type: 'gauge',
    labels: ['place'],
    help: '1 while the store of the checkpoints does not answer and commits wait for it',
  },
  millrace_generator_running: {type: 'gauge', labels: ['domain'], help: '1 while the generator makes events'},
  millrace_generator_rate: {
    type: 'gauge',
    labels: ['domain'],
    help: 'Events per second that the generator is to make now, the shape of its rate included',
  },
  millrace_generator_open_sessions: {type: 'gauge', labels: ['domain'], help: 'Sessions that will go on'},
  millrace_generator_behind_seconds: {
    type: 'gauge',
    labels: ['domain'],
    help: 'How far the generator is behind its rate',
  },
  millrace_query_running: {
    type: 'gauge',
    labels: ['query'],
    help: '1 while the query runs, or waits for a slow sink',
  },
  millrace_query_stops_total: {
    type: 'counter',
    labels: ['domain', 'query', 'code'],
    help: 'Times a query stopped until someone acts',
  },
  millrace_lag_events: {
    type: 'gauge',
    labels: ['query'],
    help: 'Events in the log that the query has not read',
  },
  millrace_lag_seconds: {
    type: 'gauge',
    labels: ['query'],
    help: 'Age of the oldest event that the query has not read',
  },
  millrace_watermark_seconds: {
    type: 'gauge',
    labels: ['query'],
    help: 'Event time up to which windows are closed, Unix seconds; absent before the first event',
  },
  millrace_watermark_delay_seconds: {
    type: 'gauge',
    labels: ['query'],
    help: 'Wall clock minus watermark; absent before the first event',
  },
  millrace_log_available: {
    type: 'gauge',
    labels: ['query'],
    help: '1 while the query can read the log; 0 while brokers do not answer, reading goes on by itself',
  },
  millrace_query_held_partitions: {
    type: 'gauge',
    labels: ['query'],
    help: 'Partitions that wait for a schema which the registry has not told yet',
  },
  millrace_query_groups: {type: 'gauge', labels: ['query'], help: 'Groups in memory'},
  millrace_query_open_windows: {type: 'gauge', labels: ['query'], help: 'Windows that are not closed'},
  millrace_query_memory_bytes: {type: 'gauge', labels: ['query'], help: 'Memory of the query state'},
  millrace_events_read: {type: 'gauge', labels: ['query'], help: 'Events read by the query'},
  millrace_events_aggregated: {type: 'gauge', labels: ['query'], help: 'Events that count in a row'},
  millrace_events_corrected: {
    type: 'gauge',
    labels: ['query'],
    help: 'Late events that corrected a window; they are part of the aggregated ones',
  },
  millrace_events_filtered: {type: 'gauge', labels: ['query'], help: 'Events that `where` left out'},
  millrace_events_replayed: {
    type: 'gauge',
    labels: ['query'],
    help: 'Events that were late or dead at first and were counted by replay since; they are part of the others',
  },
  millrace_events_late: {type: 'gauge', labels: ['query'], help: 'Events that no window took any more'},
  millrace_events_dead: {
    type: 'gauge',
    labels: ['query'],
    help: 'Events that became dead letters of the query',
  },
  millrace_checkpoint_seconds: {
    type: 'histogram',
    labels: ['domain', 'query'],
    help: 'Time to commit a checkpoint',
  },
  millrace_checkpoint_pause_seconds: {
    type: 'histogram',
    labels: ['domain', 'query'],
    help: 'Time a checkpoint held the hot path',
  },
  millrace_checkpoint_bytes: {
    type: 'gauge',
    labels: ['domain', 'query'],
    help: 'Size of the last checkpoint',
  },
  millrace_sink_rows_total: {
    type: 'counter',
    labels: ['sink', 'table'],
    help: 'Rows acknowledged by a sink',
  },
  millrace_sink_write_seconds: {
    type: 'histogram',
    labels: ['sink', 'table'],
    help: 'Time a sink took to acknowledge a batch',
  },
  millrace_sink_errors_total: {
    type: 'counter',
    labels: ['sink', 'table', 'code'],
    help: 'Failed writes to a sink',
  },
  millrace_rows_refused_total: {
    type: 'counter',
    labels: ['sink', 'table'],
    help: 'Rows that a sink refused for good while it took others; each is a dead letter',
  },
  millrace_replayed_total: {
    type: 'counter',
    labels: ['domain', 'outcome'],
    help: 'Dead letters and late events that were replayed, by what became of them',
  },
  millrace_sink_parts: {
    type: 'gauge',
    labels: ['sink', 'table'],
    help: 'Active parts in the partition of the table that has most of them (ClickHouse servers)',
  },
  millrace_sink_insert_pause_seconds: {
    type: 'gauge',
    labels: ['sink', 'table'],
    help: 'What inserts into the table wait between two because it has many parts (ClickHouse servers)',
  },
  millrace_sink_pauses_total: {
    type: 'counter',
    labels: ['sink', 'table'],
    help: 'Times a delivery was paused',
  },
  millrace_sink_paused_seconds_total: {
    type: 'counter',
    labels: ['sink', 'table'],
    help: 'Time that deliveries were paused, counted when they resume',
  },
  millrace_sink_paused: {type: 'gauge', labels: ['sink', 'table'], help: '1 while a delivery is paused'},
  millrace_sink_pending_rows: {
    type: 'gauge',
    labels: ['sink', 'table'],
    help: 'Rows emitted and not yet acknowledged',
  },
  millrace_sink_lag_events: {
    type: 'gauge',
    labels: ['sink', 'table'],
    help: 'Events in the log that are not in rows of the sink: those that the query has not read, and those whose rows wait',
  },
  millrace_sink_lag_seconds: {
    type: 'gauge',
    labels: ['sink', 'table'],
    help: 'For how long the oldest event or row that the sink does not have has been waiting',
  },
  millrace_rows_acknowledged_total: {
    type: 'counter',
    labels: ['query'],
    help: 'Rows of a query that every one of its sinks has acknowledged',
  },
  millrace_lookup_refused: {
    type: 'gauge',
    labels: ['domain', 'lookup'],
    help: '1 while the file or table of the lookup cannot be used, so that the last good snapshot stands in',
  },
  millrace_rows_lag: {
    type: 'gauge',
    labels: ['sink', 'table'],
    help: 'Rows in a topic that the sink does not have, in a process that delivers for an engine elsewhere',
  },
  millrace_raw_lag_events: {
    type: 'gauge',
    labels: ['sink', 'table'],
    help: 'Raw events not yet in the sink',
  },
  millrace_raw_lag_seconds: {
    type: 'gauge',
    labels: ['sink', 'table'],
    help: 'Age of the oldest raw event that is not yet in the sink',
  },
  millrace_raw_rows: {type: 'gauge', labels: ['sink', 'table'], help: 'Raw events written since start'},
} as const satisfies Record<string, MetricSpec>;

type Specs = typeof metricSpecs;

/** Names of the metrics of one type. */
export type MetricName<T extends MetricSpec['type']> = {
  [N in keyof Specs]: Specs[N]['type'] extends T ? N : never;
}[keyof Specs];

/** Label names of a metric. */
export type LabelOf<N extends keyof Specs> = Specs[N]['labels'][number];

/** Upper bounds of every histogram's buckets, seconds. */
export const secondsBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
