/** What `doctor` finds wrong on a machine. */
import assert from 'node:assert/strict';
import {createServer} from 'node:net';
import {join} from 'node:path';
import {test} from 'node:test';
import {missingRights} from '../../src/cli/doctor-rights.ts';
import {inTime} from '../../src/cli/doctor-servers.ts';
import {testClock} from '../../src/clock.ts';
import {openLogWriter} from '../../src/log/embedded.ts';
import {packRecords} from '../../src/schema/frame.ts';
import {cli, filePlatform, makeShop} from '../support/cli.ts';
import {serveTcp} from '../support/hostile.ts';

test('a port that somebody else has', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const {port} = server.address() as {port: number};
  const root = await makeShop({
    'config/platform.yaml': filePlatform.replace('port: 0', `port: ${port}`),
  });
  const {code, stdout} = await cli(root, 'doctor');
  await new Promise((resolve) => server.close(resolve));
  assert.equal(code, 1);
  assert.match(
    stdout,
    new RegExp(
      `^failed +port +PORT_BUSY port ${port} on 127\\.0\\.0\\.1 cannot be had: EADDRINUSE\\n +hint: another program`,
      'm',
    ),
  );
  assert.match(
    (await cli(root, 'doctor')).stdout,
    new RegExp(`^ok +port +${port} on 127\\.0\\.0\\.1 is free$`, 'm'),
  );
});

test('a clock that went back behind the log', async () => {
  const root = await makeShop();
  const log = openLogWriter(join(root, '.millrace/log'), {clock: testClock(Date.now() + 3_600_000)});
  log.ensureTopic('shop.purchase', 1);
  await log.append({
    appends: [
      {topic: 'shop.purchase', partition: 0, count: 1, bytes: packRecords([Uint8Array.of(0, 0, 0, 0, 1)])},
    ],
  });
  await log.close();
  const {code, stdout} = await cli(root, 'doctor');
  assert.equal(code, 1);
  assert.match(
    stdout,
    /^failed +clock +the log's newest record is 3[56]\d\d s ahead of this machine's clock\n +hint: set the clock/m,
  );
});

test('servers that say nothing: each check ends, with what to look at', async (t) => {
  const port = await serveTcp(t, () => {});
  const at = `127.0.0.1:${port}`;
  const root = await makeShop({
    'config/environments/servers.yaml': `
log:
  backend: kafka
  kafka:
    brokers: ["${at}"]
    security: {protocol: sasl_ssl, mechanism: plain, username: u, password: canary-of-doctor}
    properties: {socket.connection.setup.timeout.ms: 300, request.timeout.ms: 1000}
registry: {backend: confluent, confluent: {url: "http://${at}", timeout: 300ms}}
sinks:
  rows: {backend: postgres, postgres: {url: "postgres://u@${at}/d", password: canary-of-doctor, connect_timeout: 1s}}
  away: {backend: clickhouse, clickhouse: {url: "http://127.0.0.1:1"}}
`,
  });
  const {code, stdout} = await cli(root, 'doctor', '--env', 'servers');
  assert.equal(code, 1);
  assert.match(stdout, /^failed +brokers +KAFKA_UNAVAILABLE .*\n +hint: perhaps the listener has no TLS/m);
  assert.match(
    stdout,
    /^failed +registry +REGISTRY_UNAVAILABLE .*did not answer within 300 ms\n( +at .*\n)? +hint: .*registry\.confluent\.url \(config\/environments\/servers\.yaml:8:\d+\)/m,
  );
  // Of each sink the place of its address.
  assert.match(
    stdout,
    /^failed +sink rows +SINK_UNAVAILABLE .*\n +at sink rows \(config\/environments\/servers\.yaml:10:45\), u@.*\n +hint: /m,
  );
  assert.match(
    stdout,
    /^failed +sink away +SINK_UNAVAILABLE .*\n +at sink away \(config\/environments\/servers\.yaml:11:49\)\n +hint: is the server up, and does it listen/m,
  );
  assert.doesNotMatch(stdout, /canary-of-doctor/);
});

test('a check of a server is not waited for longer than it may take', async () => {
  await assert.rejects(inTime(new Promise(() => {}), 50), {code: 'SERVER_SILENT', hint: /address/});
  assert.equal(await inTime(Promise.resolve(1), 60_000), 1);
});

test('rights that brokers do not tell are no false alarm, and older ones want IdempotentWrite', () => {
  const topic = {of: 'topic', pattern: 'shop.', isPrefix: true, operations: ['Read', 'Write']} as const;
  const cluster = {
    of: 'cluster',
    pattern: '',
    isPrefix: false,
    names: [''],
    operations: ['IdempotentWrite'],
  } as const;
  const wanted = [{...topic, operations: [...topic.operations], names: ['shop.a', 'shop.b']}];
  const ours = {broker: 'k:9092', principal: "User:CN=it's"};
  const told = (b: Set<'Read' | 'Write'> | undefined) => ({
    topic: new Map([
      ['shop.a', new Set(['Read', 'Write'] as const)],
      ['shop.b', b],
    ]),
    group: new Map(),
    cluster: new Map([['', new Set(['Describe'] as const)]]),
  });
  const [only, more] = missingRights(wanted, told(new Set(['Read'])), ours);
  const command = "kafka-acls.sh --bootstrap-server k:9092 --add --allow-principal 'User:CN=it'\\''s'";
  assert.deepEqual(only, {
    text: 'Write on topic shop.b',
    grant: `${command} --operation Write --topic shop. --resource-pattern-type prefixed`,
  });
  assert.equal(more, undefined);
  assert.equal(missingRights(wanted, told(undefined), ours)[0]?.isUntold, true);
  const all = {...cluster, names: [...cluster.names], operations: [...cluster.operations]};
  assert.deepEqual(missingRights([all], told(undefined), ours), [
    {text: 'IdempotentWrite on the cluster', grant: `${command} --operation IdempotentWrite --cluster`},
  ]);
});
