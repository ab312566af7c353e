/** Figures of a process that only looks on. */
import type {Registry} from 'prom-client';
import type {LabelOf, MetricName} from './catalogue.ts';
import {gaugeRead} from './gauge.ts';

/** What Kafka tells of the other processes; null: not known just now. */
export type ObservedReadings = {
  isAnswering: boolean;
  queries: {name: string; lag: number | null; lagMs: number | null}[];
  sinks: {sink: string; topic: string; lag: number | null; lagMs: number | null}[];
  topics: {topic: string; records: number | null}[];
};

/** Registers the gauges named observed. @param read undefined in a process that looks at nobody */
export function observedGauges(registry: Registry, read: () => ObservedReadings | undefined): void {
  const gauge = <N extends MetricName<'gauge'>>(
    name: N,
    fill: (
      observed: ObservedReadings,
      set: (labels: Record<LabelOf<N>, string>, value: number | null) => void,
    ) => void,
  ) =>
    gaugeRead(registry, name, (self) => {
      const observed = read();
      if (observed)
        fill(observed, (labels, value) => {
          if (value !== null) self.set(labels, value);
        });
    });
  const seconds = (ms: number | null) => (ms === null ? null : ms / 1000);
  gauge('millrace_observed_kafka_available', ({isAnswering}, set) => set({}, isAnswering ? 1 : 0));
  gauge('millrace_observed_lag_events', ({queries}, set) => {
    for (const {name, lag} of queries) set({query: name}, lag);
  });
  gauge('millrace_observed_lag_seconds', ({queries}, set) => {
    for (const {name, lagMs} of queries) set({query: name}, seconds(lagMs));
  });
  gauge('millrace_observed_rows_lag', ({sinks}, set) => {
    for (const {sink, topic, lag} of sinks) set({sink, topic}, lag);
  });
  gauge('millrace_observed_rows_lag_seconds', ({sinks}, set) => {
    for (const {sink, topic, lagMs} of sinks) set({sink, topic}, seconds(lagMs));
  });
  gauge('millrace_observed_topic_records', ({topics}, set) => {
    for (const {topic, records} of topics) set({topic}, records);
  });
}
