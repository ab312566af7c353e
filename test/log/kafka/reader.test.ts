/** The reader against a broker; Kafka's own Java clients write, and say what has to be seen. */
import assert from 'node:assert/strict';
import {after, before, suite, test} from 'node:test';
import {type Kafka, startKafka} from '../../../src/cluster/kafka.ts';
import {KafkaClient} from '../../../src/log/kafka/client.ts';
import {writeKeyed} from '../../../src/log/kafka/keyed.ts';
import {type KafkaReader, type KafkaReaderOptions, openKafkaReader} from '../../../src/log/kafka/reader.ts';
import type {KafkaSecurity, KafkaSettings} from '../../../src/log/kafka/settings.ts';
import {ensureTopics, keptConfigs} from '../../../src/log/kafka/topics.ts';
import {framesOf} from '../../../src/log/records.ts';
import type {RecordBatch} from '../../../src/log/types.ts';
import {skipWithout} from '../../cluster/needs.ts';
import {type JavaClients, startJavaClients} from '../../support/kafka-java.ts';
import {until} from '../../support/until.ts';

let kafka: Kafka;
let java: JavaClients;
const readers: KafkaReader[] = [];

function settings(
  brokers = kafka.brokers,
  security: KafkaSecurity = {protocol: 'plaintext'},
  fetchBytesMax = 1_048_576,
): KafkaSettings {
  return {
    brokers,
    clientId: 'test',
    security,
    topics: {partitions: 1, replication: 1, retentionMs: null},
    client: {fetchBytesMax},
  };
}

async function open(
  options: KafkaReaderOptions = {},
  given: KafkaSettings = settings(),
): Promise<KafkaReader> {
  const reader = await openKafkaReader({dir: '/nowhere', kafka: given}, options);
  readers.push(reader);
  return reader;
}

/** All of a partition up to its end as it is now: batches whose offsets follow each other from `from`. */
async function readAll(
  reader: KafkaReader,
  topic: string,
  {partition = 0, from = 0, bytesMax = 1 << 20} = {},
): Promise<RecordBatch[]> {
  await reader.refresh();
  const end = reader.endOffset(topic, partition);
  const all: RecordBatch[] = [];
  for (let offset = from; offset < end; ) {
    const batches = await reader.read(topic, partition, offset, bytesMax);
    assert.ok(batches.length > 0, `nothing at ${offset} of ${end}`);
    for (const batch of batches) {
      assert.ok(batch.baseOffset <= offset && batch.baseOffset + batch.count > offset, `a hole at ${offset}`);
      offset = batch.baseOffset + batch.count;
      all.push(batch);
    }
  }
  return all;
}

const text = (frame: Uint8Array) => (frame.length === 0 ? 'null' : Buffer.from(frame).toString());

/** `offset value`, as Java's consumer prints them. */
const linesOf = (batches: RecordBatch[]): string[] =>
  batches.flatMap(({kind, baseOffset, count, bytes}) => {
    if (kind !== 'data') return [];
    const frames = [...framesOf(bytes)];
    assert.equal(frames.length, count);
    return frames.map((frame, index) => `${baseOffset + index} ${text(frame)}`);
  });

/** Of a partition, as Kafka's consumer of committed records sees it. */
const reference = (topic: string, end: number) => java.tell(`consume ${topic} 0 read_committed ${end}`);

suite('a log in Kafka', skipWithout('java', 'mvn'), () => {
  before(async () => {
    kafka = await startKafka({
      listeners: ['sasl-tls'],
      users: {alice: 'alice-password'},
      properties: {
        'log.cleaner.backoff.ms': '100',
        // A broker that was killed may come back so soon.
        'broker.session.timeout.ms': '1500',
        'broker.heartbeat.interval.ms': '300',
      },
    });
    java = await startJavaClients(kafka.brokers);
  });
  after(async () => {
    for (const reader of readers) reader.close();
    java?.stop();
    await kafka?.stop();
  });

  test('records with keys that take several batches, into more partitions than a request has, keep their order', async () => {
    const name = 'wide';
    const partitions = 40;
    const client = new KafkaClient(settings());
    await ensureTopics(client, [{name, partitions, replication: 1, configs: {}}]);
    // Leaders of a topic that was just made refuse for a while.
    const first = async (partition: number) => {
      const record = {key: Buffer.from('first'), value: Buffer.from(`${partition}`), partition};
      for (let tries = 0; ; tries++)
        try {
          return await writeKeyed(client, name, [record]);
        } catch (error) {
          if (tries === 20) throw error;
        }
    };
    await Promise.all(Array.from({length: partitions}, (_, partition) => first(partition)));
    const value = Buffer.alloc(400_000);
    const records = Array.from({length: partitions + 4}, (_, n) => {
      const partition = Math.min(n, partitions - 1);
      return {key: Buffer.from(String(n)), value: partition === n ? Buffer.from(`${n}`) : value, partition};
    });
    const ends = await writeKeyed(client, name, records);
    client.close();
    assert.deepEqual(
      [...ends].sort(([a], [b]) => a - b),
      Array.from({length: partitions}, (_, partition) => [partition, partition === partitions - 1 ? 6 : 2]),
    );
    const reader = await open();
    for (const partition of [0, 31, 32, 38])
      assert.deepEqual(linesOf(await reader.read(name, partition, 0, 1 << 20)), [
        `0 ${partition}`,
        `1 ${partition}`,
      ]);
    const sizes: number[] = [];
    for (let offset = 0; offset < 6; )
      for (const {bytes, baseOffset, count} of await reader.read(name, partitions - 1, offset, 1 << 24)) {
        sizes.push(...[...framesOf(bytes)].map((frame) => frame.length));
        offset = baseOffset + count;
      }
    assert.deepEqual(sizes, [2, 2, 400_000, 400_000, 400_000, 400_000]);
    reader.close();
  });

  test('two reads of one place at the same time both get what is there', async () => {
    const client = new KafkaClient(settings());
    await ensureTopics(client, [{name: 'twice', partitions: 1, replication: 1, configs: {}}]);
    await writeKeyed(client, 'twice', [{key: Buffer.from('k'), value: Buffer.from('v')}]);
    client.close();
    for (let round = 0; round < 5; round++) {
      const reader = await open();
      const both = await Promise.all([0, 1].map(() => reader.read('twice', 0, 0, 1 << 20)));
      assert.deepEqual(both.map(linesOf), [['0 v'], ['0 v']]);
    }
  });

  test('every codec is read, whole and from any place', async () => {
    await java.tell('topic codecs 1');
    for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
      await java.tell(`producer ${codec} compression.type=${codec} batch.size=30000`);
      await java.tell(`send ${codec} codecs 0 700 ${codec}- 90`);
      await java.tell(`send ${codec} codecs 0 3 large-${codec}- 200000`);
      await java.tell(`flush ${codec}`);
    }
    const reader = await open();
    const batches = await readAll(reader, 'codecs');
    const wanted = await reference('codecs', reader.endOffset('codecs', 0));
    assert.equal(wanted.length, 5 * 703);
    assert.deepEqual(linesOf(batches), wanted);
    for (let from = 0; from < wanted.length; from += 501) {
      const rest = await readAll(reader, 'codecs', {from});
      assert.deepEqual(linesOf(rest).slice(from - rest[0]!.baseOffset), wanted.slice(from));
    }
  });

  test('transactions: exactly what was committed is seen, whatever is interleaved, aborted or open', async () => {
    await java.tell('topic tx 1');
    for (const id of ['a', 'b']) await java.tell(`producer ${id} transactional.id=${id} batch.size=2000`);
    await java.tell('producer plain');
    const send = async (id: string, count: number, prefix: string) => {
      await java.tell(`send ${id} tx 0 ${count} ${prefix}- 60`);
      await java.tell(`flush ${id}`);
    };
    for (let round = 0; round < 6; round++) {
      await java.tell('begin a');
      await send('a', 40, `a${round}`);
      await java.tell('begin b');
      await send('b', 30, `b${round}`);
      await send('plain', 5, `p${round}`);
      await send('a', 20, `A${round}`);
      await java.tell(round % 2 === 0 ? 'abort a' : 'commit a');
      await send('b', 10, `B${round}`);
      await java.tell(round % 3 === 0 ? 'commit b' : 'abort b');
    }
    const reader = await open();
    // The broker answers a commit before it has written it into the partition.
    const endIs = (offset: number) =>
      until(async () => {
        await reader.refresh();
        return reader.endOffset('tx', 0) === offset;
      }, `the end of committed records is ${offset}`);
    await endIs(6 * (40 + 30 + 5 + 20 + 10 + 2));
    for (const bytesMax of [1 << 20, 20_000]) {
      const batches = await readAll(reader, 'tx', {bytesMax});
      const end = reader.endOffset('tx', 0);
      assert.equal(
        batches.reduce((sum, {count}) => sum + count, 0),
        end,
      );
      assert.deepEqual(linesOf(batches), await reference('tx', end));
      assert.ok(batches.some(({kind}) => kind === 'gap'));
    }
    // What is behind the beginning of an open transaction is not there yet, also what belongs to none.
    const before = reader.endOffset('tx', 0);
    await java.tell('begin a');
    await send('a', 5, 'open');
    await send('plain', 5, 'behind');
    await reader.refresh();
    assert.equal(reader.endOffset('tx', 0), before);
    assert.deepEqual(await reader.read('tx', 0, before, 1 << 20), []);
    await java.tell('commit a');
    await endIs(before + 11);
    const rest = await readAll(reader, 'tx', {from: before});
    assert.deepEqual(
      linesOf(rest).map((line) => line.split(' ')[1]!.split('-')[0]),
      [...Array(5).fill('open'), ...Array(5).fill('behind')],
    );
  });

  test('a record without a value is an empty frame; what compaction removed is a gap', async () => {
    await java.tell(
      'topic compacted 1 cleanup.policy=compact segment.ms=200 min.cleanable.dirty.ratio=0.01 max.compaction.lag.ms=200',
    );
    await java.tell('producer c batch.size=4000');
    for (let round = 0; round < 4; round++) {
      await java.tell(`send c compacted 0 50 r${round}- 100`);
      await java.tell('null c compacted 0 k7');
      await java.tell('flush c');
    }
    const reader = await open();
    let batches = await readAll(reader, 'compacted');
    assert.ok(linesOf(batches).some((line) => line.endsWith(' null')));
    let next = 0;
    await until(async () => {
      if (batches.some(({kind}) => kind === 'gap')) return true;
      await new Promise((resolve) => setTimeout(resolve, 300));
      // The last segment is never compacted.
      await java.tell(`send c compacted 0 1 next${next++}-`);
      await java.tell('flush c');
      batches = await readAll(await open(), 'compacted');
      return false;
    }, 'a compaction');
    // Compaction goes on: what was there before and after our reading has to be in it.
    for (let isStill = false; !isStill; ) {
      const reading = await open();
      const end = reading.endOffset('compacted', 0);
      const wanted = await reference('compacted', end);
      const lines = linesOf(await readAll(reading, 'compacted'));
      isStill = JSON.stringify(wanted) === JSON.stringify(await reference('compacted', end));
      if (isStill) assert.deepEqual(lines, wanted);
    }
  });

  test('a read at the end waits for what is appended, without asking again', async () => {
    await java.tell('topic live 2');
    await java.tell('producer live');
    await java.tell('send live live 0 1 first-');
    await java.tell('flush live');
    const reader = await open();
    await readAll(reader, 'live');
    await reader.waitForAppend(1);
    assert.equal(await reader.waitForAppend(50), false);
    for (let round = 1; round < 4; round++) {
      const waiting = reader.waitForAppend(60_000);
      await java.tell(`send live live 0 1 round${round}-`);
      await java.tell('flush live');
      assert.equal(await waiting, true);
      assert.equal(reader.endOffset('live', 0), round + 1);
      assert.deepEqual(linesOf(await reader.read('live', 0, round, 1 << 20)), [`${round} round${round}-0`]);
    }
    // A partition that nobody has read yet.
    assert.equal(reader.endOffset('live', 1), 0);
    await java.tell('send live live 1 1 other-');
    await java.tell('flush live');
    const untilMs = performance.now() + 60_000;
    while (reader.endOffset('live', 1) === 0 && performance.now() < untilMs) await reader.waitForAppend(100);
    assert.deepEqual(linesOf(await reader.read('live', 1, 0, 1 << 20)), ['0 other-0']);
  });

  test('news that come faster than somebody works are fetched in his beat, and none is missed', async () => {
    const name = 'beat';
    const gapMs = 100;
    const total = 150;
    const client = new KafkaClient(settings());
    await ensureTopics(client, [{name, partitions: 1, replication: 1, configs: {}}]);
    const reader = await open({gapMs});
    const write = async () => {
      for (let n = 0; n < total; n++)
        await writeKeyed(client, name, [{key: Buffer.from('k'), value: Buffer.from(`${n}`), partition: 0}]);
    };
    const startMs = performance.now();
    const written = write();
    const lines: string[] = [];
    let news = 0;
    while (lines.length < total) {
      if (await reader.waitForAppend(60_000)) news++;
      while (lines.length < reader.endOffset(name, 0))
        lines.push(...linesOf(await reader.read(name, 0, lines.length, 1 << 20)));
    }
    const tookMs = performance.now() - startMs;
    await written;
    client.close();
    assert.deepEqual(
      lines,
      Array.from({length: total}, (_, n) => `${n} ${n}`),
    );
    // An answer a beat, and the looks at ends between them.
    assert.ok(news <= tookMs / gapMs + tookMs / 250 + 2, `${news} times news in ${tookMs} ms`);
  });

  test('readers at several places of a partition do not disturb each other; a place can be read again', async () => {
    const reader = await open();
    const wanted = linesOf(await readAll(reader, 'codecs'));
    const places = [0, 700, 1405, 2000, 2900, 3400];
    const found = await Promise.all(
      places.map(async (from) => {
        const lines: string[] = [];
        for (let offset = from; offset < wanted.length; ) {
          const batches = await reader.read('codecs', 0, offset, 40_000);
          assert.deepEqual(linesOf(await reader.read('codecs', 0, offset, 40_000))[0], linesOf(batches)[0]);
          for (const batch of batches) {
            lines.push(...linesOf([batch]).slice(Math.max(0, offset - batch.baseOffset)));
            offset = batch.baseOffset + batch.count;
          }
        }
        return lines;
      }),
    );
    for (const [index, from] of places.entries()) assert.deepEqual(found[index], wanted.slice(from));
    // One place only.
    const [one] = await reader.read('codecs', 0, 750, 1);
    assert.ok(one!.baseOffset <= 750 && one!.baseOffset + one!.count > 750);
  });

  test('memory that is used again is right as long as it is looked at before the next read', async () => {
    const wanted = linesOf(await readAll(await open(), 'codecs'));
    const reader = await open({reuse: true});
    const places = [0, 1200, 2300].map((from) => ({from, offset: from, lines: [] as string[]}));
    while (places.some(({offset}) => offset < wanted.length))
      for (const place of places)
        for (const batch of await reader.read('codecs', 0, place.offset, 60_000)) {
          place.lines.push(...linesOf([batch]).slice(Math.max(0, place.offset - batch.baseOffset)));
          place.offset = batch.baseOffset + batch.count;
        }
    for (const {from, lines} of places) assert.deepEqual(lines, wanted.slice(from));
  });

  test('places of a partition that are asked for at the same time get each its own records', async () => {
    const client = new KafkaClient(settings());
    const count = 40_000;
    await ensureTopics(client, [{name: 'places', partitions: 1, replication: 1, configs: {}}]);
    for (let from = 0; from < count; from += 500) {
      const records = Array.from({length: 500}, (_, index) => ({
        key: Buffer.from('k'),
        value: Buffer.from(`${from + index} ${'x'.repeat(60)}`),
        partition: 0,
      }));
      await writeKeyed(client, 'places', records);
    }
    client.close();
    // Small requests: many of them, for all places at once.
    const reader = await open({reuse: true}, settings(kafka.brokers, {protocol: 'plaintext'}, 65_536));
    const places = [0, 9_500, 20_250, 30_000];
    await Promise.all(
      places.map(async (from) => {
        for (let offset = from; offset < count; )
          for (const batch of await reader.read('places', 0, offset, 40_000)) {
            const lines = linesOf([batch]).slice(Math.max(0, offset - batch.baseOffset));
            for (const line of lines)
              assert.ok(line.startsWith(`${offset} ${offset++} `), `${offset}: ${line}`);
            assert.equal(offset, batch.baseOffset + batch.count);
          }
      }),
    );
  });

  test('a batch that is larger than a request asks for is read', async () => {
    const reader = await open({}, settings(kafka.brokers, {protocol: 'plaintext'}, 65_536));
    assert.equal(linesOf(await readAll(reader, 'codecs')).length, 5 * 703);
  });

  test('the same over TLS with SASL', async () => {
    const {ca} = kafka.certificates!;
    const sasl = {mechanism: 'scram-sha-512', username: 'alice', password: 'alice-password'} as const;
    const reader = await open(
      {},
      settings(kafka.listeners['sasl-tls']!, {protocol: 'sasl_ssl', sasl, tls: {ca}}),
    );
    assert.equal(linesOf(await readAll(reader, 'codecs')).length, 5 * 703);
    const wrong = {...sasl, password: 'canary-9'};
    await assert.rejects(
      open({}, settings(kafka.listeners['sasl-tls']!, {protocol: 'sasl_ssl', sasl: wrong, tls: {ca}})),
      (error: Error & {code: string}) => error.code === 'KAFKA_ACCESS' && !error.message.includes('canary'),
    );
  });

  test('new partitions are seen at the next look', async () => {
    await java.tell('topic grows 1');
    await java.tell('producer g');
    const reader = await open();
    assert.equal(reader.partitions('grows'), 1);
    await java.tell('grow grows 3');
    await java.tell('send g grows 2 4 new-');
    await java.tell('flush g');
    await reader.refresh();
    assert.equal(reader.partitions('grows'), 3);
    assert.equal(linesOf(await readAll(reader, 'grows', {partition: 2})).length, 4);
  });

  test('an offset that retention passed is told with its range, one beyond the end as lost', async () => {
    await java.tell('topic short 1');
    await java.tell('producer s');
    await java.tell('send s short 0 100 x-');
    await java.tell('flush s');
    const early = await open();
    await java.tell('trim short 0 60');
    const trimmed = {code: 'LOG_TRIMMED', message: /offsets 10 to 59 were deleted/, place: 'short/0@10'};
    // Who looked before it was trimmed, and who looks now.
    await assert.rejects(early.read('short', 0, 10, 1 << 20), trimmed);
    const late = await open();
    assert.equal(late.startOffset('short', 0), 60);
    await assert.rejects(late.read('short', 0, 10, 1 << 20), trimmed);
    await assert.rejects(late.read('short', 0, 101, 1 << 20), {code: 'KAFKA_LOST', place: 'short/0@101'});
    const kept = linesOf(await readAll(late, 'short', {from: 60}));
    assert.deepEqual(kept.slice(-40), (await reference('short', 100)).slice(-40));
  });

  test('topics are made as they are wanted; what differs is told with the command that mends it', async () => {
    const client = new KafkaClient(settings());
    try {
      const wanted = {
        name: 'made',
        partitions: 3,
        replication: 0,
        configs: keptConfigs(settings(), 3_600_000),
      };
      assert.deepEqual(await ensureTopics(client, [wanted]), []);
      assert.deepEqual(await ensureTopics(client, [wanted]), []);
      const [{leader} = {leader: -1}] = client.metadata.topics.get('made')!;
      assert.deepEqual([client.metadata.topics.get('made')!.length, leader], [3, 1]);
      const other = {
        ...wanted,
        partitions: 1,
        replication: 2,
        configs: {...wanted.configs, 'retention.ms': '-1', 'max.message.bytes': '2000000'},
      };
      const found = await ensureTopics(client, [other]);
      assert.deepEqual(
        found.map(({topic, what, is, wanted: should}) => `${topic} ${what} ${is} ${should}`),
        ['made retention.ms 3600000 -1', 'made max.message.bytes 1048588 2000000', 'made replicas 1 2'],
      );
      const smaller = {...wanted, configs: {...wanted.configs, 'max.message.bytes': '1000000'}};
      assert.deepEqual(await ensureTopics(client, [smaller]), [], 'larger records may come');
      assert.match(
        found[0]!.command!,
        /kafka-configs\.sh .* --entity-name made --add-config retention\.ms=-1$/,
      );
      await assert.rejects(ensureTopics(client, [{...wanted, name: 'too-many', replication: 3}]), {
        code: 'KAFKA_REFUSED',
        message: /too-many.*INVALID_REPLICATION_FACTOR/,
      });
    } finally {
      client.close();
    }
  });

  test('a broker that is killed is waited for; reading goes on by itself', async () => {
    const patient = await open({patienceMs: 120_000});
    const hasty = await open({patienceMs: 300});
    const wanted = linesOf(await readAll(patient, 'codecs'));
    await kafka.kill(0);
    const waiting = readAll(patient, 'codecs', {from: 0, bytesMax: 30_000});
    await assert.rejects(hasty.read('codecs', 0, 100, 1 << 20), {code: 'KAFKA_UNAVAILABLE'});
    assert.equal(hasty.trouble()?.error.code, 'KAFKA_UNAVAILABLE');
    await kafka.restart(0);
    assert.deepEqual(linesOf(await waiting), wanted);
    const untilMs = performance.now() + 60_000;
    let again: RecordBatch[] = [];
    while (again.length === 0 && performance.now() < untilMs)
      again = await hasty.read('codecs', 0, 100, 1 << 20).catch(() => []);
    assert.ok(again.length > 0);
    await until(() => hasty.trouble() === undefined, 'nothing is wrong any more');
  });
});
