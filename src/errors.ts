/**
 * The catalogue of everything that can go wrong outside our own code: a stable code, who acts on it and whether trying
 * again can help. `docs/reference/errors.md` is generated from it.
 */
export type ErrorSpec = {
  /** One sentence: what it means. */
  summary: string;
  /** Who can mend it. */
  actor: 'user' | 'operator' | 'sender';
  /** Whether the same attempt can succeed later without a change. */
  retry: boolean;
  /** Exit code of a command that ends with it. 1 failure, 2 usage or configuration, 3 differences, 4 dependency. */
  exit: 1 | 2 | 3 | 4;
};

export const errors = {
  USAGE: {summary: 'The command line is not understood.', actor: 'user', retry: false, exit: 2},
  CONFIG_INVALID: {
    summary: 'The configuration has mistakes; each is listed.',
    actor: 'user',
    retry: false,
    exit: 2,
  },
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof errors;

/** A failure of the user's input or of the outside world; our own mistakes are assertions instead. */
export class PlatformError extends Error {
  readonly code: ErrorCode;
  /** The way out, as an imperative sentence or a command to type. */
  readonly hint: string | undefined;
  /** Where: a file position, a topic and offset, a table. */
  readonly place: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: {hint?: string; place?: string; cause?: unknown} = {},
  ) {
    super(message, options.cause === undefined ? undefined : {cause: options.cause});
    this.name = 'PlatformError';
    this.code = code;
    this.hint = options.hint;
    this.place = options.place;
  }

  get exitCode(): number {
    return errors[this.code].exit;
  }

  get retry(): boolean {
    return errors[this.code].retry;
  }
}
