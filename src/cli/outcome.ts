/** How a run ended, from what stopped in it. */
import {errors} from '../errors.ts';
import type {PlatformStatus} from '../platform/status.ts';
import {counted} from '../quantity.ts';
import {formatCount} from './output.ts';

type Stopped = {queries: string[]; inputs: string[]; raw: string[]};

/** Codes of what stopped for good, by kind. */
function stoppedIn({queries, inputs, raw}: PlatformStatus): Stopped {
  return {
    queries: queries
      .filter(({state}) => state === 'stopped' || state === 'failed')
      .map(({reason}) => reason?.code ?? 'QUERY_FAILED'),
    inputs: inputs.filter(({state}) => state === 'stopped').map(({code}) => code ?? 'INGEST_LOST'),
    raw: raw.filter(({state}) => state === 'stopped').map(({code}) => code ?? 'SINK_REFUSED'),
  };
}

/** 0 when nothing stopped, else the highest exit code that the catalogue has for what did. */
export function exitCodeOf(status: PlatformStatus): number {
  const codes = Object.values(stoppedIn(status)).flat();
  return Math.max(0, ...codes.map((code) => (errors as Record<string, {exit: number}>)[code]?.exit ?? 1));
}

/** The closing lines: sums, what stopped, and how windows that are open can be closed. */
export function farewell(status: PlatformStatus): string {
  const {appended, rowsWritten, ledgerBalanced} = status.totals;
  const {queries, inputs, raw} = stoppedIn(status);
  const parts = [
    `${counted(appended, 'event')} in the log`,
    `${counted(rowsWritten, 'row')} written in this run`,
    `ledger ${ledgerBalanced ? 'balanced' : 'NOT balanced'}`,
    ...stoppedText(queries.length, 'query', 'queries'),
    ...stoppedText(inputs.length, 'input', 'inputs'),
    ...stoppedText(raw.length, 'raw table', 'raw tables'),
  ];
  return `stopped: ${parts.join(', ')}\n${openText(status)}`;
}

const stoppedText = (count: number, one: string, many: string): string[] =>
  count === 0 ? [] : [`${count} ${count === 1 ? one : many} stopped`];

/** What closes open windows. Only time does, unless the files of a domain are all that moves its time. */
function openText({queries, inputs, generators}: PlatformStatus): string {
  const openIn = new Map<string, number>();
  for (const {query, openWindows} of queries)
    if (openWindows > 0) openIn.set(domainOf(query), (openIn.get(domainOf(query)) ?? 0) + openWindows);
  const open = sumOf(openIn.values());
  if (open === 0) return '';
  const text = `${formatCount(open)} ${open === 1 ? 'window is' : 'windows are'} open: they close as time moves on`;
  const isFed = (name: string) => inputs.some(({domain}) => domain === name);
  const isGenerated = (name: string) => generators.some(({domain}) => domain === name);
  const closable = new Map([...openIn].filter(([name]) => isFed(name) && !isGenerated(name)));
  if (closable.size === 0) return `${text}\n`;
  const names = inputs
    .filter(({domain}) => closable.has(domain))
    .map(({domain, name}) => `${domain}.${name}`);
  const command =
    names.length === 1
      ? `npx millrace ingest ${names[0]} --final`
      : `npx millrace ingest <input> --final (inputs: ${names.join(', ')})`;
  const some = sumOf(closable.values());
  if (some === open) return `${text}, or with: ${command}\n`;
  return `${text}; the ${formatCount(some)} of ${[...closable.keys()].join(', ')} also with: ${command}\n`;
}

const domainOf = (query: string): string => query.slice(0, query.indexOf('.'));
const sumOf = (counts: Iterable<number>): number => [...counts].reduce((sum, count) => sum + count, 0);
