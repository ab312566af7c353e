/** Gives the rights that a printed `kafka-acls.sh` command gives, without starting Java: CreateAcls of https://kafka.apache.org/protocol. */
import assert from 'node:assert/strict';
import {parseArgs} from 'node:util';
import {KafkaClient} from '../../src/log/kafka/client.ts';
import type {KafkaSettings} from '../../src/log/kafka/settings.ts';
import {WireWriter} from '../../src/log/kafka/wire.ts';

const resources = {topic: 2, group: 3, cluster: 4} as const;
const nameOfCluster = 'kafka-cluster';
const operations: Record<string, number> = {
  Read: 3,
  Write: 4,
  Create: 5,
  Delete: 6,
  Describe: 8,
  DescribeConfigs: 10,
};
const [allow, literal, prefixed] = [3, 3, 4];

/** @param settings of somebody who may do so. What is given is known to the brokers soon, not yet when this resolves. */
export async function giveRights(settings: KafkaSettings, commands: readonly string[]): Promise<void> {
  const acls = commands.flatMap((command) => {
    const [program, ...args] = command.split(' ');
    assert.equal(program, 'kafka-acls.sh');
    const one = {type: 'string'} as const;
    const many = {type: 'string', multiple: true} as const;
    const {values} = parseArgs({
      args,
      options: {
        ...{
          add: {type: 'boolean'},
          cluster: {type: 'boolean'},
          'bootstrap-server': one,
          'allow-principal': one,
          operation: many,
        },
        ...{topic: many, group: many, 'resource-pattern-type': one},
      },
    });
    assert.equal(values.add, true);
    const pattern = values['resource-pattern-type'] === 'prefixed' ? prefixed : literal;
    const names = {topic: values.topic, group: values.group, cluster: values.cluster ? [nameOfCluster] : []};
    return (['topic', 'group', 'cluster'] as const).flatMap((of) =>
      (names[of] ?? []).flatMap((name) =>
        values.operation!.map((operation) => ({
          of,
          name,
          pattern,
          principal: values['allow-principal']!,
          operation,
        })),
      ),
    );
  });
  const body = new WireWriter();
  body.array(acls, ({of, name, pattern, principal, operation}) =>
    body
      .int8(resources[of])
      .string(name)
      .int8(pattern)
      .string(principal)
      .string('*')
      .int8(operations[operation]!)
      .int8(allow),
  );
  const client = new KafkaClient(settings);
  try {
    await client.refreshMetadata();
    const api = {name: 'CreateAcls', key: 30, version: 1, flexible: false};
    const reader = await client.request({to: 'any', api, body: body.bytes});
    reader.int32();
    const failed = reader
      .array(() => [reader.int16(), reader.nullableString()])
      .filter(([code]) => code !== 0);
    assert.deepEqual(failed, []);
  } finally {
    client.close();
  }
}
