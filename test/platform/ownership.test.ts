import assert from 'node:assert/strict';
import {after, type TestContext, test} from 'node:test';
import {systemClock} from '../../src/clock.ts';
import {maximaOf} from '../../src/platform/books-elsewhere.ts';
import {takeOwnership} from '../../src/platform/ownership.ts';
import {dirsOf} from '../../src/platform/places.ts';
import type {TelemetryEvents} from '../../src/telemetry.ts';
import {startBucket} from '../support/bucket.ts';
import {makeRoot} from '../support/cli.ts';
import {clickHouseServer, password, user} from '../support/clickhouse.ts';
import {startProxy} from '../support/proxy.ts';
import {platformOf, runToEnd, startIn} from '../support/running.ts';

const bucket = await startBucket();
after(() => bucket?.stop());
const skip = bucket === undefined && process.env.CI !== 'true' && 'there is no SeaweedFS here';

/** The bucket behind something that can be cut, and the settings of an engine whose checkpoints are at a place in it. */
async function bucketOf(t: TestContext) {
  assert.ok(bucket, 'CI needs SeaweedFS');
  const proxy = await startProxy({to: {host: '127.0.0.1', port: bucket.port}});
  t.after(() => proxy.close());
  const {bucket: name, accessKey, secretKey, endpoint: direct} = bucket.settings;
  const placeOf = (prefix: string) => `s3://${name}/${prefix}`;
  const checkpoints = (prefix: string, endpoint = `http://127.0.0.1:${proxy.port}`) =>
    `checkpoints: ${placeOf(prefix)}, s3: {endpoint: "${endpoint}", access_key: ${accessKey}, secret_key: ${secretKey}}`;
  return {proxy, direct, placeOf, checkpoints};
}

test('what another owner would do in another way waits while the lease may be over, and goes on when it was renewed', {
  skip,
}, async (t) => {
  const {proxy, placeOf, checkpoints} = await bucketOf(t);
  const root = makeRoot({
    'config/platform.yaml': `platform: shop
engine: {embedded: {lease: 1s, ${checkpoints('held')}}}
`,
    'config/domains/shop.yaml': 'domain: shop\nevent_types: [{name: sale, dimensions: [country]}]\n',
  });
  const platform = await platformOf(root);
  const told: [string, unknown][] = [];
  const ownership = await takeOwnership(platform, dirsOf(platform), {
    command: 'test',
    telemetry: {emit: (name: keyof TelemetryEvents, event: unknown) => void told.push([name, event])},
    clock: systemClock,
    isStandby: false,
    onWaiting() {},
  });
  t.after(() => ownership.close({isKept: false}));
  assert.deepEqual(told[0], ['LeaseTaken', {place: placeOf('held'), epoch: 1}]);
  assert.equal(ownership.held(), undefined);
  assert.deepEqual(ownership.shown(), {});
  proxy.cut();
  await systemClock.sleep(1_500);
  let isHeld = false;
  const held = ownership.held()?.then(() => {
    isHeld = true;
  });
  assert.ok(held, 'nobody knows whether it still has the lease');
  await systemClock.sleep(300);
  assert.equal(isHeld, false);
  while (ownership.shown().checkpointsWait === undefined) await systemClock.sleep(20);
  assert.match(ownership.shown().checkpointsWait!, /does not answer/);
  proxy.restore();
  await held;
  assert.equal(ownership.held(), undefined);
  const troubled = told.filter(([name]) => name === 'CheckpointStoreTroubled');
  assert.ok(troubled.length >= 2);
  assert.equal((troubled.at(-1)![1] as {message: string | null}).message, null);
  assert.deepEqual(ownership.shown(), {});
  // The writer is opened again without a moment in which somebody else could take the lease.
  await ownership.close({isKept: true});
  const writer = await ownership.open();
  assert.equal(writer.epoch, 2);
});

test('queries that start again when their sink is back wait for the bucket of checkpoints, which went meanwhile, and lose nothing', {
  skip,
}, async (t) => {
  const {proxy, checkpoints} = await bucketOf(t);
  const database = await clickHouseServer();
  t.after(() => database.kill());
  await database.kill();
  const root = makeRoot({
    'config/platform.yaml': `platform: shop
engine: {embedded: {checkpoint_interval: 100ms, ${checkpoints('again')}}}
sinks:
  analytics: {backend: clickhouse, clickhouse: {url: "${database.url}", username: ${user}, password: "${password}"}}
  files: {backend: file, file: {dir: .millrace/rows}}
defaults: {raw: none}
`,
    'config/domains/shop.yaml': `domain: shop
event_types: [{name: sale, dimensions: [country]}]
inputs: [{name: sales, event_type: sale, from: ../../sales.csv, format: csv}]
aggregations:
  - {name: held, from: sale, window: {type: tumbling, size: 1m}, measures: {n: count()}, sinks: [analytics]}
  - {name: free, from: sale, window: {type: tumbling, size: 1m}, measures: {n: count()}, sinks: [files]}
`,
    'sales.csv': `timestamp,country\n${'2026-01-01T10:00:00Z,DE\n'.repeat(300)}`,
  });
  const {running, told} = await startIn(root);
  const state = (name: string) => running.engine.status().find(({query}) => query === `shop.${name}`);
  const until = async (isSo: () => boolean) => {
    for (const endMs = performance.now() + 90_000; !isSo(); await systemClock.sleep(50))
      assert.ok(performance.now() < endMs, JSON.stringify(running.engine.status()));
  };
  try {
    await until(() => state('held')?.reason?.code === 'SINK_UNAVAILABLE');
    await until(
      () => (state('free')?.counts ?? []).reduce((sum, {aggregated}) => sum + aggregated, 0) === 300,
    );
    proxy.cut();
    await database.start();
    await until(() => ['held', 'free'].every((name) => state(name)?.reason?.code === 'STORE_UNAVAILABLE'));
    assert.deepEqual([state('held')?.state, state('free')?.state], ['paused', 'paused']);
    assert.ok(
      told.some(
        ({name, event}) =>
          name === 'Log' && /2 queries to be started again: STORE_/.test(String(event.message)),
      ),
    );
    proxy.restore();
    await until(() => state('held')?.state === 'running' && state('free')?.state === 'running');
    await running.idle(new AbortController().signal);
    const sum = await running.outputs.sql('analytics', 'SELECT sum(n) FROM shop.held');
    assert.equal(Number(sum.rows[0]![0]), 300);
    assert.ok(running.status().totals.ledgerBalanced);
  } finally {
    await running.drain();
  }
});

test('how far events have come is known from a bucket where another machine makes the checkpoints; while that is away, as of the last look', {
  skip,
}, async (t) => {
  const {proxy, direct, checkpoints} = await bucketOf(t);
  const machine = (endpoint?: string) =>
    makeRoot({
      'config/platform.yaml': `platform: shop
log: {embedded: {partitions: 1}}
engine: {embedded: {${checkpoints('maxima', endpoint)}}}
sinks: {rows: {backend: file, file: {dir: out}}}
defaults: {aggregates: rows, raw: none}
`,
      'config/domains/shop.yaml': `domain: shop
event_types: [{name: sale, dimensions: [country]}]
inputs: [{name: sales, event_type: sale, from: ../../sales.csv}]
aggregations:
  - {name: daily, from: sale, window: {type: tumbling, size: 1d}, measures: {n: count()}}
`,
      'sales.csv': 'timestamp,country\n2026-01-05T10:00:00Z,DE\n2026-01-05T11:00:00Z,FR\n',
    });
  await runToEnd(machine(direct));
  const configured = await platformOf(machine());
  const warnings: string[] = [];
  const maxima = () =>
    maximaOf(
      {
        configured,
        isOwner: false,
        dirs: dirsOf(configured),
        telemetry: {emit: (_, event) => void warnings.push((event as {message: string}).message)},
      },
      'shop.sale',
    );
  assert.deepEqual(await maxima(), [Date.UTC(2026, 0, 5, 11)]);
  assert.deepEqual(warnings, []);
  proxy.cut();
  assert.deepEqual(await maxima(), [Date.UTC(2026, 0, 5, 11)]);
  assert.match(
    warnings.join(),
    /^how far events have come is known as of the last look at the checkpoints: STORE_/,
  );
});
