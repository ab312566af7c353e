import type {GeneratorStatus} from '../platform/generate-types.ts';
import type {InputStatus, PlatformStatus, RawStatus, RowsStatus} from '../platform/status.ts';
import type {QueryStatus} from '../process/types.ts';
import {escapeControls, formatCount} from './output.ts';
import {atPlace, type Colors, seconds, slowMs, troubleLines} from './picture-trouble.ts';

/** Where the picture has to fit. */
export type Space = {columns: number; rows: number};

const unbounded: Space = {columns: Number.POSITIVE_INFINITY, rows: Number.POSITIVE_INFINITY};

/**
 * The picture as lines; pure, so that it can be looked at in a test. In little space the least important parts are left out:
 * first the tips, then empty lines, raw tables and inputs.
 */
export function picture(
  status: PlatformStatus,
  rates: {events: number; rows: number},
  nowMs: number,
  tips: string[],
  color: Colors,
  space: Space = unbounded,
  waits = '',
): string[] {
  const parts: Part[] = [
    {lines: headLines(status, rates, nowMs, color, space), rank: 9},
    {lines: status.inputs.map((input) => inputLine(input, color, space)), rank: 3},
    {lines: status.generators.map((generator) => generatorLine(generator, color)), rank: 3},
    {lines: queryLines(status, color, space), rank: 7},
    {lines: status.rows.map((rows) => rowsLine(rows, color)), rank: 2},
    {lines: status.raw.map((raw) => rawLine(raw, color)), rank: 2},
    {lines: troubleLines(status, color), rank: 8},
    {lines: [totalsLine(status, color)], rank: 9},
    {lines: waits ? [`  ${color.dim('waiting for:')} ${escapeControls(waits)}`] : [], rank: 6},
    {lines: footLines(status, tips, color, space), rank: status.phase === 'running' ? 1 : 5},
  ];
  return arrange(parts, space.rows);
}

/** Lines that belong together; in little space the lowest rank goes first. */
type Part = {lines: string[]; rank: number};

/** Parts with an empty line between them, as long as there are rows for that. */
function arrange(parts: Part[], rows: number): string[] {
  let kept = parts.filter(({lines}) => lines.length > 0);
  const lineCount = () => kept.reduce((sum, {lines}) => sum + lines.length, 0);
  const dropBelow = (rank: number, fits: () => boolean) => {
    while (!fits()) {
      const lowest = Math.min(...kept.map((part) => part.rank));
      if (lowest >= rank) return;
      kept = kept.filter((part) => part.rank > lowest);
    }
  };
  dropBelow(2, () => lineCount() + kept.length - 1 <= rows);
  const airy = lineCount() + kept.length - 1 <= rows;
  dropBelow(7, () => lineCount() <= rows);
  return kept.flatMap(({lines}, index) => (airy && index > 0 ? ['', ...lines] : lines));
}

function headLines(
  {name, env, phase, startedMs, url, totals}: PlatformStatus,
  rates: {events: number; rows: number},
  nowMs: number,
  color: Colors,
  {columns}: Space,
): string[] {
  const since = clock(nowMs - startedMs);
  const state = phase === 'stopped' ? `stopped after ${since}` : `${phase}, up ${since} · ${url}`;
  const title = `${color.bold(`millrace ${escapeControls(name)}`)} ${color.dim(`${env} · ${state}`)}`;
  const sums = `${formatCount(totals.appended)} events in the log   ${formatCount(totals.rowsWritten)} rows written`;
  if (phase === 'stopped') return [title, `  ${sums}`];
  const speed = `  ${color.bold(formatCount(rates.events).padStart(9))} events/s   ${color.bold(formatCount(rates.rows).padStart(7))} rows/s`;
  return columns >= 90 ? [title, `${speed}   ${sums}`] : [title, speed, `  ${sums}`];
}

function rowsLine(
  {sink, table, state, message, place, written, dead, lagRows, lagMs}: RowsStatus,
  color: Colors,
): string {
  const note =
    state === 'running'
      ? ''
      : color.yellow(` ${state}${message ? `: ${escapeControls(message)}${atPlace(place)}` : ''}`);
  return `  ${color.dim('rows')} ${table} ${color.dim(`-> ${sink}`)}  ${formatCount(written)} written${dead > 0 ? `, ${formatCount(dead)} refused` : ''}, lag ${formatCount(lagRows)}${behindFor(lagMs)}${note}`;
}

function rawLine(
  {sink, table, state, message, place, written, dead, lagEvents, lagMs}: RawStatus,
  color: Colors,
): string {
  const note =
    state === 'running'
      ? ''
      : color.yellow(` ${state}${message ? `: ${escapeControls(message)}${atPlace(place)}` : ''}`);
  return `  ${color.dim('raw')} ${table} ${color.dim(`-> ${sink}`)}  ${formatCount(written)} written${dead > 0 ? `, ${formatCount(dead)} refused` : ''}${lagEvents === null ? '' : `, lag ${formatCount(lagEvents)}${behindFor(lagMs)}`}${note}`;
}

function totalsLine({totals}: PlatformStatus, color: Colors): string {
  const dead = totals.rejected + totals.dead;
  return `  ledger ${totals.ledgerBalanced ? color.green('balanced') : color.red('NOT balanced')}   dead letters ${dead > 0 ? color.yellow(formatCount(dead)) : '0'}   late ${totals.late > 0 ? color.yellow(formatCount(totals.late)) : '0'}   duplicates ${formatCount(totals.duplicate)}`;
}

function footLines({phase}: PlatformStatus, tips: string[], color: Colors, {columns}: Space): string[] {
  if (phase === 'stopped') return [];
  if (phase === 'draining')
    return [`  ${color.yellow('draining')}: what was read is being written; a second Ctrl-C ends at once`];
  if (tips.length === 0) return [];
  // A command that is cut cannot be copied.
  const whole = tips.filter((tip) => tip.length + 4 < columns).map((tip) => `    ${color.cyan(tip)}`);
  return [color.dim('  in another terminal:'), ...whole, color.dim('  Ctrl-C drains and stops')];
}

function generatorLine(
  {domain, state, events, ratePerSecond, openSessions, behindMs, message}: GeneratorStatus,
  color: Colors,
): string {
  const pace = ratePerSecond >= 10 ? formatCount(ratePerSecond) : ratePerSecond.toFixed(1);
  const note =
    state === 'running'
      ? behindMs > 1000
        ? color.yellow(` behind ${Math.round(behindMs / 1000)} s`)
        : ''
      : color.yellow(` ${state}${message ? `: ${escapeControls(message)}` : ''}`);
  return `  ${color.dim('generator')} ${domain}  ${formatCount(events)} events, ${pace}/s${openSessions > 0 ? `, ${formatCount(openSessions)} sessions open` : ''}${note}`;
}

function inputLine(
  {domain, name, state, share, rows, rejected, message}: InputStatus,
  color: Colors,
  {columns}: Space,
): string {
  const cells = columns >= 90 ? 24 : 8;
  const filled = Math.round((share ?? 0) * cells);
  const bar = `${color.cyan('█'.repeat(filled))}${color.dim('░'.repeat(cells - filled))}`;
  const percent = share === null ? '' : `${Math.floor(share * 100)} %`;
  const note =
    state === 'stopped'
      ? color.red(`stopped: ${escapeControls(message ?? '')}`)
      : state === 'running'
        ? ''
        : color.dim(state);
  const bad = rejected > 0 ? color.yellow(`, ${formatCount(rejected)} rejected`) : '';
  return `  ${color.dim('file')} ${domain}.${name}  ${bar} ${percent.padStart(5)}  ${formatCount(rows)} rows${bad} ${note}`;
}

type QueryColumn = {
  title: string;
  width: number;
  /** In narrow space the highest goes first. */
  order: number;
  text(status: QueryStatus, written: number): string;
};

const sumOf = ({counts}: QueryStatus, field: 'read' | 'late' | 'dead'): string =>
  formatCount(counts.reduce((total, line) => total + line[field], 0));

const queryColumns: QueryColumn[] = [
  {
    title: 'watermark (UTC)',
    width: 16,
    order: 3,
    text: ({watermarkMs}) =>
      watermarkMs === null ? '-' : new Date(watermarkMs).toISOString().slice(0, 16).replace('T', ' '),
  },
  {title: 'lag', width: 9, order: 1, text: ({lagEvents}) => formatCount(lagEvents)},
  {title: 'delay', width: 7, order: 4, text: ({lagMs}) => seconds(lagMs)},
  {title: 'events', width: 11, order: 2, text: (status) => sumOf(status, 'read')},
  {title: 'rows', width: 9, order: 5, text: (_, written) => formatCount(written)},
  {title: 'late', width: 7, order: 6, text: (status) => sumOf(status, 'late')},
  {title: 'dead', width: 5, order: 7, text: (status) => sumOf(status, 'dead')},
];

function queryLines(
  {queries, startingQueries, deliveries}: PlatformStatus,
  color: Colors,
  {columns}: Space,
): string[] {
  if (queries.length + startingQueries.length === 0) return [];
  const names = [...queries.map(({query}) => query), ...startingQueries];
  const nameWidth = Math.max(5, ...names.map((name) => name.length));
  let shown = queryColumns;
  const total = () => shown.reduce((sum, {width}) => sum + width + 2, 2 + nameWidth);
  while (shown.length > 1 && total() >= columns) {
    const last = Math.max(...shown.map(({order}) => order));
    shown = shown.filter(({order}) => order !== last);
  }
  const line = (name: string, cells: string[]) =>
    `  ${name.padEnd(nameWidth)}${cells.map((cell, index) => `  ${cell.padStart(shown[index]!.width)}`).join('')}`;
  return [
    color.dim(
      line(
        'query',
        shown.map(({title}) => title),
      ),
    ),
    ...queries.map((status) => {
      const {query, state, reason} = status;
      const written = deliveries
        .filter(({table}) => table.replace(/__r\d+$/, '') === query)
        .reduce((most, delivery) => Math.max(most, delivery.written), 0);
      const note = state === 'running' ? '' : color.red(`  ${state}${reason ? ` ${reason.code}` : ''}`);
      return `${line(
        query,
        shown.map(({text}) => text(status, written)),
      )}${note}`;
    }),
    ...startingQueries.map((query) => `  ${query.padEnd(nameWidth)}  ${color.dim('starting')}`),
  ];
}

const behindFor = (lagMs: number): string => (lagMs > slowMs ? ` for ${seconds(lagMs)}` : '');

function clock(ms: number): string {
  const total = Math.floor(ms / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${total >= 3600 ? `${Math.floor(total / 3600)}:` : ''}${two(Math.floor(total / 60) % 60)}:${two(total % 60)}`;
}
