/** The reader on three brokers, of which one goes. */
import assert from 'node:assert/strict';
import {after, before, suite, test} from 'node:test';
import {type Kafka, startKafka} from '../../../src/cluster/kafka.ts';
import {PlatformError} from '../../../src/errors.ts';
import {KafkaClient} from '../../../src/log/kafka/client.ts';
import {writeKeyed} from '../../../src/log/kafka/keyed.ts';
import {openKafkaReader} from '../../../src/log/kafka/reader.ts';
import type {KafkaSettings} from '../../../src/log/kafka/settings.ts';
import {ensureTopics, keptConfigs} from '../../../src/log/kafka/topics.ts';
import {framesOf} from '../../../src/log/records.ts';
import {skipWithout} from '../../cluster/needs.ts';
import {plainSettings} from '../../support/kafka-mirror.ts';
import {until} from '../../support/until.ts';

const topic = 'led';
const partitions = 3;

suite('three brokers', skipWithout('java', 'mvn'), () => {
  let kafka: Kafka;
  let settings: KafkaSettings;
  before(async () => {
    kafka = await startKafka({
      brokers: 3,
      heap: '256m',
      properties: {'broker.session.timeout.ms': '1500', 'broker.heartbeat.interval.ms': '300'},
    });
    settings = {...plainSettings(kafka.brokers), client: {requestMs: 5_000, connectMs: 1_000}};
  });
  after(() => kafka?.stop());

  test('a partition that nobody leads is not taken for an empty one, nor for one that lost records', async () => {
    const alone = 'led.by-one';
    const client = new KafkaClient(settings);
    await ensureTopics(client, [{name: alone, partitions, replication: 1, configs: keptConfigs(settings)}]);
    const records = Array.from({length: 30}, (_, i) => ({
      key: Buffer.from(`${i}`),
      value: Buffer.from(`${i}`),
      partition: i % partitions,
    }));
    await writeKeyed(client, alone, records);
    const lost = 0;
    const {leader} = client.metadata.topics.get(alone)![lost]!;
    await kafka.kill(leader - 1);
    await until(async () => {
      await client.refreshMetadata().catch(() => {});
      return client.metadata.topics.get(alone)![lost]!.leader === -1;
    }, 'nobody leads it');
    const isUnled = (error: unknown) =>
      error instanceof PlatformError &&
      error.code === 'KAFKA_UNAVAILABLE' &&
      error.message.startsWith(`nobody says how far ${alone} partition ${lost} goes`);
    const open = (topics: string[] = []) =>
      openKafkaReader({dir: '/nowhere', kafka: settings}, {patienceMs: 300, topics});
    try {
      await assert.rejects(open([alone]), isUnled);
      const log = await open();
      try {
        for (const partition of [1, 2]) assert.equal(log.endOffset(alone, partition), 10);
        // Somebody read up to there, as a checkpoint says, and goes on.
        await assert.rejects(log.read(alone, lost, 7, 1 << 20), isUnled);
        assert.equal(log.endOffset(alone, lost), 0);
        assert.equal(log.endOffset('led.nowhere', 0), 0, 'what is not there has no end');
        assert.equal(await log.lookAtEnds(), false, 'what is known may be old');
        await until(() => isUnled(log.trouble()?.error), 'it is told');
        await kafka.restart(leader - 1);
        await until(
          () =>
            log.refresh([alone]).then(
              () => true,
              () => false,
            ),
          'it is led again',
        );
        assert.equal(log.endOffset(alone, lost), 10);
        assert.equal(await log.lookAtEnds(), true);
        await until(() => log.trouble() === undefined, 'that is over');
        assert.equal((await log.read(alone, lost, 7, 1 << 20))[0]?.baseOffset, 0);
      } finally {
        log.close();
      }
    } finally {
      client.close();
    }
  });

  test('when a leader is killed the others are asked: every record is read once, in its order', async () => {
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
    }
  });
});
