/**
 * ClickHouse merges the parts that inserts make. When it does not keep up, inserts become rarer before it delays or refuses them
 * by itself (1,000 and 3,000 parts); what waits meanwhile goes out together, the highest version of a key alone.
 */
import type {Clock} from '../../clock.ts';
import {PlatformError} from '../../errors.ts';
import type {Telemetry} from '../../telemetry.ts';

export type Pace = {
  /** Resolves when the table may have its next insert. @throws SINK_CLOSED */
  wait(table: string): Promise<void>;
  /** An insert was made: in the background parts are counted, every few seconds. */
  inserted(table: string): void;
  close(): void;
};

export type PaceOptions = {
  sinkName: string;
  /** Parts in a partition above which inserts wait. */
  partsMax: number;
  /** Active parts of the largest partition, by `<database>.<table>`. */
  count(tables: string[]): Promise<Map<string, number>>;
  clock: Clock;
  telemetry: Telemetry;
};

const lookEveryMs = 2_000;
const pauseMsMax = 10_000;

/** A second between two inserts for every `partsMax` above the first, at most ten. */
export const pauseMs = (parts: number, partsMax: number): number =>
  Math.min(pauseMsMax, Math.max(0, Math.round((parts / partsMax - 1) * 1_000)));

type Known = {insertedMs: number; pauseMs: number};

export function createPace({sinkName, partsMax, count, clock, telemetry}: PaceOptions): Pace {
  const tables = new Map<string, Known>();
  const closing = new AbortController();
  let lookedMs = Number.NEGATIVE_INFINITY;
  let looking = false;
  let isBlind = false;

  const look = async () => {
    const names = [...tables.keys()];
    const parts = await count(names);
    for (const table of names) {
      const found = parts.get(table) ?? 0;
      const pause = pauseMs(found, partsMax);
      tables.get(table)!.pauseMs = pause;
      telemetry.emit('PartsCounted', {sink: sinkName, table, parts: found, pauseSeconds: pause / 1_000});
    }
  };
  /** Not to know how many parts there are stops nothing: ClickHouse's own limits stand. */
  const blind = (error: unknown) => {
    if (isBlind || closing.signal.aborted) return;
    isBlind = true;
    telemetry.emit('Log', {
      level: 'warn',
      message: `parts of tables of sink ${sinkName} cannot be counted: ${(error as Error).message}; grant SELECT ON system.parts`,
      fields: {sink: sinkName},
    });
  };
  return {
    async wait(table) {
      const known = tables.get(table);
      if (!known || known.pauseMs === 0) return;
      // Not longer where the clock was set back.
      const leftMs = Math.min(known.pauseMs, known.insertedMs + known.pauseMs - clock.now());
      if (leftMs > 0) await clock.sleep(leftMs, closing.signal);
    },
    inserted(table) {
      const nowMs = clock.now();
      const known = tables.get(table);
      if (known) known.insertedMs = nowMs;
      else tables.set(table, {insertedMs: nowMs, pauseMs: 0});
      if (looking || nowMs - lookedMs < lookEveryMs) return;
      looking = true;
      lookedMs = nowMs;
      void look()
        .then(() => (isBlind = false), blind)
        .finally(() => (looking = false));
    },
    close: () => closing.abort(new PlatformError('SINK_CLOSED', `sink ${sinkName} is closed`)),
  };
}
