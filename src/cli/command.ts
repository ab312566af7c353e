import type {ErrorCode} from '../errors.ts';

/** What a command may use of the world outside; tests pass their own. */
export type CommandIo = {
  /** Absent where nobody can answer. */
  stdin?: NodeJS.ReadableStream & {isTTY?: boolean};
  stdout: NodeJS.WritableStream & {isTTY?: boolean; columns?: number};
  stderr: NodeJS.WritableStream & {isTTY?: boolean; columns?: number; rows?: number};
  env: NodeJS.ProcessEnv;
  cwd: string;
};

export type OptionSpec = {
  /** As commander reads it: `--sink <name>`, `--follow`. */
  flags: string;
  doc: string;
  default?: string | boolean;
};

/**
 * A command as data: what help shows, and a lazily loaded body. Registering one costs nothing at start, so that
 * `millrace --help` stays cheap.
 */
export type CommandSpec = {
  name: string;
  summary: string;
  /** As commander reads them: `<input> [file]`. */
  arguments?: string;
  options?: OptionSpec[];
  /** Shown first in the command's help: command line and what it does. */
  examples: [command: string, effect: string][];
  subcommands?: CommandSpec[];
  /** Loads the body; absent when the command only holds subcommands. */
  load?: () => Promise<{run: CommandBody}>;
};

/** Options common to every command. */
export type CommonOptions = {json?: boolean; config?: string; env?: string};

export type CommandCall = {
  args: string[];
  options: CommonOptions & Record<string, unknown>;
  io: CommandIo;
};

/** @returns the exit code: 0 ok, 1 failure, 2 usage or configuration, 3 differences, 4 a dependency is unavailable. */
export type CommandBody = (call: CommandCall) => Promise<number>;

export type Failure = {code: ErrorCode; message: string; hint?: string; place?: string};
