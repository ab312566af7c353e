import type {PlatformStatus} from '../platform/status.ts';
import {counted} from '../quantity.ts';

/** What `--until-idle` still waits for, a phrase each: inputs first, then queries, sinks, raw tables. */
export function waitingFor({inputs, queries, startingQueries, deliveries, raw}: PlatformStatus): string[] {
  const found: string[] = [];
  for (const {domain, name, state} of inputs)
    if (state !== 'done' && state !== 'stopped') found.push(`input ${domain}.${name}`);
  for (const query of startingQueries) found.push(`query ${query} (starting)`);
  for (const {query, state, reason, lagEvents, settled, held, logAway} of queries) {
    if (state === 'paused') found.push(`query ${query} (paused${reason ? `: ${reason.code}` : ''})`);
    else if (state !== 'running') continue;
    else if (held) found.push(`query ${query}: schema ${held[0]!.schemaId} from the registry`);
    else if (logAway) found.push(`query ${query}: the log`);
    else if (lagEvents > 0) found.push(`query ${query}: ${counted(lagEvents, 'event')} to go`);
    else if (!settled) found.push(`query ${query}: its rows`);
  }
  for (const {sink, table, state, pending} of deliveries)
    if (pending > 0 && state === 'paused') found.push(`sink ${sink}, ${table}`);
  const starting = new Set(raw.filter(({state}) => state === 'starting').map(({sink}) => sink));
  for (const sink of starting) found.push(`${sink} (starting)`);
  for (const {table, state, lagEvents} of raw) {
    if (state === 'paused') found.push(`raw ${table} (paused)`);
    else if (state === 'running' && lagEvents)
      found.push(`raw ${table}: ${counted(lagEvents, 'event')} to go`);
  }
  return found;
}

/** The first few of them, as one text; empty when there is nothing to wait for. */
export function waitingText(status: PlatformStatus): string {
  const all = waitingFor(status);
  const shown = all.slice(0, 4).join(', ');
  return all.length > 4 ? `${shown}, and ${all.length - 4} more` : shown;
}
