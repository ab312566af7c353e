/** Raw deliveries of the sinks whose leases this process has: they begin when one comes, rest while it is not certain, end when it goes. */
import {PlatformError} from '../errors.ts';
import type {SinkLeases} from './sink-leases.ts';

/** What the deliveries of one sink do; each resolves when it is done. */
export type RawTurns = {
  /** Those begin that have not begun. */
  begin(sink: string): Promise<void>;
  /** Nothing is under way any more. */
  end(sink: string): Promise<void>;
  pause(sink: string): Promise<void>;
  resume(sink: string): Promise<void>;
};

/** How often leases are looked at, ms. */
const lookMs = 250;

/** Looks after them until the returned function is called. A failure of the sink's is tried again. */
export function followLeases(
  leases: Pick<SinkLeases, 'isHeld' | 'mayWrite'>,
  sinks: ReadonlySet<string>,
  turns: RawTurns,
): () => void {
  const paused = new Set<string>();
  const busy = new Set<string>();
  const look = async (sink: string): Promise<void> => {
    if (!leases.isHeld(sink)) {
      paused.delete(sink);
      return turns.end(sink);
    }
    if (!leases.mayWrite(sink)) {
      paused.add(sink);
      return turns.pause(sink);
    }
    await turns.begin(sink);
    if (!paused.has(sink)) return;
    await turns.resume(sink);
    paused.delete(sink);
  };
  const lookAtAll = () => {
    for (const sink of sinks) {
      if (busy.has(sink)) continue;
      busy.add(sink);
      look(sink)
        .catch((error: unknown) => {
          // Its host is opened again, or the platform ends.
          if (!(error instanceof PlatformError)) throw error;
        })
        .finally(() => busy.delete(sink));
    }
  };
  lookAtAll();
  const timer = setInterval(lookAtAll, lookMs);
  return () => clearInterval(timer);
}
