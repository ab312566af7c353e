/**
 * Random ids by number; as a process: appends records with them, 2,000 a commit, without end, and prints how many are acknowledged.
 * Argument: directory. It continues after the last it finds.
 */
import {createHash} from 'node:crypto';
import {openLogWriter} from '../../../src/log/embedded.ts';
import {packRecords} from '../../../src/schema/frame.ts';

/** The UUID that belongs to a number. */
export function randomUuid(number: number): string {
  const hex = createHash('md5').update(String(number)).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const frame = new Uint8Array(8);

/** A batch of records with these ids. */
export const batchWith = (ids: string[]) => ({
  count: ids.length,
  bytes: packRecords(ids.map(() => frame)),
  ids,
});

/** A batch of records with the ids from number `from` on. */
export const batchWithIds = (from: number, count: number) =>
  batchWith(Array.from({length: count}, (_, i) => randomUuid(from + i)));

if (import.meta.main) {
  const writer = openLogWriter(process.argv[2]!);
  writer.ensureTopic('t', 2);
  for (let number = Number(writer.progress('numbers') ?? 0); ; ) {
    await writer.append({
      appends: [0, 1].map((partition) => ({
        topic: 't',
        partition,
        ...batchWithIds(number + 1_000 * partition, 1_000),
      })),
      progress: [{source: 'numbers', position: `${number + 2_000}`}],
    });
    number += 2_000;
    process.stdout.write(`${number}\n`);
  }
}
