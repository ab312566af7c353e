/** One process at a time appends events: another one stands by, takes over, and knows what was there. */
import assert from 'node:assert/strict';
import {after, before, suite, test} from 'node:test';
import {skipWithout} from '../../cluster/needs.ts';
import {batchOfIds, KafkaRig, type Told, until} from '../../support/kafka-writer.ts';

suite('the lease of the topics', skipWithout('java', 'mvn'), () => {
  let rig: KafkaRig;
  before(async () => {
    rig = await KafkaRig.start();
  });
  after(() => rig?.stop());

  const lease = (canWait = true) => ({group: 'test.ingest', canWait});
  const append = (ids: string[]) => ({
    appends: [{topic: 'one.owner', partition: 0, ids, ...batchOfIds(ids)}],
  });

  test('a second process stands by and says so; when the first ends it takes over, with all ids', async () => {
    const first = await rig.writer({'one.owner': 1}, {lease: lease(), command: 'first'});
    const second = await rig.writer({'one.owner': 1}, {lease: lease(), command: 'second'});
    await first.append(append(['a', 'b']));
    await assert.rejects(second.append(append(['x'])), {
      code: 'LOG_STANDBY',
      retry: true,
      message: /process \d+ \(first\) appends events/,
    });
    await assert.rejects(rig.writer({'one.owner': 1}, {lease: lease(false), command: 'third'}), {
      code: 'LOG_STANDBY',
    });
    await first.append(append(['c']));
    await first.close();
    let result: Awaited<ReturnType<typeof second.append>> | undefined;
    const startMs = performance.now();
    while (!result && performance.now() - startMs < 10_000)
      result = await second.append(append(['b', 'c', 'd'])).catch(async (error) => {
        assert.equal(error.code, 'LOG_STANDBY');
        await new Promise((resolve) => setTimeout(resolve, 50));
        return undefined;
      });
    assert.deepEqual(result?.appends[0]?.dropped, [true, true, false]);
    await second.close();
    assert.deepEqual(await rig.ids('one.owner'), [['a', 'b', 'c', 'd']]);
  });

  test('a holder that nobody hears of loses the lease; when it is heard again it appends nothing', async () => {
    const told: Told[] = [];
    const zombie = await rig.writer({'one.owner': 1}, {lease: lease(), command: 'zombie', spoolAfterMs: 200});
    await zombie.append(append(['e']));
    const heir = await rig.writer(
      {'one.owner': 1},
      {
        kafka: rig.settings('plain'),
        lease: lease(),
        command: 'heir',
        telemetry: {emit: (name, event) => told.push({name, event})},
      },
    );
    rig.proxy.silence();
    // It cannot know yet: what it takes is durable in its outbox.
    await zombie.append(append(['f']));
    await until(
      () =>
        told.some(
          ({event}) =>
            /holds the lease/.test(String((event as {message?: string}).message)) &&
            /this process appends/.test((event as {message: string}).message),
        ),
      'the heir takes over',
    );
    await heir.append(append(['g']));
    assert.equal((await heir.append(append(['e']))).appends[0]?.duplicate, 1);
    rig.proxy.restore();
    let refusal: string | undefined;
    const startMs = performance.now();
    while (!refusal && performance.now() - startMs < 20_000) {
      refusal = await zombie.append({appends: []}).then(
        () => undefined,
        (error) => error.code,
      );
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(refusal, 'LOG_STANDBY');
    await until(() => zombie.bytes === 0, 'what it had taken is shipped');
    await zombie.close();
    await heir.close();
    const [ids] = await rig.ids('one.owner');
    assert.deepEqual(ids?.slice(4).sort(), ['e', 'f', 'g']);
  });
});
