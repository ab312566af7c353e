/**
 * Outboxes that know places which are not so: copies that are put back, topics that are deleted and made anew, and answers of brokers that are
 * wrong.
 */
import assert from 'node:assert/strict';
import {cpSync} from 'node:fs';
import {after, before, suite, test} from 'node:test';
import type {PlatformError} from '../../../src/errors.ts';
import {KafkaClient} from '../../../src/log/kafka/client.ts';
import {openKafkaReader} from '../../../src/log/kafka/reader.ts';
import {deleteTopics, ensureTopics, keptConfigs} from '../../../src/log/kafka/topics.ts';
import {type KafkaWriter, openKafkaWriter} from '../../../src/log/kafka/writer.ts';
import {openLogReader} from '../../../src/log/reader.ts';
import type {Reread} from '../../../src/log/rereads.ts';
import type {RecordBatch} from '../../../src/log/types.ts';
import {packRecords} from '../../../src/schema/frame.ts';
import {skipWithout} from '../../cluster/needs.ts';
import {batchOfIds, idsIn, KafkaRig, recordOf, type Told} from '../../support/kafka-writer.ts';
import {until} from '../../support/until.ts';

const waitMsMax = 120_000;

/**
 * Changes the next answers to Produce about a topic of one partition, each by the next of `changes`; other answers stay.
 *
 *   answer := length:int32 correlation:int32 count:int32 topic:string count:int32 partition:int32 code:int16 base offset:int64
 *             time:int64 log start:int64 ...
 */
function changing(topic: string, changes: ((answer: Answer) => void)[]) {
  const name = Buffer.from(topic);
  const codeAt = 14 + name.length + 8;
  return (piece: Buffer): Buffer => {
    const isAbout =
      piece.length >= codeAt + 26 &&
      piece.readInt32BE(8) === 1 &&
      piece.readInt16BE(12) === name.length &&
      piece.subarray(14, 14 + name.length).equals(name);
    const change = isAbout ? changes.shift() : undefined;
    change?.({
      code: (code) => void piece.writeInt16BE(code, codeAt),
      base: (base) => void piece.writeBigInt64BE(BigInt(base), codeAt + 2),
      start: (start) => void piece.writeBigInt64BE(BigInt(start), codeAt + 18),
    });
    return piece;
  };
}
/** Where a record batch (batch-header.ts) with that base offset begins in a piece; -1: nowhere. */
function placeIn(piece: Buffer, base: number): number {
  for (let at = 0; at + 61 <= piece.length; at++)
    if (
      piece.readBigInt64BE(at) === BigInt(base) &&
      piece[at + 16] === 2 &&
      piece.readInt32BE(at + 8) >= 49 &&
      piece.readInt32BE(at + 8) <= piece.length - at - 12
    )
      return at;
  return -1;
}
/** Sets what an answer says. */
type Answer = Record<'code' | 'base' | 'start', (value: number) => void>;

const named = (prefix: string, from: number, to: number) =>
  Array.from({length: to - from}, (_, index) => `${prefix}-${from + index}`);

suite('places of an outbox', skipWithout('java', 'mvn'), () => {
  let rig: KafkaRig;
  let client: KafkaClient;
  before(async () => {
    rig = await KafkaRig.start();
    client = new KafkaClient(rig.settings());
  });
  after(async () => {
    client?.close();
    await rig?.stop();
  });

  async function remake(name: string): Promise<void> {
    await deleteTopics(client, [name]);
    await ensureTopics(client, [{name, partitions: 1, replication: 1, configs: keptConfigs(rig.settings())}]);
  }

  const put = async (writer: KafkaWriter, topic: string, ids: string[]) => {
    const [result] = (await writer.append({appends: [{topic, partition: 0, ids, ...batchOfIds(ids)}]}))
      .appends;
    return result!.duplicate;
  };

  function listening() {
    const told: Told[] = [];
    const errors = () =>
      told.flatMap(({name, event}) => {
        const {level, message} = event as {level: string; message: string};
        return name === 'Log' && level === 'error' ? [message] : [];
      });
    return {errors, telemetry: {emit: (name: Told['name'], event: unknown) => void told.push({name, event})}};
  }

  test('a topic is made anew while the process is stopped: what it had is known no more, its own and that of others; what others brought into the new one is', async () => {
    const topic = 'shop.stopped';
    const dir = rig.dir();
    const other = await rig.writer({[topic]: 1});
    await put(other, topic, named('o', 0, 5));
    await other.close();
    const first = await rig.writer({[topic]: 1}, {dir});
    assert.equal(await put(first, topic, ['o-1']), 1);
    await put(first, topic, named('a', 0, 10));
    await first.close();
    await remake(topic);
    const third = await rig.writer({[topic]: 1});
    await put(third, topic, named('n', 0, 30));
    await third.close();

    const {errors, telemetry} = listening();
    const second = await rig.writer({[topic]: 1}, {dir, telemetry});
    assert.match(
      errors().join('\n'),
      /^topic shop\.stopped was deleted and made anew: .*can be sent again.*$/,
    );
    assert.equal(await put(second, topic, ['n-7']), 1);
    assert.equal(await put(second, topic, [...named('a', 0, 3), 'o-1']), 0);
    assert.equal(await put(second, topic, ['a-1', 'o-1', 'n-8']), 3);
    await second.close();
    assert.deepEqual(await rig.ids(topic), [[...named('n', 0, 30), ...named('a', 0, 3), 'o-1']]);
    const reader = openLogReader(dir);
    assert.deepEqual(reader.placeOf(topic, 'a-1'), {partition: 0, offset: 31});
    assert.deepEqual(reader.placeOf(topic, 'n-7'), {partition: 0, offset: 7});
    assert.equal(reader.placeOf(topic, 'a-9'), undefined);
    reader.close();
    const again = await rig.writer({[topic]: 1}, {dir});
    assert.equal(await put(again, topic, ['a-1', 'o-1', 'n-8', 'a-9']), 3);
    await again.close();
  });

  test('a topic is made anew while the process runs: from when it is noticed; what was shipped to the new one before that stays known', async () => {
    const topic = 'shop.running';
    const {errors, telemetry} = listening();
    const kafka = {...rig.settings('proxy'), client: {metadataMs: 1_000}};
    const writer = await rig.writer({[topic]: 1}, {kafka, telemetry});
    await put(writer, topic, named('a', 0, 10));
    await remake(topic);
    assert.equal(await put(writer, topic, ['b-0']), 0);
    await until(
      () => errors().some((message) => /was deleted and made anew/.test(message)),
      'it is noticed',
      waitMsMax,
    );
    assert.equal(await put(writer, topic, ['b-0']), 1);
    assert.equal(await put(writer, topic, ['a-3']), 0);
    await writer.close();
    const [ids] = await rig.ids(topic);
    assert.deepEqual(ids, ['b-0', 'a-3']);
  });

  test('a platform of another name that appends to the same topic is told of, by its client id; others of the own name are not', async () => {
    const topic = 'shop.shared';
    const {errors, telemetry} = listening();
    const named = (clientId: string) => ({...rig.settings('proxy'), clientId, client: {metadataMs: 200}});
    const options = (clientId: string) => {
      const given = rig.options({[topic]: 1}, {kafka: named(clientId), telemetry});
      return {...given, topics: given.topics.map((each) => ({...each, isLeased: true}))};
    };
    const mine = await openKafkaWriter(options('acme'));
    const same = await openKafkaWriter({...options('acme'), telemetry: {emit: () => {}}});
    const other = await openKafkaWriter({...options('acme/two'), telemetry: {emit: () => {}}});
    try {
      await put(same, topic, ['s-0']);
      await put(mine, topic, ['m-0']);
      await put(other, topic, ['o-0']);
      await put(mine, topic, ['m-1']);
      await until(() => errors().length > 0, 'it is said', waitMsMax);
      assert.match(errors()[0]!, /client_id acme\/two, appends to shop\.shared as well/);
      assert.equal(await put(mine, topic, ['s-0', 'o-0']), 2);
      assert.ok(errors().every((message) => /client_id acme\/two,/.test(message)));
    } finally {
      for (const writer of [mine, same, other]) await writer.close();
    }
  });

  test('an older copy is put back: what it sends arrives beside what was sent since', async () => {
    const [dir, old] = [rig.dir(), rig.dir()];
    const first = await rig.writer({'shop.sale': 1}, {dir});
    await put(first, 'shop.sale', ['a-0', 'a-1']);
    await first.close();
    cpSync(dir, old, {recursive: true});
    const since = await rig.writer({'shop.sale': 1}, {dir});
    await put(since, 'shop.sale', ['b-0', 'b-1']);
    await since.close();
    const restored = await rig.writer({'shop.sale': 1}, {dir: old});
    await put(restored, 'shop.sale', ['c-0', 'c-1']);
    await restored.close();
    assert.deepEqual(await rig.ids('shop.sale'), [['a-0', 'a-1', 'b-0', 'b-1', 'c-0', 'c-1']]);
  });

  test('answers that are wrong about codes and places: what arrived is there once, and nothing stands still', async () => {
    const [topic, dir] = ['shop.wrong', rig.dir()];
    const letters: string[] = [];
    const {errors, telemetry} = listening();
    const open = () =>
      rig.writer(
        {[topic]: 1, 'dlq.wrong': 1},
        {
          dir,
          telemetry,
          refused(record) {
            letters.push(String(record.baseOffset));
            return {topic: 'dlq.wrong', partition: 0, ...batchOfIds(['letter'])};
          },
        },
      );
    let writer = await open();
    const sent: string[] = [];
    const give = async (ids: string[], ...changes: ((answer: Answer) => void)[]) => {
      rig.proxy.answers(changing(topic, changes));
      sent.push(...ids);
      await put(writer, topic, ids);
      assert.equal(changes.length, 0, `all wrong answers about ${ids[0]} were given`);
    };
    const codes = {unknown: 46, tooLarge: 10, fenced: 47, invalid: 87};
    await give(['right']);
    // It is further on than it lies; what comes next arrives and is not acknowledged.
    await give(['far'], ({base}) => base(1_000));
    await give(['behind-far'], ({code}) => code(codes.unknown));
    // The same by so little that the partition goes on beyond it.
    await give(['near'], ({base}) => base(8));
    await give(named('behind-near', 0, 3), ({code}) => code(codes.unknown));
    // The fence itself: further on, and further back, than it lies.
    const unknown = ({code}: Answer) => code(codes.unknown);
    await give(['fence-far'], unknown, ({base}) => base(100_000));
    await give(['fence-back'], unknown, ({base}) => base(0));
    await give(['back'], ({base}) => base(0));
    // Refused for good, and taken.
    await give(['single'], ({code}) => code(codes.tooLarge));
    await give(['fenced'], ({code}) => code(codes.fenced));
    await give(named('halves', 0, 4), ({code}) => code(codes.invalid));
    // Beyond every number that is exact, with a process that begins anew before it hears better.
    await give(['beyond'], ({base}) => base(Number.MAX_SAFE_INTEGER));
    await give(['last'], ({base}) => base(5_000));
    await writer.close();
    writer = await open();
    // The partition is said to begin further on.
    await give(['start'], ({start}) => start(1_000_000));
    assert.equal(await put(writer, topic, ['start', 'far', 'single']), 3, 'their ids are known');
    await writer.close();
    assert.deepEqual(await rig.ids(topic), [sent]);
    assert.deepEqual(letters, []);
    assert.ok(
      errors().every((message) => /lost acknowledged records/.test(message)),
      errors().join('\n'),
    );
  });

  test('a batch that is refused by a wrong answer, with others behind it that arrived, is there once', async () => {
    const topic = 'shop.behind';
    const writer = await rig.writer({[topic]: 1});
    await put(writer, topic, ['first']);
    rig.proxy.answers(changing(topic, [({code}) => code(87)]));
    // Answers take so long that the large one is sent before the first is heard.
    rig.proxy.delay(100);
    const large = {count: 1, bytes: packRecords([recordOf('large', 'x'.repeat(600_000))])};
    await Promise.all([
      put(writer, topic, ['a-0', 'a-1']),
      writer.append({appends: [{topic, partition: 0, ids: ['large'], ...large}]}),
    ]);
    rig.proxy.restore();
    await put(writer, topic, ['last']);
    await writer.close();
    assert.deepEqual(await rig.ids(topic), [['first', 'a-0', 'a-1', 'large', 'last']]);
  });

  test('a batch that an answer to a reader gives another place is asked for again: none is skipped, none is there twice', async () => {
    const topic = 'shop.moved';
    const writer = await rig.writer({[topic]: 1});
    const reader = await openKafkaReader({dir: rig.dir(), kafka: rig.settings('proxy')});
    try {
      let offset = 0;
      /** Appends two records, which lie at `place`, and reads them. */
      const pass = async (place: number, told: number) => {
        let isTold = false;
        rig.proxy.answers((piece) => {
          const at = isTold ? -1 : placeIn(piece, place);
          if (at >= 0) piece.writeBigInt64BE(BigInt(told), at);
          isTold ||= at >= 0;
          return piece;
        });
        await put(writer, topic, named(`at-${place}`, 0, 2));
        const batches: RecordBatch[] = [];
        await until(
          async () => {
            await reader.waitForAppend(100);
            batches.push(...(await reader.read(topic, 0, offset, 2 ** 20)));
            return batches.length > 0;
          },
          'it is read',
          waitMsMax,
        );
        assert.ok(isTold);
        assert.deepEqual(
          batches.map(({kind, baseOffset, count}) => ({kind, baseOffset, count})),
          [{kind: 'data', baseOffset: place, count: 2}],
        );
        assert.deepEqual(idsIn(batches), named(`at-${place}`, 0, 2));
        offset = place + 2;
      };
      await pass(0, 0);
      await pass(2, 5);
      await pass(4, 3);
      await pass(6, 2 ** 40);
    } finally {
      reader.close();
      await writer.close();
    }
  });

  test('what is damaged on its way to a reader is asked for again and never believed; what stays so stops with the place, and what lies before it is read', async () => {
    const topic = 'shop.damaged';
    const writer = await rig.writer({[topic]: 1});
    const told: Reread[] = [];
    const open = () =>
      openKafkaReader(
        {dir: rig.dir(), kafka: rig.settings('proxy')},
        {reread: (again) => void told.push(again)},
      );
    let reader = await open();
    /** Damages the batch at `base` in the next `times` answers. */
    const damage = (base: number, times: number, how: (piece: Buffer, at: number) => void) => {
      let left = times;
      rig.proxy.answers((piece) => {
        const at = left > 0 ? placeIn(piece, base) : -1;
        if (at < 0) return piece;
        left--;
        how(piece, at);
        return piece;
      });
    };
    const readFrom = async (offset: number, bytesMax = 2 ** 20) => {
      await reader.refresh();
      return idsIn(await reader.read(topic, 0, offset, bytesMax));
    };
    /** The next answer has a code that is none: topic id:16 bytes, one partition:2, its number:int32 code:int16. */
    const damageCode = () => {
      const id = Buffer.from(reader.topicId(topic)!, 'base64url');
      let isLeft = true;
      rig.proxy.answers((piece) => {
        const at = piece.indexOf(id);
        if (!isLeft || at < 0 || piece[at + 16] !== 2) return piece;
        isLeft = false;
        piece.writeInt16BE(4711, at + 21);
        return piece;
      });
    };
    const checksum = (piece: Buffer, at: number) => void piece[at + 66]!++;
    const once: ((piece: Buffer, at: number) => void)[] = [
      checksum,
      (piece, at) => void (piece[at + 16] = 9),
      (piece, at) => void piece.writeInt32BE(3, at + 8),
      (piece, at) => void piece.writeInt32BE(77, at + 12),
    ];
    try {
      let offset = 0;
      for (const how of once) {
        damage(offset, 1, how);
        await put(writer, topic, named(`at-${offset}`, 0, 2));
        assert.deepEqual(await readFrom(offset), named(`at-${offset}`, 0, 2));
        offset += 2;
      }
      damageCode();
      await put(writer, topic, named(`at-${offset}`, 0, 2));
      assert.deepEqual(await readFrom(offset), named(`at-${offset}`, 0, 2));
      // The epoch is asked for again without a word: it may be that of a new leader.
      assert.deepEqual(
        told.map(({partition, offset}) => [partition, offset]),
        [0, 2, 4, 8].map((at) => [0, at]),
      );
      // Who looks at one place alone.
      damage(4, 2, checksum);
      reader.close();
      reader = await open();
      assert.deepEqual((await readFrom(4, 1_000)).slice(0, 2), named('at-4', 0, 2));

      damage(6, Number.POSITIVE_INFINITY, checksum);
      reader.close();
      reader = await open();
      told.length = 0;
      assert.deepEqual(
        await readFrom(0),
        [0, 2, 4].flatMap((at) => named(`at-${at}`, 0, 2)),
      );
      const stop = (error: PlatformError) => {
        assert.equal(error.code, 'LOG_CORRUPT');
        assert.equal(error.place, `${topic}/0@6`);
        assert.match(error.message, /its checksum differs/);
        return true;
      };
      await assert.rejects(readFrom(6), stop);
      assert.equal(told.length, 4);
      rig.proxy.restore();
      assert.deepEqual(
        await readFrom(6),
        [6, 8].flatMap((at) => named(`at-${at}`, 0, 2)),
      );
    } finally {
      rig.proxy.restore();
      reader.close();
      await writer.close();
    }
  });

  test('a partition that one answer says to begin further on is read from where it begins', async () => {
    const topic = 'shop.begin';
    const writer = await rig.writer({[topic]: 1});
    await put(writer, topic, ['a', 'b']);
    await writer.close();
    const name = Buffer.from(topic);
    let isTold = false;
    // topic:string count:int32 partition:int32 code:int16 time:int64 offset:int64, the answer to ListOffsets: -1 is its time.
    rig.proxy.answers((piece) => {
      const at = piece.indexOf(name) + name.length;
      if (isTold || at < name.length || at + 26 > piece.length) return piece;
      if (piece.readBigInt64BE(at + 10) !== -1n || piece.readBigInt64BE(at + 18) !== 0n) return piece;
      isTold = true;
      piece.writeBigInt64BE(1n, at + 18);
      return piece;
    });
    const reader = await openKafkaReader({dir: rig.dir(), kafka: rig.settings('proxy')});
    try {
      assert.ok(isTold);
      assert.equal(reader.startOffset(topic, 0), 1);
      assert.deepEqual(idsIn(await reader.read(topic, 0, 0, 2 ** 20)), ['a', 'b']);
      assert.equal(reader.startOffset(topic, 0), 0);
    } finally {
      reader.close();
      rig.proxy.restore();
    }
  });
});
