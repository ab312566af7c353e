import {withoutSecrets} from '../errors.ts';
import {asTyped, withKeyPlaces} from '../invocation.ts';
import type {PlatformStatus} from '../platform/status.ts';
import {counted} from '../quantity.ts';
import type {CommandIo} from './command.ts';
import {escapeControls, formatCount, palette} from './output.ts';
import {picture, type Space} from './picture.ts';
import {waitingText} from './waiting.ts';

/** Shows the state of the platform: a calm picture on a terminal, a line a second elsewhere. */
export type View = {
  show(status: PlatformStatus): void;
  /** A picture that somebody else made; elsewhere than on a terminal it is printed when it differs. */
  lines(lines: string[]): void;
  /** A message that stays, above the picture. */
  say(text: string): void;
  close(): void;
};

/** @param untilIdle whether to say what a run that ends by itself waits for. */
export function createView(io: CommandIo, tips: string[], untilIdle: boolean): View {
  return io.stderr.isTTY === true && io.env.TERM !== 'dumb' && !io.env.CI
    ? terminalView(
        io,
        tips.map((tip) => asTyped(tip, io.cwd)),
        untilIdle,
      )
    : lineView(io, untilIdle);
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

function lineView(io: CommandIo, untilIdle: boolean): View {
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
      const waits = untilIdle && status.phase === 'running' ? waitingText(status) : '';
      const facts = `${counted(totals.appended, 'event')}, ${counted(totals.rowsWritten, 'row')}, lag ${lagOf(status)}, dead letters ${formatCount(totals.rejected + totals.dead)}, late ${formatCount(totals.late)}, ledger ${totals.ledgerBalanced ? 'balanced' : 'NOT balanced'}${waits ? ` | waiting for: ${waits}` : ''}`;
      const rates = `${formatCount(events(totals.appended, nowMs))} events/s, ${formatCount(rows(totals.rowsWritten, nowMs))} rows/s`;
      if (facts === lastText) return;
      lastText = facts;
      io.stderr.write(`${new Date(nowMs).toISOString()} ${status.phase} ${rates} | ${facts}\n`);
    },
    lines(lines) {
      const text = lines.join('\n');
      if (text === lastText) return;
      lastText = text;
      io.stderr.write(`${text}\n`);
    },
    say: (text) => io.stderr.write(`${sayable(text, io.cwd)}\n`),
    close: () => {},
  };
}

/** Its lines, with what a terminal would act on made visible. */
const sayable = (text: string, cwd: string): string =>
  withoutSecrets(withKeyPlaces(asTyped(text, cwd)))
    .split('\n')
    .map(escapeControls)
    .join('\n');

/** Of the query that is furthest behind; of one that has told nothing yet it is not known. */
const lagOf = ({phase, queries, startingQueries}: PlatformStatus): string =>
  startingQueries.length > 0
    ? phase === 'draining' || phase === 'stopped'
      ? 'unknown'
      : 'starting'
    : formatCount(Math.max(0, ...queries.map(({lagEvents}) => lagEvents)));

function terminalView(io: CommandIo, tips: string[], untilIdle: boolean): View {
  const events = rateMeter();
  const rows = rateMeter();
  let drawn = 0;
  const out = io.stderr;
  const erase = () => {
    if (drawn > 0) out.write(`\x1b[${drawn}A\x1b[0J`);
    drawn = 0;
  };
  let last: string[] = [];
  const space = (): Space => ({columns: (out.columns ?? 100) - 1, rows: Math.max(5, (out.rows ?? 40) - 2)});
  const draw = (lines: string[]) => {
    erase();
    const {columns, rows} = space();
    const fitting = lines.slice(0, rows).map((line) => cut(asTyped(line, io.cwd), columns));
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
          space(),
          untilIdle && status.phase === 'running' ? waitingText(status) : '',
        ),
      );
    },
    lines: draw,
    say(text) {
      erase();
      out.write(`${sayable(text, io.cwd)}\n`);
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
