/** The Kafka writer against a broker behind a network that fails: what was acknowledged is in the topic once, in order. */
import assert from 'node:assert/strict';
import {statSync} from 'node:fs';
import {join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {after, before, suite, test} from 'node:test';
import {deadLetterEncoder} from '../../../src/ingest/deadletters.ts';
import {openLogReader, openLogWriter} from '../../../src/log/embedded.ts';
import {KafkaClient} from '../../../src/log/kafka/client.ts';
import type {KafkaSettings} from '../../../src/log/kafka/settings.ts';
import {WireWriter} from '../../../src/log/kafka/wire.ts';
import type {KafkaWriter} from '../../../src/log/kafka/writer.ts';
import type {KafkaWriterOptions} from '../../../src/log/kafka/writer-options.ts';
import {Outbox} from '../../../src/log/outbox.ts';
import {packRecords} from '../../../src/schema/frame.ts';
import {skipWithout} from '../../cluster/needs.ts';
import {startJavaClients} from '../../support/kafka-java.ts';
import {batchOfIds, KafkaRig, recordOf, type Told} from '../../support/kafka-writer.ts';
import {until} from '../../support/until.ts';

/** `count` ids that begin with `name`. */
const named = (name: string, count: number, from = 0) =>
  Array.from({length: count}, (_, i) => `${name}-${from + i}`);

/** Appends dead letters to a topic of one partition: their records have headers of their own. */
const putLetters = (writer: KafkaWriter, topic: string, ids: string[]) => {
  const bytes = deadLetterEncoder(1)(
    ids.map((id) => ({
      ...{id, timeMs: 0, domain: 'net', eventType: null, stage: 'validate', query: null, code: 'TYPE'},
      ...{message: '', source: 's', position: {file: 'f', row: 1}, eventId: null, schemaId: null},
      original: Buffer.from(id),
    })),
  );
  return writer.append({appends: [{topic, partition: 0, ids, count: ids.length, bytes}]});
};

/** Limits what a client of that id may move through a broker, bytes a second. */
async function setQuota(kafka: KafkaSettings, name: string, rate: number): Promise<void> {
  const client = new KafkaClient(kafka);
  await client.refreshMetadata();
  const value = Buffer.alloc(8);
  value.writeDoubleBE(rate);
  const body = new WireWriter();
  body.array([kafka.clientId], (id) => {
    body.array([id], () => body.string('client-id').string(id));
    body.array([name], () => body.string(name).raw(value).boolean(false));
  });
  body.boolean(false);
  const api = {name: 'AlterClientQuotas', key: 49, version: 0};
  const reader = await client.request({to: 'controller', api, body: body.bytes});
  reader.int32();
  reader.array(() => assert.equal(reader.int16(), 0, reader.nullableString() ?? ''));
  client.close();
}

/** Appends one batch to a partition. */
const put = (writer: KafkaWriter, topic: string, ids: string[], partition = 0) =>
  writer.append({appends: [{topic, partition, ids, ...batchOfIds(ids)}]});

suite('writing to Kafka', skipWithout('java', 'mvn'), () => {
  let rig: KafkaRig;
  before(async () => {
    // Bytes of the last second or two decide whether a client is over its quota.
    rig = await KafkaRig.start({properties: {'quota.window.num': '2'}});
  });
  after(() => rig?.stop());

  test('what is acknowledged is in the topic, duplicates are not, end marks are marks', async () => {
    const writer = await rig.writer({'shop.sale': 2});
    assert.equal(writer.ensureTopic('shop.sale'), 2);
    await put(writer, 'shop.sale', named('a', 3));
    const again = await put(writer, 'shop.sale', ['a-1', 'a-9', 'a-2']);
    assert.deepEqual(again.appends[0]?.dropped, [true, false, true]);
    await writer.append({
      appends: [{topic: 'shop.sale', partition: 1, ...batchOfIds(['b'])}],
      marks: [{topic: 'shop.sale', partition: 1, timeMs: 1_700_000_000_000}],
      progress: [{source: 'file:x', position: '{"row":7}'}],
    });
    assert.deepEqual(await rig.ids('shop.sale'), [['a-0', 'a-1', 'a-2', 'a-9'], ['b']]);
    const [, second] = await rig.read('shop.sale');
    assert.deepEqual(
      second?.map(({kind, count, markTimeMs}) => ({kind, count, markTimeMs})),
      [
        {kind: 'data', count: 1, markTimeMs: undefined},
        {kind: 'mark', count: 1, markTimeMs: 1_700_000_000_000},
      ],
    );
    assert.equal(writer.progress('file:x'), '{"row":7}');
    await writer.close();
  });

  test('a client of others reads what was written, however it is packed', async () => {
    const ids: string[] = [];
    for (const compression of ['none', 'gzip', 'lz4', 'zstd'] as const) {
      const writer = await rig.writer({'shop.packed': 1}, {compression});
      // No id of five letters: their length would be a line feed in what Java prints.
      const own = named(`by-${compression}`, 200);
      await writer.append({
        appends: [{topic: 'shop.packed', partition: 0, ...batchOfIds(own, 'x'.repeat(50))}],
      });
      ids.push(...own);
      await writer.close();
    }
    const java = await startJavaClients(rig.kafka.brokers);
    try {
      const lines = await java.tell(`consume shop.packed 0 read_committed ${ids.length}`);
      assert.deepEqual(
        lines.map((line) => /^(\d+) .*?(by-(?:none|gzip|lz4|zstd)-\d+)x{50}$/s.exec(line)?.slice(1)),
        ids.map((id, offset) => [String(offset), id]),
      );
    } finally {
      java.stop();
    }
  });

  test('what was shipped leaves the outbox; its ids stay, with their places in Kafka', async () => {
    const dir = rig.dir();
    // Another outbox is there first: offsets of the two differ.
    const other = await rig.writer({'shop.place': 1});
    await put(other, 'shop.place', named('other', 5));
    await other.close();
    let writer = await rig.writer({'shop.place': 1}, {dir});
    for (let i = 0; i < 40; i++)
      await writer.append({
        appends: [
          {
            topic: 'shop.place',
            partition: 0,
            ids: [`p-${i}`],
            ...batchOfIds([`p-${i}`], 'x'.repeat(100_000)),
          },
        ],
      });
    await writer.close();
    const reader = openLogReader(dir);
    assert.equal(reader.endOffset('shop.place', 0) - reader.startOffset('shop.place', 0), 0);
    assert.deepEqual(reader.knows('shop.place', ['p-0', 'p-39', 'other-3', 'p-40']), [
      true,
      true,
      true,
      false,
    ]);
    assert.deepEqual(reader.placeOf('shop.place', 'p-7'), {partition: 0, offset: 12});
    assert.deepEqual(reader.placeOf('shop.place', 'other-3'), {partition: 0, offset: 3});
    reader.close();
    writer = await rig.writer({'shop.place': 1}, {dir});
    assert.equal((await put(writer, 'shop.place', ['p-0'])).appends[0]?.duplicate, 1);
    // The file is used again: 4 MB have passed through it.
    for (let i = 40; i < 80; i++)
      await writer.append({
        appends: [{topic: 'shop.place', partition: 0, ...batchOfIds([`p-${i}`], 'x'.repeat(100_000))}],
      });
    await writer.close();
    const {size} = statSync(join(dir, 'log.db'));
    assert.ok(size < 9_000_000, `${size} bytes`);
  });

  test('a lost directory is made anew from the topic: what was sent before is known, with ids or without', async () => {
    const first = await rig.writer({'shop.lost': 2, 'dlq.shop': 1});
    await put(first, 'shop.lost', named('given', 30));
    await first.append({appends: [{topic: 'shop.lost', partition: 1, ...batchOfIds(named('row', 30))}]});
    await put(first, 'dlq.shop', ['letter']);
    await first.close();
    const second = await rig.writer({'shop.lost': 2, 'dlq.shop': 1});
    const ledger = {domain: 'shop', eventType: 'lost', source: 'file:rows'};
    const result = await second.append({
      appends: [
        {topic: 'shop.lost', partition: 1, ...batchOfIds(named('row', 40))},
        {
          topic: 'shop.lost',
          partition: 0,
          ids: ['given-29', 'given-30'],
          ...batchOfIds(['given-29', 'given-30']),
        },
      ],
      ledger: [{...ledger, received: 42, appended: 42, duplicate: 0, rejected: 0}],
    });
    assert.deepEqual(
      result.appends.map(({duplicate}) => duplicate),
      [30, 1],
    );
    assert.deepEqual(second.ledger(), [{...ledger, received: 42, appended: 11, duplicate: 31, rejected: 0}]);
    assert.equal((await put(second, 'dlq.shop', ['letter'])).appends[0]?.duplicate, 1);
    await second.close();
    const [given, rows] = await rig.ids('shop.lost');
    assert.deepEqual(given, named('given', 31));
    assert.deepEqual(rows, named('row', 40));
  });

  test('answers that are lost, connections that drop, and a slow network: nothing is lost, nothing is there twice', async () => {
    const writer = await rig.writer(
      {'shop.net': 2, 'dlq.net': 1},
      {
        kafka: {...rig.settings('proxy'), client: {connectMs: 500, requestMs: 500}},
      },
    );
    let sent = 0;
    let isDone = false;
    const acknowledged: string[] = [];
    const sender = async (name: string, give: (ids: string[]) => Promise<unknown>) => {
      for (let i = 0; !isDone; i++) {
        const ids = named(`${name}-${i}`, 5);
        sent += 5;
        await give(ids);
        acknowledged.push(...ids);
      }
    };
    const senders = [
      sender('s', (ids) => put(writer, 'shop.net', ids)),
      sender('t', (ids) => put(writer, 'shop.net', ids)),
      sender('u', (ids) => put(writer, 'shop.net', ids, 1)),
      sender('v', (ids) => putLetters(writer, 'dlq.net', ids)),
    ];
    const fault = async (work: () => void, ms: number) => {
      work();
      await new Promise((resolve) => setTimeout(resolve, ms));
      rig.proxy.restore();
      await new Promise((resolve) => setTimeout(resolve, 100));
    };
    for (let round = 0; round < 4; round++) {
      await fault(() => rig.proxy.swallowAnswers(), 40 + 60 * round);
      await fault(() => rig.proxy.drop(), 20);
      await fault(() => rig.proxy.delay(5), 100);
      await fault(() => rig.proxy.cut(), 50 + 50 * round);
    }
    isDone = true;
    await Promise.all(senders);
    await until(() => writer.bytes === 0, 'everything is shipped');
    await writer.close();
    assert.ok(sent > 300, `${sent} were sent`);
    const arrived = [...(await rig.ids('shop.net')), ...(await rig.ids('dlq.net'))];
    assert.deepEqual(arrived.flat().sort(), acknowledged.sort());
    // Each sender waits for its answers: what it sent first is there first.
    for (const name of ['s', 't', 'u', 'v']) {
      const own = arrived.flat().filter((id) => id.startsWith(name));
      const numbers = own.map((id) => Number(id.split('-')[1]) * 5 + Number(id.split('-')[2]));
      assert.deepEqual(
        numbers,
        Array.from({length: own.length}, (_, i) => i),
      );
    }
  });

  test('while the broker is away appends are durable in the outbox, and arrive in order when it is back', async () => {
    const told: Told[] = [];
    const dir = rig.dir();
    const options = {
      dir,
      spoolAfterMs: 300,
      telemetry: {emit: (name: Told['name'], event: unknown) => told.push({name, event})},
    };
    let writer = await rig.writer({'shop.away': 1}, options);
    await put(writer, 'shop.away', named('before', 3));
    rig.proxy.cut();
    for (let i = 0; i < 50; i++) await put(writer, 'shop.away', named('away', 10, i * 10));
    assert.ok(writer.bytes > 5_000, 'it waits');
    await until(
      () =>
        told.some(({name, event}) => name === 'SpoolObserved' && (event as {isSpooling: boolean}).isSpooling),
      'spooling is told',
    );
    const spooled = told.filter(({name}) => name === 'RecordsSpooled');
    assert.equal(
      spooled.reduce((sum, {event}) => sum + (event as {records: number}).records, 0),
      500,
    );
    assert.ok(told.some(({name}) => name === 'ProduceFailed'));
    // The process ends meanwhile, and another one begins without a broker.
    await writer.close();
    writer = await rig.writer({'shop.away': 1}, options);
    assert.equal(writer.isConnected, false);
    await put(writer, 'shop.away', named('away', 10, 500));
    assert.equal((await put(writer, 'shop.away', ['away-3'])).appends[0]?.duplicate, 1);
    rig.proxy.restore();
    await until(() => writer.bytes === 0, 'the spool is redriven');
    await put(writer, 'shop.away', ['after']);
    await writer.close();
    assert.deepEqual(await rig.ids('shop.away'), [[...named('before', 3), ...named('away', 510), 'after']]);
    assert.ok(
      told.some(
        ({name, event}) =>
          name === 'Log' && /everything that waited was sent/.test((event as {message: string}).message),
      ),
    );
  });

  test('at its limit the spool refuses, and takes appends again when the broker is back', async () => {
    const writer = await rig.writer({'shop.full': 1}, {spoolBytesMax: 300_000, spoolAfterMs: 100});
    rig.proxy.cut();
    const taken: string[] = [];
    const fill = async () => {
      for (let i = taken.length; i < 1_000; i++) {
        const ids = [`f-${i}`];
        await writer.append({
          appends: [{topic: 'shop.full', partition: 0, ids, ...batchOfIds(ids, 'x'.repeat(10_000))}],
        });
        taken.push(...ids);
      }
    };
    await assert.rejects(fill(), {
      code: 'LOG_FULL',
      retry: true,
      message: /what waits for it has reached the limit of 293 ?KiB|what waits/,
    });
    assert.ok(taken.length >= 20 && taken.length < 35, `${taken.length} were taken`);
    await assert.rejects(fill(), {code: 'LOG_FULL'});
    rig.proxy.restore();
    await until(() => writer.bytes === 0, 'the spool is redriven');
    // More than the limit at once could never be taken otherwise.
    const large = named('large', 40);
    await writer.append({
      appends: [{topic: 'shop.full', partition: 0, ids: large, ...batchOfIds(large, 'x'.repeat(10_000))}],
    });
    await put(writer, 'shop.full', ['after']);
    await writer.close();
    assert.deepEqual(await rig.ids('shop.full'), [[...taken, ...large, 'after']]);
  });

  test('a record that the broker refuses for good is set aside; the others arrive in order', async () => {
    const refused: string[] = [];
    const writer = await rig.writer(
      {'shop.large': 1, 'dlq.large': 1},
      {
        refused: ({topic, baseOffset}, error) => {
          refused.push(`${topic}@${baseOffset} ${error.code}`);
          return {
            topic: 'dlq.large',
            partition: 0,
            ids: [`letter-${baseOffset}`],
            ...batchOfIds([`letter-${baseOffset}`]),
          };
        },
      },
    );
    const frames = named('l', 9).map((id, i) => recordOf(id, 'x'.repeat(i === 4 ? 2_000_000 : 1_000)));
    await Promise.all([
      writer.append({
        appends: [
          {topic: 'shop.large', partition: 0, ids: named('l', 9), count: 9, bytes: packRecords(frames)},
        ],
      }),
      put(writer, 'shop.large', named('m', 3)),
    ]);
    await put(writer, 'shop.large', ['n']);
    await until(() => writer.bytes === 0, 'the letter is shipped');
    // It never was in the topic: the same event may come again, smaller.
    const again = await put(writer, 'shop.large', ['l-3', 'l-4']);
    assert.deepEqual(again.appends[0]?.dropped, [true, false]);
    await writer.close();
    assert.deepEqual(refused, ['shop.large@4 KAFKA_REFUSED']);
    assert.deepEqual(await rig.ids('dlq.large'), [['letter-4']]);
    const ids = named('l', 9).filter((id) => id !== 'l-4');
    assert.deepEqual(await rig.ids('shop.large'), [[...ids, ...named('m', 3), 'n', 'l-4']]);
  });

  test('over a quota appends and reads take longer, and nothing fails', async () => {
    const kafka = {...rig.settings(), clientId: 'slow'};
    const failed: string[] = [];
    let waitedSeconds = 0;
    const telemetry: KafkaWriterOptions['telemetry'] = {
      emit(name, event) {
        if (name === 'ProduceFailed') failed.push(JSON.stringify(event));
        if (name === 'KafkaThrottled') waitedSeconds += (event as {seconds: number}).seconds;
      },
    };
    const ids: string[] = [];
    const append = async (writer: KafkaWriter) => {
      const own = named('q', 20, ids.length);
      ids.push(...own);
      const batch = batchOfIds(own, 'x'.repeat(10_000));
      await writer.append({appends: [{topic: 'shop.quota', partition: 0, ids: own, ...batch}]});
    };
    await setQuota(kafka, 'producer_byte_rate', 100_000);
    const writer = await rig.writer({'shop.quota': 1}, {kafka, telemetry, spoolAfterMs: 60_000});
    // A machine that is slow enough stays below it for a while.
    while (waitedSeconds === 0) await append(writer);
    await append(writer);
    await writer.close();
    assert.deepEqual(await rig.ids('shop.quota'), [ids]);
    await setQuota(kafka, 'consumer_byte_rate', 200_000);
    for (waitedSeconds = 0; waitedSeconds === 0; ) {
      const another = await rig.writer({'shop.quota': 1}, {kafka, telemetry});
      assert.equal((await put(another, 'shop.quota', ids)).appends[0]?.duplicate, ids.length);
      await another.close();
    }
    assert.deepEqual(failed, []);
  });

  test('a directory is an outbox or a log of its own, and belongs to one cluster', async () => {
    const dir = rig.dir();
    const own = openLogWriter(dir);
    own.ensureTopic('t', 1);
    await own.append({appends: [{topic: 't', partition: 0, ...batchOfIds(['a'])}]});
    await own.close();
    await assert.rejects(rig.writer({t: 1}, {dir}), {code: 'OUTBOX_OTHER'});
    const outbox = rig.dir();
    await (await rig.writer({t: 1}, {dir: outbox})).close();
    assert.throws(() => openLogWriter(outbox), {code: 'OUTBOX_OTHER'});
    // As if it had been made at another cluster.
    const database = new DatabaseSync(join(outbox, 'log.db'));
    const tables = new Outbox(database, outbox, 'test');
    tables.setHead({cluster: 'ElsewhereElsewhere0000'});
    tables.write([], () => assert.fail('nothing is deleted'));
    database.close();
    await assert.rejects(rig.writer({t: 1}, {dir: outbox}), {
      code: 'OUTBOX_OTHER',
      message: /belongs to Kafka cluster ElsewhereElsewhere0000/,
    });
  });
});
