import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {cli, makeRoot, writeFiles} from '../support/cli.ts';
import {runToEnd, startIn} from '../support/running.ts';

const platform = `platform: shop
sinks: {rows: {backend: file}}
log: {embedded: {partitions: 2}}
engine: {embedded: {workers: 1, checkpoint_interval: 60ms, flush: 10ms}}
defaults: {aggregates: rows, raw: none}
server: {port: 0}
`;
const domain = `domain: shop
defaults: {dead_letters: {budget: 90%}}
event_types:
  - name: purchase
    key: country
    attributes: [user_id, note]
    dimensions: [country]
    metrics: [{name: amount, type: money}, {name: quantity, type: long}]
    derive: {noted: cast(note as long)}
    checks: {positive: quantity > 0}
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv, order_by: none, timezone: Europe/Berlin}
aggregations:
  - name: per_hour
    from: purchase
    window: {type: tumbling, size: 1h}
    group_by: [country]
    measures: {orders: count(), revenue: sum(amount), notes: sum(noted)}
  - name: strict
    from: purchase
    window: {type: tumbling, size: 1h}
    group_by: [country]
    measures: {orders: count()}
    late: topic
`;
/** A wrong amount, a failed check, a row with too many fields, a note that is no number, one of an hour long closed. */
const purchases = `timestamp,user_id,note,country,amount,quantity
2026-01-05T10:00:00Z,u1,1,DE,10.00,1
2026-01-05T10:01:00Z,u2,many,DE,5.00,1
2026-01-05 11:02:00,u3,3,DE,much,1
2026-01-05T10:03:00Z,u4,4,DE,1.00,-2
2026-01-05T10:04:00Z,u5,5,DE,1.00,2,9,9
2026-01-05T14:00:00Z,u6,6,DE,1.00,2
2026-01-05T10:30:00Z,u7,7,DE,1.00,2
`;

function makeShop(): string {
  return makeRoot({
    'config/platform.yaml': platform,
    'config/domains/shop.yaml': domain,
    'data/purchases.csv': purchases,
  });
}

async function json(root: string, ...argv: string[]) {
  const {code, stdout, stderr} = await cli(root, ...argv, '--json');
  assert.ok(stdout.startsWith('{') || stdout.startsWith('['), `${code} ${stdout}${stderr}`);
  return JSON.parse(stdout);
}

/** Outcomes by letter code. */
async function replay(root: string, ...argv: string[]): Promise<Record<string, string>> {
  const {letters} = await json(root, ...argv);
  return Object.fromEntries(
    letters.map(({was, outcome, code}: Record<string, string>) => [
      was,
      code ? `${outcome} ${code}` : outcome,
    ]),
  );
}

/** The ledger's lines that say something of replays. */
async function books(root: string) {
  const {ingest, query} = await json(root, 'ledger');
  const [{received, appended, duplicate, rejected}] = ingest;
  const sum = (name: string, key: string) =>
    query
      .filter((line: {query: string}) => line.query === name)
      .reduce((total: number, line: Record<string, number>) => total + line[key]!, 0);
  const of = (name: string) =>
    ['read', 'aggregated', 'replayed', 'late', 'dead'].map((key) => sum(name, key));
  return {ingest: [received, appended, duplicate, rejected], per_hour: of('per_hour'), strict: of('strict')};
}

test('a poison record is found, mended by expressions and replayed, once, as the dry run said; a platform need not run', async () => {
  const root = makeShop();
  await runToEnd(root);
  assert.deepEqual(await books(root), {
    ingest: [7, 4, 0, 3],
    per_hour: [4, 3, 0, 0, 1],
    strict: [4, 3, 0, 1, 0],
  });
  const summary = await json(root, 'dlq', 'list', '--summary');
  assert.deepEqual(
    summary
      .map(({code, stage, letters, open}: Record<string, string>) => [stage, code, letters, open])
      .sort(),
    [
      ['check', 'CHECK:positive', 1, 1],
      ['expression', 'EXPRESSION', 1, 1],
      ['parse', 'CSV_RAGGED', 1, 1],
      ['validate', 'TYPE', 1, 1],
    ],
  );

  // As they are, they are refused again.
  const all = {
    TYPE: 'rejected TYPE',
    'CHECK:positive': 'rejected CHECK:positive',
    CSV_RAGGED: 'rejected CSV_RAGGED',
    EXPRESSION: 'rejected EXPRESSION',
  };
  assert.deepEqual(await replay(root, 'dlq', 'replay', 'shop', '--all', '--dry-run'), all);
  assert.deepEqual(await replay(root, 'dlq', 'replay', 'shop', '--all'), all);
  const failed = await json(root, 'dlq', 'list', '--status', 'failed');
  assert.equal(failed.length, 4);
  assert.equal(failed[0].replays.length, 1);
  assert.match(failed[0].replays[0].actor, /.@./);

  const fixes = ['--set', 'amount=2.50', '--set', 'quantity=abs(quantity)', '--set', "note='42'"];
  const wanted = {
    TYPE: 'appended',
    'CHECK:positive': 'appended',
    CSV_RAGGED: 'rejected CSV_RAGGED',
    EXPRESSION: 'counted',
  };
  assert.deepEqual(await replay(root, 'dlq', 'replay', 'shop', '--all', '--dry-run', ...fixes), wanted);
  assert.deepEqual((await books(root)).ingest, [7, 4, 0, 3]);
  assert.deepEqual(await replay(root, 'dlq', 'replay', 'shop', '--all', ...fixes), {
    ...wanted,
    EXPRESSION: 'queued',
  });
  // A second time: nothing.
  const again = {
    TYPE: 'duplicate',
    'CHECK:positive': 'duplicate',
    CSV_RAGGED: 'rejected CSV_RAGGED',
    EXPRESSION: 'duplicate',
  };
  assert.deepEqual(await replay(root, 'dlq', 'replay', 'shop', '--all', ...fixes), again);

  await runToEnd(root, {inputs: false});
  assert.deepEqual(await books(root), {
    ingest: [7, 6, 0, 1],
    per_hour: [6, 6, 1, 0, 0],
    strict: [6, 3, 0, 3, 0],
  });
  const status = await json(root, 'dlq', 'list');
  assert.deepEqual(status.map(({code, status: stands}: Record<string, string>) => [code, stands]).sort(), [
    ['CHECK:positive', 'replayed'],
    ['CSV_RAGGED', 'failed'],
    ['EXPRESSION', 'replayed'],
    ['TYPE', 'replayed'],
  ]);
  // The row's time was read in the input's time zone.
  const {stdout} = await cli(root, 'tap', 'shop.purchase', '--from', 'start', '--limit', '6', '--json');
  const mended = stdout.split('\n').find((line) => line.includes('"u3"'))!;
  assert.equal(JSON.parse(mended).event.timestamp, '2026-01-05T10:02:00.000Z');
  assert.equal(JSON.parse(mended).event.amount_cents, 250);
});

test('a running platform counts what is replayed and says so', async (t) => {
  const root = makeShop();
  const {running} = await startIn(root);
  t.after(() => running.drain());
  await running.idle(new AbortController().signal);
  assert.deepEqual(
    await replay(root, 'dlq', 'replay', 'shop', '--stage', 'expression', '--set', "note='1'"),
    {
      EXPRESSION: 'counted',
    },
  );
  // One partition has no event, so that the windows keep their state.
  assert.deepEqual(await replay(root, 'late', 'replay', 'strict', '--all', '--dry-run'), {LATE: 'counted'});
  assert.deepEqual(await replay(root, 'late', 'replay', 'strict', '--all'), {LATE: 'counted'});
  assert.deepEqual(await replay(root, 'late', 'replay', 'strict', '--all'), {LATE: 'duplicate'});
  await running.idle(new AbortController().signal);
  const {per_hour, strict} = await books(root);
  assert.deepEqual(
    [per_hour, strict],
    [
      [4, 4, 1, 0, 0],
      [4, 4, 1, 0, 0],
    ],
  );
  const [late] = await json(root, 'late', 'list', 'shop.strict');
  assert.deepEqual(
    [late.status, late.replays.map(({outcome}: {outcome: string}) => outcome)],
    ['replayed', ['queued', 'counted']],
  );
  const {stdout} = await cli(root, 'late', 'show', 'strict', late.id.slice(0, 6));
  assert.match(stdout, /its query: counted/);
  const tapped = await cli(root, 'tap', 'shop.purchase', '--from', 'start', '--limit', '4', '--json');
  for (const [user, was] of [
    ['u2', 'dead'],
    ['u7', 'late'],
  ]) {
    const line = tapped.stdout.split('\n').find((each) => each.includes(`"${user}"`))!;
    const {events} = await json(root, 'explain', 'event', JSON.parse(line).event.event_id);
    const told = events[0].queries.map((each: Record<string, string>) => [each.class, each.reason]);
    assert.deepEqual(
      told.map(([kind]: string[]) => kind),
      ['aggregated', 'aggregated'],
    );
    assert.ok(
      told.some(([, why]: string[]) => why!.startsWith(`it was ${was} at first and was replayed since`)),
    );
  }
});

test('letters are selected by reason, time, id, type and by expressions over the letter and its event', async () => {
  const root = makeShop();
  await runToEnd(root);
  const codes = async (...argv: string[]) =>
    (await json(root, 'dlq', 'list', ...argv)).map(({code}: {code: string}) => code).sort();
  assert.deepEqual(await codes('--code', 'CHECK'), ['CHECK:positive']);
  assert.deepEqual(await codes('--query', 'per_hour'), ['EXPRESSION']);
  assert.deepEqual(await codes('--source', 'purchases/purchases.csv', '--stage', 'parse'), ['CSV_RAGGED']);
  assert.deepEqual(await codes('--type', 'purchase', '--since', '1h', '--status', 'open'), [
    'CHECK:positive',
    'CSV_RAGGED',
    'EXPRESSION',
    'TYPE',
  ]);
  assert.deepEqual(await codes('--until', '2020-01-01'), []);
  assert.deepEqual(await codes('--where', 'row >= 4'), ['CHECK:positive', 'CSV_RAGGED']);
  assert.deepEqual(await codes('--where', "user_id = 'u3' or quantity < 0"), ['CHECK:positive', 'TYPE']);
  assert.deepEqual(await codes('--where', `"text.amount" = 'much'`), ['TYPE']);
  assert.deepEqual(await codes('--where', "note = 'many' and code = 'EXPRESSION'"), ['EXPRESSION']);
  const [{id}] = await json(root, 'dlq', 'list', '--code', 'TYPE');
  assert.deepEqual(await codes('--id', id.slice(0, 7), 'ffffffff'), ['TYPE']);
});

test('what cannot be meant is said before anything is done', async (t) => {
  const root = makeShop();
  await runToEnd(root);
  const refused = async (...argv: string[]) => {
    const {code, stderr} = await cli(root, 'dlq', 'replay', 'shop', ...argv);
    assert.equal(code, 2, stderr);
    return stderr;
  };
  const cases: [string[], RegExp][] = [
    [[], /which dead letters\?[\s\S]*--all/],
    [['--all', '--set', 'quantity'], /no field=expression/],
    [['--all', '--set', 'colour=1'], /no event type has a field "colour"[\s\S]*quantity/],
    [
      ['--all', '--set', 'quantity=upper(note)'],
      /--set: expected long.* \(at "upper\(note\)", character 1\)\n/,
    ],
    [['--all', '--set', "event_id='x'"], /stays as it is/],
    [['--where', 'nothing = 1'], /--where: .*nothing.* \(at "nothing", character 1\)\n/],
    [['--where', 'row +'], /--where/],
    [['--all', '--rate', 'fast'], /--rate 200\/s/],
    [['--since', 'yesterday'], /--since 2h/],
    [['--status', 'lost'], /open, queued, replayed, failed/],
  ];
  for (const [argv, pattern] of cases) assert.match(await refused(...argv), pattern, argv.join(' '));
  const history = await json(root, 'dlq', 'list');
  assert.ok(history.every(({replays}: {replays: unknown[]}) => replays.length === 0));
  t.diagnostic(`${cases.length} mistakes`);
});

test('an int field takes whole numbers as far as they fit', async () => {
  const root = makeShop();
  writeFiles(root, {
    'config/domains/shop.yaml': domain.replace('name: quantity, type: long', 'name: quantity, type: int'),
  });
  await runToEnd(root);
  const one = ['dlq', 'replay', 'shop', '--code', 'CHECK:positive', '--set'];
  for (const beyond of ['2147483648', '-2147483649', '9223372036854775807'])
    assert.deepEqual(await replay(root, ...one, `quantity=${beyond}`), {
      'CHECK:positive': 'rejected EXPRESSION',
    });
  const {stdout} = await cli(root, ...one, 'quantity=2147483648', '--json');
  assert.match(stdout, /--set quantity: 2147483648 is out of range for int, which is from -2147483648 to/);
  const half = await cli(root, ...one, 'quantity=1.5');
  assert.equal(half.code, 2, half.stdout);
  assert.match(half.stderr, /--set: expected int or long, found \w+ \(at "1\.5", character 1\)\n/);
  assert.deepEqual(await replay(root, ...one, 'quantity=2147483647'), {'CHECK:positive': 'appended'});
});

test('a replay goes at its rate and stops at its limit', async () => {
  const root = makeShop();
  const bad = Array.from({length: 12}, (_, index) => `2026-01-05T10:00:00Z,u${index},1,DE,much,1`);
  writeFiles(root, {'data/purchases.csv': `${purchases.split('\n')[0]}\n${bad.join('\n')}\n`});
  await runToEnd(root);
  const fix = ['--set', 'amount=1.00'];
  const {selected, outcomes} = await json(root, 'dlq', 'replay', 'shop', '--all', '--limit', '4', ...fix);
  assert.deepEqual([selected, outcomes], [4, {appended: 4}]);
  const startMs = performance.now();
  const rest = await json(root, 'dlq', 'replay', 'shop', '--status', 'open', '--rate', '10/s', ...fix);
  assert.deepEqual(rest.outcomes, {appended: 8});
  assert.ok(performance.now() - startMs > 500, 'eight at ten a second');
});

test('records that never reached the log pass a function of the user, below the platform alone', async () => {
  const root = makeShop();
  writeFiles(root, {
    'fixes/split.ts': `export default (event) =>
  event.quantity < -1 ? [-1, event.quantity + 1].map((quantity) => ({...event, quantity: -quantity})) : [];\n`,
  });
  await runToEnd(root);
  const args = ['dlq', 'replay', 'shop', '--code', 'CHECK', '--transform'];
  const wanted = {'CHECK:positive': 'appended'};
  assert.deepEqual(await replay(root, ...args, 'fixes/split.ts', '--dry-run'), wanted);
  assert.deepEqual(await replay(root, ...args, 'fixes/split.ts'), wanted);
  assert.deepEqual((await books(root)).ingest, [8, 6, 0, 2]);
  for (const [more, message] of [
    [['/etc/hostname'], /outside the platform/],
    [['fixes/none.ts'], /there is no file/],
    [['fixes/split.ts', '--set', 'quantity=1'], /one of the two/],
  ] as const) {
    const {code, stderr} = await cli(root, ...args, ...more);
    assert.equal(code, 2, stderr);
    assert.match(stderr, message);
  }
});

test('a function mends what cannot be read: it gets NULL, what was sent, and the text of a record without fields', async () => {
  const root = makeShop();
  const [head] = purchases.split('\n');
  writeFiles(root, {
    'data/purchases.csv': `${head}\n2026-01-05T10:00:00Z,u1,1,DE,"1,50",2\n2026-01-05T10:01:00Z;u2;1;FR;2.00;3\n`,
    'fixes/read.ts': `export default ({original, text, ...event}, {reject}) => {
  if (text.amount) return {...event, amount: text.amount.replace(',', '.')};
  const [timestamp, user_id, , country, amount, quantity] = original.trim().split(';');
  return quantity ? {timestamp, user_id, country, amount, quantity} : reject('NEITHER');
};\n`,
  });
  await runToEnd(root);
  const args = ['dlq', 'replay', 'shop', '--all'];
  const before = await json(root, 'dlq', 'list');
  assert.equal(before.length, 2);
  const {outcomes} = await json(root, ...args, '--transform', 'fixes/read.ts', '--dry-run');
  assert.deepEqual(outcomes, {appended: 2}, JSON.stringify(before));
  for (const wanted of [{appended: 2}, {duplicate: 2}])
    assert.deepEqual((await json(root, ...args, '--transform', 'fixes/read.ts')).outcomes, wanted);
  assert.deepEqual((await books(root)).ingest, [2, 2, 0, 0]);
});

test('what expressions mended passes the transform of its event type', async () => {
  const root = makeShop();
  const path = join(root, 'config/domains/shop.yaml');
  const yaml = readFileSync(path, 'utf8');
  const withTransform = yaml.replace(
    '  - name: purchase\n',
    '  - name: purchase\n    transform: ../double.mjs\n',
  );
  assert.notEqual(withTransform, yaml);
  writeFiles(root, {
    'config/domains/shop.yaml': withTransform,
    'config/double.mjs': `export default (event, {reject}) =>
  event.amount === '0.13' ? reject('UNLUCKY') : [event, {...event, country: 'XX'}];\n`,
    'data/purchases.csv': `${purchases.split('\n')[0]}\n2026-01-05T10:00:00Z,u1,1,DE,much,2\n`,
  });
  await runToEnd(root);
  const replayed = (fix: string, ...more: string[]) =>
    replay(root, 'dlq', 'replay', 'shop', '--all', '--set', fix, ...more);
  assert.deepEqual(await replayed('amount=0.13', '--dry-run'), {TYPE: 'rejected REJECTED:UNLUCKY'});
  assert.deepEqual(await replayed('amount=1.50'), {TYPE: 'appended'});
  assert.deepEqual(await replayed('amount=1.50'), {TYPE: 'duplicate'});
  const {stdout} = await cli(root, 'tap', 'shop.purchase', '--from', 'start', '--limit', '2', '--json');
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.match(JSON.stringify(events), /"DE".*"XX"|"XX".*"DE"/);
  const ledger = JSON.parse((await cli(root, 'ledger', '--json')).stdout);
  assert.deepEqual([ledger.ingest[0].appended, ledger.ingest[0].rejected], [2, 0]);
  assert.deepEqual([ledger.transform[0].in, ledger.transform[0].out], [1, 2]);
});

test('a record of a request is read again as it was sent, and keeps its id', async (t) => {
  const root = makeShop();
  const {running} = await startIn(root, {inputs: false});
  t.after(() => running.drain());
  const token = readFileSync(join(root, '.millrace/token'), 'utf8').trim();
  const event = {
    event_id: 'given',
    timestamp: '2026-01-05T10:00:00Z',
    country: 'DE',
    amount: '1,50',
    quantity: 1,
  };
  const response = await fetch(`${running.url}/v1/events/shop/purchase`, {
    method: 'POST',
    headers: {authorization: `Bearer ${token}`, 'content-type': 'application/json'},
    body: JSON.stringify(event),
  });
  assert.ok(response.status >= 400, `${response.status}`);
  await response.text();
  const [letter] = await json(root, 'dlq', 'list', '--where', "country = 'DE'");
  assert.deepEqual([letter.code, letter.event_id, letter.position.index], ['TYPE', 'given', 0]);
  const fix = ['--set', `amount=cast(replace("text.amount", ',', '.') as money)`];
  assert.deepEqual(await replay(root, 'dlq', 'replay', 'shop', '--code', 'TYPE', ...fix), {TYPE: 'appended'});
  assert.deepEqual((await books(root)).ingest, [1, 1, 0, 0]);
  const {stdout} = await cli(root, 'tap', 'shop.purchase', '--from', 'start', '--limit', '1', '--json');
  assert.deepEqual(
    [JSON.parse(stdout).event.event_id, JSON.parse(stdout).event.amount_cents],
    ['given', 150],
  );
});

test('a late event whose window is gone is refused with the way out, in the dry run and then', async () => {
  const root = makeShop();
  writeFiles(root, {'config/platform.yaml': platform.replace('partitions: 2', 'partitions: 1')});
  await runToEnd(root);
  for (const more of [['--dry-run'], [], []]) {
    const {letters} = await json(root, 'late', 'replay', 'shop.strict', '--all', ...more);
    assert.deepEqual(
      letters.map(({outcome, code}: Record<string, string>) => [outcome, code]),
      [['refused', 'WINDOW_GONE']],
    );
    assert.match(letters[0].message, /npx millrace backfill shop\.strict/);
  }
  const [{status, replays}] = await json(root, 'late', 'list', 'strict');
  assert.deepEqual([status, replays.length], ['failed', 2]);
  assert.deepEqual((await books(root)).strict, [4, 3, 0, 1, 0]);
});
