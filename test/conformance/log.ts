/**
 * What every log promises (`src/log/types.ts`), run against each implementation:
 * `conformance('embedded', async (options) => ({writer, reader, reopen, close}))`.
 */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {Clock} from '../../src/clock.ts';
import {framesOf} from '../../src/log/records.ts';
import type {LogReader, LogWriter, RecordBatch} from '../../src/log/types.ts';
import {packRecords} from '../../src/schema/frame.ts';

/** A log that was opened for one test, in a place of its own. */
export type OpenLog = {
  writer: LogWriter;
  reader: LogReader;
  /** Closes both cleanly and opens them again on the same data. */
  reopen(): Promise<{writer: LogWriter; reader: LogReader}>;
  close(): Promise<void>;
};

const text = new TextEncoder();

/** A batch of records whose frames are the texts. */
export const batchOf = (...texts: string[]) => ({
  count: texts.length,
  bytes: packRecords(texts.map((each) => text.encode(each))),
});

/** The texts of all records in the batches. */
export const textsOf = (batches: RecordBatch[]): string[] =>
  batches.flatMap(({bytes}) => [...framesOf(bytes)].map((frame) => Buffer.from(frame).toString()));

/** Everything in a partition from `offset` on. */
export async function readAll(
  reader: LogReader,
  topic: string,
  partition: number,
  offset = reader.startOffset(topic, partition),
): Promise<RecordBatch[]> {
  const all: RecordBatch[] = [];
  for (let at = offset; ; ) {
    const batches = await reader.read(topic, partition, at, 1 << 20);
    if (batches.length === 0) return all;
    all.push(...batches);
    at = batches.at(-1)!.baseOffset + batches.at(-1)!.count;
  }
}

const counts = (received: number, appended: number, duplicate: number, rejected: number) => ({
  domain: 'shop',
  eventType: 'sale',
  source: 'file:a',
  received,
  appended,
  duplicate,
  rejected,
});

/** Registers the suite's tests under `name`. */
export function conformance(name: string, open: (options: {clock?: Clock}) => Promise<OpenLog>): void {
  const check = (behaviour: string, body: (log: OpenLog) => Promise<void>, clock?: Clock) =>
    test(`${name}: ${behaviour}`, async () => {
      const log = await open(clock ? {clock} : {});
      try {
        await body(log);
      } finally {
        await log.close();
      }
    });

  check('offsets count records, by partition, without gaps', async ({writer, reader}) => {
    writer.ensureTopic('shop.sale', 2);
    const first = await writer.append({
      appends: [
        {topic: 'shop.sale', partition: 0, ...batchOf('a', 'b', 'c')},
        {topic: 'shop.sale', partition: 1, ...batchOf('x')},
        {topic: 'shop.sale', partition: 0, ...batchOf('d')},
      ],
    });
    assert.deepEqual(first.appends, [
      {baseOffset: 0, appended: 3, duplicate: 0},
      {baseOffset: 0, appended: 1, duplicate: 0},
      {baseOffset: 3, appended: 1, duplicate: 0},
    ]);
    assert.equal(reader.endOffset('shop.sale', 0), 4);
    assert.equal(reader.endOffset('shop.sale', 1), 1);
    const batches = await readAll(reader, 'shop.sale', 0);
    assert.deepEqual(
      batches.map(({baseOffset, count, kind}) => ({baseOffset, count, kind})),
      [
        {baseOffset: 0, count: 3, kind: 'data'},
        {baseOffset: 3, count: 1, kind: 'data'},
      ],
    );
    assert.deepEqual(textsOf(batches), ['a', 'b', 'c', 'd']);
  });

  check('a topic keeps its number of partitions; an unknown one has none', async ({writer, reader}) => {
    assert.equal(writer.ensureTopic('shop.sale', 3), 3);
    assert.equal(writer.ensureTopic('shop.sale', 5), 3);
    writer.ensureTopic('dlq.shop', 1);
    assert.deepEqual(reader.topics().sort(), ['dlq.shop', 'shop.sale']);
    assert.equal(reader.partitions('shop.sale'), 3);
    assert.equal(reader.partitions('shop.none'), 0);
    assert.deepEqual(await reader.read('shop.none', 0, 0, 1000), []);
  });

  check(
    'a read starts at the batch that holds the offset and ends near bytesMax',
    async ({writer, reader}) => {
      writer.ensureTopic('t', 1);
      for (let i = 0; i < 10; i++)
        await writer.append({appends: [{topic: 't', partition: 0, ...batchOf(`${i}a`, `${i}b`)}]});
      const starts = (batches: RecordBatch[]) => batches.map(({baseOffset}) => baseOffset);
      assert.deepEqual(starts(await reader.read('t', 0, 7, 1)), [6], 'at least one');
      assert.deepEqual(starts(await reader.read('t', 0, 4, 36)), [4, 6, 8], 'three of 12 bytes each');
      assert.deepEqual(starts(await reader.read('t', 0, 18, 1000)), [18]);
      assert.deepEqual(await reader.read('t', 0, 20, 1000), [], 'the end');
    },
  );

  check(
    'ids that the topic has are dropped, also within one transaction and after a restart',
    async (log) => {
      const {writer} = log;
      writer.ensureTopic('shop.sale', 2);
      writer.ensureTopic('shop.other', 1);
      const uuid = '0190b0a0-1111-7222-8333-444455556666';
      const first = await writer.append({
        appends: [{topic: 'shop.sale', partition: 0, ids: ['1', uuid, '1'], ...batchOf('a', 'b', 'a again')}],
      });
      assert.deepEqual(first.appends, [
        {baseOffset: 0, appended: 2, duplicate: 1, dropped: [false, false, true]},
      ]);
      const again = await log.reopen();
      const second = await again.writer.append({
        appends: [
          {topic: 'shop.sale', partition: 1, ids: [uuid, '2', '1'], ...batchOf('b', 'c', 'a')},
          {topic: 'shop.other', partition: 0, ids: ['1'], ...batchOf('elsewhere')},
          {topic: 'shop.sale', partition: 0, ids: ['2'], ...batchOf('c')},
        ],
      });
      assert.deepEqual(second.appends, [
        {baseOffset: 0, appended: 1, duplicate: 2, dropped: [true, false, true]},
        {baseOffset: 0, appended: 1, duplicate: 0},
        {baseOffset: 2, appended: 0, duplicate: 1, dropped: [true]},
      ]);
      assert.deepEqual(textsOf(await readAll(again.reader, 'shop.sale', 0)), ['a', 'b']);
      assert.deepEqual(textsOf(await readAll(again.reader, 'shop.sale', 1)), ['c']);
      assert.deepEqual(textsOf(await readAll(again.reader, 'shop.other', 0)), ['elsewhere']);
      const places = ['1', uuid, '2', 'none'].map((id) => again.reader.placeOf('shop.sale', id));
      assert.deepEqual(
        places.map((place) => place && [place.partition, place.offset]),
        [[0, 0], [0, 1], [1, 0], undefined],
      );
    },
  );

  check('progress and ledger change with the append and survive', async (log) => {
    const {writer, reader} = log;
    writer.ensureTopic('shop.sale', 1);
    await writer.append({
      appends: [{topic: 'shop.sale', partition: 0, ids: ['1', '2'], ...batchOf('a', 'b')}],
      progress: [{source: 'file:a', position: '{"row":3}'}],
      ledger: [counts(3, 2, 0, 1)],
    });
    await writer.append({
      appends: [{topic: 'shop.sale', partition: 0, ids: ['2', '3'], ...batchOf('b', 'c')}],
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

  let nowMs = 1_000;
  const jumpy: Clock = {now: () => nowMs, sleep: () => Promise.reject(new Error('not used'))};
  check(
    'append time is the clock and never goes back within a partition',
    async (log) => {
      log.writer.ensureTopic('t', 1);
      const append = (writer: LogWriter) =>
        writer.append({appends: [{topic: 't', partition: 0, ...batchOf('a')}]});
      assert.equal((await append(log.writer)).appendTimeMs, 1_000);
      nowMs = 3_600_000;
      await append(log.writer);
      nowMs = 2_000;
      assert.equal((await append(log.writer)).appendTimeMs, 3_600_000);
      const {writer, reader} = await log.reopen();
      await append(writer);
      nowMs = 3_600_001;
      await append(writer);
      const times = (await readAll(reader, 't', 0)).map(({appendTimeMs}) => appendTimeMs);
      assert.deepEqual(times, [1_000, 3_600_000, 3_600_000, 3_600_000, 3_600_001]);
    },
    jumpy,
  );

  check('a mark takes one offset and carries its time', async ({writer, reader}) => {
    writer.ensureTopic('t', 2);
    await writer.append({
      appends: [{topic: 't', partition: 0, ...batchOf('a', 'b')}],
      marks: [
        {topic: 't', partition: 0, timeMs: 1_700_000_000_000},
        {topic: 't', partition: 1, timeMs: -5},
      ],
    });
    await writer.append({appends: [{topic: 't', partition: 0, ...batchOf('c')}]});
    const batches = await readAll(reader, 't', 0);
    assert.deepEqual(
      batches.map(({baseOffset, count, kind, markTimeMs}) => [baseOffset, count, kind, markTimeMs]),
      [
        [0, 2, 'data', undefined],
        [2, 1, 'mark', 1_700_000_000_000],
        [3, 1, 'data', undefined],
      ],
    );
    assert.equal((await readAll(reader, 't', 1))[0]!.markTimeMs, -5);
  });

  check('transactions that are pending together keep their order', async ({writer, reader}) => {
    writer.ensureTopic('t', 1);
    const results = await Promise.all(
      Array.from({length: 50}, (_, i) =>
        writer.append({appends: [{topic: 't', partition: 0, ...batchOf(`${i}`)}]}),
      ),
    );
    assert.deepEqual(
      results.map(({appends}) => appends[0]!.baseOffset),
      Array.from({length: 50}, (_, i) => i),
    );
    assert.deepEqual(
      textsOf(await readAll(reader, 't', 0)),
      Array.from({length: 50}, (_, i) => `${i}`),
    );
  });

  check(
    'a reader that waits is woken by an append, and by the time-out without one',
    async ({writer, reader}) => {
      writer.ensureTopic('t', 1);
      while (await reader.waitForAppend(0));
      assert.equal(await reader.waitForAppend(20), false);
      const woken = reader.waitForAppend(10_000);
      await writer.append({appends: [{topic: 't', partition: 0, ...batchOf('a')}]});
      assert.equal(await woken, true);
      assert.equal(reader.endOffset('t', 0), 1);
    },
  );

  check('trim deletes old whole batches below the offset, and the ids they brought', async (log) => {
    const {writer, reader} = log;
    writer.ensureTopic('t', 1);
    for (let i = 0; i < 5; i++)
      await writer.append({
        appends: [{topic: 't', partition: 0, ids: [`${i}a`, `${i}b`], ...batchOf(`${i}a`, `${i}b`)}],
      });
    assert.equal(writer.trim('t', 0, {beforeMs: 0, belowOffset: 10}), 0, 'nothing is older');
    const beforeMs = Date.now() + 60_000;
    assert.equal(writer.trim('t', 0, {beforeMs, belowOffset: 5}), 2, 'the batch that holds 5 stays');
    assert.equal(reader.startOffset('t', 0), 4);
    await assert.rejects(reader.read('t', 0, 3, 1000), {code: 'LOG_TRIMMED'});
    assert.deepEqual(textsOf(await readAll(reader, 't', 0)), ['2a', '2b', '3a', '3b', '4a', '4b']);
    const again = await log.reopen();
    const {appends} = await again.writer.append({
      appends: [{topic: 't', partition: 0, ids: ['0a', '2a'], ...batchOf('0a', '2a')}],
    });
    assert.deepEqual(appends, [{baseOffset: 10, appended: 1, duplicate: 1, dropped: [false, true]}]);
    assert.equal(again.writer.trim('t', 0, {beforeMs, belowOffset: 100}), 4);
    assert.equal(again.reader.startOffset('t', 0), 11);
    assert.deepEqual(await again.reader.read('t', 0, 11, 1000), []);
    await again.writer.append({appends: [{topic: 't', partition: 0, ...batchOf('new')}]});
    assert.deepEqual(textsOf(await readAll(again.reader, 't', 0)), ['new']);
  });
}
