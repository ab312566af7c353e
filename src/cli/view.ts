import type {InputStatus, PlatformStatus} from '../platform/status.ts';
import type {QueryStatus} from '../process/types.ts';
import type {CommandIo} from './command.ts';
import {escapeControls, formatCount, palette} from './output.ts';

/** Shows the state of the platform: a calm picture on a terminal, a line a second elsewhere. */
export type View = {
  show(status: PlatformStatus): void;
  /** A message that stays, above the picture. */
  say(text: string): void;
  close(): void;
};

export function createView(io: CommandIo, tips: string[]): View {
  return io.stderr.isTTY === true && io.env.TERM !== 'dumb' && !io.env.CI
    ? terminalView(io, tips)
    : lineView(io);
}

/** Events and rows a second, smoothed over about three seconds. */
function rateMeter(): (total: number, nowMs: number) => number {
  const seen: {total: number; atMs: number}[] = [];
  return (total, nowMs) => {
    seen.push({total, atMs: nowMs});
    while (seen.length > 1 && nowMs - seen[0]!.atMs > 3000) seen.shift();
    const first = seen[0]!;
    return nowMs > first.atMs ? Math.max(0, ((total - first.total) * 1000) / (nowMs - first.atMs)) : 0;
  };
}

function lineView(io: CommandIo): View {
  let lastText = '';
  let lastMs = 0;
  const events = rateMeter();
  const rows = rateMeter();
  return {
    show(status) {
      const nowMs = Date.now();
      if (nowMs - lastMs < 1000) return;
      lastMs = nowMs;
      const {totals} = status;
      const facts = `${formatCount(totals.appended)} events, ${formatCount(totals.rowsWritten)} rows, lag ${formatCount(lagOf(status.queries))}, dead letters ${formatCount(totals.rejected + totals.dead)}, late ${formatCount(totals.late)}, ledger ${totals.ledgerBalanced ? 'balanced' : 'NOT balanced'}`;
      const rates = `${formatCount(events(totals.appended, nowMs))} events/s, ${formatCount(rows(totals.rowsWritten, nowMs))} rows/s`;
      if (facts === lastText) return;
      lastText = facts;
      io.stderr.write(`${new Date(nowMs).toISOString()} ${status.phase} ${rates} | ${facts}\n`);
    },
    say: (text) => io.stderr.write(`${text}\n`),
    close: () => {},
  };
}

const lagOf = (queries: QueryStatus[]): number => Math.max(0, ...queries.map(({lagEvents}) => lagEvents));

function terminalView(io: CommandIo, tips: string[]): View {
  const events = rateMeter();
  const rows = rateMeter();
  let drawn = 0;
  const out = io.stderr;
  const erase = () => {
    if (drawn > 0) out.write(`\x1b[${drawn}A\x1b[0J`);
    drawn = 0;
  };
  let last: string[] = [];
  const draw = (lines: string[]) => {
    erase();
    const columns = out.columns ?? 100;
    const fitting = lines.slice(0, Math.max(5, (out.rows ?? 40) - 1)).map((line) => cut(line, columns - 1));
    out.write(`${fitting.join('\n')}\n`);
    drawn = fitting.length;
    last = lines;
  };
  return {
    show(status) {
      const nowMs = Date.now();
      draw(
        picture(
          status,
          {events: events(status.totals.appended, nowMs), rows: rows(status.totals.rowsWritten, nowMs)},
          nowMs,
          tips,
          palette(out, io.env),
        ),
      );
    },
    say(text) {
      erase();
      out.write(`${text}\n`);
      draw(last);
    },
    close: () => {
      drawn = 0;
    },
  };
}

const escapeCharacter = '\u001b';
const colorCode = new RegExp(`(${escapeCharacter}\\[\\d+m)`);

/** Cuts a line with colours to a number of columns. */
function cut(line: string, columns: number): string {
  let shown = 0;
  let result = '';
  for (const part of line.split(colorCode)) {
    if (part.startsWith('\x1b[')) result += part;
    else {
      const chars = [...part].slice(0, Math.max(0, columns - shown));
      shown += chars.length;
      result += chars.join('');
    }
  }
  return result;
}

type Colors = ReturnType<typeof palette>;

/** The picture as lines; pure, so that it can be looked at in a test. */
export function picture(
  status: PlatformStatus,
  rates: {events: number; rows: number},
  nowMs: number,
  tips: string[],
  color: Colors,
): string[] {
  const {totals} = status;
  const lines = [
    `${color.bold(`millrace ${escapeControls(status.name)}`)} ${color.dim(`${status.env} · ${status.phase} for ${clock(nowMs - status.startedMs)} · ${status.url}`)}`,
    '',
    `  ${color.bold(formatCount(rates.events).padStart(9))} events/s   ${color.bold(formatCount(rates.rows).padStart(7))} rows/s   ${formatCount(totals.appended)} events in the log   ${formatCount(totals.rowsWritten)} rows written`,
    '',
  ];
  for (const input of status.inputs) lines.push(inputLine(input, color));
  if (status.inputs.length > 0) lines.push('');
  if (status.queries.length > 0) lines.push(...queryLines(status, color), '');
  for (const raw of status.raw) {
    const state =
      raw.state === 'running'
        ? ''
        : color.yellow(` ${raw.state}${raw.message ? `: ${escapeControls(raw.message)}` : ''}`);
    lines.push(
      `  ${color.dim('raw')} ${raw.table} ${color.dim(`-> ${raw.sink}`)}  ${formatCount(raw.written)} written, lag ${formatCount(raw.lagEvents)}${state}`,
    );
  }
  for (const {sink, table, state, message} of status.deliveries)
    if (state !== 'running')
      lines.push(`  ${color.yellow(`sink ${sink}, ${table}: ${state}`)} ${escapeControls(message ?? '')}`);
  const dead = totals.rejected + totals.dead;
  lines.push(
    '',
    `  ledger ${totals.ledgerBalanced ? color.green('balanced') : color.red('NOT balanced')}   dead letters ${dead > 0 ? color.yellow(formatCount(dead)) : '0'}   late ${totals.late > 0 ? color.yellow(formatCount(totals.late)) : '0'}   duplicates ${formatCount(totals.duplicate)}`,
    '',
  );
  if (status.phase === 'draining')
    lines.push(`  ${color.yellow('draining')}: what was read is being written; a second Ctrl-C ends at once`);
  else {
    lines.push(color.dim('  in another terminal:'));
    for (const tip of tips) lines.push(`    ${color.cyan(tip)}`);
    lines.push(color.dim('  Ctrl-C drains and stops'));
  }
  return lines;
}

function inputLine(
  {domain, name, state, share, rows, rejected, message}: InputStatus,
  color: Colors,
): string {
  const cells = 24;
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

function queryLines({queries, deliveries}: PlatformStatus, color: Colors): string[] {
  const nameWidth = Math.max(5, ...queries.map(({query}) => query.length));
  const head = `  ${'query'.padEnd(nameWidth)}  ${'watermark (UTC)'.padEnd(16)}  ${'lag'.padStart(9)}  ${'delay'.padStart(7)}  ${'events'.padStart(11)}  ${'rows'.padStart(9)}  ${'late'.padStart(7)}  ${'dead'.padStart(5)}`;
  return [
    color.dim(head),
    ...queries.map((status) => {
      const {query, watermarkMs, lagEvents, lagMs, counts, state, reason} = status;
      const sum = (field: 'read' | 'late' | 'dead') => counts.reduce((total, line) => total + line[field], 0);
      const written = deliveries
        .filter(({table}) => table.replace(/__r\d+$/, '') === query)
        .reduce((total, line) => Math.max(total, line.written), 0);
      const watermark =
        watermarkMs === null ? '-' : new Date(watermarkMs).toISOString().slice(0, 16).replace('T', ' ');
      const note = state === 'running' ? '' : color.red(`  ${state}${reason ? ` ${reason.code}` : ''}`);
      return `  ${query.padEnd(nameWidth)}  ${watermark.padEnd(16)}  ${formatCount(lagEvents).padStart(9)}  ${seconds(lagMs).padStart(7)}  ${formatCount(sum('read')).padStart(11)}  ${formatCount(written).padStart(9)}  ${formatCount(sum('late')).padStart(7)}  ${formatCount(sum('dead')).padStart(5)}${note}`;
    }),
  ];
}

const seconds = (ms: number): string =>
  ms < 100_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} m`;

function clock(ms: number): string {
  const total = Math.floor(ms / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${total >= 3600 ? `${Math.floor(total / 3600)}:` : ''}${two(Math.floor(total / 60) % 60)}:${two(total % 60)}`;
}
