/** Kills the writer's process and the brokers, again and again, and looks at what is in the topic. */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {after, before, suite, test} from 'node:test';
import type {PlatformError} from '../../../src/errors.ts';
import {KafkaClient} from '../../../src/log/kafka/client.ts';
import type {KafkaWriterOptions} from '../../../src/log/kafka/writer-options.ts';
import {skipWithout} from '../../cluster/needs.ts';
import {batchOfIds, KafkaRig} from '../../support/kafka-writer.ts';
import {until} from '../../support/until.ts';

const program = join(import.meta.dirname, 'writer-process.ts');

type Run = {
  /** What it printed last. */
  acknowledged(): number;
  isDone(): boolean;
  kill(): void;
  /** The signal or the code that it ended with. */
  ended: Promise<string | number>;
};

function start(
  rig: KafkaRig,
  topic: string,
  dir: string,
  {appends = 0, failpoint = '', large}: {appends?: number; failpoint?: string; large?: number} = {},
): Run {
  const given = JSON.stringify({dir, brokers: rig.kafka.brokers, topic, appends, large});
  const child = spawn(process.execPath, [program, given], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {...process.env, ...(failpoint === '' ? {} : {MILLRACE_FAILPOINT: failpoint})},
  });
  let output = '';
  child.stdout.on('data', (data: Buffer) => {
    output += data;
  });
  return {
    acknowledged: () =>
      Number(
        output
          .split('\n')
          .filter((line) => /^\d+$/.test(line))
          .at(-1) ?? 0,
      ),
    isDone: () => /^done/m.test(output),
    kill: () => void child.kill('SIGKILL'),
    ended: once(child, 'close').then(([code, signal]) => signal ?? code),
  };
}

/**
 * Everything below `acknowledged` is in the topic, each record once and in its order. Just after a broker went or came back one may
 * not say yet how far a partition goes: it is asked again. @returns records in the topic
 */
async function check(rig: KafkaRig, topic: string, acknowledged: number): Promise<number> {
  let count = 0;
  const isThere = async () => {
    const partitions = await rig.ids(topic);
    for (const [partition, ids] of partitions.entries())
      assert.deepEqual(
        ids.map(Number),
        Array.from({length: ids.length}, (_, i) => 2 * i + partition),
        `partition ${partition}`,
      );
    count = partitions.reduce((sum, ids) => sum + ids.length, 0);
    return count >= acknowledged;
  };
  await until(isThere, () => `${acknowledged} were acknowledged, ${count} are there; more`);
  return count;
}

suite('one broker', skipWithout('java', 'mvn'), () => {
  let rig: KafkaRig;
  before(async () => {
    rig = await KafkaRig.start();
  });
  after(() => rig?.stop());

  test('kill -9 at each step of an append, and of the recovery after it: nothing is lost, nothing is there twice', async () => {
    const dir = rig.dir();
    const topic = 'crash.step';
    let acknowledged = 0;
    const points = [
      'log.before-commit:5',
      'log.acknowledged:6',
      'kafka.before-produce:4',
      'kafka.after-produce:4',
      // Killed with batches on their way, and again before the recovery was over, at each of its steps.
      'kafka.after-produce:1',
      'kafka.before-fence:1',
      'kafka.after-fence:1',
      'kafka.before-produce:12',
      'kafka.after-produce:9',
    ];
    for (const failpoint of points) {
      const run = start(rig, topic, dir, {failpoint, appends: 400});
      assert.equal(await run.ended, 'SIGKILL', `${failpoint} is passed`);
      acknowledged = Math.max(acknowledged, run.acknowledged());
    }
    const last = start(rig, topic, dir, {appends: 20});
    assert.equal(await last.ended, 0);
    assert.equal(await check(rig, topic, last.acknowledged()), last.acknowledged());
    assert.ok(last.acknowledged() > acknowledged && acknowledged > 30);
  });

  test('kill -9 when the letter of a refused record is durable, twice: it is one letter, and the others are there once', async () => {
    const dir = rig.dir();
    const topic = 'crash.refused';
    const large = 8;
    for (let turn = 0; turn < 2; turn++) {
      const run = start(rig, topic, dir, {failpoint: 'kafka.refused:1', appends: 20, large});
      assert.equal(await run.ended, 'SIGKILL', 'it is passed');
    }
    const last = start(rig, topic, dir, {appends: 20, large});
    assert.equal(await last.ended, 0);
    const [even, odd] = (await rig.ids(topic)) as [string[], string[]];
    assert.deepEqual(
      even.map(Number),
      Array.from({length: last.acknowledged() / 2}, (_, i) => 2 * i).filter((id) => id !== large),
    );
    assert.deepEqual(
      odd.map(Number),
      Array.from({length: last.acknowledged() / 2}, (_, i) => 2 * i + 1),
    );
    assert.deepEqual(await rig.ids(`${topic}.letters`), [['letter-4']]);
  });

  test('kill -9 of the broker under load, twice, and of the process while the broker is away', async () => {
    const dir = rig.dir();
    const topic = 'crash.broker';
    let run = start(rig, topic, dir);
    await until(() => run.acknowledged() > 300, 'it runs');
    await rig.kafka.kill(0);
    const before = run.acknowledged();
    await rig.kafka.restart(0);
    await until(() => run.acknowledged() > before + 300, 'it goes on');
    await rig.kafka.kill(0);
    const away = run.acknowledged();
    await until(() => run.acknowledged() > away + 600, 'it spools');
    run.kill();
    await run.ended;
    const spooled = run.acknowledged();
    await rig.kafka.restart(0);
    run = start(rig, topic, dir, {appends: 100});
    assert.equal(await run.ended, 0);
    assert.ok(run.isDone());
    const count = await check(rig, topic, spooled);
    assert.equal(count, run.acknowledged());
  });
});

/** Ends that one broker told are old when another one answers late; what was appended meanwhile is not lost. */
async function looksWhileAppending(rig: KafkaRig): Promise<void> {
  const errors: unknown[] = [];
  const kafka = rig.settings('proxy');
  kafka.client = {...kafka.client, metadataMs: 50};
  const telemetry: KafkaWriterOptions['telemetry'] = {
    emit(name, event) {
      if (name === 'Log' && (event as {level: string}).level === 'error') errors.push(event);
    },
  };
  const writer = await rig.writer({'three.looks': 3}, {kafka, telemetry, spoolAfterMs: 60_000});
  const sent: string[][] = [[], [], []];
  for (const slow of rig.proxies) {
    slow.delay(100);
    const rounds = sent.map(() => 0);
    await Promise.all(
      sent.map(async (ids, partition) => {
        for (; Math.min(...rounds) < 3; rounds[partition]!++) {
          const id = `${partition}-${ids.length}`;
          ids.push(id);
          await writer.append({
            appends: [{topic: 'three.looks', partition, ids: [id], ...batchOfIds([id])}],
          });
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }),
    );
    slow.delay(0);
  }
  await writer.close();
  assert.deepEqual(errors, []);
  assert.deepEqual(await rig.ids('three.looks'), sent);
}

suite('three brokers', skipWithout('java', 'mvn'), () => {
  let rig: KafkaRig;
  before(async () => {
    // A follower that is asleep is missed after longer than a lease is, and holds back the events alone: groups wait for no follower.
    const properties = {'broker.session.timeout.ms': '12000', 'offsets.topic.replication.factor': '1'};
    rig = await KafkaRig.start({brokers: 3, properties});
  });
  after(() => rig?.stop());

  test('kill -9 of one of three under load: appends go on, each record is there once', async () => {
    await looksWhileAppending(rig);
    const dir = rig.dir();
    const run = start(rig, 'crash.three', dir);
    await until(() => run.acknowledged() > 300, 'it runs');
    await rig.kafka.kill(0);
    const before = run.acknowledged();
    await until(() => run.acknowledged() > before + 600, 'it goes on without the broker');
    await rig.kafka.restart(0);
    const back = run.acknowledged();
    await until(() => run.acknowledged() > back + 300, 'it goes on with it');
    run.kill();
    await run.ended;
    const last = start(rig, 'crash.three', dir, {appends: 50});
    assert.equal(await last.ended, 0);
    assert.ok(last.acknowledged() > run.acknowledged());
    assert.equal(await check(rig, 'crash.three', last.acknowledged()), last.acknowledged());
  });

  test('what a leader has and its followers have not is known to the process that takes over', async (t) => {
    const [topic, group] = ['three.owner', 'three.ingest'];
    const given = {lease: {group, canWait: true}, spoolAfterMs: 600_000};
    const append = (ids: string[]) => ({appends: [{topic, partition: 0, ids, ...batchOfIds(ids)}]});
    const holder = await rig.writer({[topic]: 1}, given);
    await holder.append(append(['first']));
    // A follower that is asleep holds what its leader has back, until the cluster misses it. Nobody else needs to ask it anything.
    const client = new KafkaClient(rig.settings());
    t.after(() => client.close());
    await client.refreshMetadata();
    const {leader} = client.partition(topic, 0)!;
    const needed = [leader, await client.coordinatorOf(group)];
    const brokers = [...client.metadata.brokers.keys()].sort((a, b) => a - b);
    const index = brokers.findIndex((id) => !needed.includes(id));
    const awake = rig.kafka.brokers.filter((_, at) => at !== index);
    const kafka = {...rig.settings(), brokers: awake};
    const heir = await rig.writer({[topic]: 1}, {...given, kafka});
    await assert.rejects(heir.append(append(['second'])), {code: 'LOG_STANDBY'});
    const asleep = rig.kafka.pids[index]!;
    process.kill(asleep, 'SIGSTOP');
    t.after(() => process.kill(asleep, 'SIGCONT'));
    void holder.append(append(['second', 'third'])).catch(() => {});
    const file = join(rig.kafka.dir, `broker-${leader}/data/${topic}-0/00000000000000000000.log`);
    await until(() => readFileSync(file).includes('third'), 'its leader has it');
    for (const proxy of rig.proxies) proxy.cut();

    // Its sender has no answer, and sends it to the next one.
    const isTaken = (ids: string[]) =>
      heir.append(append(ids)).then(
        () => true,
        (error: PlatformError) => {
          assert.equal(error.code, 'LOG_STANDBY');
          return false;
        },
      );
    await until(() => isTaken(['second', 'third']), 'another one has the lease');
    assert.ok(await isTaken(['fourth']));
    assert.deepEqual(await rig.ids(topic), [['first', 'second', 'third', 'fourth']]);
  });
});
