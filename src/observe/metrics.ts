import {Counter, Gauge, Histogram, Registry} from 'prom-client';
import type {QueryStatus} from '../process/types.ts';
import type {Telemetry, TelemetryEvents} from '../telemetry.ts';

/** Figures that are read when somebody asks, not when something happens. */
export type Readings = {
  queries: QueryStatus[];
  raw: {sink: string; table: string; lagEvents: number; written: number}[];
  delivery: {sink: string; table: string; pending: number; paused: boolean}[];
};

export type Metrics = Telemetry & {
  /** Prometheus text exposition format 0.0.4. */
  render(): Promise<string>;
  contentType: string;
  observers: ((name: keyof TelemetryEvents, event: TelemetryEvents[keyof TelemetryEvents]) => void)[];
};

const secondsBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Turns telemetry events into Prometheus metrics; names are in `docs/reference/metrics.md`. */
export function createMetrics(read: () => Readings): Metrics {
  const registry = new Registry();
  const handlers = eventHandlers(registry);
  const observers: Metrics['observers'] = [];
  readingGauges(registry, read);
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

type Handlers = {[K in keyof TelemetryEvents]?: (event: TelemetryEvents[K]) => void};

function eventHandlers(registry: Registry): Handlers {
  const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Counter({name, help, labelNames, registers: [registry]});
  const histogram = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Histogram({name, help, labelNames, buckets: secondsBuckets, registers: [registry]});
  const produced = counter('events_produced_total', 'Events offered to the log, by what became of them', [
    'domain',
    'event_type',
    'status',
  ]);
  const produceLatency = histogram(
    'produce_latency_seconds',
    'From handing a batch to the log until it is durable',
    ['domain', 'event_type'],
  );
  const sinkRows = counter('millrace_sink_rows_total', 'Rows acknowledged by a sink', ['sink', 'table']);
  const sinkSeconds = histogram('millrace_sink_write_seconds', 'Time a sink took to acknowledge a batch', [
    'sink',
    'table',
  ]);
  const sinkErrors = counter('millrace_sink_errors_total', 'Failed writes to a sink', [
    'sink',
    'table',
    'code',
  ]);
  const sinkPauses = counter('millrace_sink_pauses_total', 'Times a delivery was paused', ['sink', 'table']);
  const checkpoints = histogram('millrace_checkpoint_seconds', 'Time to commit a checkpoint', [
    'domain',
    'query',
  ]);
  const checkpointPause = histogram(
    'millrace_checkpoint_pause_seconds',
    'Time a checkpoint held the hot path',
    ['domain', 'query'],
  );
  const checkpointBytes = new Gauge({
    name: 'millrace_checkpoint_bytes',
    help: 'Size of the last checkpoint',
    labelNames: ['domain', 'query'] as const,
    registers: [registry],
  });
  const stops = counter('millrace_query_stops_total', 'Times a query stopped until someone acts', [
    'domain',
    'query',
    'code',
  ]);
  const inputStops = counter('millrace_input_stops_total', 'Times an input stopped with an error', [
    'domain',
    'input',
    'code',
  ]);
  return {
    EventsAppended: ({domain, eventType, appended, duplicate, rejected, seconds}) => {
      const labels = {domain, event_type: eventType};
      produced.inc({...labels, status: 'appended'}, appended);
      produced.inc({...labels, status: 'duplicate'}, duplicate);
      produced.inc({...labels, status: 'rejected'}, rejected);
      produceLatency.observe(labels, seconds);
    },
    RowsWritten: ({sink, table, rows, seconds}) => {
      sinkRows.inc({sink, table}, rows);
      sinkSeconds.observe({sink, table}, seconds);
    },
    SinkFailed: ({sink, table, code}) => sinkErrors.inc({sink, table, code}),
    SinkPaused: ({sink, table}) => sinkPauses.inc({sink, table}),
    CheckpointCommitted: ({domain, query, bytes, seconds, pauseSeconds}) => {
      checkpoints.observe({domain, query}, seconds);
      checkpointPause.observe({domain, query}, pauseSeconds);
      checkpointBytes.set({domain, query}, bytes);
    },
    QueryStopped: ({domain, query, code}) => stops.inc({domain, query, code}),
    InputStopped: ({domain, input, code}) => inputStops.inc({domain, input, code}),
  };
}

function readingGauges(registry: Registry, read: () => Readings): void {
  const gauge = <L extends string>(
    name: string,
    help: string,
    labelNames: L[],
    fill: (gauge: Gauge<L>) => void,
  ) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        fill(this as Gauge<L>);
      },
    });
  const byQuery = (name: string, help: string, value: (status: QueryStatus) => number | null) =>
    gauge(name, help, ['query'], (self) => {
      for (const status of read().queries) {
        const reading = value(status);
        if (reading !== null) self.set({query: status.query}, reading);
      }
    });
  const sum = (
    status: QueryStatus,
    field: 'read' | 'aggregated' | 'corrected' | 'filtered' | 'late' | 'dead' | 'lateInPart',
  ) => status.counts.reduce((total, counts) => total + counts[field], 0);
  byQuery('millrace_watermark_seconds', 'Event time up to which windows are closed', ({watermarkMs}) =>
    watermarkMs === null ? null : watermarkMs / 1000,
  );
  byQuery('millrace_watermark_delay_seconds', 'Wall clock minus watermark', ({watermarkMs}) =>
    watermarkMs === null ? null : (Date.now() - watermarkMs) / 1000,
  );
  byQuery('millrace_lag_events', 'Events in the log that the query has not read', ({lagEvents}) => lagEvents);
  byQuery(
    'millrace_lag_seconds',
    'Age of the oldest event that the query has not read',
    ({lagMs}) => lagMs / 1000,
  );
  byQuery('millrace_query_groups', 'Groups in memory', ({groups}) => groups);
  byQuery('millrace_query_open_windows', 'Windows that are not closed', ({openWindows}) => openWindows);
  byQuery('millrace_query_memory_bytes', 'Memory of the query state', ({memoryBytes}) => memoryBytes);
  byQuery('millrace_query_running', '1 while the query runs', ({state}) => (state === 'running' ? 1 : 0));
  byQuery('millrace_events_read', 'Events read by the query', (status) => sum(status, 'read'));
  byQuery('millrace_events_aggregated', 'Events that count in a row', (status) => sum(status, 'aggregated'));
  byQuery('millrace_events_corrected', 'Late events that corrected a window', (status) =>
    sum(status, 'corrected'),
  );
  byQuery('millrace_events_filtered', 'Events that `where` left out', (status) => sum(status, 'filtered'));
  byQuery('millrace_events_late', 'Events that no window took any more', (status) => sum(status, 'late'));
  byQuery('millrace_events_dead', 'Events that became dead letters of the query', (status) =>
    sum(status, 'dead'),
  );
  gauge('millrace_raw_lag_events', 'Raw events not yet in the sink', ['sink', 'table'], (self) => {
    for (const {sink, table, lagEvents} of read().raw) self.set({sink, table}, lagEvents);
  });
  gauge('millrace_raw_rows', 'Raw events written since start', ['sink', 'table'], (self) => {
    for (const {sink, table, written} of read().raw) self.set({sink, table}, written);
  });
  gauge('millrace_sink_pending_rows', 'Rows emitted and not yet acknowledged', ['sink', 'table'], (self) => {
    for (const {sink, table, pending} of read().delivery) self.set({sink, table}, pending);
  });
  gauge('millrace_sink_paused', '1 while a delivery is paused', ['sink', 'table'], (self) => {
    for (const {sink, table, paused} of read().delivery) self.set({sink, table}, paused ? 1 : 0);
  });
}
