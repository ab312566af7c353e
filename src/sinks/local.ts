import {systemClock} from '../clock.ts';
import type {Telemetry} from '../telemetry.ts';
import {createRawControl, type RawControl} from './raw.ts';
import type {RawBooks} from './raw-apart.ts';
import {findSink} from './registry.ts';
import type {RowTopics, Sink, SinkSpec} from './types.ts';

/** What opens a sink, wherever it runs; crosses threads and processes. */
export type SinkInit = {
  /** Name of the sink in the configuration. */
  name: string;
  backend: string;
  options: Record<string, unknown>;
  root: string;
  /** Absolute paths of plugin modules. */
  plugins: string[];
  readOnly: boolean;
  /** Command line of the platform. */
  command: string;
  /** Whether somebody keeps the raw events that the sink refuses. */
  hasBooks: boolean;
};

const sinkMethods = [
  'ensure',
  'write',
  'mark',
  'marked',
  'writeRaw',
  'rawOffsets',
  'readRaw',
  'eraseRaw',
  'switchView',
  'revisions',
  'latest',
  'dropView',
  'drop',
  'query',
  'missingRights',
  'close',
] as const satisfies (keyof Sink)[];

/** Names of the methods that a sink has; optional ones depend on its kind. */
export const methodsOf = (sink: Sink): (keyof Sink)[] =>
  sinkMethods.filter((name) => typeof sink[name] === 'function');

/** A sink opened in this thread, with the raw deliveries that run beside it. */
export type LocalSink = {sink: Sink; spec: SinkSpec; raw: RawControl | undefined; close(): Promise<void>};

/** @param books where raw events go that the sink refuses. @throws SINK_UNKNOWN, PLUGIN_INVALID and what the sink's `open` throws. */
export async function openLocal(
  init: SinkInit,
  telemetry: Telemetry,
  books: RawBooks | undefined,
  topics?: RowTopics,
): Promise<LocalSink> {
  const {spec} = await findSink(init.backend, init.plugins);
  const sink = await spec.open(init.options, {
    root: init.root,
    name: init.name,
    readOnly: init.readOnly,
    command: init.command,
    telemetry,
    ...(topics ? {topics} : {}),
  });
  const raw =
    sink.writeRaw && sink.rawOffsets
      ? createRawControl({
          sink,
          sinkName: init.name,
          clock: systemClock,
          random: Math.random,
          telemetry,
          ...(books ? {books} : {}),
        })
      : undefined;
  return {
    sink,
    spec,
    raw,
    async close() {
      for (const {table} of (await raw?.stats()) ?? []) await raw!.stop(table);
      await sink.close();
    },
  };
}
