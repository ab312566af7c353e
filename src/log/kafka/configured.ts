/** From the configuration of a platform to what reaches its cluster. */

import {PlatformError} from '../../errors.ts';
import {type KafkaOptions, kafkaNameOf, kafkaOptionsOf} from '../../model/log.ts';
import type {Platform} from '../../model/types.ts';
import {readPlain} from '../../plain-file.ts';
import type {KafkaSecurity, KafkaSettings} from './settings.ts';

/** Undefined when the log is not in Kafka. Throws FILE_ACCESS when a certificate cannot be read. */
export function kafkaSettingsOf(platform: Pick<Platform, 'name' | 'log'>): KafkaSettings | undefined {
  const options = kafkaOptionsOf(platform);
  if (!options) return undefined;
  const {brokers, client_id, topics, properties} = options;
  return {
    brokers,
    clientId: client_id ?? kafkaNameOf(platform),
    security: securityOf(options.security),
    topics: {
      partitions: topics.partitions,
      replication: topics.replication === 'auto' ? 0 : topics.replication,
      retentionMs: topics.retention === 'keep' ? null : topics.retention,
    },
    client: {
      requestMs: properties['request.timeout.ms']!,
      connectMs: properties['socket.connection.setup.timeout.ms']!,
      metadataMs: properties['metadata.max.age.ms']!,
      pollMs: properties['fetch.max.wait.ms']!,
      fetchBytesMax: properties['max.partition.fetch.bytes']!,
    },
  };
}

function securityOf({
  protocol,
  mechanism,
  username,
  password,
  tls = {},
}: KafkaOptions['security']): KafkaSecurity {
  const files = Object.entries(tls).filter(([, file]) => file !== undefined);
  return {
    protocol,
    ...(mechanism && username !== undefined && password
      ? {sasl: {mechanism, username, password: password.reveal()}}
      : {}),
    ...(protocol.endsWith('ssl')
      ? {tls: Object.fromEntries(files.map(([key, file]) => [key, pem(file)]))}
      : {}),
  };
}

function pem(file: string): string {
  try {
    return readPlain(file);
  } catch (error) {
    throw new PlatformError('FILE_ACCESS', `${file} cannot be read: ${(error as Error).message}`, {
      hint: 'it stands in log.kafka.security.tls',
      place: file,
      cause: error,
    });
  }
}
