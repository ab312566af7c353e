/** How much a sender may bring, how much of it may be bad, and what a key names. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {testClock} from '../../src/clock.ts';
import {RejectionBudget} from '../../src/platform/events-budget.ts';
import {EventBuckets, Throttled} from '../../src/platform/events-rate.ts';
import {loadDomain} from '../support/platform.ts';
import {eventsWorld, shopYaml} from './events-world.ts';

const seconds = (enter: () => unknown): number => {
  try {
    enter();
    return 0;
  } catch (error) {
    assert.ok(error instanceof Throttled);
    return error.retryAfterSeconds;
  }
};

test('a bucket lets a burst in, then the rate; a large request is paid off before the next is let in', async () => {
  const clock = testClock(1_000);
  const buckets = new EventBuckets({perSecond: 100, burst: 300}, clock);
  const send = (sender: string, events: number) => buckets.enter(sender)(events);
  send('a', 300);
  assert.equal(
    seconds(() => send('a', 1)),
    1,
  );
  assert.equal(
    seconds(() => send('b', 1)),
    0,
    'another token has a bucket of its own',
  );
  await clock.advance(1_000);
  // 100 are there; a request of 600 is let in and owes 500.
  send('a', 600);
  assert.equal(
    seconds(() => send('a', 1)),
    6,
  );
  await clock.advance(5_000);
  assert.equal(
    seconds(() => send('a', 1)),
    1,
  );
  await clock.advance(20);
  assert.equal(
    seconds(() => send('a', 1)),
    0,
  );
  await clock.advance(3_600_000);
  send('a', 300);
  assert.equal(
    seconds(() => send('a', 1)),
    1,
    'no more than the burst is saved up',
  );
  const paid = Array.from({length: 300}, () => buckets.enter('c'));
  assert.equal(
    seconds(() => buckets.enter('c')),
    1,
    'requests under way count before they are read',
  );
  for (const pay of paid) pay(1);
  assert.equal(
    seconds(() => new EventBuckets(undefined, clock).enter('a')(1e9)),
    0,
  );
});

test('over HTTP a token beyond its rate is told when to come again, and nothing of that request is taken', async () => {
  const world = await eventsWorld(shopYaml, ', rate: {events: 1/s, burst: 3}');
  try {
    const body = Array.from({length: 4}, (_, index) => `{"text":"${index}"}`).join('\n');
    const headers = {'content-type': 'application/x-ndjson'};
    assert.equal((await world.post('shop/note', body, headers)).status, 200);
    const refused = await world.post('shop/note', body, headers);
    assert.deepEqual(
      [refused.status, refused.json.error.code, refused.headers['retry-after']],
      [429, 'EVENTS_RATE', '2'],
    );
    assert.deepEqual(world.books('note'), [4, 4, 0, 0]);
    await new Promise((resolve) => setTimeout(resolve, 2_050));
    assert.equal((await world.post('shop/note', '{"text":"later"}')).status, 200);
  } finally {
    await world.end();
  }
});

test('a share of bad records above the budget is told once, shown, and told when it is over', async () => {
  const domain = await loadDomain(`${shopYaml}defaults: {dead_letters: {budget: 10%, after: 20}}\n`);
  const clock = testClock(1_000_000);
  const told: {level: string; message: string}[] = [];
  const budget = new RejectionBudget(
    [domain],
    {emit: (_, event) => void told.push(event as (typeof told)[number])},
    clock,
  );
  const bad = (count: number) => Array.from({length: count}, () => ({code: 'MONEY'}));
  budget.add('shop', 'note', 19, bad(19));
  assert.equal(told.length, 0, 'too few to say anything');
  assert.equal(budget.shares()[0]!.isOver, false);
  budget.add('shop', 'note', 1, []);
  budget.add('shop', 'note', 10, bad(1));
  budget.add('shop', 'purchase', 100, bad(10));
  assert.deepEqual(
    told.map(({level}) => level),
    ['warn'],
    'exactly the budget is within it',
  );
  assert.match(
    told[0]!.message,
    /shop\.note: 19 of the last 20 records over HTTP were rejected, more than the budget of 10%, most often MONEY/,
  );
  const note = budget.shares().find(({eventType}) => eventType === 'note');
  assert.deepEqual([note!.received, note!.rejected, note!.isOver], [30, 20, true]);
  await clock.advance(5 * 60_000);
  assert.deepEqual(budget.shares(), [], 'what is older does not count');
  assert.deepEqual(
    told.map(({level}) => level),
    ['warn', 'info'],
  );
});

test('the share of rejected records is a metric and part of the status', async () => {
  const world = await eventsWorld(`${shopYaml}defaults: {dead_letters: {budget: 10%, after: 4}}\n`);
  try {
    const body = '[{"amount":"1.00"},{"amount":"x"},{"amount":"y"},{"amount":"-1.00"}]';
    assert.equal((await world.post('shop/purchase', body)).json.rejected, 3);
    const metrics = await (await fetch(`${world.running.url}/metrics`)).text();
    assert.match(metrics, /millrace_ingest_rejected_share\{domain="shop",event_type="purchase"\} 0\.75/);
    assert.match(metrics, /millrace_ingest_over_budget\{domain="shop",event_type="purchase"\} 1/);
    assert.deepEqual(world.running.status().events, [
      {domain: 'shop', eventType: 'purchase', received: 4, rejected: 3, budget: 0.1, isOver: true},
    ]);
  } finally {
    await world.end();
  }
});

test('an Idempotency-Key names one body: another one is refused, also when both come at once', async () => {
  const world = await eventsWorld();
  try {
    const send = (key: string, body: string, headers = {}) =>
      world.post('shop/note', body, {'idempotency-key': key, ...headers});
    assert.equal((await send('k1', '[{"text":"a"},{"text":"b"}]')).json.appended, 2);
    const other = await send('k1', '[{"text":"a"},{"text":"c"}]');
    assert.deepEqual([other.status, other.json.error.code], [422, 'EVENTS_KEY']);
    const again = await send('k1', '[{"text":"a"},{"text":"b"}]');
    assert.deepEqual([again.status, again.json.duplicate], [200, 2]);
    const purchase = await world.post('shop/purchase', '{"amount":"1.00"}', {'idempotency-key': 'k1'});
    assert.equal(purchase.json.appended, 1, 'another event type has keys of its own');
    const both = await Promise.all(['x', 'y'].map((text) => send('k2', `{"text":"${text}"}`)));
    assert.deepEqual(both.map(({status}) => status).sort(), [200, 422]);
    // Nothing of it was taken: it may be mended under its key.
    assert.equal(
      (await world.post('shop/purchase', '{"amount":"x"}', {'idempotency-key': 'k3'})).status,
      422,
    );
    assert.equal(
      (await world.post('shop/purchase', '{"amount":"2.00"}', {'idempotency-key': 'k3'})).status,
      200,
    );
    assert.deepEqual(world.books('note'), [5, 3, 2, 0]);
  } finally {
    await world.end();
  }
});
