/** A sink that fails as it is told to, in front of a real `file` sink. */
import {openFiles} from '../../src/sinks/file/open.ts';
import type {Sink, SinkSpec} from '../../src/sinks/types.ts';

const modes = ['down', 'flapping', 'slow', 'lost'] as const;
export type Mode = (typeof modes)[number];

/** How long a sink that is down refuses everything, from its first write on. */
export const downMs = 2_500;

/** `slow`: 60 ms a call. `flapping`: every second call fails. `lost`: every second call is carried out, and fails all the same. */
export function flaky(sink: Sink, mode: Mode, nowMs: () => number = () => performance.now()): Sink {
  let calls = 0;
  let upMs: number | undefined;
  const disturbed = async (work: () => Promise<void>): Promise<void> => {
    calls++;
    if (mode === 'slow') await new Promise((resolve) => setTimeout(resolve, 60));
    if (mode === 'down') upMs ??= nowMs() + downMs;
    if (upMs !== undefined && nowMs() < upMs) throw new Error('connection refused');
    if (mode === 'flapping' && calls % 2 === 1) throw new Error('connection reset');
    await work();
    if (mode === 'lost' && calls % 2 === 1) throw new Error('the answer was lost');
  };
  return {
    ...sink,
    write: (table, batch) => disturbed(() => sink.write(table, batch)),
    mark: (marks) => disturbed(() => sink.mark(marks)),
    writeRaw: (table, batch) => disturbed(() => sink.writeRaw!(table, batch)),
  };
}

const spec: SinkSpec = {
  name: 'flaky',
  summary: 'Fails as it is told to.',
  fields: {
    dir: {type: 'dir', doc: 'Directory of the files.', required: true},
    mode: {type: 'enum', values: modes, doc: 'How it fails.', required: true},
  },
  capabilities: {isolation: 'worker', upsert: false, raw: true, query: false, views: false, durable: true},
  open: async (options, context) => flaky(await openFiles(options, context), options.mode as Mode),
};

export const sinks = [spec];
