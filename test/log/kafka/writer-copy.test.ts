/** Copies of an outbox: what the broker has of one of them must not pass for what another one sends. */
import assert from 'node:assert/strict';
import {cpSync} from 'node:fs';
import {after, before, suite, test} from 'node:test';
import type {KafkaWriter} from '../../../src/log/kafka/writer.ts';
import {skipWithout} from '../../cluster/needs.ts';
import {batchOfIds, KafkaRig} from '../../support/kafka-writer.ts';

const put = (writer: KafkaWriter, ids: string[]) =>
  writer.append({appends: [{topic: 'shop.sale', partition: 0, ids, ...batchOfIds(ids)}]});

suite('copies of an outbox', skipWithout('java', 'mvn'), () => {
  let rig: KafkaRig;
  before(async () => {
    rig = await KafkaRig.start();
  });
  after(() => rig?.stop());

  test('an older copy is put back: what it sends arrives beside what was sent since', async () => {
    const [dir, old] = [rig.dir(), rig.dir()];
    const first = await rig.writer({'shop.sale': 1}, {dir});
    await put(first, ['a-0', 'a-1']);
    await first.close();
    cpSync(dir, old, {recursive: true});
    const since = await rig.writer({'shop.sale': 1}, {dir});
    await put(since, ['b-0', 'b-1']);
    await since.close();
    const restored = await rig.writer({'shop.sale': 1}, {dir: old});
    await put(restored, ['c-0', 'c-1']);
    await restored.close();
    assert.deepEqual(await rig.ids('shop.sale'), [['a-0', 'a-1', 'b-0', 'b-1', 'c-0', 'c-1']]);
  });
});
