/** What one query has told the outside world; it outlives crashes. */
import type {EmitFailure} from '../../src/process/embedded/emit.ts';
import type {SideRecord} from '../../src/process/embedded/types.ts';
import type {QueryPlan} from '../../src/process/plan/nodes.ts';
import {Changelog} from './changelog.ts';

export class Told {
  readonly changelog: Changelog;
  /** By identity, so that a repetition changes nothing. */
  readonly side = new Map<string, SideRecord>();
  readonly failures = new Map<string, EmitFailure>();
  /** Highest epoch that the sink has marked. */
  markedEpoch: number | undefined;

  constructor(plan: QueryPlan) {
    this.changelog = new Changelog(plan);
  }

  addSide(records: Iterable<SideRecord>): void {
    for (const record of records)
      this.side.set(`${record.kind} ${record.topic}/${record.partition}@${record.offset}`, record);
  }

  addFailures(failures: Iterable<EmitFailure>): void {
    for (const failure of failures)
      this.failures.set(`${failure.windowStartMs} ${failure.measure} ${failure.groupKey}`, failure);
  }
}
