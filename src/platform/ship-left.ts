/**
 * A process that stands by appends nothing, and may have acknowledged events before it ended the last time that never left its
 * outbox. They are shipped while it waits: it asks the one that appends for the lease, sends them, and gives the lease back.
 */
import {setTimeout as wait} from 'node:timers/promises';
import {PlatformError} from '../errors.ts';
import {topicsLeft} from '../log/outbox-left.ts';
import type {Platform} from '../model/types.ts';
import type {Telemetry} from '../telemetry.ts';
import {kafkaOf} from './ingest-start.ts';
import type {PlatformDirs} from './places.ts';

/** It is looked so often whether it is done, ms. */
const lookMs = 50;
/** Pause after an attempt that failed, ms. */
const againMs = 5_000;

export type ShippingLeft = {
  /** Ends it: the outbox belongs to others again when this resolves. */
  end(): Promise<void>;
};

/** Begins at once; with nothing in the outbox, or a log of its own, it does nothing. Failures are told and tried again. */
export function shipLeft(
  platform: Platform,
  dirs: PlatformDirs,
  {telemetry, command}: {telemetry: Telemetry; command: string},
): ShippingLeft {
  const ending = new AbortController();
  const {signal} = ending;
  const pause = (ms: number) => wait(ms, undefined, {signal}).catch(() => {});
  const work = async () => {
    while (!signal.aborted)
      try {
        const topics = topicsLeft(dirs.log);
        const kafka = kafkaOf(platform, dirs, topics, true);
        if (topics.length === 0 || !kafka) return;
        const {openKafkaWriter} = await import('../log/kafka/writer.ts');
        const writer = await openKafkaWriter({...kafka, dir: dirs.log, telemetry, command});
        telemetry.emit('Log', {
          level: 'info',
          message:
            'events that were acknowledged here wait in the outbox: they are sent when the lease allows',
        });
        try {
          while (writer.bytes > 0 && !signal.aborted) await pause(lookMs);
        } finally {
          await writer.close();
        }
        return;
      } catch (error) {
        if (!(error instanceof PlatformError)) throw error;
        telemetry.emit('Log', {
          level: 'warn',
          message: `events that wait in the outbox cannot be sent now: ${error.message}`,
        });
        await pause(againMs);
      }
  };
  const done = work();
  // Whoever ends it is told.
  done.catch(() => {});
  return {
    async end() {
      ending.abort();
      await done;
    },
  };
}
