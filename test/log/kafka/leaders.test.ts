/** The reader on three brokers, of which one goes. */
import assert from 'node:assert/strict';
import {suite, test} from 'node:test';
import {startKafka} from '../../../src/cluster/kafka.ts';
import {KafkaClient} from '../../../src/log/kafka/client.ts';
import {writeKeyed} from '../../../src/log/kafka/keyed.ts';
import {openKafkaReader} from '../../../src/log/kafka/reader.ts';
import {ensureTopics, keptConfigs} from '../../../src/log/kafka/topics.ts';
import {framesOf} from '../../../src/log/records.ts';
import {skipWithout} from '../../cluster/needs.ts';
import {plainSettings} from '../../support/kafka-mirror.ts';
import {until} from '../../support/until.ts';

const topic = 'led';
const partitions = 3;

suite('three brokers', skipWithout('java', 'mvn'), () => {
  test('when a leader is killed the others are asked: every record is read once, in its order', async () => {
    const kafka = await startKafka({
      brokers: 3,
      heap: '256m',
      properties: {'broker.session.timeout.ms': '1500', 'broker.heartbeat.interval.ms': '300'},
    });
    const settings = {...plainSettings(kafka.brokers), client: {requestMs: 5_000, connectMs: 1_000}};
    const client = new KafkaClient(settings);
    try {
      await ensureTopics(client, [{name: topic, partitions, replication: 3, configs: keptConfigs(settings)}]);
      const log = await openKafkaReader({dir: '/nowhere', kafka: settings});
      try {
        const wanted: string[][] = [[], [], []];
        let sent = 0;
        const write = async (count: number) => {
          const records = Array.from({length: count}, () => {
            const partition = sent % partitions;
            const text = `record ${sent++}`;
            wanted[partition]!.push(text);
            return {key: Buffer.from(text), value: Buffer.from(text), partition};
          });
          await writeKeyed(client, topic, records);
        };
        const found: string[][] = [[], [], []];
        const offsets = [0, 0, 0];
        const readOn = async () => {
          for (const partition of wanted.keys())
            while (found[partition]!.length < wanted[partition]!.length) {
              const batches = await log.read(topic, partition, offsets[partition]!, 1 << 20);
              if (batches.length === 0) await log.waitForAppend(500);
              for (const {baseOffset, count, bytes} of batches) {
                found[partition]!.push(...[...framesOf(bytes)].map((frame) => Buffer.from(frame).toString()));
                offsets[partition] = baseOffset + count;
              }
            }
        };
        await write(300);
        await readOn();
        assert.deepEqual(found, wanted);
        const leaders = new Set(client.metadata.topics.get(topic)!.map(({leader}) => leader));
        const [lost] = leaders;
        await kafka.kill(lost! - 1);
        await until(async () => {
          await client.refreshMetadata().catch(() => {});
          return client.metadata.topics.get(topic)!.every(({leader}) => leader >= 0 && leader !== lost);
        }, 'another leader');
        await write(300);
        await readOn();
        assert.deepEqual(found, wanted);
      } finally {
        log.close();
      }
    } finally {
      client.close();
      await kafka.stop();
    }
  });
});
