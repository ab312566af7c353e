import {Counter, Gauge, Histogram, Registry} from 'prom-client';
import type {QueryStatus} from '../process/types.ts';
import type {Telemetry, TelemetryEvents} from '../telemetry.ts';
import {type LabelOf, type MetricName, secondsBuckets} from './catalogue.ts';
import {gaugeRead, optionsOf} from './gauge.ts';
import {type ObservedReadings, observedGauges} from './observed.ts';

/** Figures that are read when somebody asks, not when something happens. */
export type Readings = {
  queries: QueryStatus[];
  raw: {sink: string; table: string; lagEvents: number; lagMs: number; written: number}[];
  /** Of a process that delivers rows from topics. */
  rows: {sink: string; table: string; lagRows: number}[];
  /** `lagEvents`: absent in a process that delivers rows from topics. */
  delivery: {
    sink: string;
    table: string;
    pending: number;
    paused: boolean;
    lagEvents?: number;
    lagMs: number;
  }[];
  events: {bytes: number; requests: number};
  /** What waits for Kafka; undefined with a log of our own. */
  spool?: {bytes: number; records: number; isSpooling: boolean};
  /** Absent with the embedded registry. */
  registryAvailable?: boolean;
  shares: {domain: string; eventType: string; received: number; rejected: number; isOver: boolean}[];
  /** Of a process that only looks on: what Kafka tells of the others. */
  observed?: ObservedReadings;
};

export type Metrics = Telemetry & {
  /** Prometheus text exposition format 0.0.4. */
  render(): Promise<string>;
  contentType: string;
  observers: ((name: keyof TelemetryEvents, event: TelemetryEvents[keyof TelemetryEvents]) => void)[];
};

/** Turns telemetry events into Prometheus metrics; their names, labels and meaning are in `catalogue.ts`. */
export function createMetrics(read: () => Readings): Metrics {
  const registry = new Registry();
  const handlers = eventHandlers(registry);
  const observers: Metrics['observers'] = [];
  readingGauges(registry, read);
  observedGauges(registry, () => read().observed);
  return {
    contentType: registry.contentType,
    observers,
    emit(name, event) {
      (handlers[name] as ((event: unknown) => void) | undefined)?.(event);
      for (const observer of observers) observer(name, event);
    },
    render: () => registry.metrics(),
  };
}

/** Gauges whose only label is the query. */
type QueryGauge = {
  [N in MetricName<'gauge'>]: LabelOf<N> extends 'query' ? N : never;
}[MetricName<'gauge'>];

/** Gauges of a generator. */
type GeneratorGauge = Extract<MetricName<'gauge'>, `millrace_generator_${string}`>;

type Handlers = {[K in keyof TelemetryEvents]?: (event: TelemetryEvents[K]) => void};

function eventHandlers(registry: Registry): Handlers {
  const counter = <N extends MetricName<'counter'>>(name: N) =>
    new Counter<LabelOf<N>>(optionsOf(name, registry));
  const histogram = <N extends MetricName<'histogram'>>(name: N) =>
    new Histogram<LabelOf<N>>({...optionsOf(name, registry), buckets: secondsBuckets});
  const produced = counter('events_produced_total');
  const transformed = counter('millrace_transformed_total');
  const produceLatency = histogram('produce_latency_seconds');
  const sinkRows = counter('millrace_sink_rows_total');
  const sinkSeconds = histogram('millrace_sink_write_seconds');
  const sinkErrors = counter('millrace_sink_errors_total');
  const sinkPauses = counter('millrace_sink_pauses_total');
  const sinkGauge = (name: 'millrace_sink_parts' | 'millrace_sink_insert_pause_seconds') =>
    new Gauge<'sink' | 'table'>(optionsOf(name, registry));
  const sinkParts = sinkGauge('millrace_sink_parts');
  const sinkInsertPause = sinkGauge('millrace_sink_insert_pause_seconds');
  const rowsRefused = counter('millrace_rows_refused_total');
  const replayed = counter('millrace_replayed_total');
  const sinkPausedSeconds = counter('millrace_sink_paused_seconds_total');
  const rowsAcknowledged = counter('millrace_rows_acknowledged_total');
  const lookupRefused = new Gauge<LabelOf<'millrace_lookup_refused'>>(
    optionsOf('millrace_lookup_refused', registry),
  );
  const checkpoints = histogram('millrace_checkpoint_seconds');
  const checkpointPause = histogram('millrace_checkpoint_pause_seconds');
  const checkpointBytes = new Gauge<LabelOf<'millrace_checkpoint_bytes'>>(
    optionsOf('millrace_checkpoint_bytes', registry),
  );
  const leaseEpoch = new Gauge<'place'>(optionsOf('millrace_lease_epoch', registry));
  const sinkLeaseHeld = new Gauge<'sink'>(optionsOf('millrace_sink_lease_held', registry));
  const storeTroubled = new Gauge<'place'>(optionsOf('millrace_checkpoint_store_troubled', registry));
  const stops = counter('millrace_query_stops_total');
  const inputStops = counter('millrace_input_stops_total');
  const generator = (name: GeneratorGauge) => new Gauge<'domain'>(optionsOf(name, registry));
  const generatorRunning = generator('millrace_generator_running');
  const generatorRate = generator('millrace_generator_rate');
  const generatorSessions = generator('millrace_generator_open_sessions');
  const generatorBehind = generator('millrace_generator_behind_seconds');
  const requestSeconds = histogram('millrace_ingest_request_seconds');
  const registrySeconds = histogram('millrace_registry_request_seconds');
  const kafkaRecords = counter('millrace_kafka_produced_records_total');
  const kafkaBytes = counter('millrace_kafka_produced_bytes_total');
  const kafkaRequests = counter('millrace_kafka_produce_requests_total');
  const kafkaSeconds = counter('millrace_kafka_produce_request_seconds_total');
  const kafkaErrors = counter('millrace_kafka_produce_errors_total');
  const spooled = counter('millrace_kafka_spooled_records_total');
  const throttled = counter('millrace_kafka_throttled_seconds_total');
  const withdrawn = counter('millrace_kafka_withdrawn_records_total');
  const passedOver = counter('millrace_records_passed_over_total');
  const rereads = counter('millrace_kafka_rereads_total');
  const kafkaStandby = new Gauge(optionsOf('millrace_kafka_standby', registry));
  const schemasAsked = counter('millrace_schemas_asked_total');
  const registryLost = counter('millrace_registry_lost_total');
  return {
    EventsAppended: ({domain, eventType, appended, duplicate, rejected, seconds}) => {
      const labels = {domain, event_type: eventType};
      produced.inc({...labels, status: 'appended'}, appended);
      produced.inc({...labels, status: 'duplicate'}, duplicate);
      produced.inc({...labels, status: 'rejected'}, rejected);
      produceLatency.observe(labels, seconds);
    },
    EventsRefused: ({domain, eventType, refused}) =>
      produced.inc({domain, event_type: eventType, status: 'refused'}, refused),
    EventsTransformed: ({domain, eventType, in: given, out, rejected}) => {
      const labels = {domain, event_type: eventType};
      transformed.inc({...labels, status: 'in'}, given);
      transformed.inc({...labels, status: 'out'}, out);
      transformed.inc({...labels, status: 'rejected'}, rejected);
    },
    RecordsProduced: ({requests, records, bytes, seconds}) => {
      kafkaRequests.inc(requests);
      kafkaRecords.inc(records);
      kafkaBytes.inc(bytes);
      kafkaSeconds.inc(seconds);
    },
    ProduceFailed: ({code}) => kafkaErrors.inc({code}),
    RecordsWithdrawn: ({topic, records}) => withdrawn.inc({topic}, records),
    RecordsPassedOver: ({topic, records}) => passedOver.inc({topic}, records),
    RecordsReread: ({topic}) => rereads.inc({topic}),
    KafkaThrottled: ({seconds}) => throttled.inc(seconds),
    RecordsSpooled: ({records}) => spooled.inc(records),
    StandbyObserved: ({standby}) => kafkaStandby.set(standby === null ? 0 : 1),
    RequestAnswered: ({status, seconds}) => requestSeconds.observe({status}, seconds),
    RegistryAnswered: ({status, seconds}) => registrySeconds.observe({status}, seconds),
    SchemaAsked: ({outcome}) => schemasAsked.inc({outcome}),
    RegistryLost: () => registryLost.inc(),
    RowsWritten: ({sink, table, rows, seconds}) => {
      sinkRows.inc({sink, table}, rows);
      sinkSeconds.observe({sink, table}, seconds);
    },
    SinkFailed: ({sink, table, code}) => sinkErrors.inc({sink, table, code}),
    PartsCounted: ({sink, table, parts, pauseSeconds}) => {
      sinkParts.set({sink, table}, parts);
      sinkInsertPause.set({sink, table}, pauseSeconds);
    },
    SinkPaused: ({sink, table}) => sinkPauses.inc({sink, table}),
    SinkResumed: ({sink, table, seconds}) => sinkPausedSeconds.inc({sink, table}, seconds),
    RowsAcknowledged: ({query, rows}) => rowsAcknowledged.inc({query}, rows),
    RowsRefused: ({sink, table, rows}) => rowsRefused.inc({sink, table}, rows),
    LettersReplayed: ({domain, outcome, letters}) => replayed.inc({domain, outcome}, letters),
    LookupAccepted: ({domain, lookup}) => lookupRefused.set({domain, lookup}, 0),
    LookupRefused: ({domain, lookup}) => lookupRefused.set({domain, lookup}, 1),
    CheckpointCommitted: ({domain, query, bytes, seconds, pauseSeconds}) => {
      checkpoints.observe({domain, query}, seconds);
      checkpointPause.observe({domain, query}, pauseSeconds);
      checkpointBytes.set({domain, query}, bytes);
    },
    LeaseTaken: ({place, epoch}) => leaseEpoch.set({place}, epoch),
    LeaseLost: ({place}) => leaseEpoch.set({place}, 0),
    SinkLeaseObserved: ({sink, isHeld}) => sinkLeaseHeld.set({sink}, isHeld ? 1 : 0),
    CheckpointStoreTroubled: ({place, message}) => storeTroubled.set({place}, message === null ? 0 : 1),
    GeneratorObserved: ({domain, running, ratePerSecond, openSessions, behindSeconds}) => {
      generatorRunning.set({domain}, running ? 1 : 0);
      generatorRate.set({domain}, running ? ratePerSecond : 0);
      generatorSessions.set({domain}, openSessions);
      generatorBehind.set({domain}, behindSeconds);
    },
    QueryStopped: ({domain, query, code}) => stops.inc({domain, query, code}),
    InputStopped: ({domain, input, code}) => inputStops.inc({domain, input, code}),
  };
}

function readingGauges(registry: Registry, read: () => Readings): void {
  const gauge = <N extends MetricName<'gauge'>>(name: N, fill: (gauge: Gauge<LabelOf<N>>) => void) =>
    gaugeRead(registry, name, fill);
  const byQuery = (name: QueryGauge, value: (status: QueryStatus) => number | null) =>
    gauge(name, (self) => {
      for (const status of read().queries) {
        const reading = value(status);
        if (reading !== null) self.set({query: status.query}, reading);
      }
    });
  const sum = (
    status: QueryStatus,
    field: 'read' | 'aggregated' | 'corrected' | 'filtered' | 'late' | 'dead' | 'lateInPart' | 'replayed',
  ) => status.counts.reduce((total, counts) => total + counts[field], 0);
  byQuery('millrace_watermark_seconds', ({watermarkMs}) =>
    watermarkMs === null ? null : watermarkMs / 1000,
  );
  byQuery('millrace_watermark_delay_seconds', ({watermarkMs}) =>
    watermarkMs === null ? null : (Date.now() - watermarkMs) / 1000,
  );
  byQuery('millrace_lag_events', ({lagEvents}) => lagEvents);
  byQuery('millrace_lag_seconds', ({lagMs}) => lagMs / 1000);
  byQuery(
    'millrace_query_held_partitions',
    ({held = []}) => new Set(held.map(({topic, partition}) => `${topic}/${partition}`)).size,
  );
  byQuery('millrace_log_available', ({logAway}) => (logAway === undefined ? 1 : 0));
  byQuery('millrace_query_groups', ({groups}) => groups);
  byQuery('millrace_query_open_windows', ({openWindows}) => openWindows);
  byQuery('millrace_query_memory_bytes', ({memoryBytes}) => memoryBytes);
  // One that waits for a slow sink goes on by itself; its lag tells.
  byQuery('millrace_query_running', ({state, reason}) =>
    state === 'running' || reason?.code === 'SINK_SLOW' ? 1 : 0,
  );
  byQuery('millrace_events_read', (status) => sum(status, 'read'));
  byQuery('millrace_events_aggregated', (status) => sum(status, 'aggregated'));
  byQuery('millrace_events_corrected', (status) => sum(status, 'corrected'));
  byQuery('millrace_events_filtered', (status) => sum(status, 'filtered'));
  byQuery('millrace_events_replayed', (status) => sum(status, 'replayed'));
  byQuery('millrace_events_late', (status) => sum(status, 'late'));
  byQuery('millrace_events_dead', (status) => sum(status, 'dead'));
  gauge('millrace_rows_lag', (self) => {
    for (const {sink, table, lagRows} of read().rows) self.set({sink, table}, lagRows);
  });
  gauge('millrace_raw_lag_events', (self) => {
    for (const {sink, table, lagEvents} of read().raw) self.set({sink, table}, lagEvents);
  });
  gauge('millrace_raw_lag_seconds', (self) => {
    for (const {sink, table, lagMs} of read().raw) self.set({sink, table}, lagMs / 1000);
  });
  gauge('millrace_raw_rows', (self) => {
    for (const {sink, table, written} of read().raw) self.set({sink, table}, written);
  });
  gauge('millrace_registry_available', (self) => {
    const {registryAvailable} = read();
    if (registryAvailable !== undefined) self.set(registryAvailable ? 1 : 0);
  });
  gauge('millrace_ingest_rejected_share', (self) => {
    for (const {domain, eventType, received, rejected} of read().shares)
      self.set({domain, event_type: eventType}, rejected / received);
  });
  gauge('millrace_ingest_over_budget', (self) => {
    for (const {domain, eventType, isOver} of read().shares)
      self.set({domain, event_type: eventType}, isOver ? 1 : 0);
  });
  gauge('millrace_kafka_outbox_bytes', (self) => {
    const {spool} = read();
    if (spool) self.set(spool.bytes);
  });
  gauge('millrace_kafka_outbox_records', (self) => {
    const {spool} = read();
    if (spool) self.set(spool.records);
  });
  gauge('millrace_kafka_spooling', (self) => {
    const {spool} = read();
    if (spool) self.set(spool.isSpooling ? 1 : 0);
  });
  gauge('millrace_ingest_in_flight_bytes', (self) => self.set(read().events.bytes));
  gauge('millrace_ingest_in_flight_requests', (self) => self.set(read().events.requests));
  gauge('millrace_sink_pending_rows', (self) => {
    for (const {sink, table, pending} of read().delivery) self.set({sink, table}, pending);
  });
  gauge('millrace_sink_lag_events', (self) => {
    for (const {sink, table, lagEvents} of read().delivery)
      if (lagEvents !== undefined) self.set({sink, table}, lagEvents);
  });
  gauge('millrace_sink_lag_seconds', (self) => {
    for (const {sink, table, lagMs} of read().delivery) self.set({sink, table}, lagMs / 1000);
  });
  gauge('millrace_sink_paused', (self) => {
    for (const {sink, table, paused} of read().delivery) self.set({sink, table}, paused ? 1 : 0);
  });
}
