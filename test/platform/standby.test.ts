/** Two roots as two machines: one log, one bucket, one place for rows; the second stands by. */
import assert from 'node:assert/strict';
import {existsSync, readFileSync} from 'node:fs';
import {request} from 'node:http';
import {join} from 'node:path';
import {after, type TestContext, test} from 'node:test';
import {freePorts} from '../../src/cluster/ports.ts';
import {type Child, start} from '../faults/process.ts';
import {type Bucket, startBucket} from '../support/bucket.ts';
import {cli, makeRoot, writeFiles} from '../support/cli.ts';

const bucket = await startBucket();
after(() => bucket?.stop());
const skip = bucket === undefined && process.env.CI !== 'true' && 'there is no SeaweedFS here';

const domain = `domain: shop
event_types:
  - name: sale
    dimensions: [country]
    metrics: [{name: amount, type: money}]
aggregations:
  - {name: per_minute, from: sale, window: {type: tumbling, size: 1m}, group_by: [country], measures: {n: count()}}
inputs:
  - {name: sales, event_type: sale, from: ../../sales.csv, format: csv}
`;
const csv = (name: string, count: number, fromMs: number) =>
  [
    'event_id,timestamp,country,amount',
    ...Array.from(
      {length: count},
      (_, index) =>
        `${name}-${index},${new Date(fromMs + index * 1_000).toISOString()},${['DE', 'FR'][index % 2]},1.50`,
    ),
  ].join('\n');

/** A machine's root. @param shared directory of what is one for both */
function machine(shared: string, name: string, port: number, {settings}: Bucket): string {
  const root = makeRoot();
  writeFiles(root, {
    '.env': `key=${settings.accessKey}\nsecret=${settings.secretKey}\n`,
    'config/platform.yaml': `platform: shop
log: {embedded: {dir: ${join(shared, 'log')}, partitions: 2}}
engine:
  embedded:
    checkpoints: s3://${settings.bucket}/${name}
    checkpoint_interval: 100ms
    lease: 1s
    s3: {endpoint: ${settings.endpoint}, access_key: "\${secret:key}", secret_key: "\${secret:secret}"}
sinks: {rows: {backend: file, file: {dir: ${join(shared, 'rows')}}}}
defaults: {aggregates: rows, raw: none}
server: {port: ${port}}
`,
    'config/domains/shop.yaml': domain,
    'sales.csv': csv('a', 120, Date.UTC(2026, 0, 1)),
  });
  return root;
}

/** Status and text of an open path; status 0: nothing listens. */
const ask = (port: number, path: string): Promise<{status: number; text: string}> =>
  new Promise((resolve) => {
    const call = request({port, host: '127.0.0.1', path}, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve({status: response.statusCode!, text}));
    });
    call.once('error', () => resolve({status: 0, text: ''}));
    call.end();
  });

async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<number> {
  const startMs = performance.now();
  while (!(await isSo())) {
    assert.ok(performance.now() - startMs < 60_000, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return performance.now() - startMs;
}

/** Window and country -> events, by the highest version. */
function rowsIn(shared: string): Map<string, number> {
  const path = join(shared, 'rows/shop/per_minute__r1.jsonl');
  const rows = new Map<string, {version: number; n: number}>();
  for (const line of existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []) {
    const {window_start, country, version, n} = JSON.parse(line);
    const key = `${window_start} ${country}`;
    if ((rows.get(key)?.version ?? -1) < version) rows.set(key, {version, n});
  }
  return new Map([...rows].map(([key, {n}]) => [key, n]));
}
const counted = (shared: string): number => [...rowsIn(shared).values()].reduce((sum, n) => sum + n, 0);

async function pair(t: TestContext, name: string) {
  assert.ok(bucket, 'CI needs SeaweedFS');
  const shared = makeRoot();
  const [portA, portB] = (await freePorts(2)) as [number, number];
  const roots = [machine(shared, name, portA, bucket), machine(shared, name, portB, bucket)] as const;
  const launch = (root: string, ...argv: string[]): Child => {
    const child = start(root, ['run', '--fast', ...argv]);
    t.after(() => child.kill('SIGKILL'));
    return child;
  };
  const first = launch(roots[0]);
  await until('the first is ready', async () => (await ask(portA, '/readyz')).status === 200);
  await until('its events are in rows', () => counted(shared) === 120);
  return {shared, roots, portA, portB, first, launch};
}

test('a standby says whom it waits for, takes over when the owner is killed, and goes on with what it left', {
  skip,
}, async (t) => {
  const {shared, roots, portB, first, launch} = await pair(t, 'kill');
  const second = launch(roots[1], '--standby');
  await until('the standby answers', async () => (await ask(portB, '/readyz')).status === 503);
  const {text} = await ask(portB, '/readyz');
  assert.match(
    text,
    new RegExp(`^standby: process ${first.pid} on \\S+ since \\S+ \\(.*\\) holds the checkpoints\\n$`),
  );
  assert.equal((await ask(portB, '/livez')).status, 200);
  assert.match((await cli(roots[1], 'status')).stdout, /^standby: process/);
  assert.match(second.stderr(), /standby: process/);
  const refused = await cli(roots[1], 'run');
  assert.equal(refused.code, 4);

  writeFiles(roots[1], {'more.csv': csv('b', 60, Date.UTC(2026, 0, 1, 0, 2))});
  const killedMs = performance.now();
  first.kill('SIGKILL');
  await first.ended;
  const readyMs = await until(
    'the second is ready',
    async () => (await ask(portB, '/readyz')).status === 200,
  );
  const ingesting = cli(roots[1], 'ingest', 'sales', 'more.csv');
  await until('a new row is there', () => counted(shared) > 120);
  const rowMs = performance.now() - killedMs;
  t.diagnostic(`killed -> ready ${Math.round(readyMs)} ms, -> first new row ${Math.round(rowMs)} ms`);
  const ingested = await ingesting;
  assert.equal(ingested.code, 0, ingested.stderr);
  await until('its rows are there', () => counted(shared) === 180);
  const ledger = JSON.parse((await cli(roots[1], 'ledger', '--json')).stdout);
  assert.equal(ledger.balanced, true);
  second.kill('SIGTERM');
  assert.equal((await second.ended).code, 0);

  // The first machine is back, without a platform that runs: it sees what the second one did.
  const seen = JSON.parse((await cli(roots[0], 'ledger', '--json')).stdout);
  assert.deepEqual(
    seen.query.map(({read}: {read: number}) => read).reduce((sum: number, read: number) => sum + read, 0),
    180,
  );
  assert.equal(
    [...rowsIn(shared).values()].reduce((sum, n) => sum + n, 0),
    180,
  );
});

test('a standby that is told to end does so; an owner that wakes after it lost the checkpoints ends and says why', {
  skip,
}, async (t) => {
  const {roots, portB, first, launch} = await pair(t, 'sleep');
  const waiting = launch(roots[1], '--standby');
  await until('the standby answers', async () => (await ask(portB, '/readyz')).status === 503);
  waiting.kill('SIGTERM');
  assert.equal((await waiting.ended).code, 0);

  const second = launch(roots[1], '--standby');
  await until('the standby answers', async () => (await ask(portB, '/readyz')).status === 503);
  first.kill('SIGSTOP');
  // It takes the checkpoints over, and then finds the log, which is a directory here, still in the sleeper's hands.
  const {code, stderr} = await second.ended;
  assert.equal(code, 4, stderr);
  assert.match(stderr, /LOCKED/);
  first.kill('SIGCONT');
  const end = await first.ended;
  assert.equal(end.code, 4);
  assert.match(end.stderr, /FENCED .* has taken the checkpoints in s3:\/\//);
});
