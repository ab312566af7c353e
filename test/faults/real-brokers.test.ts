/**
 * Three brokers, two machines, one place for checkpoints: a broker is killed, the owner is killed, the next one sleeps and wakes
 * after a take-over, while a sender goes on. What it sent is in both databases exactly once.
 */
import assert from 'node:assert/strict';
import {after, before, suite, test} from 'node:test';
import {skipWithout} from '../cluster/needs.ts';
import {until} from '../support/kafka-writer.ts';
import {RealServers, ready, Sender} from './real-servers.ts';

const perSecond = 2_000;

suite('three brokers, an owner and a standby', skipWithout('java', 'mvn'), () => {
  let servers: RealServers;
  before(async () => {
    servers = await RealServers.start(3);
  });
  after(() => servers?.stop());

  test('a broker of three is killed; the owner is killed, the next one sleeps and wakes after a take-over', async (t) => {
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
    first.child!.kill('SIGKILL');
    await first.child!.ended;
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
  });
});
