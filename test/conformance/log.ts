/**
 * What every log promises (`src/log/types.ts`), run against each implementation:
 * `conformance('embedded', async (options) => ({writer, reader, suffix, reopen, close}))`.
 */
import assert from 'node:assert/strict';
import type {Clock} from '../../src/clock.ts';
import type {LogWriter, RecordBatch} from '../../src/log/types.ts';
import {batchOf, readAll, textsOf} from '../support/log-records.ts';
import {remembers} from './log-books.ts';
import {assertFollowing, checker, type OpenLog, type OpenOptions, type Promised} from './log-check.ts';

/** Registers the suite's tests under `name`. @param not what this log does not promise, and why: its tests are skipped by name */
export function conformance(
  name: string,
  open: (options: OpenOptions) => Promise<OpenLog>,
  not: Partial<Record<Promised, string>> = {},
): void {
  const check = checker(name, open, not);
  remembers(check);

  check(
    'offsets count records, by partition, without gaps',
    {'shop.sale': 2},
    async ({writer, reader}, topic) => {
      const sale = topic('shop.sale');
      writer.ensureTopic(sale, 2);
      const first = await writer.append({
        appends: [
          {topic: sale, partition: 0, ...batchOf('a', 'b', 'c')},
          {topic: sale, partition: 1, ...batchOf('x')},
          {topic: sale, partition: 0, ...batchOf('d')},
        ],
      });
      assert.deepEqual(first.appends, [
        {baseOffset: 0, appended: 3, duplicate: 0},
        {baseOffset: 0, appended: 1, duplicate: 0},
        {baseOffset: 3, appended: 1, duplicate: 0},
      ]);
      await reader.refresh();
      assert.equal(reader.endOffset(sale, 0), 4);
      assert.equal(reader.endOffset(sale, 1), 1);
      const batches = await readAll(reader, sale, 0);
      assertFollowing(batches, 0, 4);
      assert.deepEqual(textsOf(batches), ['a', 'b', 'c', 'd']);
    },
  );

  check(
    'a batch is read as it was appended',
    {t: 1},
    async ({writer, reader}, topic) => {
      const t = topic('t');
      writer.ensureTopic(t, 1);
      await writer.append({
        appends: [
          {topic: t, partition: 0, ...batchOf('a', 'b', 'c')},
          {topic: t, partition: 0, ...batchOf('d')},
        ],
      });
      const batches = await readAll(reader, t, 0);
      assert.deepEqual(
        batches.map(({baseOffset, count, kind}) => ({baseOffset, count, kind})),
        [
          {baseOffset: 0, count: 3, kind: 'data'},
          {baseOffset: 3, count: 1, kind: 'data'},
        ],
      );
    },
    {needs: 'batches'},
  );

  check(
    'a topic keeps its number of partitions; an unknown one has none',
    {'shop.sale': 3, 'dlq.shop': 1},
    async ({writer, reader, suffix}, topic) => {
      const sale = topic('shop.sale');
      assert.equal(writer.ensureTopic(sale, 3), 3);
      assert.equal(writer.ensureTopic(sale, 5), 3);
      writer.ensureTopic(topic('dlq.shop'), 1);
      await reader.refresh();
      const own = reader.topics().filter((name) => name.endsWith(suffix));
      assert.deepEqual(own.sort(), [topic('dlq.shop'), sale]);
      assert.equal(reader.partitions(sale), 3);
      assert.equal(reader.partitions(topic('shop.none')), 0);
      assert.deepEqual(await reader.read(topic('shop.none'), 0, 0, 1000), []);
    },
  );

  check(
    'a read starts at the batch that holds the offset and ends near bytesMax',
    {t: 1},
    async ({writer, reader}, topic) => {
      const t = topic('t');
      writer.ensureTopic(t, 1);
      for (let i = 0; i < 10; i++)
        await writer.append({appends: [{topic: t, partition: 0, ...batchOf(`${i}a`, `${i}b`)}]});
      const starts = (batches: RecordBatch[]) => batches.map(({baseOffset}) => baseOffset);
      assert.deepEqual(starts(await reader.read(t, 0, 7, 1)), [6], 'at least one');
      assert.deepEqual(starts(await reader.read(t, 0, 4, 36)), [4, 6, 8], 'three of 12 bytes each');
      assert.deepEqual(starts(await reader.read(t, 0, 18, 1000)), [18]);
      assert.deepEqual(await reader.read(t, 0, 20, 1000), [], 'the end');
    },
    {needs: 'sizes'},
  );

  check('a read may start at any offset', {t: 1}, async ({writer, reader}, topic) => {
    const t = topic('t');
    writer.ensureTopic(t, 1);
    for (let i = 0; i < 10; i++)
      await writer.append({appends: [{topic: t, partition: 0, ...batchOf(`${i}a`, `${i}b`)}]});
    const all = Array.from({length: 10}, (_, i) => [`${i}a`, `${i}b`]).flat();
    await reader.refresh();
    for (const offset of [0, 7, 4, 18, 19]) {
      const [first] = await reader.read(t, 0, offset, 1);
      const {baseOffset, count} = first!;
      assert.ok(
        baseOffset <= offset && offset < baseOffset + count,
        'at least one batch, which holds the offset',
      );
      assert.deepEqual(textsOf([first!]), all.slice(baseOffset, baseOffset + count));
      const batches = await readAll(reader, t, 0, offset);
      assertFollowing(batches, batches[0]!.baseOffset, 20);
      assert.deepEqual(textsOf(batches), all.slice(batches[0]!.baseOffset));
    }
    assert.deepEqual(await reader.read(t, 0, 20, 1000), [], 'the end');
  });

  let nowMs = 1_000;
  const jumpy: Clock = {now: () => nowMs, sleep: () => Promise.reject(new Error('not used'))};
  check(
    'append time is the clock and never goes back within a partition',
    {t: 1},
    async (log, topic) => {
      const t = topic('t');
      log.writer.ensureTopic(t, 1);
      const append = (writer: LogWriter) =>
        writer.append({appends: [{topic: t, partition: 0, ...batchOf('a')}]});
      assert.equal((await append(log.writer)).appendTimeMs, 1_000);
      nowMs = 3_600_000;
      await append(log.writer);
      nowMs = 2_000;
      assert.equal((await append(log.writer)).appendTimeMs, 3_600_000);
      const {writer, reader} = await log.reopen();
      await append(writer);
      nowMs = 3_600_001;
      await append(writer);
      const times = (await readAll(reader, t, 0)).map(({appendTimeMs}) => appendTimeMs);
      assert.deepEqual(times, [1_000, 3_600_000, 3_600_000, 3_600_000, 3_600_001]);
    },
    {clock: jumpy, needs: 'clock'},
  );

  check('append times never go back within a partition', {t: 1}, async (log, topic) => {
    const t = topic('t');
    log.writer.ensureTopic(t, 1);
    const append = (writer: LogWriter) =>
      writer.append({appends: [{topic: t, partition: 0, ...batchOf('a')}]});
    for (let i = 0; i < 3; i++) await append(log.writer);
    const {writer, reader} = await log.reopen();
    for (let i = 0; i < 3; i++) await append(writer);
    const times = (await readAll(reader, t, 0)).map(({appendTimeMs}) => appendTimeMs);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
    assert.ok(Math.abs(times.at(-1)! - Date.now()) < 60_000, 'the time of the append');
  });

  check('a mark takes one offset and carries its time', {t: 2}, async ({writer, reader}, topic) => {
    const t = topic('t');
    writer.ensureTopic(t, 2);
    await writer.append({
      appends: [{topic: t, partition: 0, ...batchOf('a', 'b')}],
      marks: [
        {topic: t, partition: 0, timeMs: 1_700_000_000_000},
        {topic: t, partition: 1, timeMs: -5},
      ],
    });
    await writer.append({appends: [{topic: t, partition: 0, ...batchOf('c')}]});
    const batches = await readAll(reader, t, 0);
    assert.deepEqual(
      batches.map(({baseOffset, count, kind, markTimeMs}) => [baseOffset, count, kind, markTimeMs]),
      [
        [0, 2, 'data', undefined],
        [2, 1, 'mark', 1_700_000_000_000],
        [3, 1, 'data', undefined],
      ],
    );
    assert.equal((await readAll(reader, t, 1))[0]!.markTimeMs, -5);
  });

  check(
    'transactions that are pending together keep their order',
    {t: 1},
    async ({writer, reader}, topic) => {
      const t = topic('t');
      writer.ensureTopic(t, 1);
      const results = await Promise.all(
        Array.from({length: 50}, (_, i) =>
          writer.append({appends: [{topic: t, partition: 0, ...batchOf(`${i}`)}]}),
        ),
      );
      assert.deepEqual(
        results.map(({appends}) => appends[0]!.baseOffset),
        Array.from({length: 50}, (_, i) => i),
      );
      assert.deepEqual(
        textsOf(await readAll(reader, t, 0)),
        Array.from({length: 50}, (_, i) => `${i}`),
      );
    },
  );

  check(
    'a reader that waits is woken by an append, and by the time-out without one',
    {t: 1},
    async ({writer, reader}, topic) => {
      const t = topic('t');
      writer.ensureTopic(t, 1);
      assert.equal(reader.endOffset(t, 0), 0);
      while (await reader.waitForAppend(0));
      assert.equal(await reader.waitForAppend(20), false);
      const woken = [60_000, 30_000].map((timeoutMs) => reader.waitForAppend(timeoutMs));
      await writer.append({appends: [{topic: t, partition: 0, ...batchOf('a')}]});
      assert.deepEqual(await Promise.all(woken), [true, true]);
      assert.equal(reader.endOffset(t, 0), 1);
    },
  );

  check(
    'trim deletes old whole batches below the offset, and the ids they brought',
    {t: 1},
    async (log, topic) => {
      const {writer, reader} = log;
      const t = topic('t');
      writer.ensureTopic(t, 1);
      for (let i = 0; i < 5; i++)
        await writer.append({
          appends: [{topic: t, partition: 0, ids: [`${i}a`, `${i}b`], ...batchOf(`${i}a`, `${i}b`)}],
        });
      assert.equal(writer.trim(t, 0, {beforeMs: 0, belowOffset: 10}), 0, 'nothing is older');
      const beforeMs = Date.now() + 60_000;
      assert.equal(writer.trim(t, 0, {beforeMs, belowOffset: 5}), 2, 'the batch that holds 5 stays');
      assert.equal(reader.startOffset(t, 0), 4);
      await assert.rejects(reader.read(t, 0, 3, 1000), {code: 'LOG_TRIMMED'});
      assert.deepEqual(textsOf(await readAll(reader, t, 0)), ['2a', '2b', '3a', '3b', '4a', '4b']);
      const again = await log.reopen();
      const {appends} = await again.writer.append({
        appends: [{topic: t, partition: 0, ids: ['0a', '2a'], ...batchOf('0a', '2a')}],
      });
      assert.deepEqual(appends, [{baseOffset: 10, appended: 1, duplicate: 1, dropped: [false, true]}]);
      assert.equal(again.writer.trim(t, 0, {beforeMs, belowOffset: 100}), 4);
      assert.equal(again.reader.startOffset(t, 0), 11);
      assert.deepEqual(await again.reader.read(t, 0, 11, 1000), []);
      await again.writer.append({appends: [{topic: t, partition: 0, ...batchOf('new')}]});
      assert.deepEqual(textsOf(await readAll(again.reader, t, 0)), ['new']);
    },
    {needs: 'trim'},
  );
}
