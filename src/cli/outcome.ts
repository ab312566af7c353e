/** How a run ended, from what stopped in it. */
import {errors} from '../errors.ts';
import type {PlatformStatus} from '../platform/status.ts';
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
    `${formatCount(appended)} events in the log`,
    `${formatCount(rowsWritten)} rows written in this run`,
    `ledger ${ledgerBalanced ? 'balanced' : 'NOT balanced'}`,
    ...stoppedText(queries.length, 'query', 'queries'),
    ...stoppedText(inputs.length, 'input', 'inputs'),
    ...stoppedText(raw.length, 'raw table', 'raw tables'),
  ];
  const open = status.queries.reduce((sum, {openWindows}) => sum + openWindows, 0);
  const hint =
    open === 0
      ? ''
      : `${formatCount(open)} ${open === 1 ? 'window is' : 'windows are'} open: they close as time moves on, or with: npx millrace ingest ${inputOf(status)} --final\n`;
  return `stopped: ${parts.join(', ')}\n${hint}`;
}

const stoppedText = (count: number, one: string, many: string): string[] =>
  count === 0 ? [] : [`${count} ${count === 1 ? one : many} stopped`];

const inputOf = ({inputs}: PlatformStatus): string =>
  inputs.length === 1 ? `${inputs[0]!.domain}.${inputs[0]!.name}` : '<input>';
