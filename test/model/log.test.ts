import assert from 'node:assert/strict';
import {join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {kafkaSettingsOf} from '../../src/log/kafka/configured.ts';
import {logDirOf, newPartitionsOf} from '../../src/model/log.ts';
import {load as loadFiles} from '../config/directory.ts';

/** A platform of that `log:`; further files by path. */
const load = (t: TestContext, log: string, files: Record<string, string> = {}) =>
  loadFiles(
    t,
    {
      'config/platform.yaml': `platform: Acme Corp.\n${log}`,
      'config/domains/a.yaml': 'event_types: []',
      ...files,
    },
    {variables: {kafka_password: 'canary-1234'}},
  );

test('a log in Kafka needs its brokers alone', async (t) => {
  const loaded = await load(t, 'log: {backend: kafka, kafka: {brokers: kafka-1:9092}}');
  assert.ok(loaded.ok);
  assert.deepEqual(kafkaSettingsOf(loaded.platform), {
    brokers: ['kafka-1:9092'],
    clientId: 'Acme-Corp.',
    security: {protocol: 'plaintext'},
    topics: {partitions: 4, replication: 0, retentionMs: 604_800_000},
    client: {
      requestMs: 30_000,
      connectMs: 5_000,
      metadataMs: 30_000,
      pollMs: 500,
      fetchBytesMax: 2_097_152,
    },
  });
  assert.equal(logDirOf(loaded.platform), join(loaded.platform.root, '.millrace/outbox'));
  assert.equal(newPartitionsOf(loaded.platform), 4);
});

test('everything of a log in Kafka can be said; a password is a secret, certificates are files', async (t) => {
  const loaded = await load(
    t,
    `log:
  backend: kafka
  kafka:
    brokers: [kafka-1:9093, kafka-2:9093]
    client_id: acme
    security: {protocol: sasl_ssl, mechanism: scram-sha-512, username: millrace, password: "\${secret:kafka_password}", tls: {ca: ca.pem}}
    topics: {partitions: 12, replication: 3, retention: keep}
    properties: {request.timeout.ms: 9000}
    spool: {dir: spool, size_max: 1GiB}
`,
    {'config/ca.pem': 'PEM'},
  );
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const settings = kafkaSettingsOf(loaded.platform)!;
  assert.deepEqual(settings.brokers, ['kafka-1:9093', 'kafka-2:9093']);
  assert.equal(settings.clientId, 'acme');
  assert.deepEqual(settings.security, {
    protocol: 'sasl_ssl',
    sasl: {mechanism: 'scram-sha-512', username: 'millrace', password: 'canary-1234'},
    tls: {ca: 'PEM'},
  });
  assert.deepEqual(settings.topics, {partitions: 12, replication: 3, retentionMs: null});
  assert.equal(settings.client?.requestMs, 9000);
  assert.equal(newPartitionsOf(loaded.platform), 12);
  assert.ok(!JSON.stringify(loaded.platform).includes('canary-1234'));
});

test('a certificate that cannot be read is told with its file', async (t) => {
  const loaded = await load(
    t,
    'log: {backend: kafka, kafka: {brokers: [a:1], security: {protocol: ssl, tls: {ca: no.pem}}}}',
  );
  assert.ok(loaded.ok);
  assert.throws(() => kafkaSettingsOf(loaded.platform), {
    code: 'FILE_ACCESS',
    message: /no\.pem cannot be read/,
  });
});

for (const [name, kafka, wanted] of [
  ['no brokers', 'client_id: a', ['KEY_MISSING log.kafka']],
  ['an empty list of brokers', 'brokers: []', ['VALUE_INVALID log.kafka.brokers']],
  [
    'addresses without a port, with one that there is not, with more than that',
    'brokers: [host, "host:0", "host:99999", "host:65536", ":9092", "a:1:2", "a:x", "a b:1", "u:p@a:1", "http://a:1", "a:65535", "[::1]:9092"]',
    Array.from({length: 10}, (_, index) => `VALUE_INVALID log.kafka.brokers[${index}]`),
  ],
  [
    'SASL without a password',
    'brokers: [a:1], security: {protocol: sasl_ssl, mechanism: plain, username: u}',
    ['KAFKA_SECURITY log.kafka.security'],
  ],
  [
    'a password that is not used',
    'brokers: [a:1], security: {username: u, password: p}',
    ['KAFKA_SECURITY log.kafka.security'],
  ],
  [
    'TLS files without TLS',
    'brokers: [a:1], security: {tls: {ca: a.pem}}',
    ['KAFKA_SECURITY log.kafka.security.tls'],
  ],
  [
    'a certificate without its key',
    'brokers: [a:1], security: {protocol: ssl, tls: {cert: a.pem}}',
    ['KAFKA_SECURITY log.kafka.security.tls'],
  ],
  [
    'properties that do not pass: code that a Java client would load, misspelt ones',
    'brokers: [a:1], properties: {sasl.jaas.config: com.sun.security.auth.module.JndiLoginModule, request.timeout: 1}',
    [
      'KEY_UNKNOWN log.kafka.properties."sasl.jaas.config"',
      'KEY_UNKNOWN log.kafka.properties."request.timeout"',
    ],
  ],
  [
    'an address that is a URL, a mechanism that is not there',
    'brokers: ["kafka://a:1"], security: {protocol: sasl_ssl, mechanism: gssapi, username: u, password: p}',
    ['VALUE_INVALID log.kafka.brokers[0]', 'VALUE_UNKNOWN log.kafka.security.mechanism'],
  ],
] as const)
  test(`a mistake in log.kafka: ${name}`, async (t) => {
    const loaded = await load(t, `log: {backend: kafka, kafka: {${kafka}}}`);
    assert.ok(!loaded.ok);
    assert.deepEqual(
      loaded.diagnostics
        .filter(({severity}) => severity === 'error')
        .map(({code, path}) => `${code} ${path}`),
      wanted,
    );
  });

test('checkpoints at an address that nobody keeps any at, a registry without addresses', async (t) => {
  for (const [text, path, hint] of [
    [
      'engine: {embedded: {checkpoints: "gs://b/p"}}',
      'engine.embedded.checkpoints',
      /write a directory, or s3:/,
    ],
    ['engine: {embedded: {checkpoints: "s3:/b/p"}}', 'engine.embedded.checkpoints', /write s3:/],
    ['registry: {backend: confluent}', 'registry.confluent', /add url: for example http/],
    ['registry: {backend: confluent, confluent: {url: []}}', 'registry.confluent.url', /for example http/],
  ] as const) {
    const loaded = await load(t, text);
    assert.ok(!loaded.ok, text);
    const [first] = loaded.diagnostics;
    assert.deepEqual([first?.path, first?.severity], [path, 'error']);
    assert.match(first?.hint ?? '', hint);
    assert.deepEqual([first?.file, first?.line], ['config/platform.yaml', 2]);
  }
});
