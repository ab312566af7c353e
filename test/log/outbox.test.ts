/** Which ids an outbox still knows. */
import assert from 'node:assert/strict';
import {rmSync} from 'node:fs';
import {type TestContext, test} from 'node:test';
import {OutboxCommits} from '../../src/log/kafka/outbox-commits.ts';
import {Outbox} from '../../src/log/outbox.ts';
import {openOutboxWriter} from '../../src/log/writer.ts';
import {batchOfIds} from '../support/kafka-writer.ts';
import {scratchDir} from '../support/scratch.ts';

/** An outbox with one partition of one topic. */
function open(t: TestContext) {
  const dir = scratchDir('outbox');
  let outbox!: Outbox;
  let commits!: OutboxCommits;
  const log = openOutboxWriter(dir, {
    attach(database) {
      outbox = new Outbox(database, dir, 'test');
      commits = new OutboxCommits(outbox, {dir, bytesMax: 2 ** 30, bytes: () => 0, committed: () => {}});
      return commits;
    },
  });
  t.after(async () => {
    await log.close();
    rmSync(dir, {recursive: true});
  });
  log.ensureTopic('t', 1);
  const {id} = [...log.streams()][0]!;
  outbox.settle(id, 0, 0, 0);
  const append = async (...ids: string[]): Promise<boolean[]> => {
    const batch = {topic: 't', partition: 0, ids, ...batchOfIds(ids)};
    const {appends} = await log.append({appends: [batch]});
    return ids.map((_, index) => appends[0]!.dropped?.[index] ?? false);
  };
  /** Makes the places durable, and what follows from them. */
  const write = async () => {
    commits.request();
    await log.append({appends: []});
  };
  return {outbox, id, append, write};
}

test('ids stay while Kafka has their records, also of places that were not written yet', async (t) => {
  const {outbox, id, append, write} = open(t);
  await append('a', 'b', 'c');
  await write();
  outbox.shipped(id, 0, 2, 10);
  assert.equal(outbox.forget(id, 0), false, 'nothing was deleted there');
  assert.equal(outbox.forget(id, 10), false, 'nothing of ours was');
  await write();
  // The stored range ends at b; in memory it goes on with c.
  outbox.shipped(id, 2, 3, 12);
  assert.equal(outbox.forget(id, 12), true, 'a and b are gone, c is not');
  await write();
  assert.deepEqual(await append('c', 'a', 'b'), [true, false, false]);
});

test('places that do not continue each other are told apart before they are written', async (t) => {
  const {outbox, id, append, write} = open(t);
  await append('a', 'b', 'c', 'd');
  outbox.shipped(id, 0, 1, 5);
  outbox.shipped(id, 1, 4, 9);
  assert.equal(outbox.forget(id, 10), true);
  await write();
  assert.deepEqual(await append('a', 'b', 'c', 'd'), [false, false, true, true]);
});
