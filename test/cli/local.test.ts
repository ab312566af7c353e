/** `millrace up`, `down`, and what `status` says of local servers. */
import assert from 'node:assert/strict';
import {once} from 'node:events';
import {existsSync, readFileSync, statSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {join} from 'node:path';
import {after, suite, test} from 'node:test';
import pg from 'pg';
import {type LocalServer, listServers} from '../../src/cluster/local.ts';
import {freePorts} from '../../src/cluster/ports.ts';
import {isRunning} from '../../src/cluster/process.ts';
import {skipWithout} from '../cluster/needs.ts';
import {cli, makeRoot, makeShop, writeFiles} from '../support/cli.ts';
import {startIn} from '../support/running.ts';

const domain = 'domain: shop\nevent_types:\n  - {name: sale, dimensions: [shop]}\n';
const single = `log: {backend: kafka, kafka: {brokers: [127.0.0.1:1]}}
sinks:
  records: {backend: postgres, postgres: {url: postgres://a@127.0.0.1:1/b}}
secrets: {backend: vault, vault: {url: http://127.0.0.1:1}}
`;

type Shown = {servers: {name: string; phase: string; pids: number[]; address: string}[]};
const shown = (stdout: string) => (JSON.parse(stdout) as Shown).servers;

suite('local servers', skipWithout('psql', 'python3'), () => {
  const root = makeRoot({'config/domains/shop.yaml': domain});
  const home = join(root, '.millrace', 'cluster');
  after(async () => void (await cli(root, 'down', '--wipe')));

  test('up starts what is named, and a second up finds it', async () => {
    const first = await cli(root, 'up', 'postgres', 'vault', '--json');
    assert.equal(first.code, 0, first.stderr);
    const servers = shown(first.stdout);
    assert.deepEqual(
      servers.map(({name, phase}) => [name, phase]),
      [
        ['postgres', 'running'],
        ['vault', 'running'],
      ],
    );
    const {variables, settings} = JSON.parse(first.stdout);
    assert.equal(variables.MILLRACE_POSTGRES, `postgres://millrace@${servers[0]!.address}/millrace`);
    assert.deepEqual(settings.sinks.records.postgres, {
      url: variables.MILLRACE_POSTGRES,
      password: '${secret:postgres_password}',
    });
    const read = await fetch(`${variables.MILLRACE_VAULT}/v1/secret/data/millrace`, {
      headers: {'X-Vault-Token': variables.VAULT_TOKEN},
    });
    const {data} = (await read.json()) as {data: {data: object}};
    assert.deepEqual(data.data, {postgres_password: variables.POSTGRES_PASSWORD});
    assert.match(
      variables.POSTGRES_PASSWORD,
      /^[\w-]{24}$/,
      'each has its own, which is no word of our messages',
    );
    const second = await cli(root, 'up', 'vault', 'postgres', '--json');
    assert.deepEqual(
      shown(second.stdout).map(({pids}) => pids),
      servers.map(({pids}) => pids),
    );
    assert.match(second.stderr, /postgres: PostgreSQL runs already\n/);
  });

  test('status lists them, without a password, also where no platform runs', async () => {
    const {code, stdout, stderr} = await cli(root, 'status');
    assert.equal(code, 4);
    assert.match(stderr, /NOT_RUNNING/);
    assert.match(
      stdout,
      /^postgres +running +\d+ +127\.0\.0\.1:\d+ +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +[\d.]+ MiB$/m,
    );
    const json = await cli(root, 'status', '--json');
    assert.equal(shown(json.stdout).length, 2);
    assert.ok(!json.stdout.includes('VAULT_TOKEN'));
  });

  test('up starts one again that was killed, at its address', async () => {
    const before = listServers(home).find(({name}) => name === 'vault')!;
    process.kill(before.processes[0]!.pid, 'SIGKILL');
    while (isRunning(before.processes[0]!)) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.match((await cli(root, 'status')).stdout, /^vault +stopped +http/m);
    const {stdout} = await cli(root, 'up', 'vault', '--json');
    const [after] = shown(stdout);
    assert.equal(after!.address, before.address);
    assert.notEqual(after!.pids[0], before.processes[0]!.pid);
  });

  test('--write-env sets variables in .env and leaves the rest, for its owner alone', async () => {
    const path = join(root, '.env');
    writeFileSync(path, 'POSTGRES_PASSWORD=old\nOWN=1\n');
    assert.match(
      (await cli(root, 'up', 'postgres')).stdout,
      /^Their passwords: \S.* up --write-env puts them/m,
    );
    const {stderr, stdout} = await cli(root, 'up', 'postgres', '--write-env');
    assert.doesNotMatch((await cli(root, 'up', 'postgres')).stdout, /Their passwords/);
    const password = readFileSync(join(home, 'postgres', 'password'), 'utf8').trim();
    const lines = readFileSync(path, 'utf8').split('\n');
    assert.deepEqual(lines.slice(0, 2), [`POSTGRES_PASSWORD=${password}`, 'OWN=1']);
    assert.match(lines[2]!, /^MILLRACE_POSTGRES=postgres:/);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.ok(!stderr.includes(password) && !stdout.includes(password));

    const to = new URL(lines[2]!.split('=')[1]!);
    to.password = password;
    const client = new pg.Client(to.href);
    await client.connect();
    await client.query("ALTER USER millrace PASSWORD 'the new one'");
    await client.end();
    const lost = await cli(root, 'up', 'postgres', '--write-env');
    assert.match(
      lost.stderr,
      /^postgres: its password was changed in the server since, and none that is known/m,
    );
    assert.match(lost.stderr, /\.env: MILLRACE_POSTGRES\n/, 'what is known to be wrong is not written');
    const changed = readFileSync(path, 'utf8').replace(password, '"the new one"');
    writeFileSync(path, changed);
    const found = await cli(root, 'up', 'postgres', '--write-env', '--json');
    assert.match(found.stderr, /^postgres: its password was changed in the server since; the one of \.env/m);
    assert.equal(JSON.parse(found.stdout).variables.POSTGRES_PASSWORD, 'the new one');
    assert.equal(readFileSync(path, 'utf8'), changed);
    writeFileSync(path, '');
    await cli(root, 'up', 'postgres', '--write-env');
    assert.match(readFileSync(path, 'utf8'), /^POSTGRES_PASSWORD='the new one'$/m, 'it is kept');
  });

  test('down ends them and leaves a stranger alone that has the pid of one', async () => {
    const path = join(home, 'vault', 'state.json');
    const real = readFileSync(path, 'utf8');
    const state = JSON.parse(real) as LocalServer;
    writeFileSync(path, JSON.stringify({...state, processes: [{pid: process.pid, start: '1'}]}));
    assert.equal((await cli(root, 'down', 'vault')).stderr, 'no local server runs here\n');
    writeFileSync(path, real);
    const {stdout, code} = await cli(root, 'down', '--json');
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), {ended: ['postgres', 'vault'], wiped: false});
    assert.deepEqual(
      listServers(home).map(({phase}) => phase),
      ['stopped', 'stopped'],
    );
  });

  test('what they kept is there after the next up, until it is wiped', async () => {
    const address = listServers(home)[0]!.address;
    const [server] = shown((await cli(root, 'up', 'postgres', '--json')).stdout);
    assert.equal(server!.address, address);
    const {stderr} = await cli(root, 'down', '--wipe');
    assert.match(stderr, /postgres: ended, and what it kept is removed\n/);
    assert.deepEqual(listServers(home), []);
  });
});

test('up starts Kafka and an interface of ClickHouse, which answer', skipWithout('java', 'mvn'), async () => {
  const root = makeRoot({'config/domains/shop.yaml': domain});
  try {
    const {stdout, stderr, code} = await cli(root, 'up', 'kafka', 'clickhouse');
    assert.equal(code, 0, stderr);
    const address = /^ {8}url: (http:\S+)$/m.exec(stdout)?.[1];
    assert.equal(
      await (await fetch(`${address}/?query=SELECT%20sum(number)%20FROM%20numbers(4)`)).text(),
      '6\n',
    );
    assert.match(
      stdout,
      /^ {2}log:\n {4}backend: kafka\n {4}kafka:\n {6}brokers:\n {8}- 127\.0\.0\.1:\d+\n/m,
    );
    assert.match(stdout, /^ {2}engine:[\s\S]* {6}checkpoints: \.millrace\/state-kafka\n/m);
    const three = await cli(root, 'up', 'kafka', '--brokers', '3');
    assert.equal(three.code, 4);
    assert.match(three.stderr, /the Kafka that runs here has one broker, not 3/);
  } finally {
    await cli(root, 'down', '--wipe');
  }
});

suite('up says what it cannot do', () => {
  test('for a name that is none', async () => {
    const {code, stderr} = await cli(makeRoot({'config/domains/shop.yaml': domain}), 'up', 'postgre');
    assert.equal(code, 2);
    assert.match(
      stderr,
      /error NAME_UNKNOWN there is no local server "postgre"\n {2}hint: did you mean postgres\?/,
    );
  });

  test('for two brokers', async () => {
    const root = makeRoot({'config/domains/shop.yaml': domain});
    const {code, stderr} = await cli(root, 'up', 'kafka', '--brokers', '2');
    assert.equal(code, 2);
    assert.match(stderr, /error USAGE --brokers 2: one broker or three/);
  });

  test('outside of a platform', async () => {
    const {code, stderr} = await cli(makeRoot(), 'up');
    assert.equal(code, 2);
    assert.match(stderr, /there is no config\//);
  });
});

test('up without names starts what the environment runs on, where it says', async () => {
  const {neededServers} = await import('../../src/cli/local.ts');
  const root = makeRoot({
    'config/domains/shop.yaml': domain,
    'config/platform.yaml': 'engine: {embedded: {checkpoints: s3://bucket/checkpoints}}\n',
    'config/environments/single.yaml': single,
  });
  const names = (env: string | undefined, at = root) => neededServers(at, env).map(({name}) => name);
  assert.deepEqual(names(undefined), ['kafka', 'postgres', 'vault', 's3']);
  assert.deepEqual(names('dev'), ['s3']);
  assert.throws(() => names('production'), /there is no environment "production"/);
  assert.deepEqual(names(undefined, makeRoot({'config/domains/shop.yaml': domain})), ['kafka', 'postgres']);

  writeFiles(root, {
    'config/environments/here.yaml': `log:
  backend: kafka
  kafka: {brokers: ["localhost:9092", "127.0.0.1:9094"]}
sinks:
  a: {backend: clickhouse, clickhouse: {url: "http://[::1]"}}
  b: {backend: postgres, postgres: {url: "postgres://me@127.0.0.1:5433/x?sslmode=disable"}}
  c: {backend: postgres, postgres: {url: "postgres://db.example/x"}}
registry: {backend: confluent, confluent: {url: "https://registry.example:8081/api"}}
secrets: {backend: vault, vault: {url: "\${secret:where}"}}
`,
  });
  const at = 'config/environments/here.yaml';
  const free = {wanted: undefined, elsewhere: undefined};
  assert.deepEqual(neededServers(root, 'here'), [
    {name: 'kafka', wanted: {ports: [9092, 9094], place: `${at}:3`}, elsewhere: undefined},
    {name: 'registry', wanted: undefined, elsewhere: 'registry.example:8081'},
    {name: 'clickhouse', wanted: {ports: [8123], place: `${at}:5`}, elsewhere: undefined},
    {name: 'postgres', wanted: {ports: [5433], place: `${at}:6`}, elsewhere: undefined},
    {name: 'vault', ...free},
    {name: 's3', ...free},
  ]);
});

test('up starts a server at the address that the environment names, moves it, and says who has the port', async () => {
  const [first, second] = (await freePorts(2)) as [number, number];
  const named = (port: number) =>
    `sinks: {analytics: {backend: clickhouse, clickhouse: {url: "http://127.0.0.1:${port}"}}}\n`;
  const environment = 'config/environments/single.yaml';
  const root = makeRoot({'config/domains/shop.yaml': domain, [environment]: named(first)});
  const addressOf = (stdout: string) => shown(stdout)[0]!.address;
  try {
    assert.equal(addressOf((await cli(root, 'up', '--json')).stdout), `http://127.0.0.1:${first}`);
    const said = (await cli(root, 'up')).stdout;
    assert.match(said, /is in config\/environments\/single\.yaml already\n {2}\S.* run --env single\n$/);
    assert.doesNotMatch(said, /backend: clickhouse/);
    const ask = async (port: number, sql: string) =>
      (await fetch(`http://127.0.0.1:${port}`, {method: 'POST', body: sql})).text();
    await ask(first, 'CREATE TABLE kept (n Int64) ENGINE = MergeTree ORDER BY n AS SELECT 42 AS n');

    writeFiles(root, {[environment]: named(second)});
    const runs = await cli(root, 'up');
    assert.equal(runs.code, 4);
    assert.match(
      runs.stderr,
      /runs at \S+, and the configuration names port \d+\n.*single\.yaml:1\n.*down clickhouse/,
    );

    await cli(root, 'down');
    const other = createServer().listen(second, '127.0.0.1');
    await once(other, 'listening');
    const taken = await cli(root, 'up');
    assert.equal(taken.code, 4);
    assert.match(taken.stderr, new RegExp(`port ${second}, which the configuration names, is in use`));
    if (process.platform === 'linux')
      assert.ok(taken.stderr.includes(`(process ${process.pid}) listens there`));
    await new Promise((resolve) => other.close(resolve));

    assert.equal(addressOf((await cli(root, 'up', '--json')).stdout), `http://127.0.0.1:${second}`);
    assert.equal(await ask(second, 'SELECT n FROM kept'), '42\n');
  } finally {
    await cli(root, 'down', '--wipe');
  }
});

test('up leaves servers alone that are not on this machine', async () => {
  const root = makeRoot({
    'config/domains/shop.yaml': domain,
    'config/environments/single.yaml': 'log: {backend: kafka, kafka: {brokers: ["kafka-1:9093"]}}\n',
  });
  const {code, stderr} = await cli(root, 'up');
  assert.equal(code, 0);
  assert.match(
    stderr,
    /^kafka: the configuration names kafka-1:9093, which is not this machine: not started\n/,
  );
});

test('a port that somebody has is told before any server is started', async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
  const {port} = holder.address() as {port: number};
  const root = makeRoot({
    'config/domains/shop.yaml': domain,
    'config/environments/single.yaml': `log: {backend: kafka, kafka: {brokers: ["127.0.0.1:${port}"]}}
secrets: {backend: vault, vault: {url: "http://127.0.0.1:1"}}
`,
  });
  const {code, stderr} = await cli(root, 'up');
  await new Promise((resolve) => holder.close(resolve));
  assert.equal(code, 4);
  assert.match(stderr, new RegExp(`SERVER_FAILED port ${port}, which the configuration names, is in use`));
  assert.equal(existsSync(join(root, '.millrace')), false);
});

test('down says that a platform runs here', async () => {
  const root = await makeShop();
  const {running} = await startIn(root);
  try {
    assert.match(
      (await cli(root, 'down')).stderr,
      /^a platform runs here: what it writes to these servers waits/,
    );
  } finally {
    await running.drain();
  }
});
