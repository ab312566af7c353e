/** One process at a time appends events: another one stands by, takes over, and knows what was there. */
import assert from 'node:assert/strict';
import {cpSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {after, before, suite, test} from 'node:test';
import {systemClock} from '../../../src/clock.ts';
import type {PlatformError} from '../../../src/errors.ts';
import {deadLetterEncoder} from '../../../src/ingest/deadletters.ts';
import {appendPatiently} from '../../../src/ingest/patience.ts';
import {openLogReader} from '../../../src/log/embedded.ts';
import {encodeEmpty} from '../../../src/log/kafka/batch-write.ts';
import {KafkaClient} from '../../../src/log/kafka/client.ts';
import {Lease, type LeaseEvents} from '../../../src/log/kafka/lease.ts';
import {LeaseMember} from '../../../src/log/kafka/lease-member.ts';
import {produce} from '../../../src/log/kafka/produce.ts';
import {WireWriter} from '../../../src/log/kafka/wire.ts';
import {topicsLeft} from '../../../src/log/outbox-left.ts';
import type {IngestCounts} from '../../../src/log/types.ts';
import {dirsOf} from '../../../src/platform/places.ts';
import {shipLeft} from '../../../src/platform/ship-left.ts';
import type {DeadLetter} from '../../../src/schema/side.ts';
import {skipWithout} from '../../cluster/needs.ts';
import {batchOfIds, KafkaRig, type Told} from '../../support/kafka-writer.ts';
import {platformOf} from '../../support/running.ts';
import {scratchDir} from '../../support/scratch.ts';
import {until} from '../../support/until.ts';

suite('the lease of the topics', skipWithout('java', 'mvn'), () => {
  let rig: KafkaRig;
  before(async () => {
    rig = await KafkaRig.start({
      properties: {
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        'allow.everyone.if.no.acl.found': 'true',
      },
    });
  });
  after(() => rig?.stop());

  const lease = (canWait = true) => ({group: 'test.ingest', canWait});
  const append = (ids: string[]) => ({
    appends: [{topic: 'one.owner', partition: 0, ids, ...batchOfIds(ids)}],
    ledger: [
      {
        domain: 'one',
        eventType: 'owner',
        source: 'http',
        received: ids.length,
        appended: ids.length,
        duplicate: 0,
        rejected: 0,
      },
    ],
  });
  /** A record that a transform refused, and its letter. */
  const reject = (id: string) => {
    const letter: DeadLetter = {
      ...{id, timeMs: 0, domain: 'one', eventType: 'owner', stage: 'transform', query: null, code: 'T'},
      ...{message: '', source: 'http', position: {request: 'r', index: 0}, eventId: null, schemaId: null},
      original: Buffer.from(id),
    };
    const bytes = deadLetterEncoder(1)([letter]);
    const [line] = append([]).ledger;
    return {
      appends: [{topic: 'dlq.one', partition: 0, ids: [id], count: 1, bytes}],
      ledger: [{...line!, received: 1, rejected: 1}],
      transformed: [
        {domain: 'one', eventType: 'owner', source: 'http', in: 1, out: 0, rejected: 1, letters: [0]},
      ],
    };
  };
  /** Records of the topic that processes before counted. */
  let countedElsewhere = 0;
  /**
   * Rows of a file, without ids, that a holder has committed and waits for when another process takes over. What reads the file goes on in
   * the same process: nobody else takes them.
   */
  const rowsOfFile = async () => {
    const given = {lease: {group: 'rows.ingest', canWait: true}, spoolAfterMs: 600_000};
    const topics = {'rows.row': 1, 'dlq.rows': 1};
    const reading = await rig.writer(topics, {...given, command: 'reads'});
    let hasTaken = false;
    const heir = await rig.writer(topics, {
      ...given,
      kafka: rig.settings('plain'),
      command: 'heir of rows',
      telemetry: {
        emit: (name, event) => {
          hasTaken ||= name === 'Log' && /this process appends/.test((event as {message: string}).message);
        },
      },
    });
    const counts = {received: 3, appended: 2, duplicate: 0, rejected: 1};
    const letter = {topic: 'dlq.rows', partition: 0, ids: ['row 3'], ...batchOfIds(['row 3'])};
    const transaction = {
      appends: [{topic: 'rows.row', partition: 0, ...batchOfIds(['row 1', 'row 2'])}, letter],
      progress: [{source: 'rows.csv', position: '3'}],
      ledger: [{domain: 'rows', eventType: 'row', source: 'rows.csv', ...counts}],
    };
    // Its connection is there: it waits for the answer.
    await reading.append({appends: [{topic: 'rows.row', partition: 0, ...batchOfIds(['row 0'])}]});
    return {
      begin: () =>
        appendPatiently(reading, transaction, {
          clock: systemClock,
          telemetry: {emit: () => {}},
          source: 'rows.csv',
        }),
      taken: () => until(() => hasTaken, 'the heir of rows takes over'),
      async end() {
        await until(() => reading.bytes === 0, 'what was read is shipped');
        assert.deepEqual(reading.ledger(), [
          {domain: 'rows', eventType: 'row', source: 'rows.csv', ...counts},
        ]);
        assert.deepEqual(await rig.ids('rows.row'), [['row 0', 'row 1', 'row 2']]);
        assert.deepEqual(await rig.ids('dlq.rows'), [['row 3']]);
        await reading.close();
        await heir.close();
      },
    };
  };
  /** Both equations: every line's, and what is counted as appended is in the topic. */
  const balances = async (...writers: {ledger(): IngestCounts[]}[]) => {
    const lines = writers.flatMap((writer) => writer.ledger());
    for (const line of lines)
      assert.equal(line.received, line.appended + line.duplicate + line.rejected, JSON.stringify(line));
    const appended = lines.reduce((sum, line) => sum + line.appended, 0);
    assert.equal(
      appended,
      (await rig.ids('one.owner')).flat().length - countedElsewhere,
      JSON.stringify(lines),
    );
  };

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
    while (!result && performance.now() - startMs < 60_000)
      result = await second.append(append(['b', 'c', 'd'])).catch(async (error) => {
        assert.equal(error.code, 'LOG_STANDBY');
        await new Promise((resolve) => setTimeout(resolve, 50));
        return undefined;
      });
    assert.deepEqual(result?.appends[0]?.dropped, [true, true, false]);
    await second.close();
    assert.deepEqual(await rig.ids('one.owner'), [['a', 'b', 'c', 'd']]);
  });

  test('a holder that nobody hears of loses the lease; what it had taken and nobody else is shipped when it has it again', async () => {
    const told: Told[] = [];
    const withdrawn: unknown[] = [];
    countedElsewhere = (await rig.ids('one.owner')).flat().length;
    const dir = rig.dir();
    const zombie = await rig.writer(
      {'one.owner': 1, 'dlq.one': 1},
      {
        dir,
        lease: lease(),
        command: 'zombie',
        spoolAfterMs: 200,
        telemetry: {
          emit: (name, event) => void (name === 'RecordsWithdrawn' && withdrawn.push(event)),
        },
      },
    );
    await zombie.append(append(['e']));
    const heir = await rig.writer(
      {'one.owner': 1, 'dlq.one': 1},
      {
        kafka: rig.settings('plain'),
        lease: lease(),
        command: 'heir',
        telemetry: {emit: (name, event) => told.push({name, event})},
      },
    );
    const rows = await rowsOfFile();
    rig.proxy.silence();
    const readingFile = rows.begin();
    // It cannot know yet: what it takes is durable in its outbox.
    await zombie.append(append(['f', 'both', 'h']));
    await zombie.append(reject('letter'));
    await zombie.append(reject('own letter'));
    await until(
      () =>
        told.some(
          ({event}) =>
            /holds the lease/.test(String((event as {message?: string}).message)) &&
            /this process appends/.test((event as {message: string}).message),
        ),
      'the heir takes over',
    );
    await rows.taken();
    await heir.append(append(['g', 'both']));
    await heir.append(reject('letter'));
    assert.equal((await heir.append(append(['e']))).appends[0]?.duplicate, 1);
    rig.proxy.restore();
    await until(() => zombie.bytes === 0, 'what it had taken is shipped');
    await until(() => zombie.ledger()[0]!.duplicate > 1, 'what the heir brought is a duplicate here');
    // As many records are rejected as there are letters.
    assert.deepEqual(
      [zombie, heir].map((writer) => writer.ledger()[0]!.rejected),
      [1, 1],
    );
    const books = openLogReader(dir);
    assert.deepEqual(
      books.transformed().map((line) => [line.in, line.out, line.rejected]),
      [[1, 0, 1]],
    );
    books.close();
    assert.equal(
      (await rig.read('dlq.one'))
        .flat()
        .reduce((sum, {kind, count}) => sum + (kind === 'data' ? count : 0), 0),
      2,
    );
    await until(() => withdrawn.length > 1, 'it is told');
    assert.deepEqual(withdrawn.map((event) => JSON.stringify(event)).sort(), [
      '{"topic":"dlq.one","records":1}',
      '{"topic":"one.owner","records":1}',
    ]);
    await balances(zombie, heir);
    await until(
      () =>
        zombie.append(append(['both', 'f'])).then(
          (done) => done.appends[0]?.duplicate === 2,
          () => false,
        ),
      'it asked for the lease',
    );
    await readingFile;
    await rows.end();
    await zombie.close();
    await until(
      () =>
        heir.append(append(['h', 'f', 'both', 'i'])).then(
          (done) => done.appends[0]?.duplicate === 3,
          () => false,
        ),
      'the heir has it back',
    );
    await heir.close();
    const [ids] = await rig.ids('one.owner');
    assert.deepEqual(ids?.slice(4).sort(), ['both', 'e', 'f', 'g', 'h', 'i']);
  });

  test('a process that was killed goes on in its directory as the member that it was, a copy of the directory does not', async () => {
    const group = 'again.ingest';
    const dir = rig.dir();
    const memberIn = () => JSON.parse(readFileSync(join(dir, 'lease.json'), 'utf8')).member as string;
    const events: LeaseEvents = {
      taken: async () => {},
      lost: () => {},
      failed: () => {},
      wants: () => false,
      yields: async () => false,
    };
    /** It holds the lease, and ends without a word to the group: nobody is told of it. */
    const heldAs = async (): Promise<string> => {
      const client = new KafkaClient(rig.settings());
      await client.refreshMetadata();
      const lease = new Lease(client, group, 'again', new LeaseMember(dir, group), events);
      lease.start();
      await until(() => lease.state.kind === 'held', 'it has the lease');
      const member = memberIn();
      client.close();
      await lease.close();
      return member;
    };
    const first = await heldAs();
    // A machine that stands still for longer than a session makes it a new member.
    for (let member = first, tries = 0; ; tries++) {
      const next = await heldAs();
      if (next === member) break;
      assert.ok(tries < 20, `it was ${member} and is ${next}`);
      member = next;
    }
    assert.notEqual(new LeaseMember(dir, group).before(), '');
    assert.equal(new LeaseMember(dir, 'other.ingest').before(), '');
    // A machine that was cloned, disk and name, is the same place; it was started at another time.
    const file = join(dir, 'lease.json');
    const kept = readFileSync(file, 'utf8');
    if (process.platform === 'linux') {
      const start = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
      writeFileSync(file, kept.replace(start, '0'.repeat(start.length)));
      assert.equal(new LeaseMember(dir, group).before(), '');
      writeFileSync(file, kept);
    }
    const copy = rig.dir();
    cpSync(dir, copy, {recursive: true});
    assert.equal(new LeaseMember(copy, group).before(), '');
  });

  test('whoever ends while it joins leaves nobody behind that the next one would wait for', async (t) => {
    const group = 'ends.ingest';
    const events: LeaseEvents = {
      taken: async () => {},
      lost: () => {},
      failed: () => {},
      wants: () => false,
      yields: async () => false,
    };
    const client = new KafkaClient(rig.settings());
    await client.refreshMetadata();
    const join = (told: string) => {
      const lease = new Lease(client, group, told, new LeaseMember(rig.dir(), group), events);
      lease.start();
      return lease;
    };
    const holder = join('holder');
    t.after(async () => {
      await holder.close();
      client.close();
    });
    await until(() => holder.state.kind === 'held', 'it has the lease');
    const left = async (ms: number) => {
      const ending = join('ending');
      await new Promise((resolve) => setTimeout(resolve, ms));
      await ending.close();
      return (await membersOf(client, group)) === 1;
    };
    // A broker that stands still for seconds is not told: then it is tried again.
    for (const ms of [0, 3, 10, 30, 100, 300, 900])
      for (let tries = 1; !(await left(ms)); tries++) {
        assert.ok(tries < 3, `ended after ${ms} ms`);
        await until(async () => (await membersOf(client, group)) === 1, 'whoever stayed is missed');
      }
  });

  test('a copy of an outbox loses nothing and doubles nothing, whichever of the two is used next', async () => {
    const given = {lease: {group: 'copied.ingest', canWait: true}, spoolAfterMs: 200};
    const out = (ids: string[]) => ({
      appends: [{topic: 'copied.out', partition: 0, ids, ...batchOfIds(ids)}],
    });
    const told: Told[] = [];
    const telemetry = {emit: (name: Told['name'], event: unknown) => void told.push({name, event})};
    const open = (dir: string) => rig.writer({'copied.out': 1}, {...given, dir, telemetry});
    const [first, copy] = [rig.dir(), rig.dir()];
    const original = await open(first);
    await original.append(out(['a', 'b']));
    rig.proxy.silence();
    await original.append(out(['c']));
    await original.close();
    rig.proxy.restore();
    // What waits in it waits in both from now on.
    cpSync(first, copy, {recursive: true});
    const again = await open(first);
    await again.append(out(['d', 'e']));
    await again.close();
    const other = await open(copy);
    await until(
      () =>
        other.append(out(['d', 'f'])).then(
          ({appends}) => appends[0]?.duplicate === 1,
          () => false,
        ),
      'the copy knows what the original brought',
    );
    rig.proxy.silence();
    await other.append(out(['g', 'h']));
    await other.close();
    rig.proxy.restore();
    // Its offsets are those that the original gave to others: what arrived is told apart by what it says.
    const end = await open(copy);
    await end.append(out(['i']));
    await until(() => end.bytes === 0, 'what waited is sent');
    await end.close();
    const last = await open(first);
    assert.equal((await last.append(out(['g', 'i', 'f']))).appends[0]?.duplicate, 3);
    await last.close();
    assert.deepEqual((await rig.ids('copied.out'))[0]!.toSorted(), [...'abcdefghi']);
    const moved = told.filter(({event}) =>
      /was used in .* on .* before/.test(String((event as {message?: string}).message)),
    );
    assert.equal(moved.length, 1, JSON.stringify(moved));
  });

  test('a copy of an outbox without a lease that is used beside the original stops, and names both', async () => {
    const kafka = rig.settings('plain');
    kafka.client = {metadataMs: 200};
    const out = (id: string) => ({
      appends: [{topic: 'dlq.copied', partition: 0, ids: [id], ...batchOfIds([id])}],
    });
    const [first, copy] = [rig.dir(), rig.dir()];
    const open = (dir: string) => rig.writer({'dlq.copied': 1}, {kafka, dir});
    const before = await open(first);
    await before.append(out('a'));
    await before.close();
    cpSync(first, copy, {recursive: true});
    const original = await open(first);
    const other = await open(copy);
    let failure: PlatformError | undefined;
    for (let n = 0; !failure; n++) {
      assert.ok(n < 1_000, 'it stops');
      await original.append(out(`o-${n}`));
      await other.append(out(`c-${n}`)).catch((error: PlatformError) => {
        failure = error;
      });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(failure.code, 'LOG_FENCED');
    assert.ok(failure.message.includes(first) && failure.message.includes(copy), failure.message);
    await other.close();
    await original.append(out('z'));
    await original.close();
  });

  test('what waits in the outbox of a process that stands by for the checkpoints is shipped meanwhile', async () => {
    const root = scratchDir('left');
    mkdirSync(join(root, 'config/domains'), {recursive: true});
    writeFileSync(
      join(root, 'config/platform.yaml'),
      `platform: shop
log: {backend: kafka, kafka: {brokers: "${rig.kafka.brokers.join()}", client_id: left, topics: {partitions: 1}}}
sinks: {rows: {backend: stdout}}
defaults: {aggregates: rows, raw: none}
`,
    );
    writeFileSync(
      join(root, 'config/domains/shop.yaml'),
      'domain: shop\nevent_types: [{name: sale, metrics: [{name: amount, type: money}]}]\n',
    );
    const platform = await platformOf(root);
    const dirs = dirsOf(platform);
    const given = {lease: {group: 'left.ingest', canWait: true}};
    const sales = (ids: string[]) => ({
      appends: [{topic: 'shop.sale', partition: 0, ids, ...batchOfIds(ids)}],
    });
    const before = await rig.writer({'shop.sale': 1}, {...given, dir: dirs.log, spoolAfterMs: 100});
    await before.append(sales(['a']));
    rig.proxy.silence();
    await before.append(sales(['b', 'c']));
    await before.close();
    rig.proxy.restore();
    const owner = await rig.writer({'shop.sale': 1}, {...given, kafka: rig.settings('plain')});
    await until(
      () =>
        owner.append(sales(['c', 'd'])).then(
          () => true,
          () => false,
        ),
      'another one appends',
    );
    const shipping = shipLeft(platform, dirs, {telemetry: {emit: () => {}}, command: 'run --standby'});
    await until(async () => (await rig.ids('shop.sale'))[0]!.includes('b'), 'what was left arrives');
    await until(() => topicsLeft(dirs.log).length === 0, 'nothing is left');
    await shipping.end();
    await until(
      () =>
        owner.append(sales(['b', 'c', 'e'])).then(
          (done) => done.appends[0]?.duplicate === 2,
          () => false,
        ),
      'the other one has the lease back, and knows what came',
    );
    await owner.close();
    assert.deepEqual((await rig.ids('shop.sale'))[0]!.sort(), ['a', 'b', 'c', 'd', 'e']);
  });

  test('without the right to be in the group nothing is opened, and the group is named', async () => {
    await denyGroup(rig, 'denied.ingest');
    await assert.rejects(rig.writer({'one.owner': 1}, {lease: {group: 'denied.ingest', canWait: true}}), {
      code: 'KAFKA_ACCESS',
      message: /group denied\.ingest/,
    });
  });

  test('what may not be sent any more once its connection is there is not sent', async () => {
    const topic = 'not.sent';
    const writer = await rig.writer({[topic]: 1});
    await writer.append({appends: [{topic, partition: 0, ids: ['sent'], ...batchOfIds(['sent'])}]});
    const client = new KafkaClient(rig.settings('proxy'));
    await client.refreshMetadata();
    const {bytes} = encodeEmpty({headers: [], timeMs: 0, compression: 'none'});
    const {leader} = client.partition(topic, 0)!;
    let isHolder = true;
    const answer = produce(client, leader, [{topic, partition: 0, bytes}], 5_000, () => isHolder);
    isHolder = false;
    await assert.rejects(answer, {code: 'KAFKA_UNAVAILABLE', message: /may not be sent any more/});
    client.close();
    assert.deepEqual(await rig.ids(topic), [['sent']]);
    assert.equal((await rig.read(topic))[0]!.at(-1)!.kind, 'data');
  });
});

/** How many members the group has: DescribeGroups of https://kafka.apache.org/protocol. */
async function membersOf(client: KafkaClient, group: string): Promise<number> {
  const body = new WireWriter();
  body.array([group], (name) => body.string(name));
  const reader = await client.request({
    to: await client.coordinatorOf(group),
    api: {name: 'DescribeGroups', key: 15, version: 0, flexible: false},
    body: body.bytes,
  });
  const [members] = reader.array(() => {
    reader.int16();
    for (let field = 0; field < 4; field++) reader.string();
    return reader.array(() => {
      for (let field = 0; field < 3; field++) reader.string();
      reader.bytesOf();
      reader.bytesOf();
    }).length;
  });
  return members!;
}

/** Nobody may join the group from now on: CreateAcls of https://kafka.apache.org/protocol. */
async function denyGroup(rig: KafkaRig, group: string): Promise<void> {
  const client = new KafkaClient(rig.settings());
  const [ofGroup, literal, read, deny] = [3, 3, 3, 2];
  const body = new WireWriter();
  body.array([group], (name) =>
    body.int8(ofGroup).string(name).int8(literal).string('User:*').string('*').int8(read).int8(deny),
  );
  try {
    await client.refreshMetadata();
    const reader = await client.request({
      to: 'any',
      api: {name: 'CreateAcls', key: 30, version: 1, flexible: false},
      body: body.bytes,
    });
    reader.int32();
    assert.deepEqual(
      reader.array(() => [reader.int16(), reader.nullableString() ?? '']),
      [[0, '']],
    );
  } finally {
    client.close();
  }
}
