/** What keeps a process from a sink whose lease it does not have for certain. */
import {PlatformError} from '../errors.ts';
import type {HostedSink} from '../sinks/host.ts';
import type {Sink} from '../sinks/types.ts';
import type {SinkLeases} from './sink-leases.ts';

/** Everything that makes, changes or takes away what others see in a sink. */
const writing = [
  'ensure',
  'write',
  'mark',
  'writeRaw',
  'eraseRaw',
  'switchView',
  'drop',
  'dropView',
] as const satisfies (keyof Sink)[];

/** The lease of the sink is another process's, or may be. */
export const standsBy = (sink: string): PlatformError =>
  new PlatformError('SINK_STANDBY', `this process does not have the lease of sink ${sink} for certain`, {
    hint: 'the process that has it writes into it (npx millrace status says which one); this one takes over by itself when that one has ended',
    place: `sink ${sink}`,
  });

/**
 * The sink, whose methods that write throw SINK_STANDBY while its lease is not certain. @param leases undefined: as it is, where the
 * engine writes into it, of which the lease on the checkpoints says that it is one
 */
export function guardSink(
  sink: HostedSink,
  name: string,
  leases: Pick<SinkLeases, 'mayWrite'> | undefined,
): HostedSink {
  if (!leases) return sink;
  const guarded = Object.fromEntries(
    writing
      .filter((method) => sink[method] !== undefined)
      .map((method) => [
        method,
        async (...args: unknown[]): Promise<unknown> => {
          if (!leases.mayWrite(name)) throw standsBy(name);
          return (sink[method] as (...args: unknown[]) => Promise<unknown>)(...args);
        },
      ]),
  ) as Partial<HostedSink>;
  return {...sink, ...guarded};
}
