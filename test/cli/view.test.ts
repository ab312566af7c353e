import assert from 'node:assert/strict';
import {test} from 'node:test';
import {exitCodeOf, farewell} from '../../src/cli/outcome.ts';
import {palette} from '../../src/cli/output.ts';
import {picture} from '../../src/cli/picture.ts';
import {waitingFor} from '../../src/cli/waiting.ts';
import type {PlatformStatus} from '../../src/platform/status.ts';

const plain = palette({}, {});
const startedMs = Date.UTC(2026, 0, 5);
const tips = ['npx millrace query "select * from shop.revenue limit 5"', 'npx millrace ledger'];

const counts = {
  topic: 'shop.purchase',
  partition: 0,
  offset: 12_345,
  read: 12_345,
  aggregated: 12_300,
  corrected: 3,
  lateInPart: 0,
  filtered: 40,
  duplicate: 0,
  late: 4,
  dead: 1,
  replayed: 0,
  maxTimeMs: startedMs,
};

const status: PlatformStatus = {
  name: 'acme',
  env: 'dev',
  pid: 1,
  startedMs,
  url: 'http://127.0.0.1:4000',
  phase: 'running',
  inputs: [
    {domain: 'shop', name: 'purchases', state: 'running', share: 0.5, rows: 12_350, rejected: 5},
    {
      domain: 'shop',
      name: 'old',
      state: 'stopped',
      share: null,
      rows: 0,
      rejected: 0,
      message: 'INPUT_MISSING no \u001b[2J',
    },
  ],
  generators: [],
  queries: [
    {
      query: 'shop.revenue',
      state: 'running',
      counts: [counts],
      watermarkMs: Date.UTC(2026, 0, 4, 23, 50),
      lagEvents: 5,
      lagMs: 1_234,
      groups: 10,
      openWindows: 2,
      memoryBytes: 1_000,
      checkpointEpoch: 7,
      observedMs: startedMs,
      settled: false,
    },
  ],
  startingQueries: [],
  deliveries: [
    {
      sink: 'analytics',
      table: 'shop.revenue__r2',
      state: 'paused',
      emitted: 70,
      written: 60,
      pending: 10,
      dead: 0,
      lagEvents: 25,
      lagMs: 4_000,
      message: 'SINK_UNAVAILABLE refused',
    },
  ],
  rows: [],
  raw: [
    {
      sink: 'records',
      table: 'shop.purchase',
      state: 'starting',
      written: 0,
      dead: 0,
      pending: 0,
      lagEvents: null,
      lagMs: 0,
    },
  ],
  events: [],
  totals: {
    received: 12_350,
    appended: 12_345,
    duplicate: 0,
    rejected: 5,
    rowsWritten: 60,
    late: 4,
    dead: 1,
    ledgerBalanced: true,
  },
};
const at = startedMs + 3_723_000;
const rates = {events: 1_234.4, rows: 20};
const shown = (columns: number, rows: number, more: Partial<PlatformStatus> = {}) =>
  picture({...status, ...more}, rates, at, tips, plain, {columns, rows}).join('\n');

test('with room enough everything is there', () => {
  assert.equal(
    shown(120, 40),
    `millrace acme dev · running, up 1:02:03 · http://127.0.0.1:4000
      1,234 events/s        20 rows/s   12,345 events in the log   60 rows written

  file shop.purchases  ████████████░░░░░░░░░░░░  50 %  12,350 rows, 5 rejected${' '}
  file shop.old  ░░░░░░░░░░░░░░░░░░░░░░░░        0 rows stopped: INPUT_MISSING no \\u001b[2J

  query          watermark (UTC)        lag    delay       events       rows     late   dead
  shop.revenue  2026-01-04 23:50          5    1.2 s       12,345         60        4      1

  raw shop.purchase -> records  0 written starting

  sink analytics, shop.revenue__r2: paused SINK_UNAVAILABLE refused

  ledger balanced   dead letters 6   late 4   duplicates 0

  in another terminal:
    npx millrace query "select * from shop.revenue limit 5"
    npx millrace ledger
  Ctrl-C drains and stops`,
  );
});

test('a slow sink says how far it is behind, and a quick one nothing', () => {
  const [delivery] = status.deliveries as [PlatformStatus['deliveries'][number]];
  const slow = {...delivery, state: 'running', lagEvents: 25_300, lagMs: 12_000} as const;
  const raw = status.raw.map((each) => ({...each, state: 'running' as const, lagEvents: 7, lagMs: 61_000}));
  const text = shown(120, 40, {deliveries: [slow, {...slow, sink: 'quick', lagMs: 900}], raw});
  assert.match(text, /sink analytics, shop\.revenue__r2: slow, 25,300 events behind for 12\.0 s\n/);
  assert.match(text, /raw shop\.purchase -> records {2}0 written, lag 7 for 61\.0 s\n/);
  assert.ok(!text.includes('sink quick'));
});

test('narrow: columns of queries go from the right, a tip that would be cut is left out', () => {
  const text = shown(55, 40);
  assert.match(text, /\n {2}query {15}lag {7}events\n {2}shop\.revenue {10}5 {7}12,345\n/);
  assert.ok(!text.includes('select'));
  assert.ok(text.includes('    npx millrace ledger'));
});

test('few rows: tips go first, then empty lines, raw tables, inputs; queries and the ledger stay', () => {
  for (const rows of [17, 13, 10, 8, 7]) {
    const lines = shown(120, rows).split('\n');
    assert.ok(lines.length <= rows, `${lines.length} lines in ${rows} rows`);
    assert.ok(!lines.some((line) => line.includes('in another terminal')));
    for (const kept of ['millrace acme', 'shop.revenue ', 'sink analytics', 'ledger balanced'])
      assert.ok(
        lines.some((line) => line.includes(kept)),
        `${kept} in ${rows} rows`,
      );
  }
  assert.ok(!shown(120, 7).includes('raw shop'));
});

test('the last picture is a closing one: no speed, no tips, no address, its queries are still there', () => {
  const text = shown(120, 40, {phase: 'stopped'});
  assert.match(
    text,
    /^millrace acme dev · stopped after 1:02:03\n {2}12,345 events in the log {3}60 rows written\n\n/,
  );
  assert.match(text, /shop\.revenue {2}2026/);
  assert.doesNotMatch(text, /Ctrl-C|events\/s|127\.0\.0\.1/);
});

test('while it drains it says so, and how to end it at once', () => {
  const text = shown(120, 40, {phase: 'draining'});
  assert.match(text, /draining, up 1:02:03/);
  assert.match(text, /\n {2}draining: what was read is being written; a second Ctrl-C ends at once$/);
});

test('a ledger that does not balance, a query that stopped and checkpoints that wait are not to be overlooked', () => {
  const [query] = status.queries;
  const text = shown(120, 40, {
    totals: {...status.totals, ledgerBalanced: false},
    queries: [{...query!, state: 'stopped', reason: {code: 'QUERY_CHANGED', message: 'm'}}],
  });
  assert.match(text, /ledger NOT balanced/);
  assert.match(
    shown(120, 40, {checkpointsWait: 'the store is away'}),
    /\n {2}checkpoints wait, queries go on: the store is away\n/,
  );
  assert.match(text, /shop\.revenue .* stopped QUERY_CHANGED\n/);
});

test('why queries wait or stopped is said once for all that wait for the same, with the place in the configuration', () => {
  const reason = {code: 'SINK_UNAVAILABLE', message: 'connect ECONNREFUSED 127.0.0.1:8123'};
  const [query] = status.queries;
  const waits = (name: string) => ({
    ...query!,
    query: name,
    state: 'paused' as const,
    reason: {...reason, place: `sink ch (config/platform.yaml:7:12), ${name}__r1`},
  });
  const shown = picture(
    {...status, queries: [waits('shop.a'), waits('shop.b')], deliveries: []},
    {events: 0, rows: 0},
    startedMs,
    [],
    plain,
    {columns: 200, rows: 100},
  );
  const told = shown.filter((line) => line.includes('ECONNREFUSED'));
  assert.deepEqual(told, [
    '  query shop.a, shop.b: paused SINK_UNAVAILABLE connect ECONNREFUSED 127.0.0.1:8123, at sink ch (config/platform.yaml:7:12)',
  ]);
});

test('a query that has told nothing yet is starting: it has no lag of 0', () => {
  const text = shown(120, 40, {startingQueries: ['shop.orders']});
  assert.match(text, /\n {2}shop\.orders {3,}starting\n/);
});

test('what a run that ends by itself waits for is named', () => {
  assert.deepEqual(waitingFor({...status, startingQueries: ['shop.orders']}), [
    'input shop.purchases',
    'query shop.orders (starting)',
    'query shop.revenue: 5 events to go',
    'sink analytics, shop.revenue__r2',
    'records (starting)',
  ]);
  const text = picture(status, rates, at, [], plain, {columns: 120, rows: 40}, 'records (starting)').join(
    '\n',
  );
  assert.match(text, /\n {2}waiting for: records \(starting\)$|\n {2}waiting for: records \(starting\)\n/);
});

test('the exit code is the highest of what stopped; the closing line counts it', () => {
  const [query] = status.queries;
  const stopped = (code: string) =>
    ({...query!, openWindows: 0, state: 'stopped', reason: {code, message: ''}}) as const;
  const inputs: PlatformStatus['inputs'] = [{...status.inputs[1]!, code: 'INPUT_MISSING'}];
  const cases: [Partial<PlatformStatus>, number][] = [
    [{inputs: []}, 0],
    [{inputs}, 1],
    [{inputs, queries: [stopped('QUERY_CHANGED')]}, 2],
    [{inputs, queries: [stopped('QUERY_CHANGED'), stopped('SINK_REFUSED')]}, 4],
    [{inputs: [], raw: [{...status.raw[0]!, state: 'stopped', code: 'SINK_TABLE_DIFFERS'}]}, 4],
  ];
  for (const [more, code] of cases)
    assert.equal(exitCodeOf({...status, ...more}), code, JSON.stringify(more));
  assert.equal(
    farewell({...status, inputs, queries: [stopped('QUERY_CHANGED')]}),
    'stopped: 12,345 events in the log, 60 rows written in this run, ledger balanced, 1 query stopped, 1 input stopped\n',
  );
});

test('the closing line names inputs that can close open windows, of the domains that have nothing else', () => {
  const [query] = status.queries;
  const [input] = status.inputs;
  const closing = (more: Partial<PlatformStatus>) => farewell({...status, ...more}).split('\n')[1];
  const time = '2 windows are open: they close as time moves on';
  assert.equal(closing({inputs: []}), time);
  assert.equal(closing({inputs: [{...input!, domain: 'flights'}]}), time);
  assert.equal(closing({inputs: [input!]}), `${time}, or with: npx millrace ingest shop.purchases --final`);
  assert.equal(
    closing({}),
    `${time}, or with: npx millrace ingest <input> --final (inputs: shop.purchases, shop.old)`,
  );
  const generator: PlatformStatus['generators'][number] = {
    domain: 'live',
    state: 'running',
    run: 1,
    seed: 1,
    events: 9,
    ratePerSecond: 1,
    faults: {late: null, outOfOrder: null, duplicateShare: 0, corruptShare: 0, driftShare: 0},
    openSessions: 0,
    eventTimeMs: startedMs,
    behindMs: 0,
  };
  const both = {
    inputs: [input!, {...input!, domain: 'live'}],
    queries: [query!, {...query!, query: 'live.visits', openWindows: 20_840}],
    generators: [generator],
  };
  assert.equal(
    closing(both),
    '20,842 windows are open: they close as time moves on; the 2 of shop also with: npx millrace ingest shop.purchases --final',
  );
  assert.equal(closing({inputs: [input!], generators: [{...generator, domain: 'shop'}]}), time);
});
