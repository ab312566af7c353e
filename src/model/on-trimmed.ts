/** `on_trimmed: archive` wants raw events that are kept and can be read back. */
import type {Path} from '../config/diagnostics.ts';
import {quote} from '../config/nodes.ts';
import type {DomainConfig} from './config.ts';
import type {Reporter} from './reporter.ts';
import type {SinkNames} from './sinks.ts';
import type {Defaults} from './types.ts';

/** Reports it where it is written: in queries, and in the defaults once when a query has it from there. */
export function checkOnTrimmed(
  {aggregations = []}: DomainConfig,
  around: {defaults: Defaults; sinks: SinkNames; reporter: Reporter; ofDefaults: Reporter},
): void {
  const {defaults, reporter, ofDefaults} = around;
  for (const [index, aggregation] of aggregations.entries())
    if (aggregation?.on_trimmed === 'archive') check(['aggregations', index, 'on_trimmed'], reporter, around);
  const isInherited = aggregations.some((aggregation) => aggregation && aggregation.on_trimmed === undefined);
  if (defaults.onTrimmed === 'archive' && isInherited) check(['defaults', 'on_trimmed'], ofDefaults, around);
}

function check(
  path: Path,
  reporter: Reporter,
  {defaults: {raw}, sinks}: {defaults: Defaults; sinks: SinkNames},
): void {
  const hint = 'name a database in `defaults.raw`, or say `stop`';
  if (raw === null)
    reporter.error(path, 'RAW_MISSING', 'there is no archive: the domain keeps no raw events', {hint});
  else if (!sinks.rawIsRead(raw))
    reporter.error(
      path,
      'SINK_CAPABILITY',
      `there is no archive: raw events in the sink ${quote(raw)} cannot be read back`,
      {hint},
    );
}
