/**
 * Three brokers, two machines that share nothing but servers, checkpoints in a bucket: a broker is killed, the owner is killed and
 * its directory deleted, the next one sleeps and wakes after a take-over, while a sender goes on. What it sent is in both databases
 * exactly once.
 */
import assert from 'node:assert/strict';
import {rmSync} from 'node:fs';
import {join} from 'node:path';
import {after, before, suite, test} from 'node:test';
import {skipWithout} from '../cluster/needs.ts';
import {startBucket} from '../support/bucket.ts';
import {until} from '../support/until.ts';
import {RealServers, shipped} from './real-servers.ts';
import {ready, Sender} from './sender.ts';

const perSecond = 2_000;

const needs = skipWithout('java', 'mvn');
const bucket = needs.skip ? undefined : await startBucket();
const skip = needs.skip || (bucket === undefined && !process.env.CI && 'there is no SeaweedFS here');

suite('three brokers, an owner and a standby', {skip}, () => {
  let servers: RealServers;
  before(async () => {
    assert.ok(bucket, 'CI needs SeaweedFS');
    servers = await RealServers.start(3, {bucket});
  });
  after(async () => {
    await servers?.stop();
    await bucket?.stop();
  });

  test('a broker of three is killed; the owner is killed and its directory deleted, the next one sleeps and wakes after a take-over', async (t) => {
    const [first, second] = [await servers.machine(), await servers.machine()];
    const {kafka} = servers.kafka;
    servers.run(first);
    await ready(first);
    servers.run(second, {isStandby: true});
    await second.child!.says(/stand/i);
    const sender = new Sender([first, second], perSecond);
    sender.begin();
    t.after(() => sender.abandon());
    const goesOn = async (what: string) => {
      const {acknowledged} = sender;
      await until(() => sender.acknowledged > acknowledged + 1_000, `${what}: it goes on`, 60_000);
    };
    await goesOn('at first');
    await kafka.kill(1);
    await goesOn('two of three brokers');
    // What waits on a machine alone is lost with it: brokers have all that was acknowledged, although one of them is away.
    await shipped(first);
    first.child!.kill('SIGKILL');
    await first.child!.ended;
    rmSync(join(first.root, '.millrace'), {recursive: true});
    const deadMs = performance.now();
    await ready(second);
    t.diagnostic(
      `taken over ${((performance.now() - deadMs) / 1_000).toFixed(1)} s after the owner was killed`,
    );
    await goesOn('the standby owns');
    await kafka.restart(1);
    servers.run(first, {isStandby: true});
    await first.child!.says(/stand/i);
    second.child!.kill('SIGSTOP');
    const asleepMs = performance.now();
    await ready(first);
    t.diagnostic(
      `taken over ${((performance.now() - asleepMs) / 1_000).toFixed(1)} s after the owner fell asleep`,
    );
    await goesOn('the first one owns again');
    second.child!.kill('SIGCONT');
    const {code, stderr} = await second.child!.ended;
    assert.ok(code !== 0, 'a sleeper that lost its leases ends');
    assert.match(stderr, /FENCED|LOG_FENCED|STANDBY|holds/, 'and says why');
    const sums = await sender.end();
    t.diagnostic(`${sender.acknowledged} events, ${sender.refused} attempts in vain`);
    await servers.becomes(sums, first);
    await servers.arrived(sender);
  });
});
