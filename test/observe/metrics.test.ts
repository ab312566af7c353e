import assert from 'node:assert/strict';
import {test} from 'node:test';
import {buildLedger} from '../../src/observe/ledger.ts';
import {createMetrics} from '../../src/observe/metrics.ts';

const nothing = () => ({
  queries: [],
  rows: [],
  raw: [],
  delivery: [],
  events: {bytes: 0, requests: 0},
  shares: [],
});

/** Value of a sample by its name and labels. */
async function sample(metrics: ReturnType<typeof createMetrics>, name: string): Promise<number> {
  const line = (await metrics.render()).split('\n').find((each) => each.startsWith(`${name} `));
  assert.ok(line, name);
  return Number(line.slice(name.length));
}

test('what is told about events, sinks, checkpoints and stops is counted by its labels', async () => {
  const metrics = createMetrics(nothing);
  const append = {
    domain: 'shop',
    eventType: 'purchase',
    source: 's',
    duplicate: 2,
    rejected: 1,
    seconds: 0.003,
  };
  metrics.emit('EventsAppended', {...append, appended: 10});
  metrics.emit('EventsAppended', {...append, appended: 5});
  metrics.emit('RowsWritten', {sink: 'a', table: 't', rows: 7, seconds: 0.02});
  metrics.emit('SinkFailed', {sink: 'a', table: 't', code: 'SINK_LOST', message: 'm', retry: true});
  metrics.emit('SinkPaused', {sink: 'a', table: 't', message: 'refused'});
  metrics.emit('SinkResumed', {sink: 'a', table: 't', seconds: 1.5});
  metrics.emit('RowsAcknowledged', {query: 'd.q', rows: 6, through: []});
  metrics.emit('LookupRefused', {domain: 'd', lookup: 'l', message: 'm', hasLast: true});
  metrics.emit('LookupAccepted', {domain: 'd', lookup: 'm', rows: 2});
  metrics.emit('CheckpointCommitted', {
    domain: 'd',
    query: 'q',
    bytes: 123,
    seconds: 0.2,
    pauseSeconds: 0.001,
  });
  metrics.emit('EventsRefused', {domain: 'shop', eventType: 'purchase', source: 's', refused: 3});
  metrics.emit('QueryStopped', {domain: 'd', query: 'q', code: 'QUERY_CHANGED', message: 'm'});
  metrics.emit('InputStopped', {domain: 'd', input: 'i', code: 'INPUT_MISSING', message: 'm'});
  const type = 'domain="shop",event_type="purchase"';
  const expected: [string, number][] = [
    [`events_produced_total{${type},status="appended"}`, 15],
    [`events_produced_total{${type},status="duplicate"}`, 4],
    [`events_produced_total{${type},status="rejected"}`, 2],
    [`events_produced_total{${type},status="refused"}`, 3],
    [`produce_latency_seconds_count{${type}}`, 2],
    ['millrace_sink_rows_total{sink="a",table="t"}', 7],
    ['millrace_sink_errors_total{sink="a",table="t",code="SINK_LOST"}', 1],
    ['millrace_sink_pauses_total{sink="a",table="t"}', 1],
    ['millrace_sink_paused_seconds_total{sink="a",table="t"}', 1.5],
    ['millrace_rows_acknowledged_total{query="d.q"}', 6],
    ['millrace_lookup_refused{domain="d",lookup="l"}', 1],
    ['millrace_lookup_refused{domain="d",lookup="m"}', 0],
    ['millrace_checkpoint_bytes{domain="d",query="q"}', 123],
    ['millrace_checkpoint_seconds_sum{domain="d",query="q"}', 0.2],
    ['millrace_query_stops_total{domain="d",query="q",code="QUERY_CHANGED"}', 1],
    ['millrace_input_stops_total{domain="d",input="i",code="INPUT_MISSING"}', 1],
  ];
  for (const [name, value] of expected) assert.equal(await sample(metrics, name), value, name);
});

test('observers see every event, those without a metric too', () => {
  const metrics = createMetrics(nothing);
  const seen: string[] = [];
  metrics.observers.push((name) => seen.push(name));
  metrics.emit('Log', {level: 'info', message: 'm'});
  metrics.emit('SinkResumed', {sink: 'a', table: 't', seconds: 1});
  metrics.emit('InputFinished', {domain: 'd', input: 'i', rows: 1, rejected: 0});
  assert.deepEqual(seen, ['Log', 'SinkResumed', 'InputFinished']);
});

test('a figure that a process does not have is absent, not 0', async () => {
  const own = await createMetrics(nothing).render();
  for (const name of [
    'registry_available',
    'kafka_spooling',
    'kafka_outbox_bytes',
    'observed_kafka_available',
  ])
    assert.ok(!new RegExp(`^millrace_${name} `, 'm').test(own), name);
  const queries = [
    {name: 's.a', lag: 3, lagMs: 1_500},
    {name: 's.b', lag: null, lagMs: null},
  ];
  const sinks = [{sink: 'rows', topic: 'agg.s.a.r1', lag: 2, lagMs: 0}];
  const observed = {isAnswering: false, queries, sinks, topics: [{topic: 's.x', records: 9}]};
  const metrics = createMetrics(() => ({...nothing(), registryAvailable: false, observed}));
  assert.equal(await sample(metrics, 'millrace_registry_available'), 0);
  assert.equal(await sample(metrics, 'millrace_observed_kafka_available'), 0);
  assert.equal(await sample(metrics, 'millrace_observed_lag_events{query="s.a"}'), 3);
  assert.equal(await sample(metrics, 'millrace_observed_lag_seconds{query="s.a"}'), 1.5);
  assert.equal(await sample(metrics, 'millrace_observed_rows_lag{sink="rows",topic="agg.s.a.r1"}'), 2);
  assert.equal(await sample(metrics, 'millrace_observed_topic_records{topic="s.x"}'), 9);
  assert.ok(!(await metrics.render()).includes('query="s.b"'), 'what is not known');
});

test('what is no longer there leaves no gauge behind', async () => {
  let paused = [{sink: 'a', table: 't', pending: 3, paused: true, lagEvents: 7, lagMs: 1_500}];
  const metrics = createMetrics(() => ({
    queries: [],
    rows: [],
    raw: [],
    delivery: paused,
    events: {bytes: 0, requests: 0},
    shares: [],
  }));
  assert.equal(await sample(metrics, 'millrace_sink_pending_rows{sink="a",table="t"}'), 3);
  assert.equal(await sample(metrics, 'millrace_sink_paused{sink="a",table="t"}'), 1);
  assert.equal(await sample(metrics, 'millrace_sink_lag_events{sink="a",table="t"}'), 7);
  assert.equal(await sample(metrics, 'millrace_sink_lag_seconds{sink="a",table="t"}'), 1.5);
  paused = [];
  assert.ok(!(await metrics.render()).includes('millrace_sink_paused{'));
});

test('the ledger: differences by line, balanced only when every one is 0, sorted by key', () => {
  const counts = {
    topic: 'd.e',
    partition: 0,
    offset: 9,
    read: 9,
    aggregated: 4,
    corrected: 1,
    lateInPart: 1,
    filtered: 2,
    duplicate: 1,
    late: 1,
    dead: 1,
    replayed: 0,
    maxTimeMs: 0,
  };
  const ingest = {
    domain: 'd',
    eventType: 'e',
    source: 's',
    received: 12,
    appended: 9,
    duplicate: 2,
    rejected: 1,
  };
  const delivery = [{sink: 'a', emitted: 5, written: 3, pending: 2, dead: 0}];
  const even = buildLedger({
    ingest: [ingest],
    queries: [{domain: 'd', query: 'q', counts: [counts]}],
    delivery,
  });
  assert.equal(even.balanced, true);
  const odd = buildLedger({
    ingest: [{...ingest, source: 'z', received: 13}, ingest],
    queries: [{domain: 'd', query: 'q', counts: [{...counts, read: 8}]}],
    delivery: [{...delivery[0]!, pending: 0}],
  });
  assert.equal(odd.balanced, false);
  assert.deepEqual(
    odd.ingest.map(({source, difference}) => [source, difference]),
    [
      ['s', 0],
      ['z', 1],
    ],
  );
  assert.deepEqual([odd.query[0]!.difference, odd.delivery[0]!.difference], [-1, 2]);
});
