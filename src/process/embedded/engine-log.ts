import type {Telemetry} from '../../telemetry.ts';
import type {WorkerEvent} from './worker-messages.ts';

/** Tells that a worker cannot read the log, or can again. */
export function tellLog(
  telemetry: Telemetry,
  event: Extract<WorkerEvent, {kind: 'logAway' | 'logBack'}>,
): void {
  const message =
    event.kind === 'logAway'
      ? `the log cannot be read: ${event.message}; reading goes on by itself`
      : `the log can be read again, after ${event.seconds.toFixed(1)} s`;
  telemetry.emit('Log', {level: event.kind === 'logAway' ? 'warn' : 'info', message});
}
