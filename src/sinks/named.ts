/** Errors of a sink say which of several it is, and where it stands in the configuration. */
import {type ErrorCode, PlatformError} from '../errors.ts';
import type {Telemetry, TelemetryEvents} from '../telemetry.ts';
import type {HostedSink} from './host.ts';
import {methodsOf} from './local.ts';

/** Those that are about the way to a sink, or about what it lets us do there. */
const ofSink: ReadonlySet<ErrorCode> = new Set([
  'SINK_REFUSED',
  'SINK_UNAVAILABLE',
  'SINK_DAMAGED',
  'SINK_TABLE_DIFFERS',
]);

/** `sink records (config/environments/single.yaml:9:12)`. @param place where it stands; undefined when nobody wrote it */
export const whoIs = (name: string, place: string | undefined): string =>
  `sink ${name}${place === undefined ? '' : ` (${place})`}`;

/** The error of a sink with the sink in its place; any other as it is. @param who see `whoIs` */
export function nameSink(error: unknown, who: string): unknown {
  if (!(error instanceof PlatformError) || !ofSink.has(error.code)) return error;
  const {code, message, hint, place} = error;
  return new PlatformError(code, message, {
    cause: error,
    place: place === undefined ? who : `${who}, ${place}`,
    ...(hint === undefined ? {} : {hint}),
  });
}

/** What a sink tells of itself with the sink in its place, as its errors have it. @param who see `whoIs` */
export const tellName = (telemetry: Telemetry, who: string): Telemetry => ({
  emit: (name, event) =>
    telemetry.emit(
      name,
      name === 'SinkPaused'
        ? {...event, place: (event as TelemetryEvents['SinkPaused']).place ?? who}
        : event,
    ),
});

/** The sink, whose methods throw errors that name it; its raw deliveries likewise when they start. */
export function withName(sink: HostedSink, who: string): HostedSink {
  const naming =
    <Args extends unknown[], T>(work: (...args: Args) => Promise<T>) =>
    async (...args: Args): Promise<T> => {
      try {
        return await work(...args);
      } catch (error) {
        throw nameSink(error, who);
      }
    };
  const {raw} = sink;
  const methods = methodsOf(sink).map((method) => [
    method,
    naming(sink[method] as (...args: unknown[]) => Promise<unknown>),
  ]);
  return {
    ...sink,
    ...(Object.fromEntries(methods) as Partial<HostedSink>),
    raw: raw && {...raw, start: naming(raw.start)},
  };
}
