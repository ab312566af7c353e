/**
 * The platform on Kafka, ClickHouse's protocol and PostgreSQL while a sender goes on: servers, the network and the platform
 * itself fail. What was sent and acknowledged is in both databases exactly once, as sums that were kept beside it say.
 * MILLRACE_KILLS=100 asks for more kills of the platform.
 */
import assert from 'node:assert/strict';
import {after, before, suite, test} from 'node:test';
import {setTimeout as wait} from 'node:timers/promises';
import {skipWithout} from '../cluster/needs.ts';
import {until} from '../support/until.ts';
import {RealServers} from './real-servers.ts';
import {ready, Sender} from './sender.ts';
import {seeded} from './world.ts';

const kills = Number(process.env.MILLRACE_KILLS ?? 8);
const perSecond = 2_000;

/** From the request to the mark: every step that a kill can come between, with how often a second passes it at least. */
const failpoints: Record<string, number> = {
  'incoming.before-append': 10,
  'incoming.after-append': 10,
  'http.before-answer': 10,
  'log.before-commit': 10,
  'log.after-commit': 10,
  'log.acknowledged': 10,
  'kafka.before-produce': 10,
  'kafka.after-produce': 10,
  'kafka.before-fence': 1,
  'kafka.after-fence': 1,
  'engine.after-read': 6,
  'engine.after-process': 6,
  'engine.before-merge': 6,
  'engine.after-merge': 6,
  'emit.before-send': 5,
  'emit.before-acknowledge': 5,
  'emit.after-acknowledge': 5,
  'emit.before-mark': 2,
  'emit.after-mark': 2,
  'checkpoint.before-copy': 3,
  'checkpoint.before-commit': 3,
  'checkpoint.after-commit': 3,
  'state.before-commit': 3,
  'state.after-commit': 3,
  'raw.before-write': 2,
  'raw.after-write': 2,
};

/** Without an end of its own a run is killed after so long, ms: then its failpoint is not on the way. */
const patienceMs = 20_000;

suite('one server of each', skipWithout('java', 'mvn'), () => {
  let servers: RealServers;
  before(async () => {
    servers = await RealServers.start(1);
  });
  after(() => servers?.stop());

  test(`the platform is killed ${kills} times, at every step of the way`, async (t) => {
    const machine = await servers.machine();
    servers.run(machine);
    await ready(machine);
    const sender = new Sender([machine], perSecond);
    sender.begin();
    t.after(() => sender.abandon());
    await until(() => sender.acknowledged > 1_000, 'the sender is heard');
    const next = seeded(Number(process.env.MILLRACE_KILL_SEED ?? 1));
    const names = Object.keys(failpoints);
    let hits = 0;
    const missed: string[] = [];
    machine.child!.kill('SIGKILL');
    await machine.child!.ended;
    for (let kill = 0; kill < kills; kill++) {
      // Steps apart, so that few kills are spread over the whole way too.
      const failpoint = names[(kill * 7) % names.length]!;
      const child = servers.run(machine, {fault: {failpoint, count: 1 + next(failpoints[failpoint]!)}});
      const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
      const {killed, seconds, stderr} = await child.ended;
      assert.ok(killed, `${failpoint}: it ended by itself: ${stderr}`);
      clearTimeout(timer);
      if (seconds * 1_000 < patienceMs) hits++;
      else missed.push(`${failpoint}: ${stderr.slice(-300)}`);
    }
    servers.run(machine);
    await ready(machine);
    const sums = await sender.end();
    t.diagnostic(
      `${hits} hits, ${sender.acknowledged} events, ${sender.refused} attempts in vain; ${missed.join('; ')}`,
    );
    await servers.becomes(sums, machine);
    await servers.arrived(sender);
    assert.ok(hits >= kills * 0.7, `${hits} of ${kills} failpoints were hit: ${missed.join('\n')}`);
  });

  test('the broker, PostgreSQL and ClickHouse are killed and come back; the network drops, delays, cuts and swallows answers', async (t) => {
    const [machine] = servers.machines as [RealServers['machines'][0]];
    const sender = new Sender([machine], perSecond);
    const {kafka, fronts, postgres, clickhouse} = servers;
    // What the first test sent is in the tables, too.
    const before = (await servers.sums()).raw;
    sender.begin();
    t.after(() => sender.abandon());
    const faults: [string, () => Promise<void> | void, () => Promise<void> | void][] = [
      ['the broker is killed', () => kafka.kafka.kill(0), () => kafka.kafka.restart(0)],
      [
        'answers of the broker are swallowed',
        () => kafka.proxy.swallowAnswers(),
        () => kafka.proxy.restore(),
      ],
      ['PostgreSQL is killed', () => postgres.kill(), () => postgres.restart()],
      ['connections to the broker are dropped', () => kafka.proxy.drop(), () => kafka.proxy.drop()],
      [
        'answers of PostgreSQL are swallowed',
        () => fronts.postgres.swallowAnswers(),
        () => fronts.postgres.restore(),
      ],
      ['ClickHouse is killed', () => clickhouse.kill(), () => clickhouse.start()],
      ['the way to the broker is cut', () => kafka.proxy.cut(), () => kafka.proxy.restore()],
      ['every piece to the broker waits', () => kafka.proxy.delay(50), () => kafka.proxy.delay(0)],
      [
        'answers of ClickHouse are swallowed',
        () => fronts.clickhouse.swallowAnswers(),
        () => fronts.clickhouse.restore(),
      ],
    ];
    for (const [what, begin, end] of faults) {
      const {acknowledged} = sender;
      await begin();
      await wait(1_200);
      await end();
      await until(() => sender.acknowledged > acknowledged + 500, `${what}: it goes on`, 30_000);
    }
    const sent = await sender.end();
    t.diagnostic(`${sender.acknowledged} events, ${sender.refused} attempts in vain`);
    const sums = sent.map(([color, sold, cents], index): (typeof sent)[0] => [
      color,
      sold + before[index]![1],
      cents + before[index]![2],
    ]);
    await servers.becomes(sums, machine);
    await servers.arrived(sender);
  });
});
