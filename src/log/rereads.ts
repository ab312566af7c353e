/** What came damaged from a broker is asked for again, and not without a word: a cable, a card or a machine goes wrong there. */
import type {Telemetry} from '../telemetry.ts';

/** A place of a partition that is read again, and why. */
export type Reread = {topic: string; partition: number; offset: number; message: string};

/** Partitions of which it was said. */
const told = new WeakMap<Telemetry, Set<string>>();

/** Counts such a reading; the first time it is said in the log, too. */
export function tellReread(telemetry: Telemetry, {topic, partition, offset, message}: Reread): void {
  telemetry.emit('RecordsReread', {topic});
  const places = told.get(telemetry) ?? new Set();
  told.set(telemetry, places);
  const place = `${topic}/${partition}`;
  if (places.has(place)) return;
  places.add(place);
  telemetry.emit('Log', {
    level: 'warn',
    message: `${place}@${offset} is read again: ${message}; if that stays so, it stops. Look at the network and at the broker's memory and disk; further ones of this partition are counted as millrace_kafka_rereads_total`,
  });
}
