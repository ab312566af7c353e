/** The engine on a log in Kafka, where partitions come, brokers go, and retention does not wait. */
import assert from 'node:assert/strict';
import {after, before, suite, test} from 'node:test';
import type {Worker} from 'node:worker_threads';
import {type Kafka, startKafka} from '../../../src/cluster/kafka.ts';
import type {Value} from '../../../src/expr/types.ts';
import {buildPlan} from '../../../src/process/plan/build.ts';
import type {QueryStatus} from '../../../src/process/types.ts';
import {skipWithout} from '../../cluster/needs.ts';
import {compareRows} from '../../support/changelog.ts';
import {Running} from '../../support/engine.ts';
import {KafkaMirror} from '../../support/kafka-mirror.ts';
import {EventLog} from '../../support/log.ts';
import {naiveOf} from '../../support/outcome.ts';
import {loadDomain} from '../../support/platform.ts';
import {threadsOf} from '../../support/threads.ts';

const topic = 'shop.sale';
const waitMsMax = 90_000;
const startMs = Date.UTC(2026, 0, 5);

const domain = await loadDomain(`domain: shop
event_types:
  - name: sale
    dimensions: [country]
    metrics: [{name: amount, type: long}]
aggregations:
  - name: revenue
    from: sale
    window: {type: tumbling, size: 1m}
    group_by: country
    measures: {orders: count(), total: sum(amount)}
    watermark: 1m
`);
const plans = domain.aggregations.map((aggregation) => buildPlan(domain, aggregation));
const [plan] = plans;

suite('the engine on Kafka', skipWithout('java', 'mvn'), () => {
  let kafka: Kafka;
  let mirror: KafkaMirror;
  let log: EventLog;
  let running: Running;
  let sent = 0;

  before(async () => {
    // A broker that was killed may come back so soon.
    const properties = {'broker.session.timeout.ms': '1500', 'broker.heartbeat.interval.ms': '300'};
    kafka = await startKafka({properties});
    mirror = new KafkaMirror(kafka.brokers);
    mirror.settings.client = {metadataMs: 500};
  });
  after(async () => {
    mirror?.close();
    await kafka?.stop();
  });

  /** What a query finds: so many of its topic's three partitions, and events in the first of them. */
  type Found = {partitions: 1 | 3; events: number};

  /** A case on a log of its own, which begins when the query has read what it found. @param act takes its worker threads, too */
  function testAfter(name: string, found: Found, act: (threads: Worker[]) => Promise<void>): void {
    test(name, async (t) => {
      const threads = threadsOf(t);
      log = new EventLog();
      log.add(domain, () => 3);
      sent = 0;
      await mirror.begin(log.reader, found.partitions);
      running = new Running({plans, log, workers: 2, threads: true, kafka: mirror});
      await append(0, found.events);
      await running.start();
      try {
        await until('what is there is read', isSettled);
        await act(threads);
      } finally {
        await running.close();
        await log.close();
      }
    });
  }

  async function append(partition: number, count: number): Promise<void> {
    const events = Array.from({length: count}, (): Record<string, Value> => {
      const n = sent++;
      return {event_id: `e${n}`, timestamp: startMs + n * 500, country: `c${n % 5}`, amount: n};
    });
    await log.append([{kind: 'events', topic, partition, events}]);
    await mirror.ship();
  }

  const read = () => running.counts(plan!.id).reduce((sum, {read: count}) => sum + count, 0);

  async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    const untilMs = performance.now() + waitMsMax;
    while (!(await isSo())) {
      assert.ok(performance.now() < untilMs, `${what}: ${JSON.stringify(status())}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  const status = (): Partial<QueryStatus> => running.status()[0] ?? {};
  const isSettled = () =>
    read() === log.naive.length && status().settled === true && status().lagEvents === 0;
  const rows = () => running.told.get(plan!.id)!.changelog.read();
  const check = () =>
    assert.deepEqual(
      compareRows(plan!, running.told.get(plan!.id)!.changelog.read(), naiveOf(plan!, log).rows),
      [],
    );

  testAfter(
    'new partitions are taken up from their first record, nothing is lost or counted twice; others see how far it is',
    {partitions: 1, events: 500},
    async () => {
      await mirror.grow(topic, 3);
      await append(1, 300);
      await append(0, 100);
      await append(2, 200);
      await until('all partitions are read', isSettled);
      check();
      assert.deepEqual(
        running
          .counts(plan!.id)
          .map(({partition, read: count, aggregated}) => [partition, count, aggregated]),
        [
          [0, 600, 600],
          [1, 300, 300],
          [2, 200, 200],
        ],
      );
      // An offset without a record is passed and not counted.
      await mirror.gap(topic, 1);
      await until('the gap is passed', async () => {
        const [, second] = status().positions!;
        return second!.offset === 301 && isSettled();
      });
      await until('the offsets are published', async () => {
        const offsets = await mirror.groupOffsets(`test.${plan!.id}`, topic, 3);
        return offsets.join() === '600,301,200';
      });
    },
  );

  testAfter(
    'a broker that is killed is waited for: the status says so, and reading goes on by itself',
    {partitions: 3, events: 400},
    async () => {
      await append(1, 50);
      await kafka.kill(0);
      await until('the status says that the log is away', () => status().logAway !== undefined);
      assert.equal(status().state, 'running');
      await kafka.restart(0);
      await until('the broker leads', () => mirror.isUp());
      await append(2, 100);
      await until('all is read', isSettled);
      check();
      await until('the status is well', () => status().logAway === undefined);
    },
  );

  testAfter(
    'a query whose offset retention has passed stops with the range, and the ways out',
    {partitions: 3, events: 300},
    async () => {
      await running.stop();
      await append(0, 200);
      await append(0, 200);
      await mirror.trim(topic, 0, 450);
      await running.start();
      await until('it stops', () => status().state === 'stopped');
      const {code, message, hint} = status().reason!;
      assert.equal(code, 'LOG_TRIMMED');
      assert.match(message, /^shop\.sale partition 0: offsets 300 to 449 were deleted by retention$/);
      assert.match(hint!, /millrace rebuild.*millrace backfill/);
    },
  );

  testAfter(
    'a state that was made from Kafka is not used with another log, and the way out is named; with its own it goes on',
    {partitions: 1, events: 300},
    async () => {
      await running.stop();
      await append(0, 200);
      await running.start(2, null);
      await until('it stops', () => status().state === 'stopped');
      const {code, message, hint} = status().reason!;
      assert.equal(code, 'LOG_OTHER');
      assert.match(message, /was made from Kafka cluster \S+, and the log is the embedded log now/);
      assert.match(hint!, /checkpoints.*millrace rebuild shop\.revenue/);
      await running.stop();
      await running.start();
      await until('it goes on', isSettled);
      check();
    },
  );

  for (const [how, before, after] of [
    ['shorter than before', 300, 100],
    ['longer than before', 300, 700],
  ] as const)
    testAfter(
      `a topic that was made anew while the query was stopped, ${how}, stops it: which topic, and the ways out`,
      {partitions: 1, events: before},
      async () => {
        const made = rows();
        await running.stop();
        await mirror.remake(topic);
        await append(0, after);
        await running.start();
        await until('it stops', () => status().state === 'stopped');
        const {code, message, hint} = status().reason!;
        assert.equal(code, 'TOPIC_OTHER');
        assert.match(
          message,
          /^topic shop\.sale was deleted and made anew: .* the id \S+, and its id is \S+ now/,
        );
        assert.match(hint!, /millrace rebuild shop\.revenue$/);
        assert.deepEqual(rows(), made);
      },
    );

  testAfter(
    'a topic that is made anew while it is read stops the query before it has read a record of the other',
    {partitions: 1, events: 300},
    async () => {
      const made = rows();
      await mirror.remake(topic);
      await append(0, 700);
      await until('it stops', () => status().state === 'stopped');
      assert.equal(status().reason!.code, 'TOPIC_OTHER');
      assert.equal(read(), 300);
      assert.deepEqual(rows(), made);
    },
  );

  // The last of them: the broker stays away.
  testAfter(
    'workers that begin while the broker is away wait for it, and do not hold up a drain',
    {partitions: 3, events: 400},
    async (threads) => {
      await append(1, 50);
      await kafka.kill(0);
      // The first thread is the checkpoint writer.
      await Promise.all(threads.slice(1).map((thread) => thread.terminate()));
      assert.deepEqual(status().waitsFor, ['start']);
      await until('they are started again', () => threads.length === 5);
      await kafka.restart(0);
      await until('the broker leads', () => mirror.isUp());
      await append(2, 100);
      await until('all is read', isSettled);
      check();
      assert.equal(threads.length, 5, 'none of them failed');
      await kafka.kill(0);
      await Promise.all(threads.slice(3).map((thread) => thread.terminate()));
      assert.equal(await running.drain(waitMsMax), true);
    },
  );
});
