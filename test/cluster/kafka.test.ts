/** Kafka as local servers start it: every listener, brokers that are killed, clusters side by side. */
import assert from 'node:assert/strict';
import {existsSync} from 'node:fs';
import {after, before, suite, test} from 'node:test';
import {type Kafka, startKafka} from '../../src/cluster/kafka.ts';
import {isRunning} from '../../src/cluster/process.ts';
import {KafkaClient} from '../../src/log/kafka/client.ts';
import type {KafkaSecurity} from '../../src/log/kafka/settings.ts';
import {skipWithout} from './needs.ts';

const topics = {partitions: 1, replication: 1, retentionMs: null};

/** The numbers of the brokers that a cluster shows to a client. */
async function brokersSeen(
  brokers: string[],
  security: KafkaSecurity = {protocol: 'plaintext'},
): Promise<number[]> {
  const client = new KafkaClient({brokers, clientId: 'test', security, topics});
  try {
    return [...(await client.refreshMetadata()).brokers.keys()].sort();
  } finally {
    client.close();
  }
}

suite('a broker', skipWithout('java', 'mvn'), () => {
  let kafka: Kafka;
  before(async () => {
    kafka = await startKafka({
      listeners: ['sasl', 'tls', 'sasl-tls', 'proxied'],
      users: {alice: 'alice-password'},
      proxiedPorts: [1],
    });
  });
  after(() => kafka?.stop());

  test('serves plain text, TLS, and TLS with a certificate of the client', async () => {
    const {ca, client} = kafka.certificates!;
    assert.deepEqual(await brokersSeen(kafka.brokers), [1]);
    assert.deepEqual(await brokersSeen(kafka.listeners.tls!, {protocol: 'ssl', tls: {ca}}), [1]);
    assert.deepEqual(await brokersSeen(kafka.listeners.tls!, {protocol: 'ssl', tls: {ca, ...client}}), [1]);
    await assert.rejects(
      brokersSeen(kafka.listeners.tls!, {protocol: 'ssl', tls: {}}),
      /TLS failed|UNABLE_TO_VERIFY/,
    );
  });

  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512'] as const)
    test(`lets a user in by ${mechanism}, and nobody with another password`, async () => {
      const sasl = {mechanism, username: 'alice', password: 'alice-password'};
      const {ca} = kafka.certificates!;
      assert.deepEqual(await brokersSeen(kafka.listeners.sasl!, {protocol: 'sasl_plaintext', sasl}), [1]);
      assert.deepEqual(
        await brokersSeen(kafka.listeners['sasl-tls']!, {protocol: 'sasl_ssl', sasl, tls: {ca}}),
        [1],
      );
      const other = {...sasl, password: 'another'};
      await assert.rejects(
        brokersSeen(kafka.listeners.sasl!, {protocol: 'sasl_plaintext', sasl: other}),
        /SASL_AUTHENTICATION_FAILED/,
      );
    });

  test('sends clients of the proxied listener to the proxy', async () => {
    const client = new KafkaClient({
      brokers: kafka.listeners.proxied!,
      clientId: 'test',
      security: {protocol: 'plaintext'},
      topics,
    });
    const {brokers} = await client.refreshMetadata();
    client.close();
    assert.deepEqual([...brokers], [[1, {host: '127.0.0.1', port: 1}]]);
  });

  test('is gone after a kill and back at the same address after a restart, with its users', async () => {
    const killed = kafka.pids[0]!;
    await kafka.kill(0);
    assert.ok(!isRunning(kafka.processes[0]!));
    await assert.rejects(brokersSeen(kafka.brokers), /ECONNREFUSED/);
    await kafka.restart(0);
    assert.notEqual(kafka.pids[0], killed);
    const sasl = {mechanism: 'scram-sha-512', username: 'alice', password: 'alice-password'} as const;
    assert.deepEqual(await brokersSeen(kafka.listeners.sasl!, {protocol: 'sasl_plaintext', sasl}), [1]);
  });

  test('a second cluster runs beside it, and its temporary directory goes with it', async () => {
    const other = await startKafka();
    try {
      assert.notEqual(other.brokers[0], kafka.brokers[0]);
      assert.deepEqual(await brokersSeen(other.brokers), [1]);
    } finally {
      await other.stop();
    }
    assert.ok(!existsSync(other.dir));
    assert.ok(other.processes.every((each) => !isRunning(each)));
    assert.deepEqual(await brokersSeen(kafka.brokers), [1]);
  });
});

test('three brokers go on when one of them is killed', skipWithout('java', 'mvn'), async () => {
  const kafka = await startKafka({brokers: 3});
  try {
    assert.deepEqual(await brokersSeen(kafka.brokers), [1, 2, 3]);
    await kafka.kill(2);
    const seen = await brokersSeen(kafka.brokers.slice(0, 2));
    assert.deepEqual(seen.slice(0, 2), [1, 2]);
  } finally {
    await kafka.stop();
  }
});
