/** A topic gets more partitions while a process writes to it: events go to them, by their keys, and none of theirs comes twice. */
import assert from 'node:assert/strict';
import {after, before, suite, test} from 'node:test';
import {systemClock} from '../../../src/clock.ts';
import {Incoming} from '../../../src/ingest/incoming.ts';
import type {KafkaWriter} from '../../../src/log/kafka/writer.ts';
import {partitionOf} from '../../../src/log/partition.ts';
import {noTelemetry} from '../../../src/telemetry.ts';
import {skipWithout} from '../../cluster/needs.ts';
import {domain, order} from '../../ingest/world.ts';
import {type JavaClients, startJavaClients} from '../../support/kafka-java.ts';
import {batchOfIds, KafkaRig} from '../../support/kafka-writer.ts';
import {until} from '../../support/until.ts';

const waitMs = 120_000;

const put = (writer: KafkaWriter, topic: string, ids: string[], partition: number) =>
  writer.append({appends: [{topic, partition, ids, ...batchOfIds(ids)}]});

suite('a topic that grows', skipWithout('java', 'mvn'), () => {
  let rig: KafkaRig;
  let java: JavaClients;
  before(async () => {
    rig = await KafkaRig.start();
    java = await startJavaClients(rig.kafka.brokers);
  });
  after(async () => {
    java?.stop();
    await rig?.stop();
  });

  const impatient = (through: 'proxy' | 'plain') => ({
    ...rig.settings(through),
    client: {connectMs: 1_000, requestMs: 1_000, metadataMs: 100},
  });

  test('new partitions are written to once the ids are known that others brought there', async () => {
    const topic = 'shop.grown';
    const dir = rig.dir();
    const writer = await rig.writer({[topic]: 1}, {dir, kafka: impatient('proxy')});
    await put(writer, topic, ['a'], 0);
    // It does not see what happens meanwhile.
    rig.proxy.cut();
    await java.tell(`grow ${topic} 3`);
    const other = await rig.writer({[topic]: 1}, {kafka: impatient('plain')});
    assert.equal(other.ensureTopic(topic), 3);
    await put(other, topic, ['x'], 2);
    await other.close();
    assert.equal(writer.ensureTopic(topic), 1);
    rig.proxy.restore();
    await until(() => writer.ensureTopic(topic) === 3, 'the writer sees three partitions', waitMs);
    const {appends} = await put(writer, topic, ['x', 'b'], 1);
    assert.deepEqual(appends[0]?.dropped, [true, false]);
    await put(writer, topic, ['c'], 2);
    await writer.close();
    assert.deepEqual(await rig.ids(topic), [['a'], ['b'], ['x', 'c']]);
    // The ids of others that the outbox keeps by now are no partitions of the topic.
    const next = await rig.writer({[topic]: 1}, {dir, kafka: impatient('plain')});
    await java.tell(`grow ${topic} 4`);
    await until(() => next.ensureTopic(topic) === 4, 'the next writer sees four partitions', waitMs);
    await put(next, topic, ['d'], 3);
    await next.close();
    assert.deepEqual(await rig.ids(topic), [['a'], ['b'], ['x', 'c'], ['d']]);
  });

  test('the next start ships what was appended to them while the broker was away', async () => {
    const topic = 'shop.later';
    const dir = rig.dir();
    const writer = await rig.writer({[topic]: 1}, {dir, kafka: impatient('proxy'), spoolAfterMs: 100});
    await java.tell(`grow ${topic} 2`);
    await until(() => writer.ensureTopic(topic) === 2, 'the writer sees two partitions', waitMs);
    rig.proxy.cut();
    await put(writer, topic, ['a'], 1);
    await writer.close();
    rig.proxy.restore();
    const next = await rig.writer({[topic]: 1}, {dir});
    await put(next, topic, ['b'], 1);
    await next.close();
    assert.deepEqual(await rig.ids(topic), [[], ['a', 'b']]);
  });

  test('events that come over HTTP go to all partitions by their keys, from then on', async () => {
    const writer = await rig.writer({'shop.order': 1, 'dlq.shop': 1}, {kafka: impatient('plain')});
    const incoming = new Incoming({
      domains: [domain(order())],
      log: writer,
      clock: systemClock,
      telemetry: noTelemetry,
      schemaIds: {'shop.order': 7, 'dlq.shop': 8},
      schemaById: () => undefined,
    });
    const take = async (name: string) => {
      const events = Array.from({length: 30}, (_, i) => ({
        event_id: `${name}-${i}`,
        user_id: `user-${i}`,
        timestamp: Date.now(),
        amount: 1,
      }));
      const result = await incoming.take({
        domain: 'shop',
        eventType: 'order',
        source: 'http',
        format: 'ndjson',
        bytes: Buffer.from(events.map((event) => JSON.stringify(event)).join('\n')),
        request: name,
        ids: 'derived',
        deadLetters: true,
        recordsMax: 100,
      });
      assert.equal(result.kind, 'done');
      return events;
    };
    const before = await take('before');
    await java.tell('grow shop.order 4');
    await until(() => writer.ensureTopic('shop.order') === 4, 'the writer sees four partitions', waitMs);
    const later = await take('later');
    await writer.close();
    const at = (events: typeof before, partition: number, partitions: number) =>
      events
        .filter((event) => partitionOf(event.user_id, event.event_id, partitions) === partition)
        .map((event) => event.event_id);
    assert.deepEqual(
      await rig.ids('shop.order'),
      [0, 1, 2, 3].map((partition) => [...at(before, partition, 1), ...at(later, partition, 4)]),
    );
  });
});
