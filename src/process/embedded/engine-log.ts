import {tellReread} from '../../log/rereads.ts';
import type {Telemetry} from '../../telemetry.ts';
import type {LogTold} from './worker-messages.ts';

/** Tells what a worker says of the log. */
export function tellLog(telemetry: Telemetry, told: LogTold): void {
  switch (told.about) {
    case 'away': {
      const message = `the log cannot be read: ${told.message}; reading goes on by itself`;
      telemetry.emit('Log', {level: 'warn', message});
      break;
    }
    case 'back': {
      const message = `the log can be read again, after ${told.seconds.toFixed(1)} s`;
      telemetry.emit('Log', {level: 'info', message});
      break;
    }
    case 'unpublished': {
      const message = `offsets of queries cannot be published as those of consumer groups: ${told.message}; nothing depends on them`;
      telemetry.emit('Log', {level: 'warn', message});
      break;
    }
    case 'reread':
      tellReread(telemetry, told.reread);
  }
}
