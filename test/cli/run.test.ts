/** `millrace run` as a process: signals, exit codes, ports, locks, and what other commands get from it while it runs. */
import assert from 'node:assert/strict';
import {existsSync, readFileSync, statSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {join} from 'node:path';
import {after, before, describe, test} from 'node:test';
import {asTyped} from '../../src/invocation.ts';
import {type Child, start} from '../faults/process.ts';
import {cli, filePlatform, makeRoot, makeShop, writeFiles} from '../support/cli.ts';

/** Fails only for a user's eyes: a stack trace. */
const noStack = (text: string) => assert.doesNotMatch(text, /\n {4}at |millrace has a bug/);

const slowInput = (yaml: string) => yaml.replace('format: csv}', 'format: csv, rate: 5/s}');

async function makeSlowShop(): Promise<string> {
  const root = await makeShop();
  const path = join(root, 'config/domains/shop.yaml');
  writeFileSync(path, slowInput(readFileSync(path, 'utf8')));
  return root;
}

describe('a running platform', () => {
  let root = '';
  let child: Child;
  const run = (...argv: string[]) => cli(root, ...argv);
  before(async () => {
    root = await makeSlowShop();
    child = start(root, ['run']);
    await child.says(/ events, /);
  });
  after(async () => {
    child.kill('SIGTERM');
    const {code, stderr, stdout} = await child.ended;
    assert.equal(code, 0, stderr);
    assert.equal(stdout, '');
    assert.match(
      stderr,
      /\nstopped: \d+ events in the log, \d+ rows written in this run, ledger balanced\n\d+ windows are open: they close as time moves on, or with: .* ingest shop\.purchases --final\n$/,
    );
    noStack(stderr);
    const {balanced, ingest} = JSON.parse((await cli(root, 'ledger', '--json')).stdout);
    assert.equal(balanced, true);
    assert.ok(ingest.length >= 1);
  });

  test('tells once a second how it stands, in one line without colours', () => {
    assert.match(
      child.stderr(),
      /^\S+Z running [\d,]+ events\/s, [\d,]+ rows\/s \| [\d,]+ events, [\d,]+ rows, lag (?:[\d,]+|starting), dead letters [\d,]+, late [\d,]+, ledger balanced\n/,
    );
    assert.ok(!child.stderr().includes('\u001b'));
  });

  test('its socket and its token are the owner’s alone', () => {
    const mode = (path: string) => statSync(join(root, path)).mode & 0o777;
    assert.equal(mode('.millrace'), 0o700);
    assert.equal(mode('.millrace/token'), 0o600);
    assert.equal(mode('.millrace/control.sock'), 0o600);
  });

  test('status: the picture, or JSON', async () => {
    const {code, stdout, stderr} = await run('status');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^millrace shop dev · running, up \d\d:\d\d · http:\/\/127\.0\.0\.1:\d+\n/);
    assert.match(stdout, /shop\.orders_per_day/);
    const status = JSON.parse((await run('status', '--json')).stdout);
    assert.equal(status.phase, 'running');
    assert.equal(status.pid, child.pid);
    assert.doesNotMatch(status.url, /:0$/);
    assert.equal((await fetch(`${status.url}/livez`)).status, 200);
  });

  test('a second run in the same directory is refused and told who runs', async () => {
    const {code, stderr} = await run('run', '--port', '0');
    assert.equal(code, 4);
    assert.equal(
      stderr,
      `error LOCKED a platform runs here already, process ${child.pid}\n  hint: ${asTyped('npx millrace', root)} status\n`,
    );
  });

  test('ingest goes through it, and the same file twice does nothing', async () => {
    writeFiles(root, {
      'more.csv':
        'timestamp,order_id,user_id,category,country,amount,quantity\n2026-01-05T00:00:00Z,m1,u1,books,DE,1.00,1\n2026-01-05T00:00:00Z,m2,u1,books,DE,1.00,0\n',
    });
    const first = await run('ingest', 'purchases', 'more.csv');
    assert.equal(first.code, 0, first.stderr);
    assert.match(
      first.stderr,
      /^purchases\/more\.csv: done: 2 rows, 1 appended, 0 duplicate, 1 rejected \(CHECK:quantity_is_positive 1\), in /,
    );
    const again = await run('ingest', 'purchases', 'more.csv', '--json');
    assert.equal(JSON.parse(again.stdout).state, 'unchanged');
    const missing = await run('ingest', 'purchases', 'none.csv');
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /^error INPUT_MISSING .*none\.csv/);
  });

  test('ledger, tap and dlq work beside it', async () => {
    const ledger = await run('ledger', '--json');
    assert.equal(ledger.code, 0, ledger.stdout);
    assert.ok(JSON.parse(ledger.stdout).delivery.some(({sink}: {sink: string}) => sink === 'rows'));
    // The input brings 5 events a second: the next two come while tap waits.
    const tapped = await run('tap', 'shop.purchase', '--limit', '2');
    assert.equal(tapped.stdout.trim().split('\n').length, 2);
    assert.match((await run('dlq', 'list')).stdout, /CHECK:quantity_is_positive/);
  });

  test('resume names what has stopped, or says that nothing has', async () => {
    const {code, stderr} = await run('resume', 'nothing');
    assert.equal(code, 2);
    assert.match(stderr, /nothing named "nothing" has stopped\n {2}hint: \S+ \S*millrace\S* status/);
    assert.deepEqual(await run('resume'), {code: 0, stdout: '', stderr: 'nothing has stopped\n'});
    assert.deepEqual(await run('resume', 'orders_per_day'), {
      code: 0,
      stdout: '',
      stderr: 'shop.orders_per_day runs already\n',
    });
  });

  test('doctor leaves its databases alone', async () => {
    const {code, stdout} = await run('doctor');
    assert.equal(code, 0, stdout);
    assert.match(stdout, new RegExp(`^ok +running +yes, process ${child.pid}$`, 'm'));
    assert.doesNotMatch(stdout, /sink rows/);
  });
});

describe('how a run ends', () => {
  test('a busy port: exit code 4, who can have it, and a way out', async () => {
    const root = await makeShop({
      'config/platform.yaml': filePlatform.replace('port: 0', 'port: 0, token: "${secret:token}"'),
      '.env': 'token=pineapple\n',
    });
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const {port} = server.address() as {port: number};
    const {code, stderr} = await start(root, ['run', '--port', String(port)]).ended;
    server.close();
    assert.equal(code, 4);
    assert.match(
      stderr,
      new RegExp(`^error PORT_BUSY port ${port} on 127\\.0\\.0\\.1 is taken by .*\\n {2}hint: .*--port`, 'm'),
    );
    assert.match(stderr, /^warn: config\/platform\.yaml:4 SECRET_WEAK the secret "token" is short/m);
    // What was opened is closed again.
    assert.equal((await cli(root, 'ledger')).code, 0);
  });

  test('an odd port is a usage error', async () => {
    const root = await makeShop();
    for (const port of ['x', '-1', '65536', '1.5', ''])
      assert.equal((await cli(root, 'run', '--port', port)).code, 2, port);
  });

  test('a query whose meaning changed: exit code 2, and the way out is named', async () => {
    const root = await makeShop();
    assert.equal((await start(root, ['run', '--until-idle']).ended).code, 0);
    const path = join(root, 'config/domains/shop.yaml');
    writeFileSync(path, readFileSync(path, 'utf8').replace('size: 1h', 'size: 2h'));
    const {code, stderr} = await start(root, ['run', '--until-idle']).ended;
    assert.equal(code, 2);
    assert.match(stderr, /query shop\.revenue_per_hour .*QUERY_CHANGED/);
    assert.match(stderr, /millrace(\.js)? rebuild shop\.revenue_per_hour/);
    noStack(stderr);
  });

  test('an input that cannot be read: exit code 1, the others go on', async () => {
    const root = await makeShop();
    const path = join(root, 'config/domains/shop.yaml');
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(
        'aggregations:',
        '  - {name: others, event_type: purchase, from: ../../data/none.csv, format: csv}\naggregations:',
      ),
    );
    const {code, stderr} = await start(root, ['run', '--until-idle']).ended;
    assert.equal(code, 1);
    assert.match(stderr, /input shop\.others stopped: INPUT_MISSING/);
    assert.match(stderr, /stopped: 499 events in the log/);
    noStack(stderr);
  });

  for (const [signal, cut] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)
    test(`${signal} drains and exits with 0; a second one cuts it short with ${cut}`, async () => {
      const root = makeRoot({
        'config/platform.yaml': `${filePlatform}plugins: [../slow.ts]\n`.replace(
          'backend: file',
          'backend: slow',
        ),
        'slow.ts': slowSink,
        'config/domains/d.yaml': oneQuery,
        'data/e.csv': 'timestamp,kind\n2026-01-05T00:00:00Z,a\n2026-01-05T00:00:01Z,b\n',
      });
      const child = start(root, ['run']);
      // Both were read: their rows are on the way into the slow sink.
      await child.says(/ 2 events, 0 rows, lag 0,/);
      child.kill(signal);
      await new Promise((resolve) => setTimeout(resolve, 900));
      child.kill(signal);
      const {code, stderr} = await child.ended;
      assert.equal(code, cut, stderr);
      assert.match(stderr, /the drain was cut short: what was not written is written at the next start\n/);
      noStack(stderr);
    });

  test('a signal while the configuration is read: it does not begin, and ends with 0', async () => {
    const root = await makeShop({
      'slow.ts': `process.stderr.write('plugins load\\n'); await new Promise((resolve) => setTimeout(resolve, 500));\n${slowSink}`,
      'config/platform.yaml': `${filePlatform}plugins: [../slow.ts]\n`,
    });
    const child = start(root, ['run']);
    await child.says(/plugins load/);
    child.kill('SIGINT');
    const {code, stderr} = await child.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /stopped before it began: nothing was read or written\n$/);
    assert.ok(!existsSync(join(root, '.millrace/log')));
  });

  test('a signal while it starts ends it with 0 as soon as it stands', async () => {
    const root = makeRoot({
      'config/platform.yaml': `${filePlatform}plugins: [../slow.ts]\n`.replace(
        'backend: file',
        'backend: slow',
      ),
      'slow.ts': slowSink.replace('open: async () => ({', `open: async () => (${tellAndWait}, {`),
      'config/domains/d.yaml': oneQuery,
      'data/e.csv': 'timestamp,kind\n',
    });
    const child = start(root, ['run']);
    await child.says(/the sink opens/);
    child.kill('SIGINT');
    const {code, stderr} = await child.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /stopped: 0 events in the log/);
    noStack(stderr);
    assert.equal((await cli(root, 'doctor')).code, 0);
  });
});

const oneQuery = `domain: d
event_types:
  - {name: e, dimensions: [kind]}
inputs:
  - {name: in, event_type: e, from: ../../data/e.csv, format: csv}
aggregations:
  - {name: q, from: e, window: {type: tumbling, size: 1m}, group_by: [kind], measures: {n: count()}}
`;

const tellAndWait =
  "process.stderr.write('the sink opens\\n'), await new Promise((resolve) => setTimeout(resolve, 500))";

/** A sink that never acknowledges. */
const slowSink = `export const sinks = [{
  name: 'slow', summary: 'Never acknowledges', fields: {},
  capabilities: {isolation: 'inline', upsert: true, raw: false, query: false, views: false, durable: false},
  open: async () => ({
    ensure: async () => {}, write: () => new Promise(() => {}), mark: async () => {}, marked: async () => undefined,
    close: async () => {},
  }),
}];
`;
