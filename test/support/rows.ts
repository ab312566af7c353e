/** A broker for rows in topics, with a registry in a directory. */
import {join} from 'node:path';
import type {Kafka} from '../../src/cluster/kafka.ts';
import type {KafkaSettings} from '../../src/log/kafka/settings.ts';
import {openEmbeddedRegistry} from '../../src/schema/registry.ts';
import type {RowTopics} from '../../src/sinks/types.ts';

export const kafkaSettings = ({brokers}: Pick<Kafka, 'brokers'>, clientId = 'millrace'): KafkaSettings => ({
  brokers,
  clientId,
  security: {protocol: 'plaintext'},
  topics: {partitions: 3, replication: 1, retentionMs: null},
});

/** @param dir where the schemas are kept */
export const rowTopics = (kafka: KafkaSettings, dir: string): RowTopics => ({
  source: {dir: join(dir, 'log'), kafka},
  async registerSchema(subject, schema) {
    const registry = openEmbeddedRegistry(dir);
    try {
      return (await registry.register(subject, schema)).id;
    } finally {
      registry.close();
    }
  },
});
