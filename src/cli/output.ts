import {PlatformError, withoutSecrets} from '../errors.ts';
import {asTyped, withKeyPlaces} from '../invocation.ts';
import type {CommandIo} from './command.ts';

/** Colours only on a terminal and without NO_COLOR. */
export function palette(stream: {isTTY?: boolean}, env: NodeJS.ProcessEnv) {
  const on = stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  const paint = (open: number, close: number) => (text: string) =>
    on ? `\x1b[${open}m${text}\x1b[${close}m` : text;
  return {
    bold: paint(1, 22),
    dim: paint(2, 22),
    red: paint(31, 39),
    green: paint(32, 39),
    yellow: paint(33, 39),
    cyan: paint(36, 39),
  };
}

/** One JSON document on stdout; int64 beyond 2^53 as strings. */
export function printJson(io: CommandIo, value: unknown): void {
  const text = JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? item.toString() : item), 2);
  io.stdout.write(`${text}\n`);
}

export type Cell = string | number | bigint | boolean | null | undefined;

/** Rows as an aligned table: numbers to the right, NULL shown as such, control characters escaped. */
export function formatTable(columns: string[], rows: Cell[][], widthMax = 48): string {
  const texts = rows.map((row) => row.map((cell) => cellText(cell, widthMax)));
  const widths = columns.map((name, index) =>
    Math.max(width(name), ...texts.map((row) => width(row[index] ?? ''))),
  );
  const numeric = columns.map(
    (_, index) =>
      rows.length > 0 &&
      rows.every(
        (row) => row[index] == null || typeof row[index] === 'number' || typeof row[index] === 'bigint',
      ),
  );
  const line = (cells: string[]) =>
    cells
      .map((cell, index) => {
        const space = ' '.repeat(Math.max(0, widths[index]! - width(cell)));
        return numeric[index] ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd();
  return `${[line(columns), line(widths.map((size) => '─'.repeat(size))), ...texts.map(line)].join('\n')}\n`;
}

function cellText(cell: Cell, widthMax: number): string {
  if (cell === null || cell === undefined) return 'NULL';
  const text =
    typeof cell === 'number' && !Number.isInteger(cell)
      ? String(Number(cell.toPrecision(12)))
      : escapeControls(String(cell));
  return text.length > widthMax ? `${text.slice(0, widthMax - 1)}…` : text;
}

/** What a terminal would act on becomes visible instead. */
export const escapeControls = (text: string): string =>
  text.replace(
    /[\p{Cc}\p{Bidi_Control}]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** Columns that a text takes on a terminal; wide East Asian characters take two. */
const width = (text: string): number => [...text].length + (text.match(wide)?.length ?? 0);
const wide =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\uff01-\uff60]/gu;

/** The configuration's mistakes were printed already; only the exit code is left. */
export class ReportedError extends PlatformError {
  constructor() {
    super('CONFIG_INVALID', 'the configuration has mistakes');
  }
}

/** Prints what went wrong, and the way out. @returns the exit code. */
export function reportFailure(thrown: unknown, io: CommandIo, json: boolean): number {
  const error = isSystemError(thrown) ? fileAccess(thrown) : thrown;
  if (error instanceof ReportedError) return error.exitCode;
  if (error instanceof PlatformError) {
    const {code, place, exitCode} = error;
    const message = asTyped(error.message, io.cwd);
    const hint = error.hint === undefined ? undefined : withKeyPlaces(asTyped(error.hint, io.cwd));
    if (json) printJson(io, {error: {code, message, hint, place}});
    const color = palette(io.stderr, io.env);
    // Further lines, of a server's log, stand below the first.
    const shown = message.split('\n').map(escapeControls).join('\n      ');
    io.stderr.write(`${color.red('error')} ${code} ${shown}\n`);
    if (place) io.stderr.write(`  at ${escapeControls(place)}\n`);
    if (hint) io.stderr.write(`  hint: ${escapeControls(hint)}\n`);
    return exitCode;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  io.stderr.write(`millrace has a bug; please report it with this text:\n${withoutSecrets(text)}\n`);
  return 1;
}

/** What the system says of files that are not as they should be. */
const systemCodes =
  'EACCES EPERM EROFS ENOSPC EDQUOT EMFILE ENFILE ENOTDIR EISDIR ENAMETOOLONG ELOOP EIO'.split(' ');

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && systemCodes.includes((error as NodeJS.ErrnoException).code ?? '');

function fileAccess(error: NodeJS.ErrnoException): PlatformError {
  return new PlatformError('FILE_ACCESS', error.message, {
    hint: 'look at the owner, the mode and the free space of that directory; --config names another one',
    ...(error.path === undefined ? {} : {place: error.path}),
    cause: error,
  });
}

/** 1234567 -> "1,234,567". */
export const formatCount = (count: number): string => Math.round(count).toLocaleString('en-US');
