import type {IngestCounts} from '../log/types.ts';
import type {Platform} from '../model/types.ts';
import type {EngineHost} from './engine.ts';
import type {PlatformStatus} from './status.ts';

/** Sums over all inputs and queries. */
export function totalsOf(
  counts: IngestCounts[],
  engine: EngineHost,
  rowsWritten: number,
  ledgerBalanced: boolean,
): PlatformStatus['totals'] {
  const totals = {
    received: 0,
    appended: 0,
    duplicate: 0,
    rejected: 0,
    rowsWritten,
    late: 0,
    dead: 0,
    ledgerBalanced,
  };
  for (const {received, appended, duplicate, rejected} of counts) {
    totals.received += received;
    totals.appended += appended;
    totals.duplicate += duplicate;
    totals.rejected += rejected;
  }
  for (const {counts: lines} of engine.status())
    for (const {late, dead} of lines) {
      totals.late += late;
      totals.dead += dead;
    }
  return totals;
}

/** Queries that have told nothing of themselves yet. */
export function startingQueries({domains}: Platform, engine: EngineHost): string[] {
  const told = new Set(engine.status().map(({query}) => query));
  return domains
    .flatMap(({name, aggregations}) => aggregations.map((aggregation) => `${name}.${aggregation.name}`))
    .filter((query) => !told.has(query));
}
