/** Records that other programs wrote into topics that only the platform writes to: they are passed over, and not without a word. */
import {counted} from '../quantity.ts';
import type {Telemetry} from '../telemetry.ts';

/** Topics of which it was said. */
const told = new WeakMap<Telemetry, Set<string>>();

/** Counts such records of a topic; the first time it is said in the log, too. */
export function tellPassedOver(telemetry: Telemetry, topic: string, records: number): void {
  if (records === 0) return;
  telemetry.emit('RecordsPassedOver', {topic, records});
  const topics = told.get(telemetry) ?? new Set();
  told.set(telemetry, topics);
  if (topics.has(topic)) return;
  topics.add(topic);
  telemetry.emit('Log', {
    level: 'warn',
    message: `${topic} has ${counted(records, 'record')} of another program, and nobody but the platform should write there: what is not ours is passed over, and counted as millrace_records_passed_over_total`,
  });
}
