import {pbkdf2Sync, randomBytes} from 'node:crypto';
import {PlatformError} from '../errors.ts';
import type {KafkaApi} from '../log/kafka/api.ts';
import type {KafkaClient} from '../log/kafka/client.ts';
import {WireWriter} from '../log/kafka/wire.ts';

const alterUserScramCredentials: KafkaApi = {
  name: 'AlterUserScramCredentials',
  key: 51,
  version: 0,
  flexible: true,
};
const scrams = [
  {mechanism: 1, hash: 'sha256', bytes: 32},
  {mechanism: 2, hash: 'sha512', bytes: 64},
] as const;
const iterations = 4096;

/**
 * Makes users known to SCRAM-SHA-256 and SCRAM-SHA-512, or gives them another password.
 *
 *   request := deletions:compact array upsertions:compact array tags
 *   upsertion := name:compact string mechanism:int8 iterations:int32 salt:compact bytes salted:compact bytes tags
 */
export async function setScramUsers(client: KafkaClient, users: Record<string, string>): Promise<void> {
  // A user may stand in a request only once.
  for (const scram of scrams) await setUsers(client, users, scram);
}

async function setUsers(
  client: KafkaClient,
  users: Record<string, string>,
  {mechanism, hash, bytes}: (typeof scrams)[number],
): Promise<void> {
  const changes = Object.entries(users);
  const body = new WireWriter(1024).uvarint(1).uvarint(changes.length + 1);
  for (const [name, password] of changes) {
    const salt = randomBytes(16);
    const salted = pbkdf2Sync(password, salt, iterations, bytes, hash);
    body.compactString(name).int8(mechanism).int32(iterations);
    for (const value of [salt, salted]) body.uvarint(value.length + 1).raw(value);
    body.noTags();
  }
  body.noTags();
  const reader = await client.request({to: 'any', api: alterUserScramCredentials, body: body.bytes});
  reader.int32();
  for (let left = reader.uvarint() - 1; left > 0; left--) {
    const user = reader.compactString();
    const code = reader.int16();
    const message = reader.compactString();
    reader.skipTags();
    if (code !== 0)
      throw new PlatformError(
        'SERVER_FAILED',
        `Kafka does not take user ${user}: ${message ?? `code ${code}`}`,
      );
  }
}
