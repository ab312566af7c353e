import {type MetricSpec, metricSpecs, secondsBuckets} from '../../src/observe/catalogue.ts';
import {code, generatedNote, page, table} from './markdown.ts';

/** The text of docs/reference/metrics.md. */
export const metricReference = (): string =>
  page([
    '# Metrics',
    generatedNote('src/observe/catalogue.ts'),
    `\`http://127.0.0.1:4000/metrics\` (host and port as under \`server:\`) answers in the text format of Prometheus while the
platform runs. Counters begin at 0 when the process starts. Gauges are read at the moment of the request.`,
    table(
      ['metric', 'type', 'labels', 'meaning'],
      Object.entries<MetricSpec>(metricSpecs).map(([name, {type, labels, help}]) => [
        code(name),
        type,
        labels.map(code).join(', '),
        help,
      ]),
    ),
    `The gauges \`millrace_events_*\` are the query ledger, summed over partitions: cumulative since the revision of the query
began, kept with its checkpoints. \`read = aggregated + filtered + late + dead\` holds for them, and duplicates where a topic is
deduplicated; \`millrace ledger\` checks it by partition. \`code\` is a code of [errors.md](errors.md). \`query\` and \`table\` are
written \`<domain>.<name>\`.`,
    `Histograms have the buckets ${secondsBuckets.join(', ')} seconds.`,
    `## What to watch

${table(
  ['question', 'expression'],
  [
    ['Does a query fall behind?', '`millrace_lag_seconds > 60`'],
    ['Has a query stopped?', '`millrace_query_running == 0`, `increase(millrace_query_stops_total[5m]) > 0`'],
    [
      'Does a sink refuse or fail?',
      '`millrace_sink_paused == 1`, `rate(millrace_sink_errors_total[5m]) > 0`',
    ],
    ['Is a sink slow?', '`millrace_sink_lag_seconds > 60`, `millrace_raw_lag_seconds > 60`'],
    [
      'Is input bad?',
      '`rate(events_produced_total{status="rejected"}[5m]) / ignoring(status) sum without(status) (rate(events_produced_total{status!="refused"}[5m]))`',
    ],
    ['Has an input stopped?', '`increase(millrace_input_stops_total[5m]) > 0`'],
    ['Do windows close?', '`millrace_watermark_delay_seconds`: grows while nothing moves the watermark'],
  ],
)}`,
  ]);
