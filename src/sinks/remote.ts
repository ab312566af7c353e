import {type ChildProcess, fork} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {Worker} from 'node:worker_threads';
import {type ErrorCode, errors, PlatformError} from '../errors.ts';
import type {TelemetryEvents} from '../telemetry.ts';

/**
 * Messages between a sink's host and its user. Over a thread's port or a child's IPC channel ('advanced': structured clone).
 *   -> {id, method, args}
 *   <- {id, value} | {id, error}
 *   <- {event, payload}      telemetry of what runs in the host
 *   <- {ask, method, args}   what the host wants to know or to have done
 *   -> {answer, value} | {answer, error}
 */
export type Request = {id: number; method: string; args: unknown[]} | Answer;
/** To the question of that number. */
export type Answer = {answer: number; value: unknown} | {answer: number; error: PortableError};
export type Reply =
  | {id: number; value: unknown}
  | {id: number; error: PortableError}
  | {event: keyof TelemetryEvents; payload: unknown}
  | {ask: number; method: string; args: unknown[]};
export type PortableError = {code?: string; message: string; hint?: string; place?: string; stack?: string};

export function packError(error: unknown): PortableError {
  if (!(error instanceof Error)) return {message: String(error)};
  const packed: PortableError = {message: error.message};
  if (error instanceof PlatformError) {
    packed.code = error.code;
    if (error.hint !== undefined) packed.hint = error.hint;
    if (error.place !== undefined) packed.place = error.place;
  } else if (error.stack !== undefined) packed.stack = error.stack;
  return packed;
}

export function unpackError({code, message, hint, place, stack}: PortableError): Error {
  if (code !== undefined && Object.hasOwn(errors, code))
    return new PlatformError(code as ErrorCode, message, {
      ...(hint === undefined ? {} : {hint}),
      ...(place === undefined ? {} : {place}),
    });
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** A running host: calls go in, answers and events come out, until it ends. */
export type Channel = {
  /** Rejects with the host's error, or with SINK_LOST when the host ends first. */
  call(method: string, args: unknown[]): Promise<unknown>;
  /** Process id of a child. */
  pid: number | undefined;
  /** Ends the host; resolves when it is gone. */
  end(): Promise<void>;
};

export type ChannelOptions = {
  sinkName: string;
  onEvent(event: keyof TelemetryEvents, payload: unknown): void;
  /** Answers what the host asks. */
  onAsk(method: string, args: unknown[]): Promise<unknown>;
  /** The host ended by itself. */
  onLost(error: PlatformError): void;
};

const entry = new URL('./hosted.ts', import.meta.url);
/** A database has its memory outside of the heap; what passes through needs no large nursery, which V8 would fill. */
const youngMiB = 12;
/** How long a host may take to end after it was told to. */
const endMsMax = 5_000;
/** How much of a child's last words goes into the error. */
const lastWordsMax = 2_000;

/** Starts a worker thread that holds a sink. */
export function startWorker(options: ChannelOptions): Channel {
  const worker = new Worker(entry, {resourceLimits: {maxYoungGenerationSizeMb: youngMiB}});
  let failure = '';
  worker.on('error', (error) => {
    failure = error instanceof Error ? error.message : String(error);
  });
  return channel(options, {
    what: `the worker of sink ${options.sinkName}`,
    pid: undefined,
    send: (request) => worker.postMessage(request),
    onReply: (handle) => worker.on('message', handle),
    onExit: (handle) => worker.on('exit', () => handle(failure)),
    kill: () => void worker.terminate(),
    leave: () => void worker.terminate(),
  });
}

/** Starts a child process that holds a sink; it ends when this process does, however that ends. */
export function startProcess(options: ChannelOptions): Channel {
  const child: ChildProcess = fork(fileURLToPath(entry), [], {
    execPath: process.execPath,
    execArgv: ['--disable-warning=ExperimentalWarning'],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let lastWords = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString()).slice(-lastWordsMax);
  });
  child.on('error', (error) => {
    lastWords += error.message;
  });
  return channel(options, {
    what: `the process of sink ${options.sinkName}`,
    pid: child.pid,
    send: (request) => void child.send(request, () => {}),
    onReply: (handle) => child.on('message', (message) => handle(message as Reply)),
    onExit: (handle) =>
      child.on('exit', (code, signal) => handle(`${signal ?? `exit code ${code}`}. ${lastWords}`.trim())),
    kill: () => void child.kill('SIGKILL'),
    leave: () => {
      if (child.connected) child.disconnect();
    },
  });
}

type Transport = {
  what: string;
  pid: number | undefined;
  send(request: Request): void;
  onReply(handle: (reply: Reply) => void): void;
  onExit(handle: (why: string) => void): void;
  /** Asks it to end, and makes it end. */
  leave(): void;
  kill(): void;
};

function channel(options: ChannelOptions, transport: Transport): Channel {
  const pending = new Map<number, {resolve(value: unknown): void; reject(error: unknown): void}>();
  let nextId = 1;
  let lost: PlatformError | undefined;
  let ending = false;
  let gone: () => void = () => {};
  const exited = new Promise<void>((resolve) => {
    gone = resolve;
  });
  transport.onReply((reply) => {
    if ('event' in reply) return options.onEvent(reply.event, reply.payload);
    if ('ask' in reply) {
      const {ask, method, args} = reply;
      void options.onAsk(method, args).then(
        (value) => transport.send({answer: ask, value}),
        (error) => transport.send({answer: ask, error: packError(error)}),
      );
      return;
    }
    const waiting = pending.get(reply.id);
    pending.delete(reply.id);
    if ('error' in reply) waiting?.reject(unpackError(reply.error));
    else waiting?.resolve(reply.value);
  });
  transport.onExit((why) => {
    lost = new PlatformError('SINK_LOST', `${transport.what} ended${why === '' ? '' : `: ${why}`}`, {
      hint: 'it is opened again by itself; if this repeats, look at memory and disk: npx millrace doctor',
    });
    for (const waiting of pending.values()) waiting.reject(lost);
    pending.clear();
    gone();
    if (!ending) options.onLost(lost);
  });
  return {
    pid: transport.pid,
    call(method, args) {
      if (lost) return Promise.reject(lost);
      const id = nextId++;
      return new Promise((resolve, reject) => {
        pending.set(id, {resolve, reject});
        transport.send({id, method, args});
      });
    },
    async end() {
      ending = true;
      transport.leave();
      const timer = setTimeout(() => transport.kill(), endMsMax);
      await exited;
      clearTimeout(timer);
    },
  };
}
