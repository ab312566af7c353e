/** `explain event` and `explain window`: why a row is as it is. One platform with PGlite, since a start costs seconds. */
import assert from 'node:assert/strict';
import {before, describe, test} from 'node:test';
import {start} from '../faults/process.ts';
import {cli, makeRoot} from '../support/cli.ts';

let root = '';
const run = (...argv: string[]) => cli(root, ...argv);
const json = async (...argv: string[]) => {
  const {code, stdout, stderr} = await run(...argv, '--json');
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
};

const event = (id: string, time: string, rest: object) =>
  JSON.stringify({event_id: id, timestamp: `2026-01-05T${time}Z`, country: 'DE', ...rest});

before(async () => {
  root = makeRoot({
    'config/platform.yaml':
      'platform: shop\nsinks: {db: {backend: pglite}}\ndefaults: {aggregates: db, raw: db}\nlog: {embedded: {partitions: 1}}\nserver: {port: 0}\n',
    'config/domains/shop.yaml': `domain: shop
event_types:
  - name: sale
    dimensions: [country]
    metrics: [{name: amount, type: money}, {name: quantity, type: int}]
inputs: [{name: sales, event_type: sale, from: ../../data/sales.jsonl, order_by: none, map: {event_id: event_id}}]
aggregations:
  - {name: per_minute, from: sale, where: quantity > 0, window: {type: tumbling, size: 1m}, group_by: [country], measures: {revenue: sum(amount)}, watermark: 1m, late: topic}
  - {name: per_hour, from: sale, window: {type: sliding, size: 1h, slide: 30m}, measures: {ratio: sum(amount / quantity)}}
  - {name: visits, from: sale, window: {type: session, gap: 10m}, group_by: [country], measures: {sales: count()}}
`,
    'data/sales.jsonl': [
      event('first', '10:00:10', {amount: '1.50', quantity: 1}),
      event("o'clock", '10:00:20', {amount: '2.00', quantity: 0}),
      event('next', '10:05:00', {amount: '3', quantity: 1}),
      event('late', '10:00:30', {amount: '4', quantity: 1}),
      event('bad', '10:05:10', {amount: 'much', quantity: 1}),
      '',
    ].join('\n'),
  });
  const {code, stderr} = await start(root, ['run', '--until-idle']).ended;
  assert.equal(code, 0, stderr);
});

describe('explain event', () => {
  test('a counted one: its place by an index, its windows and groups', async () => {
    const {events} = await json('explain', 'event', 'first');
    assert.equal(events.length, 1);
    const [{topic, partition, offset, foundBy, raw, queries, event: values}] = events;
    assert.deepEqual([topic, partition, offset, foundBy], ['shop.sale', 0, 0, 'raw table']);
    assert.deepEqual(raw, {sink: 'db', table: 'shop.sale', written: true});
    assert.equal(values.amount_cents, 150);
    assert.deepEqual(
      queries.map(({query, class: kind}: {query: string; class: string}) => [query, kind]),
      [
        ['shop.per_minute', 'aggregated'],
        ['shop.per_hour', 'aggregated'],
        ['shop.visits', 'aggregated'],
      ],
    );
    assert.deepEqual(queries[0].group, {country: 'DE'});
    assert.deepEqual(
      queries[1].windows.map(({start: at}: {start: string}) => at),
      ['2026-01-05T09:30:00.000Z', '2026-01-05T10:00:00.000Z'],
    );
  });

  test('one that a query filters, one that came late, one that never reached the log', async () => {
    const classes = async (id: string) =>
      (await json('explain', 'event', id)).events[0].queries.map(({class: kind}: {class: string}) => kind);
    assert.deepEqual(await classes("o'clock"), ['filtered', 'aggregated', 'aggregated']);
    assert.deepEqual(await classes('late'), ['late', 'aggregated', 'aggregated']);
    const bad = await json('explain', 'event', 'bad');
    assert.deepEqual(
      [bad.events.length, bad.deadLetters[0].code, bad.deadLetters[0].stage],
      [0, 'TYPE', 'validate'],
    );
  });

  test('as text; an unknown one is refused', async () => {
    const {stdout} = await run('explain', 'event', 'late');
    assert.match(stdout, /^shop\.sale, partition 0, offset 3; appended .*; found by raw table\n/);
    assert.match(stdout, /\n {2}amount: 4\.00\n/);
    assert.match(stdout, /\nquery shop\.per_minute: late; it lies in late\.shop\.per_minute/);
    const none = await run('explain', 'event', 'nobody');
    assert.equal(none.code, 2);
    assert.match(none.stderr, /no event and no dead letter has the id "nobody"/);
  });
});

describe('explain window', () => {
  test('closed, with what came too late for it', async () => {
    const trace = await json('explain', 'window', 'per_minute', '2026-01-05T10:00', 'country=DE');
    assert.deepEqual([trace.state, trace.end, trace.lateCount], ['closed', '2026-01-05T10:01:00.000Z', 1]);
    assert.equal(trace.rows[0].revenue_cents, 150);
    assert.deepEqual(trace.late[0], {
      topic: 'shop.sale',
      partition: 0,
      offset: 3,
      watermark: '2026-01-05T10:04:00.000Z',
    });
    assert.ok(
      trace.reasons.some((reason: string) => reason.includes('npx millrace backfill shop.per_minute')),
    );
  });

  test('open, and what holds it open', async () => {
    const trace = await json('explain', 'window', 'per_minute', '2026-01-05T10:05:00Z');
    assert.equal(trace.state, 'open');
    assert.ok(
      trace.reasons.some((reason: string) =>
        /closes when .* passed 2026-01-05T10:06.*shop\.sale\/0 at 2026-01-05T10:04/.test(reason),
      ),
      trace.reasons.join('\n'),
    );
  });

  test('not there: of the future, of another group, without an event', async () => {
    const reasons = async (...argv: string[]) =>
      (await json('explain', 'window', ...argv)).reasons.join('\n');
    assert.match(
      await reasons('per_minute', '2026-01-06'),
      /no event of this time has arrived: the latest one is of 2026-01-05T10:05/,
    );
    assert.match(
      await reasons('per_minute', '2026-01-05T10:00', 'country=FR'),
      /has 1 row, none of this group/,
    );
    assert.match(await reasons('per_minute', '2026-01-05T10:02'), /no event counts in it/);
  });

  test('where no window begins, an unknown dimension and what is no time are refused with what there is', async () => {
    for (const [argv, said] of [
      [
        ['per_minute', '2026-01-05T10:00:30Z'],
        /hint: it is in the window of 2026-01-05T10:00:00\.000Z; the next one is 2026-01-05T10:01/,
      ],
      [['per_minute', '2026-01-05T10:00', 'contry=DE'], /did you mean country/],
      [['per_minute', 'noon'], /"noon" is no time/],
      [
        ['visits', '2026-01-05T10:03'],
        /no session of visits begins at .*\n {2}hint: sessions that hold this instant begin at 2026-01-05T10:00:10/,
      ],
      [['visits', '2026-01-05T12:00'], /no session holds this instant/],
    ] as const) {
      const {code, stderr} = await run('explain', 'window', ...argv);
      assert.equal(code, 2);
      assert.match(stderr, said);
    }
  });
});
