import {maskSecrets} from '../errors.ts';
import type {DiagnosticCode} from './codes.ts';
import type {Place} from './source.ts';

/** One mistake (or warning) with its place. `line` and `column` count from 1, columns in UTF-16 units. */
export type Diagnostic = {
  severity: 'error' | 'warning';
  code: DiagnosticCode;
  message: string;
  /** As shown: relative to the platform's root. */
  file: string;
  line?: number;
  column?: number;
  /** How much is marked, UTF-16 units on that line. */
  length?: number;
  /** The line itself, without control characters; of a very long one the part around the mark. */
  source?: string;
  /** Column of the first character of `source` when the line was cut. */
  sourceColumn?: number;
  /** `aggregations[0].window.slide` */
  path?: string;
  hint?: string;
};

/** Where in the tree: keys and indexes. */
export type Path = (string | number)[];

/** ['aggregations', 0, 'window'] -> "aggregations[0].window" */
export function pathText(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else {
      const word = /^[A-Za-z_][\w-]*$/.test(part) ? part : JSON.stringify(part);
      text += text === '' ? word : `.${word}`;
    }
  }
  return text;
}

const diagnosticsMax = 500;
/** Longer lines are cut to the part around the mark. */
const lineWidthMax = 120;

/** Collects mistakes; those of one place and code are kept once, and a hopeless file does not fill the memory. */
export class Diagnostics {
  readonly #list: {diagnostic: Diagnostic; order: number}[] = [];
  readonly #seen = new Set<string>();

  error(place: Place, code: DiagnosticCode, message: string, more: {path?: Path; hint?: string} = {}): void {
    this.#add('error', place, code, message, more);
  }

  warn(place: Place, code: DiagnosticCode, message: string, more: {path?: Path; hint?: string} = {}): void {
    this.#add('warning', place, code, message, more);
  }

  /** About a file or directory as a whole. */
  file(shown: string, code: DiagnosticCode, message: string, hint?: string): void {
    this.#push({severity: 'error', code, message, file: shown, ...(hint ? {hint} : {})}, 0);
  }

  /** As `file`, but nothing that stops. */
  warnFile(shown: string, code: DiagnosticCode, message: string, hint?: string): void {
    this.#push({severity: 'warning', code, message, file: shown, ...(hint ? {hint} : {})}, 0);
  }

  get hasErrors(): boolean {
    return this.#list.some(({diagnostic}) => diagnostic.severity === 'error');
  }

  /** Sorted by file and place; secrets that were read since are masked in the lines shown. */
  all(): Diagnostic[] {
    return this.#list
      .toSorted((a, b) => compareText(a.diagnostic.file, b.diagnostic.file) || a.order - b.order)
      .map(({diagnostic}) =>
        diagnostic.source === undefined
          ? diagnostic
          : {...diagnostic, source: maskSecrets(diagnostic.source)},
      );
  }

  #add(
    severity: Diagnostic['severity'],
    {file, start, end}: Place,
    code: DiagnosticCode,
    message: string,
    {path, hint}: {path?: Path; hint?: string},
  ): void {
    if (this.#list.length >= diagnosticsMax) return;
    const {line, column} = file.position(start);
    const text = file.line(line);
    const from = text.length <= lineWidthMax ? 0 : Math.max(0, column - 1 - lineWidthMax / 2);
    this.#push(
      {
        severity,
        code,
        message: visible(message),
        file: file.shown,
        line,
        column,
        length: Math.max(1, Math.min(end - start, text.length - column + 1)),
        source: visible(text.slice(from, from + lineWidthMax)),
        ...(from > 0 ? {sourceColumn: from + 1} : {}),
        ...(path && path.length > 0 ? {path: visible(pathText(path))} : {}),
        ...(hint ? {hint: visible(hint)} : {}),
      },
      start,
    );
  }

  #push(diagnostic: Diagnostic, order: number): void {
    const key = [diagnostic.file, order, diagnostic.code, diagnostic.path, diagnostic.message].join('\0');
    if (this.#seen.has(key) || this.#list.length >= diagnosticsMax) return;
    this.#seen.add(key);
    this.#list.push({diagnostic, order});
  }
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Control characters and bidirectional overrides would let a file write to the terminal; each becomes one visible character. */
const visible = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
  text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '\ufffd');

/**
 * One mistake as people read it:
 *
 *     config/domains/shop.yaml:14:47 error WINDOW_SLIDE_NOT_DIVISOR slide "3m" does not divide size "10m"
 *          |     window: {type: sliding, size: 10m, slide: 3m}
 *          |                                               ^^
 *       at aggregations[0].window.slide
 *       hint: use 1m, 2m, 5m or 10m
 */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const {
    severity,
    code,
    message,
    file,
    line,
    column = 1,
    length = 1,
    source,
    sourceColumn = 1,
    path,
    hint,
  } = diagnostic;
  const lines = [`${file}${line === undefined ? '' : `:${line}:${column}`} ${severity} ${code} ${message}`];
  if (source !== undefined) {
    // A tab stays a tab below it, so that the mark stands where it should whatever a tab's width is.
    const indent = source.slice(0, column - sourceColumn).replace(/[^\t]/g, ' ');
    const marks = '^'.repeat(Math.max(1, Math.min(length, source.length - indent.length)));
    lines.push(`     | ${source}`, `     | ${indent}${marks}`);
  }
  if (path !== undefined) lines.push(`  at ${path}`);
  if (hint !== undefined) lines.push(`  hint: ${hint}`);
  return lines.join('\n');
}

/** All of them, a blank line between two. */
export const formatDiagnostics = (diagnostics: Diagnostic[]): string =>
  diagnostics.map(formatDiagnostic).join('\n\n');
