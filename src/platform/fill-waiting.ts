/** A revision that is filled waits for what is down (a sink, the brokers, the registry), as queries that run do. */
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {Telemetry} from '../telemetry.ts';
import {isDown} from './engine-waiting.ts';

/** Does some work of a filling; what it throws is what does not pass by itself. */
export type Surely = <T>(work: () => Promise<T>) => Promise<T>;

const firstMs = 500;
const pauseMsMax = 10_000;

/** Work that fails because something is down is done again until that answers, or until the signal: then its reason is thrown. */
export const untilAllAnswer =
  ({clock, telemetry}: {clock: Clock; telemetry: Telemetry}, signal: AbortSignal): Surely =>
  async (work) => {
    for (let pauseMs = firstMs; ; pauseMs = Math.min(pauseMsMax, pauseMs * 2))
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof PlatformError) || !isDown(error)) throw error;
        const {code, message} = error;
        if (pauseMs === firstMs)
          telemetry.emit('Log', {
            level: 'warn',
            message: `what is being filled waits: ${code} ${message}; it goes on by itself`,
          });
        await clock.sleep(pauseMs, signal);
      }
  };
