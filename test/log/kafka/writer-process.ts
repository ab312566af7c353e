/**
 * A process of the Kafka writer's tests: appends numbered records to two partitions without end and prints `number` when all below
 * it were acknowledged. Arguments: JSON of {dir, brokers, topic, appends (0: without end)}. It continues after the last it finds.
 */

import type {KafkaSettings} from '../../../src/log/kafka/settings.ts';
import {keptConfigs} from '../../../src/log/kafka/topics.ts';
import {openKafkaWriter} from '../../../src/log/kafka/writer.ts';
import {batchOfIds} from '../../support/kafka-writer.ts';

/** Records of one append. */
const each = 6;

const {dir, brokers, topic, appends} = JSON.parse(process.argv[2]!) as {
  dir: string;
  brokers: string[];
  topic: string;
  appends: number;
};
const kafka: KafkaSettings = {
  brokers,
  clientId: 'process',
  security: {protocol: 'plaintext'},
  topics: {partitions: 2, replication: brokers.length, retentionMs: null},
};
const writer = await openKafkaWriter({
  dir,
  kafka,
  topics: [{name: topic, partitions: 2, replication: brokers.length, configs: keptConfigs(kafka)}],
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
      appends: [0, 1].map((partition) => ({
        topic,
        partition,
        ...batchOfIds(
          ids.filter((id) => Number(id) % 2 === partition),
          'x'.repeat(300),
        ),
      })),
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
