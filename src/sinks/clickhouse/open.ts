import {systemClock} from '../../clock.ts';
import {noTelemetry} from '../../telemetry.ts';
import type {Sink, SinkContext} from '../types.ts';
import {connectServer} from './server.ts';
import {settingsOf} from './settings.ts';
import {createClickHouseSink} from './sink.ts';

/**
 * Opens a server, also one that is down: the first call says so. Options: `spec.ts`.
 * @throws SINK_REFUSED for options that contradict each other, and for files of certificates that cannot be read
 */
export async function openClickHouse(options: Record<string, unknown>, context: SinkContext): Promise<Sink> {
  const {name, readOnly = false, telemetry = noTelemetry} = context;
  const connection = await connectServer(settingsOf(options), {
    name,
    clock: systemClock,
    telemetry,
    readOnly,
  });
  return createClickHouseSink(connection, {readOnly});
}
