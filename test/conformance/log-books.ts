/** What every log remembers beside its records: ids, where sources stand, the ledger of ingestion. */
import assert from 'node:assert/strict';
import {batchOf, readAll, textsOf} from '../support/log-records.ts';
import type {Check} from './log-check.ts';

const countsOf =
  (topic: string) => (received: number, appended: number, duplicate: number, rejected: number) => ({
    domain: topic.slice(0, topic.indexOf('.')),
    eventType: topic.slice(topic.indexOf('.') + 1),
    source: 'file:a',
    received,
    appended,
    duplicate,
    rejected,
  });

/** Registers the suite's tests of what is remembered. */
export function remembers(check: Check): void {
  check(
    'ids that the topic has are dropped, also within one transaction and after a restart',
    {'shop.sale': 2, 'shop.other': 1},
    async (log, topic) => {
      const {writer} = log;
      const [sale, other] = [topic('shop.sale'), topic('shop.other')];
      writer.ensureTopic(sale, 2);
      writer.ensureTopic(other, 1);
      const uuid = '0190b0a0-1111-7222-8333-444455556666';
      const first = await writer.append({
        appends: [{topic: sale, partition: 0, ids: ['1', uuid, '1'], ...batchOf('a', 'b', 'a again')}],
      });
      assert.deepEqual(first.appends, [
        {baseOffset: 0, appended: 2, duplicate: 1, dropped: [false, false, true]},
      ]);
      const again = await log.reopen();
      const second = await again.writer.append({
        appends: [
          {topic: sale, partition: 1, ids: [uuid, '2', '1'], ...batchOf('b', 'c', 'a')},
          {topic: other, partition: 0, ids: ['1'], ...batchOf('elsewhere')},
          {topic: sale, partition: 0, ids: ['2'], ...batchOf('c')},
        ],
      });
      assert.deepEqual(second.appends, [
        {baseOffset: 0, appended: 1, duplicate: 2, dropped: [true, false, true]},
        {baseOffset: 0, appended: 1, duplicate: 0},
        {baseOffset: 2, appended: 0, duplicate: 1, dropped: [true]},
      ]);
      assert.deepEqual(textsOf(await readAll(again.reader, sale, 0)), ['a', 'b']);
      assert.deepEqual(textsOf(await readAll(again.reader, sale, 1)), ['c']);
      assert.deepEqual(textsOf(await readAll(again.reader, other, 0)), ['elsewhere']);
      const places = () =>
        ['1', uuid, '2', 'none']
          .map((id) => again.reader.placeOf(sale, id))
          .map((place) => place && [place.partition, place.offset]);
      // Where a record lies may be noted a little later than that it is there.
      for (let tries = 0; tries < 1_000 && places()[2] === undefined; tries++)
        await new Promise((resolve) => setTimeout(resolve, 20));
      assert.deepEqual(places(), [[0, 0], [0, 1], [1, 0], undefined]);
    },
  );

  check('progress and ledger change with the append and survive', {'shop.sale': 1}, async (log, topic) => {
    const {writer, reader} = log;
    const sale = topic('shop.sale');
    const counts = countsOf(sale);
    writer.ensureTopic(sale, 1);
    await writer.append({
      appends: [{topic: sale, partition: 0, ids: ['1', '2'], ...batchOf('a', 'b')}],
      progress: [{source: 'file:a', position: '{"row":3}'}],
      ledger: [counts(3, 2, 0, 1)],
    });
    await writer.append({
      appends: [{topic: sale, partition: 0, ids: ['2', '3'], ...batchOf('b', 'c')}],
      progress: [{source: 'file:a', position: '{"row":5}'}],
      ledger: [counts(2, 2, 0, 0)],
    });
    assert.deepEqual(reader.ledger(), [counts(5, 3, 1, 1)]);
    assert.equal(reader.progress('file:a'), '{"row":5}');
    const again = await log.reopen();
    assert.deepEqual(again.writer.ledger(), [counts(5, 3, 1, 1)]);
    assert.equal(again.writer.progress('file:a'), '{"row":5}');
    assert.equal(again.writer.progress('file:b'), undefined);
  });
}
