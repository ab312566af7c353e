import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {join} from 'node:path';
import {test} from 'node:test';
import {Incoming} from '../../src/ingest/incoming.ts';
import {type IncomingBatch, verdictsOf} from '../../src/ingest/incoming-types.ts';
import {openLogReader} from '../../src/log/embedded.ts';
import type {EventType} from '../../src/model/types.ts';
import {uuid5} from '../../src/schema/uuid5.ts';
import type {TransformRunner} from '../../src/transforms/types.ts';
import {type Content, domain, input, type World, withWorld} from '../ingest/world.ts';
import {type Modules, withModules} from './world.ts';

/** A basket becomes its lines; what is bad about it shows in what the transform does. */
const basket = `export default (event, {reject}) => {
  if (event.country === 'XX') return reject('NOT_OURS', 'we do not sell to XX');
  if (event.country === 'throw') throw new Error('no such country');
  if (event.country === 'none') return [];
  return String(event.lines).split(' ').map((line) => {
    const [amount, quantity] = line.split('x');
    return {...event, amount, quantity};
  });
};`;

const rowsOf = (content: Content) =>
  content.events
    .map(({values}) => values)
    .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1))
    .map(([id, time, user, country, amount, quantity]) => ({id, time, user, country, amount, quantity}));

const transformed = (world: World) => {
  const reader = openLogReader(join(world.dir, 'log'));
  try {
    return reader.transformed();
  } finally {
    reader.close();
  }
};

const withBoth = (
  text: string,
  body: (
    world: World,
    given: {eventType: EventType; transform: TransformRunner; modules: Modules},
  ) => Promise<void>,
) =>
  withModules(async (modules) => {
    const eventType = modules.eventType(text);
    await withWorld((world) => body(world, {eventType, transform: modules.runner(eventType), modules}));
  });

const loose = (eventType: EventType) => {
  const result = domain(eventType);
  result.defaults.deadLetters.budgetShare = 1;
  return result;
};

test('a file: one record becomes several events with derived ids, or one dead letter with its bytes; the ledger says so', async () => {
  await withBoth(basket, async (world, given) => {
    const path = world.file(
      'baskets.csv',
      [
        'event_id,timestamp,user_id,country,lines',
        'b1,2024-01-01T00:00:00Z,u1,DE,1.50x2 2x1 0.07x3',
        'b2,2024-01-01T00:00:01Z,u1,XX,1x1',
        'b3,2024-01-01T00:00:02Z,u2,none,1x1',
        'b4,2024-01-01T00:00:03Z,u2,throw,1x1',
        'b5,2024-01-01T00:00:04Z,u3,FR,1x1 1.005x1',
        'b6,not a time,u3,FR,1x1',
        'b7,2024-01-01T00:00:06Z,u3',
        '2ed6657d-e927-568b-95e1-2665a8aea6a2,2024-01-01T00:00:07Z,u4,IT,9x1',
      ].join('\n'),
    );
    const report = await world.ingest(path, {
      ...given,
      domain: loose(given.eventType),
      input: input({map: {event_id: 'event_id'}}),
    });
    assert.deepEqual(
      [report.received, report.appended, report.rejected, report.transformed],
      [9, 4, 5, {in: 6, out: 4, rejected: 3}],
    );
    const content = await world.content(given.eventType);
    const rows = rowsOf(content).map(({id: _, ...rest}) => rest);
    const time = Date.parse('2024-01-01T00:00:00Z');
    assert.deepEqual(
      rows.toSorted((a, b) => Number(a.amount) - Number(b.amount)),
      [
        {time, user: 'u1', country: 'DE', amount: 7, quantity: 3},
        {time, user: 'u1', country: 'DE', amount: 150, quantity: 2},
        {time, user: 'u1', country: 'DE', amount: 200, quantity: 1},
        {time: time + 7000, user: 'u4', country: 'IT', amount: 900, quantity: 1},
      ],
    );
    // The id of a record is the name space where it is a UUID.
    const ids = content.events.map(({values}) => values[0]);
    assert.ok(ids.includes(uuid5('2ed6657d-e927-568b-95e1-2665a8aea6a2', '0')));
    assert.deepEqual(
      content.letters.map(({stage, code, message, eventId, position, original}) => [
        'row' in position && position.row,
        stage,
        code,
        message,
        eventId,
        Buffer.from(original).toString(),
      ]),
      [
        [
          2,
          'transform',
          'REJECTED:NOT_OURS',
          'we do not sell to XX',
          'b2',
          'b2,2024-01-01T00:00:01Z,u1,XX,1x1',
        ],
        [
          4,
          'transform',
          'TRANSFORM_ERROR',
          'order.ts:3: Error: no such country',
          'b4',
          'b4,2024-01-01T00:00:03Z,u2,throw,1x1',
        ],
        [
          5,
          'transform',
          'MONEY_SCALE',
          'event 2 of 2 of the transform: amount: "1.005" has more than two decimals',
          'b5',
          'b5,2024-01-01T00:00:04Z,u3,FR,1x1 1.005x1',
        ],
        [6, 'validate', 'TYPE', 'timestamp: "not a time" is no timestamp', 'b6', 'b6,not a time,u3,FR,1x1'],
        [7, 'parse', 'CSV_RAGGED', content.letters[4]!.message, null, 'b7,2024-01-01T00:00:06Z,u3'],
      ],
    );
    assert.deepEqual(content.ledger, [
      {
        domain: 'shop',
        eventType: 'order',
        source: 'orders/baskets.csv',
        received: 9,
        appended: 4,
        duplicate: 0,
        rejected: 5,
      },
    ]);
    assert.deepEqual(transformed(world), [
      {domain: 'shop', eventType: 'order', source: 'orders/baskets.csv', in: 6, out: 4, rejected: 3},
    ]);
  });
});

test('the same ids from another file give the same derived ids: duplicates', async () => {
  await withBoth(basket, async (world, given) => {
    const lines = (more: string) =>
      `{"event_id":"b1","timestamp":1,"lines":"1x1 2x2"${more}}\n{"event_id":"b2","timestamp":2,"lines":"3x3"${more}}\n`;
    const options = {...given, input: input({format: 'jsonl' as const, map: {event_id: 'event_id'}})};
    await world.ingest(world.file('a.jsonl', lines('')), options);
    const again = await world.ingest(world.file('b.jsonl', lines(',"more":[1]')), options);
    assert.deepEqual([again.received, again.appended, again.duplicate], [3, 0, 3]);
    assert.equal((await world.content(given.eventType)).events.length, 3);
  });
});

test('the budget of dead letters, small transactions and a stop count records, not events', async () => {
  await withBoth(`${basket}`, async (world, given) => {
    const rows = Array.from(
      {length: 300},
      (_, n) => `2024-01-01T00:00:00Z,u${n % 7},${n < 100 ? 'DE' : 'XX'},1x1 2x${n}`,
    );
    const path = world.file('a.csv', `timestamp,user_id,country,lines\n${rows.join('\n')}`);
    const strict = domain(given.eventType);
    strict.defaults.deadLetters = {budgetShare: 0.5, budgetAfter: 200, retentionMs: 1};
    const options = {...given, domain: strict, limits: {batchBytes: 200}};
    await assert.rejects(world.ingest(path, options), /INPUT_BUDGET|records are bad/);
    const after = await world.ingest(path, {...given, domain: loose(given.eventType)});
    assert.ok(after.resumedAt >= 200 && after.resumedAt < 300, `${after.resumedAt}`);
    const {events, letters} = await world.content(given.eventType);
    assert.equal(events.length, 200);
    assert.equal(letters.length, 200);
    const [line] = transformed(world);
    assert.deepEqual([line!.in, line!.out, line!.rejected], [300, 200, 200]);
  });
});

/** Ingests a file through a transform in a process of its own, which a failpoint may kill. */
const program = (dir: string, module: string) => `
  import {join} from 'node:path';
  import {openLogWriter} from '${new URL('../../src/log/embedded.ts', import.meta.url)}';
  import {ingestFile} from '${new URL('../../src/ingest/file.ts', import.meta.url)}';
  import {createTransform} from '${new URL('../../src/transforms/runner.ts', import.meta.url)}';
  import {systemClock} from '${new URL('../../src/clock.ts', import.meta.url)}';
  import {noTelemetry as telemetry} from '${new URL('../../src/telemetry.ts', import.meta.url)}';
  import {domain, input, order} from '${new URL('../ingest/world.ts', import.meta.url)}';
  const eventType = order({transform: {path: ${JSON.stringify(module)}, timeoutMs: 5000, outputsMax: 10}});
  const log = openLogWriter(${JSON.stringify(join(dir, 'log'))});
  const transform = createTransform({eventType, telemetry, reload: false});
  await ingestFile({domain: {...domain(eventType), defaults: {...domain(eventType).defaults, deadLetters: {budgetShare: 1, budgetAfter: 1, retentionMs: 1}}},
    eventType, transform, input: input(), path: ${JSON.stringify(join(dir, 'in', 'a.csv'))}, log, partitions: 3, schemaId: 7, deadLetterSchemaId: 8,
    clock: systemClock, telemetry, tempDir: ${JSON.stringify(join(dir, 'tmp'))}, limits: {batchBytes: 400}});
  await transform.close();
  await log.close();
`;

test('killed at any step of an append and started again, every record has its events once', async () => {
  await withBoth(basket, async (whole, given) => {
    const countries = ['DE', 'XX', 'none', 'throw', 'FR'];
    const rows = Array.from(
      {length: 60},
      (_, n) => `2024-01-01T00:00:00Z,u${n % 7},${countries[n % 5]},1x1 2x${n} 3x3`,
    );
    const text = `timestamp,user_id,country,lines\n${rows.join('\n')}`;
    await whole.ingest(whole.file('a.csv', text), {...given, domain: loose(given.eventType)});
    const wanted = await whole.content(given.eventType);
    const books = transformed(whole);
    assert.equal(wanted.events.length, 72);
    const points = [
      'ingest.before-append:3',
      'log.before-commit:4',
      'log.after-commit:5',
      'ingest.after-append:2',
    ];
    for (const point of points)
      await withWorld(async (world) => {
        world.file('a.csv', text);
        await world.log.close();
        const run = (env: Record<string, string>) =>
          spawnSync(
            process.execPath,
            ['--input-type=module', '--eval', program(world.dir, given.eventType.transform!.path)],
            {env: {...process.env, ...env}, encoding: 'utf8'},
          );
        assert.equal(run({MILLRACE_FAILPOINT: point}).signal, 'SIGKILL', point);
        const second = run({});
        assert.equal(second.status, 0, second.stderr);
        const content = await world.content(given.eventType);
        assert.deepEqual(rowsOf(content), rowsOf(wanted), point);
        assert.deepEqual(
          content.letters.map(({id}) => id),
          wanted.letters.map(({id}) => id),
          point,
        );
        assert.deepEqual(content.ledger, wanted.ledger, point);
        assert.deepEqual(transformed(world), books, point);
      });
  });
});

test('records in memory: one verdict a record; sent again, nothing is appended', async () => {
  await withBoth(basket, async (world, given) => {
    world.log.ensureTopic('shop.order', 3);
    world.log.ensureTopic('dlq.shop', 1);
    const incoming = new Incoming({
      domains: [domain(given.eventType)],
      log: world.log,
      clock: world.clock,
      telemetry: given.modules.telemetry,
      schemaIds: {'shop.order': 7, 'dlq.shop': 8},
      schemaById: () => undefined,
      transforms: {of: () => given.transform, close: async () => {}},
    });
    const batch = (request: string, records: unknown[]): IncomingBatch => ({
      domain: 'shop',
      eventType: 'order',
      source: 'http',
      format: 'ndjson',
      bytes: Buffer.from(records.map((record) => JSON.stringify(record)).join('\n')),
      request,
      ids: 'derived',
      deadLetters: true,
      recordsMax: 100,
    });
    const records = [
      {event_id: 'a', lines: '1x1 2x2', user_id: 'u'},
      {event_id: 'b', country: 'XX'},
      {event_id: 'c', country: 'none'},
      {amount: 'abc'},
      {lines: '3x3'},
    ];
    const send = async (request: string, given: unknown[]) => {
      const result = await incoming.take(batch(request, given));
      assert.ok(result.kind === 'done');
      return verdictsOf(result);
    };
    const [first, other] = await Promise.all([
      send('r1', records),
      send('r2', [{event_id: 'z', lines: '1x1'}]),
    ]);
    assert.deepEqual(
      first.map(({eventId, status, code}) => [eventId?.length === 36 ? 'made' : eventId, status, code]),
      [
        ['a', 'appended', undefined],
        ['b', 'rejected', 'REJECTED:NOT_OURS'],
        ['c', 'dropped', undefined],
        ['made', 'rejected', 'TYPE'],
        ['made', 'appended', undefined],
      ],
    );
    assert.deepEqual(
      other.map(({status}) => status),
      ['appended'],
    );
    const again = await send('r1', [...records, {event_id: 'a', lines: '1x1 2x2 3x3'}]);
    assert.deepEqual(
      again.map(({status}) => status),
      ['duplicate', 'rejected', 'dropped', 'rejected', 'duplicate', 'appended'],
    );
    assert.deepEqual(
      (await send('r3', [{country: 'none'}])).map(({status}) => status),
      ['dropped'],
    );
    const content = await world.content(given.eventType);
    assert.equal(content.events.length, 5);
    assert.deepEqual(
      content.letters.map(({code, stage, position, eventId}) => [
        code,
        stage,
        position,
        eventId === first[3]!.eventId ? 'made' : eventId,
      ]),
      [
        ['REJECTED:NOT_OURS', 'transform', {request: 'r1', index: 1}, 'b'],
        ['TYPE', 'validate', {request: 'r1', index: 3}, 'made'],
      ],
    );
    assert.deepEqual(
      content.ledger.map(({received, appended, duplicate, rejected}) => [
        received,
        appended,
        duplicate,
        rejected,
      ]),
      // What was rejected before is a duplicate, too.
      [[14, 5, 7, 2]],
    );
    assert.deepEqual(transformed(world), [
      // The one that was rejected before is not counted again.
      {domain: 'shop', eventType: 'order', source: 'http', in: 10, out: 10, rejected: 1},
    ]);
  });
});
