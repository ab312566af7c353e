/** How far a raw delivery is behind. */
import type {LogReader} from '../log/types.ts';
import type {RawJob, RawStats} from './raw.ts';
import type {RawSource} from './raw-source.ts';

/** A write that takes longer than that is one to be asked about, ms. */
const longMs = 500;

/** `oldestMs`: when the first of the records was appended that are being written, epoch ms. */
export type Observed = RawStats & {oldestMs?: number};

/** Whether everything up to `until` was delivered. */
export const isPast = ({until, topic}: RawJob, {reader}: RawSource, offsets: Map<number, number>): boolean =>
  until?.every(
    (_, partition) =>
      (offsets.get(partition) ?? reader.startOffset(topic, partition)) >= reader.endOffset(topic, partition),
  ) ?? false;

/** Records of the log that are not delivered. */
export const lagOf = ({topic}: RawJob, log: LogReader, offsets: Map<number, number>): number =>
  Array.from({length: log.partitions(topic)}, (_, partition) => {
    const next = offsets.get(partition) ?? log.startOffset(topic, partition);
    return Math.max(0, log.endOffset(topic, partition) - next);
  }).reduce((sum, lag) => sum + lag, 0);

/** A slow sink is asked about while it writes: what was appended since lags as well. */
export function observe(
  job: RawJob,
  {log}: RawSource,
  offsets: Map<number, number>,
  stats: Observed,
  nowMs: number,
): void {
  const {oldestMs} = stats;
  stats.lagMs = oldestMs === undefined ? 0 : Math.max(0, nowMs - oldestMs);
  if (stats.lagMs < longMs) return;
  stats.lagEvents = lagOf(job, log, offsets);
  // For the next look: ends of topics are known as of the last time that they were asked for.
  log.refresh().catch(() => {});
}
