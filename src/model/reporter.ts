import type {DiagnosticCode} from '../config/codes.ts';
import type {Diagnostics, Path} from '../config/diagnostics.ts';
import {type ConfigNode, nodeAt, placeInside, quote} from '../config/nodes.ts';
import type {Place} from '../config/source.ts';
import type {ExprProblem} from '../expr/types.ts';

export type ReportOptions = {
  hint?: string | undefined;
  /** Mark the key instead of the value. */
  onKey?: boolean;
  /** Mark a part of the scalar, UTF-16 units of its value. */
  within?: {offset: number; length: number};
};

/** Reports mistakes of one tree by path. */
export class Reporter {
  readonly #root: ConfigNode;
  readonly #diagnostics: Diagnostics;

  constructor(root: ConfigNode, diagnostics: Diagnostics) {
    this.#root = root;
    this.#diagnostics = diagnostics;
  }

  error(path: Path, code: DiagnosticCode, message: string, options: ReportOptions = {}): void {
    this.#diagnostics.error(this.#place(path, options), code, message, {
      path,
      ...(options.hint ? {hint: options.hint} : {}),
    });
  }

  warn(path: Path, code: DiagnosticCode, message: string, options: ReportOptions = {}): void {
    this.#diagnostics.warn(this.#place(path, options), code, message, {
      path,
      ...(options.hint ? {hint: options.hint} : {}),
    });
  }

  /** Whether the file says something there. */
  has(path: Path): boolean {
    return nodeAt(this.#root, path).found;
  }

  /** Mistakes in the expression that stands at `path`. */
  problems(path: Path, problems: ExprProblem[]): void {
    for (const {code, message, offset, length, hint} of problems)
      this.error(path, code as DiagnosticCode, message, {hint, within: {offset, length}});
  }

  /** The second of two things with one name. @returns whether the name was free. */
  claim(taken: Map<string, string>, name: string, what: string, path: Path, onKey = false): boolean {
    const known = taken.get(name);
    if (known === undefined) {
      taken.set(name, what);
      return true;
    }
    this.error(path, 'NAME_DUPLICATE', `${quote(name)} is already ${known}`, {
      onKey,
      hint: 'give one of them another name',
    });
    return false;
  }

  #place(path: Path, {onKey, within}: ReportOptions): Place {
    const {node, key, found} = nodeAt(this.#root, path);
    if (onKey && key) return key;
    if (found && node.kind === 'scalar')
      return within ? placeInside(node, within.offset, within.length) : node.place;
    // `[customer, timestamp]`: the name of a field is the scalar itself.
    if (node.kind === 'scalar') return node.place;
    const {file, start, end} = node.place;
    return {file, start, end: Math.min(end, start + 1)};
  }
}
