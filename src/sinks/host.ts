import {resolve} from 'node:path';
import {type Clock, systemClock} from '../clock.ts';
import {revealSecrets} from '../config/secrets/secret.ts';
import {PlatformError} from '../errors.ts';
import {placeOfSink} from '../model/sinks.ts';
import type {BackendChoice, Table} from '../model/types.ts';
import {noTelemetry, type Telemetry, type TelemetryEvents} from '../telemetry.ts';
import {closeInTime} from './closing.ts';
import {methodsOf, openLocal, type SinkInit} from './local.ts';
import {nameSink, tellName, whoIs, withName} from './named.ts';
import type {RawControl, RawJob, RawStats} from './raw.ts';
import type {RawBooks} from './raw-apart.ts';
import {findSink} from './registry.ts';
import {type Channel, startProcess, startWorker} from './remote.ts';
import {defaultRetry, retryUntilDone} from './retry.ts';
import {tableId} from './tables.ts';
import type {RowTopics, Sink, SinkSpec} from './types.ts';

/** A sink that runs where its specification says, behind the one interface. */
export type HostedSink = Sink & {
  spec: SinkSpec;
  /** Raw deliveries beside the sink; undefined when it takes none. */
  raw: RawControl | undefined;
  /** Process id of its child process, when it has one and it runs. */
  pid(): number | undefined;
};

export type HostOptions = {
  /** Name of the sink in the configuration. */
  name: string;
  choice: BackendChoice;
  /** Directory of the platform. */
  root: string;
  plugins?: string[];
  readOnly?: boolean;
  telemetry?: Telemetry;
  clock?: Clock;
  /** Where raw events go that the sink refuses; without it such an event stops its raw delivery. */
  books?: RawBooks;
  /** Of sinks that write rows into topics. */
  topics?: RowTopics;
  /** While a sink is being opened it ends the thread or the process that does so. */
  signal?: AbortSignal;
  /** Nobody wants the sink any more: ends its connections, or its thread or process, whatever is under way there. */
  gone?: AbortSignal;
};

/**
 * Opens a sink: inline, in a worker thread or in a child process. When its thread or process ends by itself, calls in flight
 * reject with SINK_LOST and the next call opens it again, with its tables and raw deliveries. Errors of the sink name it.
 * @throws SINK_UNKNOWN, PLUGIN_INVALID, SINK_DAMAGED and other errors of the sink's `open`.
 */
export async function openSink(options: HostOptions): Promise<HostedSink> {
  const who = whoIs(options.name, placeOfSink(options.choice));
  try {
    const {telemetry} = options;
    return withName(
      await openHosted({...options, ...(telemetry ? {telemetry: tellName(telemetry, who)} : {})}),
      who,
    );
  } catch (error) {
    throw nameSink(error, who);
  }
}

async function openHosted(options: HostOptions): Promise<HostedSink> {
  const {name, choice, root, readOnly = false, telemetry = noTelemetry, clock = systemClock} = options;
  const plugins = (options.plugins ?? []).map((path) => resolve(root, path));
  const {spec} = await findSink(choice.backend, plugins);
  if (options.gone?.aborted) throw new PlatformError('SINK_LOST', 'who wanted the sink is gone');
  const init: SinkInit = {
    name,
    backend: choice.backend,
    // Secrets do not survive the way to another thread or process; what opens the sink needs their texts.
    options: revealSecrets(choice.options),
    root,
    plugins,
    readOnly,
    command: process.argv.slice(1).join(' '),
    hasBooks: options.books !== undefined,
  };
  if (spec.capabilities.isolation === 'inline') {
    const local = await openLocal(init, telemetry, options.books, options.topics);
    // A plugin's sink may be an instance of a class: its methods are bound, not copied.
    const bound = Object.fromEntries(
      methodsOf(local.sink).map((method) => [method, local.sink[method]!.bind(local.sink)]),
    ) as unknown as Sink;
    options.gone?.addEventListener('abort', () => void local.close().catch(() => {}), {once: true});
    const close = async () => void (await closeInTime(name, local.close, {clock, telemetry}));
    return {...bound, close, spec, raw: local.raw, pid: () => undefined};
  }
  return openRemote(init, spec, telemetry, options);
}

type Call = <T>(method: string, ...args: unknown[]) => Promise<T>;
type Remote = {channel: Channel; methods: string[]};

async function openRemote(
  init: SinkInit,
  spec: SinkSpec,
  telemetry: Telemetry,
  {clock = systemClock, books, signal, gone}: Pick<HostOptions, 'clock' | 'books' | 'signal' | 'gone'>,
): Promise<HostedSink> {
  const tables = new Map<string, Table>();
  const jobs = new Map<string, RawJob>();
  const closing = new AbortController();
  let current: Promise<Remote> | undefined;
  let pid: number | undefined;
  /** The last one, also while it opens the sink. */
  let running: Channel | undefined;

  const launch = async (): Promise<Remote> => {
    const start = spec.capabilities.isolation === 'worker' ? startWorker : startProcess;
    const channel = start({
      sinkName: init.name,
      onEvent: (event, payload) => telemetry.emit(event, payload as TelemetryEvents[typeof event]),
      // A host asks only when it was told that there are books.
      onAsk: async (method, args) => ask(books!, method, args),
      onLost(error) {
        current = undefined;
        pid = undefined;
        telemetry.emit('Log', {level: 'warn', message: error.message, fields: {sink: init.name}});
        if (jobs.size > 0) void reopen();
      },
    });
    running = channel;
    pid = channel.pid;
    try {
      const methods = (await channel.call('open', [init])) as string[];
      for (const table of tables.values()) await channel.call('ensure', [table]);
      for (const job of jobs.values()) await channel.call('raw.start', [job]);
      return {channel, methods};
    } catch (error) {
      await channel.end();
      throw error;
    }
  };
  const remote = (): Promise<Remote> => {
    if (closing.signal.aborted) return Promise.reject(closing.signal.reason);
    if (!current) {
      const launched = launch();
      current = launched;
      launched.catch(() => {
        if (current === launched) current = undefined;
      });
    }
    return current;
  };
  /** Raw deliveries live in the host: nobody calls for them, so they bring it back themselves. */
  const reopen = () =>
    retryUntilDone(remote, {
      policy: defaultRetry,
      clock,
      random: Math.random,
      signal: closing.signal,
      hooks: {onFailed() {}, onPaused() {}, onResumed() {}, onStopped: () => new Promise(() => {})},
    }).catch(() => {});
  const call = async <T>(method: string, ...args: unknown[]): Promise<T> =>
    (await (await remote()).channel.call(method, args)) as T;

  const giveUp = () => void running?.end();
  signal?.addEventListener('abort', giveUp, {once: true});
  gone?.addEventListener('abort', giveUp, {once: true});
  const {methods} = await remote().finally(() => signal?.removeEventListener('abort', giveUp));
  const has = (method: keyof Sink) => methods.includes(method);
  return {
    spec,
    async ensure(table) {
      await call('ensure', table);
      tables.set(tableId(table), table);
    },
    write: (table, batch) => call('write', table, batch),
    mark: (marks) => call('mark', marks),
    marked: (table) => call('marked', table),
    ...optionalMethods(has, call),
    ...(has('drop')
      ? {
          async drop(table) {
            tables.delete(table);
            await call('drop', table);
          },
        }
      : {}),
    raw: has('writeRaw') && has('rawOffsets') ? rawControl(call, jobs) : undefined,
    pid: () => pid,
    async close() {
      if (closing.signal.aborted) return;
      closing.abort(new PlatformError('SINK_CLOSED', `sink ${init.name} is closed`));
      const open = current;
      const work = async () => {
        const {channel} = (await open?.catch(() => undefined)) ?? {};
        await channel?.call('close', []);
      };
      try {
        await closeInTime(init.name, work, {clock, telemetry});
      } finally {
        await running?.end();
      }
    },
  };
}

/** A host's question to the books, by the name of their method. */
const ask = (books: RawBooks, method: string, args: unknown[]): Promise<unknown> =>
  (books as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>)[method]!(...args);

/** The methods that not every sink has, `drop` aside. */
function optionalMethods(has: (method: keyof Sink) => boolean, call: Call): Partial<Sink> {
  return {
    ...(has('writeRaw') ? {writeRaw: (table, batch) => call('writeRaw', table, batch)} : {}),
    ...(has('eraseRaw') ? {eraseRaw: (table, column, ids) => call('eraseRaw', table, column, ids)} : {}),
    ...(has('readRaw') ? {readRaw: (table, range, columns) => call('readRaw', table, range, columns)} : {}),
    ...(has('rawOffsets') ? {rawOffsets: (table) => call('rawOffsets', table)} : {}),
    ...(has('switchView') ? {switchView: (table) => call('switchView', table)} : {}),
    ...(has('revisions') ? {revisions: (namespace, query) => call('revisions', namespace, query)} : {}),
    ...(has('dropView') ? {dropView: (view) => call('dropView', view)} : {}),
    ...(has('latest') ? {latest: (table) => call('latest', table)} : {}),
    ...(has('query') ? {query: (sql) => call('query', sql)} : {}),
    ...(has('missingRights') ? {missingRights: (wanted) => call('missingRights', wanted)} : {}),
  };
}

function rawControl(call: Call, jobs: Map<string, RawJob>): RawControl {
  return {
    async start(job) {
      await call('raw.start', job);
      jobs.set(tableId(job.table), job);
    },
    pause: (table) => call('raw.pause', table),
    resume: (table) => call('raw.resume', table),
    async stop(table) {
      jobs.delete(table);
      await call('raw.stop', table);
    },
    stats: () => call<RawStats[]>('raw.stats'),
  };
}
