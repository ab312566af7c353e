import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdirSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {after, test} from 'node:test';
import {createInlineEngine} from '../../../src/process/embedded/engine.ts';
import {startCheckpointWriter} from '../../../src/process/embedded/statestore.ts';
import type {Telemetry} from '../../../src/telemetry.ts';
import {startBucket} from '../../support/bucket.ts';
import {startProxy} from '../../support/proxy.ts';
import {until} from '../../support/until.ts';
import {EngineRig} from './engine-rig.ts';
import {day, events, purchase, tumbling, view} from './engine-world.ts';

const bucket = await startBucket();
after(() => bucket?.stop());
const skip = bucket === undefined && process.env.CI !== 'true' && 'there is no SeaweedFS here';

test('while checkpoints cannot be kept rows go on; a query near its limit stops reading and says why, and goes on by itself', {
  skip,
}, async (t) => {
  assert.ok(bucket, 'CI needs SeaweedFS');
  // Five groups there are: more than three quarters of six.
  const near = {...tumbling, limits: {...tumbling.limits, groups: 6}};
  const roomy = {...tumbling, query: 'roomy', id: 'shop.roomy'};
  const rig = new EngineRig(t, [purchase, view], [near, roomy]);
  const proxy = await startProxy({to: {host: '127.0.0.1', port: bucket.port}});
  t.after(() => proxy.close());
  const s3 = {...bucket.settings, endpoint: `http://127.0.0.1:${proxy.port}`};
  const place = {dir: rig.stateDir, remote: {s3, prefix: 'outage/'}};
  const writer = await startCheckpointWriter(place, {leaseMs: 1_000});
  t.after(async () => {
    await rig.engine.stop();
    await writer.close();
  });
  rig.engine = createInlineEngine({...rig.options(), writer});
  await rig.engine.start(rig.plans);
  const turns = async (count: number) => {
    // Ends of partitions are looked at now and then.
    await rig.clock.advance(300);
    for (let turn = 0; turn < count; turn++) await rig.engine.turn();
  };
  const read = (id: string) =>
    rig.engine
      .status()
      .find(({query}) => query === id)!
      .counts.reduce((sum, counts) => sum + counts.read, 0);
  const report = async () => {
    rig.engine.report();
    await turns(2);
  };

  await rig.append(events(200, 1, 1));
  await rig.engine.settle();
  proxy.cut();
  // Its checkpoint is on its way, and the clock says for how long.
  await rig.append(events(50, 2, 1, day + 600_000));
  await turns(20);
  await rig.clock.advance(6_000);
  await rig.append(events(50, 3, 1, day + 750_000));
  await turns(20);
  const before = rig.tables.get(roomy.id)!.rows.size;
  await rig.append(events(100, 4, 1, day + 900_000));
  await turns(20);
  await report();
  const [nearStatus, roomyStatus] = [near, roomy].map(
    ({id}) => rig.engine.status().find(({query}) => query === id)!,
  );
  assert.equal(nearStatus!.state, 'paused');
  assert.equal(nearStatus!.reason?.code, 'STORE_UNAVAILABLE');
  assert.ok(nearStatus!.lagEvents > 0);
  assert.equal(roomyStatus!.state, 'running');
  assert.equal(roomyStatus!.lagEvents, 0);
  assert.ok(rig.tables.get(roomy.id)!.rows.size > before, 'rows need no checkpoint');
  assert.ok(read(near.id) < read(roomy.id));

  proxy.restore();
  await rig.engine.settle();
  rig.check();
  assert.deepEqual(
    rig.engine.status().map(({state}) => state),
    ['running', 'running'],
  );
});

test('a disk without room for checkpoints is told once when it begins and once when it is over', async (t) => {
  const rig = new EngineRig(t, [purchase, view], [tumbling]);
  mkdirSync(rig.stateDir);
  const mounted =
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'millrace-test', rig.stateDir]).status === 0;
  if (!mounted && process.env.CI === 'true') assert.fail('CI needs the right to mount a tmpfs');
  if (!mounted) return t.skip('a tmpfs cannot be mounted here');
  try {
    await fullAndBack(rig);
  } finally {
    await rig.engine.stop();
    spawnSync('umount', [rig.stateDir]);
  }
});

async function fullAndBack(rig: EngineRig): Promise<void> {
  const told: string[] = [];
  const telemetry: Telemetry = {
    emit(name, event) {
      if (name === 'QueryStopped') told.push(`stopped ${(event as {code: string}).code}`);
      if (name === 'QueryResumed') told.push(`again after ${(event as {seconds: number}).seconds}`);
    },
  };
  rig.engine = createInlineEngine({...rig.options(), telemetry});
  await rig.engine.start(rig.plans);
  const state = async () => {
    rig.engine.report();
    for (let turn = 0; turn < 2; turn++) await rig.engine.turn();
    const [status] = rig.engine.status();
    return `${status!.state} ${status!.reason?.code ?? ''}`.trim();
  };
  /** Turns until what is on its way to the writer's thread has come back. */
  const turned = async () => {
    for (let turn = 0; turn < 20; turn++) {
      await rig.engine.turn();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  await rig.append(events(50, 1, 1));
  await rig.engine.settle();
  const ballast = join(rig.stateDir, 'ballast');
  spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4096', 'count=1000']);

  await rig.append(events(2_000, 2, 1, day + 600_000));
  await until(async () => {
    await rig.clock.advance(300);
    await rig.engine.turn();
    return told.length > 0;
  }, 'the disk is found full');
  assert.equal(await state(), 'stopped CHECKPOINT_DISK_FULL');
  // It is tried again and again meanwhile.
  for (let second = 0; second < 24; second++) {
    await rig.clock.advance(1_000);
    await turned();
    assert.equal(await state(), 'stopped CHECKPOINT_DISK_FULL');
  }
  assert.deepEqual(told, ['stopped CHECKPOINT_DISK_FULL']);

  rmSync(ballast);
  await until(async () => {
    await rig.clock.advance(300);
    await rig.engine.turn();
    return told.length > 1;
  }, 'it runs again');
  // The clock goes on while the writer's thread works, however long that takes.
  const [, seconds] = /^again after ([\d.]+)$/.exec(told[1]!) ?? [];
  assert.ok(Number(seconds) >= 24, told.join('; '));
  await rig.engine.settle();
  assert.equal(await state(), 'running');
  rig.check();
  assert.equal(told.length, 2);
}
