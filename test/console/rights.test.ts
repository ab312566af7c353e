/** Processes with the rights that doctor asks for and no other, and a console that may read: what it tells, and what it says that it may not see. */
import assert from 'node:assert/strict';
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {after, before, suite, test} from 'node:test';
import {type Kafka, startKafka} from '../../src/cluster/kafka.ts';
import {type RunningConsole, startConsole} from '../../src/console/start.ts';
import {connectConsole} from '../../src/platform/control.ts';
import {readLatest} from '../../src/sinks/file/read.ts';
import {skipWithout} from '../cluster/needs.ts';
import {type Child, start} from '../faults/process.ts';
import {cli, makeRoot} from '../support/cli.ts';
import {giveRights} from '../support/kafka-acls.ts';
import {kafkaSettings} from '../support/rows.ts';
import {platformOf} from '../support/running.ts';
import {until} from '../support/until.ts';

const domain = `domain: shop
event_types:
  - name: sale
    dimensions: [color]
    metrics: [{name: amount, type: money}]
inputs:
  - {name: sales, event_type: sale, format: csv}
aggregations:
  - name: per_day
    from: sale
    window: {type: tumbling, size: 1d}
    group_by: [color]
    measures: {sold: count(), revenue: sum(amount)}
    watermark: 1d
`;
/** Each is a user with a password; those of roles run processes. */
const users = ['ingest', 'engine', 'sinks', 'console', 'whole'];
const prefixed = '--resource-pattern-type prefixed';
type Finding = {check: string; state: string; message: string; hint?: string};

test('without Kafka there are no rights to ask for', async () => {
  const {code, stderr} = await cli(
    makeRoot({'config/domains/shop.yaml': domain}),
    'doctor',
    '--only',
    'engine',
  );
  assert.equal(code, 2);
  assert.match(stderr, /--only asks for rights in Kafka, and the log is embedded/);
});

suite('the least rights', skipWithout('java', 'mvn'), () => {
  let kafka: Kafka;
  let root: string;
  const running: Child[] = [];
  const filesFor = (user: string) => ({
    'config/platform.yaml': `platform: shop
sinks: {rows: {backend: file}}
defaults: {aggregates: rows, raw: none}
server: {port: 0}
log:
  backend: kafka
  kafka:
    brokers: ["${kafka.listeners.sasl![0]}"]
    client_id: least
    topics: {partitions: 2, replication: 1}
    security: {protocol: sasl_plaintext, mechanism: scram-sha-256, username: ${user}, password: of-${user}}
`,
    'config/domains/shop.yaml': domain,
  });
  const rightsOf = async (user: string, ...argv: string[]) => {
    const {code, stdout} = await cli(root, 'doctor', '--json', '--env', user, ...argv);
    const found = (JSON.parse(stdout) as Finding[]).filter(({check}) => check === 'rights');
    return {code, found, lacks: found.filter(({state}) => state !== 'ok')};
  };
  /** Runs the commands that doctor prints, and no other. @returns what it had said */
  const giveAll = async (user: string, ...argv: string[]): Promise<Finding[]> => {
    const {code, lacks} = await rightsOf(user, ...argv);
    assert.equal(code, 1);
    const commands = lacks.map(({hint}) => hint!);
    await giveRights(kafkaSettings(kafka), commands);
    let now = await rightsOf(user, ...argv);
    await until(
      async () => now.lacks.length === 0 || (now = await rightsOf(user, ...argv)).lacks.length === 0,
      () => JSON.stringify(now),
    );
    assert.equal(now.code, 0);
    assert.match(now.found[0]!.message, new RegExp(`^User:${user} has those of .* topics and \\d groups?$`));
    return lacks;
  };

  before(async () => {
    kafka = await startKafka({
      listeners: ['sasl'],
      users: Object.fromEntries(users.map((user) => [user, `of-${user}`])),
      properties: {
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        'super.users': 'User:ANONYMOUS',
      },
    });
    const {'config/platform.yaml': whole, ...others} = filesFor('whole');
    const environments = users.map((user) => [
      `config/environments/${user}.yaml`,
      `log: {kafka: {security: {username: ${user}, password: of-${user}}}}\n`,
    ]);
    root = makeRoot({...others, 'config/platform.yaml': whole, ...Object.fromEntries(environments)});
  });
  after(async () => {
    for (const child of running) child.kill('SIGKILL');
    await kafka?.stop();
  });

  test('doctor says what a user lacks for its roles, with commands that give exactly that', async () => {
    const lacks = await giveAll('sinks', '--only', 'sinks');
    const configs = 'without it how topics differ from the configuration is not told';
    assert.deepEqual(
      lacks.map(({state, message, hint}) => [
        state,
        message.replace('for --only sinks User:sinks lacks ', ''),
        hint!.replace(
          `kafka-acls.sh --bootstrap-server ${kafka.listeners.sasl![0]} --add --allow-principal User:sinks `,
          '',
        ),
      ]),
      [
        // Raw events go nowhere here.
        [
          'failed',
          'Describe, Create on topics shop.*',
          `--operation Describe --operation Create --topic shop. ${prefixed}`,
        ],
        [
          'warning',
          `DescribeConfigs on topics shop.*, agg.shop.*: ${configs}`,
          `--operation DescribeConfigs --topic shop. --topic agg.shop. ${prefixed}`,
        ],
        [
          'failed',
          'Read, Write, Create on topics dlq.shop, replay.shop',
          '--operation Read --operation Write --operation Create --topic dlq.shop --topic replay.shop',
        ],
        [
          'warning',
          `DescribeConfigs on topics dlq.shop, replay.shop, least.rows: ${configs}`,
          '--operation DescribeConfigs --topic dlq.shop --topic replay.shop --topic least.rows',
        ],
        ['failed', 'Read on topics agg.shop.*', `--operation Read --topic agg.shop. ${prefixed}`],
        [
          'failed',
          'Read, Create on topic least.rows',
          '--operation Read --operation Create --topic least.rows',
        ],
        ['failed', 'Read on groups least.sinks.*', `--operation Read --group least.sinks. ${prefixed}`],
      ],
    );
    // A right on the cluster creates all topics.
    const create = 'kafka-acls.sh --add --allow-principal User:whole --operation Create --cluster';
    await giveRights(kafkaSettings(kafka), [create]);
    await until(
      async () => !(await rightsOf('whole')).found.some(({message}) => message.includes('Create')),
      'it may create topics',
    );
    const whole = await giveAll('whole');
    assert.match(whole[0]!.message, /^for a platform in one process User:whole lacks Read, Write on topics /);
    const {found} = await rightsOf('engine', '--only', 'engine');
    assert.match(JSON.stringify(found), /Delete on topics agg\.shop\.\*: without it prune/);
  });

  test('processes of roles do their work with these rights', async () => {
    await Promise.all(['ingest', 'engine'].map((role) => giveAll(role, '--only', role)));
    await Promise.all(
      ['ingest', 'engine', 'sinks'].map(async (role) => {
        const child = start(root, ['run', '--only', role, '--env', role], undefined, 300_000);
        running.push(child);
        await child.says(/ running /);
      }),
    );
    const day = '2026-01-05T12:00:00Z';
    writeFileSync(
      join(root, 'sales.csv'),
      `event_id,timestamp,color,amount\na,${day},red,1.50\nb,${day},red,2.00\nc,${day},red,many\n`,
    );
    await cli(root, 'ingest', 'sales', 'sales.csv', '--env', 'ingest');
    const rows = async () =>
      (await readLatest(join(root, '.millrace/files'), 'shop.per_day__r1'))?.rows.map(
        ({color, sold, revenue_cents}) => [color, sold, revenue_cents],
      );
    await until(
      async () => JSON.stringify(await rows()) === '[["red",2,350]]',
      () => running.map((child) => child.stderr()).join('\n'),
    );
    for (const child of running) assert.doesNotMatch(child.stderr(), /KAFKA_ACCESS|AUTHORIZATION/);
  });

  test('a console says what it may not see, and with the rights that doctor asks for it sees it', async () => {
    const elsewhere = makeRoot(filesFor('console'));
    const seen: RunningConsole = await startConsole(await platformOf(elsewhere), {say: () => {}});
    after(() => seen.close());
    const look = async () => (await seen.status()).kafka;
    await until(async () => (await seen.status()).leases.length > 0, 'it has looked at everything');
    assert.equal((await look()).state, 'answering');
    const {queries, sinks, topics} = await look();
    const hidden = 'KAFKA_ACCESS the user of log.kafka.security may not describe';
    assert.deepEqual(
      topics.map(({topic, records, message}) => [topic, records, message?.replace(hidden, '')]),
      [
        ...['agg.shop.per_day.r1', 'dlq.shop', 'late.shop.per_day', 'least.rows', 'replay.shop'],
        ...['replay.shop.per_day', 'shop.sale'],
      ].map((topic) => [topic, null, ` topic ${topic}`]),
    );
    for (const {state, lag, message} of [...queries, ...sinks])
      assert.match(`${state} ${lag} ${message}`, /^unknown null KAFKA_ACCESS .*group least\./);
    const [lease] = (await seen.status()).leases;
    assert.match(`${lease!.holder} ${lease!.message}`, /^null KAFKA_ACCESS .*group least\.ingest/);
    assert.match((await cli(elsewhere, 'status')).stdout, /shop\.sale +may not be seen +unknown/);
    for (const kind of ['dlq', 'late']) {
      const {code, stdout, stderr} = await cli(elsewhere, kind, 'list');
      assert.deepEqual([code, stdout], [4, ''], stderr);
      assert.match(stderr, /KAFKA_ACCESS .* may not describe topics .*replay\.shop\n +hint: .*doctor/);
    }
    // The right on groups alone does not help: brokers leave out offsets of topics that may not be seen.
    const describe = `kafka-acls.sh --add --allow-principal User:console --operation Describe`;
    await giveRights(kafkaSettings(kafka), [
      `${describe} --group least. ${prefixed}`,
      `${describe} --topic dlq.shop --topic replay.shop`,
    ]);
    const said = async () => {
      const {queries, sinks} = await look();
      return [...queries, ...sinks].map(({state, message}) => `${state} ${message?.replace(hidden, '')}`);
    };
    await until(
      async () => (await said()).join() === 'unknown  topic shop.sale,unknown  topic agg.shop.per_day.r1',
      'it says which topics',
    );
    // Who may describe and not read sees how much there is, and is told what he may not read.
    await until(
      async () => /TOPIC_AUTHORIZATION_FAILED/.test((await cli(elsewhere, 'dlq', 'list')).stderr),
      'reading is another right',
    );

    await giveAll('console', '--only', 'console');
    const letters = async () => {
      const control = await connectConsole(elsewhere);
      return (await control!.get<{total: number}>('/v1/letters', {domain: 'shop'})).total;
    };
    await until(async () => (await letters()) === 1, 'the letter');
    await until(async () => {
      const {kafka, leases} = await seen.status();
      const all = [...kafka.topics, ...kafka.queries, ...kafka.sinks, leases[0]!];
      return all.every(({message}) => message === undefined) && leases[0]!.holder !== null;
    }, 'it sees everything');
    assert.equal((await look()).topics.find(({topic}) => topic === 'shop.sale')?.records, 2);
  });
});
