/**
 * A process of the log's tests: appends numbered records to two partitions without end and prints `number` when it was
 * acknowledged. Arguments: directory, commits after which it stops (0: never). It continues after the last it finds.
 */
import {openLogWriter} from '../../src/log/embedded.ts';
import {batchOf} from '../support/log-records.ts';

const dir = process.argv[2]!;
const commits = Number(process.argv[3] ?? 0);
try {
  const writer = openLogWriter(dir);
  writer.ensureTopic('t', 2);
  let number = Number(writer.progress('numbers') ?? 0);
  for (let done = 0; commits === 0 || done < commits; done++) {
    const texts = [0, 1].map((partition) =>
      Array.from({length: 5}, (_, i) => `${number + 2 * i + partition}`.padEnd(400, '.')),
    );
    const ids = texts.map((each) => each.map((text) => text.replaceAll('.', '')));
    await writer.append({
      appends: texts.map((each, partition) => ({
        topic: 't',
        partition,
        ids: ids[partition]!,
        ...batchOf(...each),
      })),
      progress: [{source: 'numbers', position: `${number + 10}`}],
      ledger: [
        {domain: 'd', eventType: 'e', source: 's', received: 10, appended: 10, duplicate: 0, rejected: 0},
      ],
    });
    number += 10;
    process.stdout.write(`${number}\n`);
  }
  await writer.close();
} catch (error) {
  process.stdout.write(`${(error as {code?: string}).code}\n`);
  process.exitCode = 1;
}
