/** What was set aside, with processes that meet in Kafka alone: each kind is replayed by the process whose work it is. */
import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {after, before, suite, test} from 'node:test';
import {setTimeout as wait} from 'node:timers/promises';
import {promisify} from 'node:util';
import {type Kafka, startKafka} from '../../src/cluster/kafka.ts';
import {freePorts} from '../../src/cluster/ports.ts';
import type {Role} from '../../src/model/roles.ts';
import {readLatest} from '../../src/sinks/file/read.ts';
import {skipWithout} from '../cluster/needs.ts';
import {type Child, start} from '../faults/process.ts';
import {python, pythonSkip} from '../schema/python.ts';
import {cli, makeRoot, writeFiles} from '../support/cli.ts';

const run = promisify(execFile);

const domain = `domain: shop
event_types:
  - name: sale
    dimensions: [country]
    metrics: [{name: amount, type: int}]
inputs:
  - {name: sales, event_type: sale, format: csv}
aggregations:
  - name: per_day
    from: sale
    window: {type: tumbling, size: 1d}
    group_by: [country]
    measures: {sold: count(), revenue: sum(amount)}
    watermark: 1d
    late: topic
`;
const csv = (...rows: string[]) => `event_id,timestamp,country,amount\n${rows.join('\n')}\n`;
const row = (id: string, day: string, rest: string) => `${id},2026-01-${day}T12:00:00Z,${rest}`;

suite('letters of processes of a platform', skipWithout('java', 'mvn'), () => {
  let kafka: Kafka;
  let root: string;
  const running = new Map<Role, Child>();
  /** Where ingest serves the registry. */
  let port = 0;
  const up = async (role: Role) => {
    const own = role === 'ingest' ? ['--port', String(port)] : [];
    const child = start(root, ['run', '--only', role, ...own], undefined, 300_000);
    running.set(role, child);
    await child.says(/ running /);
  };
  const json = async (...argv: string[]) => {
    const {stdout, stderr} = await cli(root, ...argv, '--json');
    assert.notEqual(stdout, '', stderr);
    return JSON.parse(stdout);
  };
  const table = async (name: string) => (await readLatest(join(root, '.millrace/rows'), name))?.rows ?? [];
  const until = async (what: string, holds: () => Promise<boolean>) => {
    for (let tries = 0; !(await holds()); tries++) {
      assert.ok(tries < 900, `${what}: ${JSON.stringify(await json('dlq', 'list'))}`);
      await wait(100);
    }
  };
  const ingest = async (name: string, text: string) => {
    writeFileSync(join(root, 'data', name), text);
    const {code, stderr} = await cli(root, 'ingest', 'sales', `data/${name}`);
    assert.equal(code, 0, stderr);
  };
  const registry = () => `http://127.0.0.1:${port}/registry`;
  const token = () => readFileSync(join(root, '.millrace/ingest/token'), 'utf8').trim();
  const access = () => ({headers: {authorization: `Bearer ${token()}`}});
  const sold = async () =>
    (await table('shop.per_day__r1')).map(({country, sold, revenue}) => `${country} ${sold} ${revenue}`);

  const read = async (topic: string, format: string, ...more: string[]): Promise<string[]> => {
    const {stdout} = await run('kcat', [
      ...['-C', '-b', kafka.brokers[0]!, '-t', topic, '-o', 'beginning', '-e', '-q', ...more],
      ...['-f', format],
    ]);
    return stdout.trimEnd().split('\n');
  };
  type Shown = Record<string, string | null> & {position: Record<string, string | number>};
  /** Asserts that the headers of a topic of letters say what the command lists. @returns stages */
  const saysWhatIsListed = async (command: 'dlq' | 'late', topic: string): Promise<string[]> => {
    const found = (await read(topic, '%h\\n')).map((line) => {
      const pairs = line.split(/,(?=millrace\.)/).map((pair) => {
        const [, name = pair, value = ''] = /^millrace\.([^=]+)=(.*)$/.exec(pair) ?? [];
        return [name, value] as const;
      });
      // The first of a batch has those of the batch before its own.
      const own = pairs.filter(([name]) => !['outbox', 'offset', 'watermark'].includes(name));
      return Object.fromEntries(own.sort());
    });
    const listed = ((await json(command, 'list')) as Shown[]).map(({position, ...letter}) => {
      const names = 'id time domain event_type stage query code source event_id'.split(' ');
      const pairs = [
        ...names.map((name) => [name, letter[name]] as const),
        ...Object.entries(position).map(([name, value]) => [`position.${name}`, String(value)] as const),
      ];
      return Object.fromEntries(pairs.filter(([, value]) => value !== null).sort());
    });
    assert.deepEqual(found, listed);
    return found.map(({stage}) => stage!);
  };

  before(async () => {
    kafka = await startKafka();
    [port] = (await freePorts(1)) as [number];
    root = makeRoot({'config/domains/shop.yaml': domain, 'data/none.csv': '', refuse: 'XX'});
    writeFiles(root, {
      'config/platform.yaml': `platform: shop
sinks: {rows: {backend: picky, picky: {dir: .millrace/rows, refuse: "${join(root, 'refuse')}"}}}
defaults: {aggregates: rows, raw: rows}
server: {port: 0}
plugins: [${join(import.meta.dirname, 'picky-sink.ts')}]
log:
  backend: kafka
  kafka:
    brokers: ["${kafka.brokers[0]}"]
    client_id: letters
    topics: {partitions: 1, replication: 1}
    # What a command did, the next one reads in Kafka: on a machine that stands still, too.
    spool: {after: 1m}
`,
    });
    await Promise.all([up('ingest'), up('engine'), up('sinks')]);
  });
  after(async () => {
    for (const child of running.values()) child.kill('SIGKILL');
    for (const child of running.values()) await child.ended;
    await kafka?.stop();
  });

  test('each kind goes back where it belongs, once; what nobody can do now is refused and stays open', async () => {
    await ingest('one.csv', csv(row('a', '20', 'DE,1'), row('b', '20', 'DE,many'), row('c', '20', 'XX,3')));
    const stages = async (): Promise<string[]> =>
      (await json('dlq', 'list')).map(
        ({stage, query, status}: {stage: string; query: string | null; status: string}) =>
          `${stage} ${query} ${status}`,
      );
    await until('letters', async () => (await stages()).length === 3);
    assert.deepEqual((await stages()).sort(), [
      'sink null open',
      'sink shop.per_day open',
      'validate null open',
    ]);
    // The next but one is behind the watermark.
    await ingest('two.csv', csv(row('d', '22', 'FR,4')));
    await until('a window', async () => (await sold()).includes('FR 1 4'));

    // The window is closed, and its last row is refused, too.
    await until('letters', async () => (await stages()).length === 4);
    await ingest('three.csv', csv(row('e', '20', 'DE,5')));
    await until('a late event', async () => (await json('late', 'list')).length === 1);
    // Only the engine's process can tell; its state of the window goes with a checkpoint.
    await until('the state is deleted', async () => {
      const {outcomes} = await json('late', 'replay', '--all', '--dry-run');
      return outcomes.refused === 1;
    });
    const late = await json('late', 'replay', '--all');
    assert.deepEqual(late.outcomes, {refused: 1});
    assert.equal(late.letters[0].code, 'WINDOW_GONE');

    const sinks = running.get('sinks')!;
    sinks.kill('SIGINT');
    await sinks.ended;
    const first = await json('dlq', 'replay', '--all', '--set', 'amount=2');
    assert.deepEqual(first.outcomes, {refused: 3, appended: 1});
    assert.match(
      first.letters.find(({outcome}: {outcome: string}) => outcome === 'refused').message,
      /the role sinks replays it, and none runs: npx millrace run --only sinks/,
    );
    assert.deepEqual((await stages()).sort(), [
      'sink null open',
      'sink shop.per_day open',
      'sink shop.per_day open',
      'validate null replayed',
    ]);
    rmSync(join(root, 'refuse'));
    await up('sinks');
    const second = await json('dlq', 'replay', '--stage', 'sink');
    assert.deepEqual(second.outcomes, {written: 3}, JSON.stringify(second));
    assert.ok((await sold()).includes('XX 1 3'), (await sold()).join());
    await until('raw events', async () => (await table('shop.sale')).length === 5);
    const again = await json('dlq', 'replay', '--all');
    assert.deepEqual(again.outcomes, {duplicate: 4});
    assert.equal((await json('ledger')).balanced, true);
  });

  test('kcat reads events, letters and rows as the documentation says', skipWithout('kcat'), async () => {
    const events = await read('shop.sale', '%p %o %S [%k] %h\\n');
    assert.equal(events.length, 5);
    for (const [offset, line] of events.entries())
      assert.match(line, new RegExp(`^0 ${offset} \\d+ \\[\\] (millrace.outbox=.*,millrace.offset=\\d+)?$`));
    // The byte 0, then the id of the schema.
    const {id} = (await (
      await fetch(`${registry()}/subjects/shop.sale-value/versions/1`, access())
    ).json()) as {
      id: number;
    };
    assert.deepEqual(await read('shop.sale', '%s\\n', '-s', 'value=>bI'), Array(5).fill(`0${id}`));
    assert.equal((await saysWhatIsListed('dlq', 'dlq.shop')).length, 4);
    // The mended one, which came too late as well: its query may come by it after the sinks did.
    await until('late events', async () => (await read('late.shop.per_day', '%o\\n')).length === 2);
    assert.equal((await saysWhatIsListed('late', 'late.shop.per_day')).length, 2);
    const keys = await read('agg.shop.per_day.r1', '%k\\n');
    const day = Date.UTC(2026, 0, 20);
    const expected = [`[${day},"DE"]`, `[${day},"XX"]`, `[${day + 2 * 86_400_000},"FR"]`];
    assert.deepEqual([...new Set(keys)].sort(), expected.sort());
  });

  test('Confluent’s client for Python reads them by the schemas of the registry that a process serves', {
    skip: pythonSkip,
  }, async () => {
    const topics = ['shop.sale', 'dlq.shop', 'late.shop.per_day', 'agg.shop.per_day.r1'];
    const given = {
      broker: kafka.brokers[0],
      registry: {url: registry(), 'basic.auth.user.info': `any:${token()}`},
      topics,
    };
    const script = join(import.meta.dirname, '../registry/reader.py');
    const {stdout} = await run(python, [script, JSON.stringify(given)]);
    type Read = {topic: string; offset: number; key: string | null; value: Record<string, unknown>};
    const records = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Read);
    const of = (topic: string) => records.filter((record) => record.topic === topic);
    const events = of('shop.sale').map(({value}) => value);
    assert.deepEqual(events[0], {
      event_id: 'a',
      timestamp: Date.UTC(2026, 0, 20, 12),
      country: 'DE',
      amount: 1,
    });
    assert.deepEqual(events.map(({event_id}) => event_id).sort(), ['a', 'b', 'c', 'd', 'e']);
    const letters = of('dlq.shop').map(({value}) => `${value.stage} ${value.query}`);
    assert.deepEqual(letters.sort(), [
      'sink null',
      'sink shop.per_day',
      'sink shop.per_day',
      'validate null',
    ]);
    // The mended one came too late as well. What is late names its event.
    const late = of('late.shop.per_day').map(({value: {topic, offset}}) => [
      topic,
      of('shop.sale').find((event) => event.offset === offset)!.value.event_id,
    ]);
    assert.deepEqual(late.sort(), [
      ['shop.sale', 'b'],
      ['shop.sale', 'e'],
    ]);
    // The last record of a key says what its row is.
    const rows = new Map(of('agg.shop.per_day.r1').map(({key, value}) => [key, value]));
    const last = [...rows.values()].map(({country, sold, revenue}) => `${country} ${sold} ${revenue}`);
    assert.deepEqual(last.sort(), ['DE 1 1', 'FR 1 4', 'XX 1 3']);
  });

  test(
    'a poison record of another program says in the headers of its letter where it lies',
    skipWithout('kcat'),
    async () => {
      writeFileSync(join(root, 'poison'), 'no frame');
      await run('kcat', ['-P', '-b', kafka.brokers[0]!, '-t', 'shop.sale', '-p', '0', join(root, 'poison')]);
      await until('its letter', async () => (await json('dlq', 'list', '--stage', 'decode')).length > 0);
      const stages = await saysWhatIsListed('dlq', 'dlq.shop');
      assert.deepEqual([...new Set(stages)].sort(), ['decode', 'sink', 'validate']);
      const own = await read('dlq.shop', '%h\\n');
      const at = 'position.topic=shop.sale,millrace.position.partition=0,millrace.position.offset=5';
      assert.equal(
        own.filter((line) => line.includes(`millrace.stage=decode,`) && line.includes(at)).length,
        1,
      );
      const {outcomes} = await json('dlq', 'replay', '--stage', 'decode');
      assert.deepEqual(outcomes, {rejected: 1});
    },
  );
});
