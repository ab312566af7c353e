/**
 * A process of the Kafka writer's tests: appends numbered records to two partitions without end and prints `number` when all below
 * it were acknowledged. Arguments: JSON of {dir, brokers, topic, appends (0: without end), large}. It continues after the last it finds.
 * Record number `large` is too large for the broker; its letter goes to `<topic>.letters`.
 */

import {randomBytes} from 'node:crypto';
import type {KafkaSettings} from '../../../src/log/kafka/settings.ts';
import {keptConfigs} from '../../../src/log/kafka/topics.ts';
import {openKafkaWriter} from '../../../src/log/kafka/writer.ts';
import {packRecords} from '../../../src/schema/frame.ts';
import {batchOfIds, recordOf} from '../../support/kafka-writer.ts';

/** Records of one append. */
const each = 6;

const {dir, brokers, topic, appends, large} = JSON.parse(process.argv[2]!) as {
  dir: string;
  brokers: string[];
  topic: string;
  appends: number;
  large?: number;
};
const letters = `${topic}.letters`;
const incompressible = (): string => randomBytes(1_500_000).toString('base64');
const kafka: KafkaSettings = {
  brokers,
  clientId: 'process',
  security: {protocol: 'plaintext'},
  topics: {partitions: 2, replication: brokers.length, retentionMs: null},
};
const writer = await openKafkaWriter({
  dir,
  kafka,
  topics: [[topic, 2] as const, ...(large === undefined ? [] : [[letters, 1] as const])].map(
    ([name, partitions]) => ({name, partitions, replication: brokers.length, configs: keptConfigs(kafka)}),
  ),
  refused({baseOffset}) {
    const ids = [`letter-${baseOffset}`];
    return {topic: letters, partition: 0, ids, ...batchOfIds(ids)};
  },
  spoolBytesMax: 2 ** 30,
  spoolAfterMs: 2_000,
  compression: 'zstd',
  telemetry: {emit: () => {}},
});
let number = Number(writer.progress('numbers') ?? 0);
const start = number;
let acknowledged = number;
const underWay = new Set<Promise<void>>();
for (let done = 0; appends === 0 || done < appends; done++) {
  const ids = Array.from({length: each}, (_, i) => `${number + i}`);
  number += each;
  const end = number;
  const append = writer
    .append({
      appends: [0, 1].map((partition) => {
        const own = ids.filter((id) => Number(id) % 2 === partition);
        const frames = own.map((id) =>
          recordOf(id, Number(id) === large ? incompressible() : 'x'.repeat(300)),
        );
        return {topic, partition, count: own.length, bytes: packRecords(frames)};
      }),
      progress: [{source: 'numbers', position: `${end}`}],
    })
    .then(() => {
      underWay.delete(append);
      acknowledged += each;
      process.stdout.write(`${acknowledged}\n`);
    });
  underWay.add(append);
  // Several are on their way at once.
  if (underWay.size >= 4) await Promise.race(underWay);
}
await Promise.all(underWay);
process.stdout.write(`done ${number - start}\n`);
await writer.close();
