import assert from 'node:assert/strict';
import {after, test} from 'node:test';
import {systemClock} from '../../src/clock.ts';
import {maximaOf} from '../../src/platform/books-elsewhere.ts';
import {takeOwnership} from '../../src/platform/ownership.ts';
import {dirsOf} from '../../src/platform/places.ts';
import type {TelemetryEvents} from '../../src/telemetry.ts';
import {startBucket} from '../support/bucket.ts';
import {makeRoot} from '../support/cli.ts';
import {startProxy} from '../support/proxy.ts';
import {platformOf, runToEnd} from '../support/running.ts';

const bucket = await startBucket();
after(() => bucket?.stop());
const skip = bucket === undefined && process.env.CI !== 'true' && 'there is no SeaweedFS here';

test('what another owner would do in another way waits while the lease may be over, and goes on when it was renewed', {
  skip,
}, async (t) => {
  assert.ok(bucket, 'CI needs SeaweedFS');
  const proxy = await startProxy({to: {host: '127.0.0.1', port: bucket.port}});
  t.after(() => proxy.close());
  const {accessKey, secretKey} = bucket.settings;
  const root = makeRoot({
    'config/platform.yaml': `platform: shop
engine:
  embedded:
    checkpoints: s3://${bucket.settings.bucket}/held
    lease: 1s
    s3: {endpoint: "http://127.0.0.1:${proxy.port}", access_key: ${accessKey}, secret_key: ${secretKey}}
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
  assert.deepEqual(told[0], ['LeaseTaken', {place: `s3://${bucket.settings.bucket}/held`, epoch: 1}]);
  assert.equal(ownership.held(), undefined);
  proxy.cut();
  await systemClock.sleep(1_500);
  let isHeld = false;
  const held = ownership.held()?.then(() => {
    isHeld = true;
  });
  assert.ok(held, 'nobody knows whether it still has the lease');
  await systemClock.sleep(300);
  assert.equal(isHeld, false);
  proxy.restore();
  await held;
  assert.equal(ownership.held(), undefined);
  const troubled = told.filter(([name]) => name === 'CheckpointStoreTroubled');
  assert.ok(troubled.length >= 2);
  assert.equal((troubled.at(-1)![1] as {message: string | null}).message, null);
  // The writer is opened again without a moment in which somebody else could take the lease.
  await ownership.close({isKept: true});
  const writer = await ownership.open();
  assert.equal(writer.epoch, 2);
});

test('how far events have come is known from a bucket where another machine makes the checkpoints; while that is away, as of the last look', {
  skip,
}, async (t) => {
  assert.ok(bucket, 'CI needs SeaweedFS');
  const {accessKey, secretKey, endpoint} = bucket.settings;
  const proxy = await startProxy({to: {host: '127.0.0.1', port: bucket.port}});
  t.after(() => proxy.close());
  const machine = (address: string) =>
    makeRoot({
      'config/platform.yaml': `platform: shop
log: {embedded: {partitions: 1}}
engine:
  embedded:
    checkpoints: s3://${bucket.settings.bucket}/maxima
    s3: {endpoint: "${address}", access_key: ${accessKey}, secret_key: ${secretKey}}
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
  await runToEnd(machine(endpoint));
  const configured = await platformOf(machine(`http://127.0.0.1:${proxy.port}`));
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
