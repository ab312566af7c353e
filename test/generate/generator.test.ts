/** The generator by itself: reproducible, resumable, true to what is asked of it. Seeds are fixed, so nothing here is left to chance. */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {Value} from '../../src/expr/types.ts';
import {Chunk} from '../../src/generate/chunk.ts';
import {aliasOf, normalQuantile, quantilesOf, zipfWeights} from '../../src/generate/distributions.ts';
import {noFaults, parseFaults} from '../../src/generate/faults.ts';
import {Generator, type Saved} from '../../src/generate/generator.ts';
import {hash} from '../../src/generate/random.ts';
import type {LookupRows} from '../../src/generate/types.ts';
import {partitionOf} from '../../src/log/partition.ts';
import {plainGenerate} from '../../src/model/generate.ts';
import type {Domain} from '../../src/model/types.ts';
import {avroSchema} from '../../src/schema/avro.ts';
import {compileDecoder} from '../../src/schema/decode.ts';
import {frameHeaderBytes, walkRecords} from '../../src/schema/frame.ts';
import {loadDomain} from '../support/platform.ts';
import {itemsCsv, itemsSnapshot, shopYaml} from './world.ts';

const originMs = Date.UTC(2026, 0, 1);
const schemaIds = {'shop.view': 1, 'shop.order': 2};

function lookups(): Map<string, LookupRows> {
  const {name, id, columns, rows} = itemsSnapshot();
  const values = [...rows.values()];
  const byColumn = Object.fromEntries(columns.map((column, at) => [column, values.map((row) => row[at]!)]));
  return new Map([[name, {name, id, keys: [...rows.keys()], columns: byColumn}]]);
}

const shop = (seed: number) => loadDomain(shopYaml(seed), {'lookups/items.csv': itemsCsv()});

function generatorOf(
  domain: Domain,
  from: {originMs: number} | Saved = {originMs},
  rows = lookups(),
): Generator {
  const generate = domain.generate ?? plainGenerate;
  return new Generator({domain, generate, lookups: rows, schemaIds, partitions: 3, run: 0}, from);
}

type Event = {
  type: number;
  values: Record<string, Value>;
  partition: number;
  fault: string;
  duplicate: boolean;
};

function take(generator: Generator, count: number): Event[] {
  return Array.from({length: count}, () => {
    generator.next();
    const {type, fault, duplicate, shapes, made} = generator;
    return {type, values: generator.values(), partition: shapes[type]!.partition(made), fault, duplicate};
  });
}

/** Domain of one event type without sessions. */
const plain = (fields: string, generate: string) =>
  loadDomain(`domain: d\nevent_types:\n  - name: e\n    key: user_id\n${fields}\ngenerate:\n${generate}\n`);

test('records hold the values that are drawn, in the partition of their key', async () => {
  for (const seed of [1, 2, 3, 4]) {
    const domain = await shop(seed);
    const generator = generatorOf(domain);
    const chunk = new Chunk(generator, domain, 3);
    const wanted = new Map<Value, Event>();
    for (let event = 0; event < 800; event++) {
      const [each] = take(generator, 1);
      wanted.set(each!.values.event_id!, each!);
      chunk.add();
    }
    let seen = 0;
    for (const append of chunk.appends()) {
      const type = domain.eventTypes.findIndex(({topic}) => topic === append.topic);
      const eventType = domain.eventTypes[type]!;
      const decode = compileDecoder(avroSchema(eventType));
      walkRecords(append, (_, position, end) => {
        const row = decode(append.bytes, position + frameHeaderBytes, end);
        const values = Object.fromEntries(eventType.fields.map(({name}, index) => [name, row[index]]));
        const event = wanted.get(values.event_id as Value)!;
        assert.deepEqual(values, event.values);
        const key = values[eventType.key] as Value;
        assert.equal(
          append.partition,
          partitionOf(key === null ? null : String(key), String(values.event_id), 3),
        );
        seen++;
      });
    }
    const counts = chunk.counts.reduce((sum, {appended}) => sum + appended, 0);
    assert.equal(seen, counts);
    assert.equal(
      chunk.counts.reduce((sum, {received, rejected}) => sum + received - rejected, 0),
      counts,
    );
  }
});

test('the same seed makes the same events, another one others', async () => {
  const domain = await shop(5);
  const events = take(generatorOf(domain), 300);
  assert.deepEqual(take(generatorOf(domain), 300), events);
  const other = {...domain, generate: {...domain.generate!, seed: 6}};
  assert.notDeepEqual(take(generatorOf(other), 300), events);
});

test('a generator goes on from what was saved, and from the beginning with the same changes', async () => {
  for (const seed of [1, 5, 8, 11]) {
    const domain = await shop(seed);
    const changes = [
      {at: 120, perSecond: 1},
      {at: 400, skipMs: 3_600_000, faults: noFaults},
    ];
    const whole = generatorOf(domain);
    whole.changes = changes;
    const events = take(whole, 700);
    const half = generatorOf(domain);
    half.changes = changes;
    half.skipTo(300);
    const saved = JSON.parse(JSON.stringify(half.save())) as Saved;
    const resumed = generatorOf(domain, saved);
    resumed.changes = changes;
    assert.deepEqual(take(resumed, 400), events.slice(300), `seed ${seed}`);
  }
});

test('events of a session have its entity and number; what an order refers to was viewed before', async () => {
  const domain = await shop(2);
  const generator = generatorOf(domain);
  const users = new Map<Value, Value>();
  const viewed = new Map<Value, Value>();
  let referred = 0;
  const items = new Set(itemsSnapshot().rows.keys());
  for (const {type, values} of take(generator, 5_000)) {
    const {session_id: session, user_id: user, item_id: item} = values;
    assert.ok(items.has(item!), 'every reference is a key of the lookup');
    if (users.has(session!)) assert.equal(user, users.get(session!));
    users.set(session!, user!);
    if (type === 0) viewed.set(session!, item!);
    else {
      const price = itemsSnapshot().rows.get(item!)![1];
      assert.equal(values.amount, price, 'the amount is the price of the item');
      if (!viewed.has(session!)) continue;
      assert.equal(item, viewed.get(session!));
      referred++;
    }
  }
  assert.ok(referred > 500);
});

test('what is drawn per entity or session stays the same for it', async () => {
  const seen = new Map<string, Value>();
  for (const {values, type} of take(generatorOf(await shop(7)), 3_000)) {
    const of: [string, Value][] = [[`country of ${values.user_id}`, values.country!]];
    if (type === 0) of.push([`device of ${values.session_id}`, values.device!]);
    for (const [name, value] of of) {
      if (seen.has(name)) assert.equal(value, seen.get(name), name);
      seen.set(name, value);
    }
  }
});

/** Standard deviations that a count of successes is away from what was asked. */
const deviations = (count: number, trials: number, share: number): number =>
  Math.abs(count - trials * share) / Math.sqrt(trials * share * (1 - share));

test('keys follow Zipf, weights and shares are met, within four standard deviations', async () => {
  const domain = await plain(
    '    attributes: [user_id, {name: note, type: string}]\n    dimensions: [country]\n    metrics: [{name: amount, type: money}]',
    `  seed: 11
  rate: 100/s
  keys: {user_id: {count: 100, zipf: 1.1}}
  values: {country: {US: 60, DE: 30, FR: 10}, note: {constant: x, null: 25%}, amount: {lognormal: [35.00, 0.8]}}
  faults: {late: {share: 3%, by: 30s..20m}, out_of_order: {share: 10%, by: 0s..5s}, duplicate: 2%, corrupt: 1%, schema_drift: 0.5%}`,
  );
  const n = 200_000;
  const generator = generatorOf(domain);
  const counts = new Map<string, number>();
  const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
  const logs: number[] = [];
  let laidBack = 0;
  for (let event = 0; event < n; event++) {
    const expectedMs = Math.floor(generator.nextMs);
    generator.next();
    const values = generator.values();
    count(String(values.user_id));
    count(String(values.country));
    count(`note ${values.note}`);
    count(generator.fault);
    if (generator.duplicate) count('duplicate');
    logs.push(Math.log(Number(values.amount) / 100));
    const behindMs = expectedMs - Number(values.timestamp);
    if (generator.fault === 'late') assert.ok(behindMs >= 30_000 && behindMs <= 1_200_000);
    else if (generator.fault === 'outOfOrder') assert.ok(behindMs >= 0 && behindMs <= 5_000);
    else assert.equal(behindMs, 0);
    laidBack += Number(behindMs > 0);
  }
  const weights = zipfWeights(100, 1.1);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  for (let key = 0; key < 100; key++) {
    const name = `user-${String(key + 1).padStart(3, '0')}`;
    assert.ok(
      deviations(counts.get(name) ?? 0, n, weights[key]! / total) < 4,
      `${name}: ${counts.get(name)}`,
    );
  }
  const shares = {
    US: 0.6,
    DE: 0.3,
    FR: 0.1,
    'note null': 0.25,
    late: 0.03,
    outOfOrder: 0.1,
    corrupt: 0.01,
    drift: 0.005,
  };
  for (const [name, share] of Object.entries(shares))
    assert.ok(deviations(counts.get(name) ?? 0, n, share) < 4, `${name}: ${counts.get(name)}`);
  assert.ok(deviations(counts.get('duplicate')!, n, 0.02 * 0.985) < 4);
  assert.ok(laidBack > 0.12 * n);
  const mean = logs.reduce((sum, each) => sum + each, 0) / n;
  const deviation = Math.sqrt(logs.reduce((sum, each) => sum + (each - mean) ** 2, 0) / n);
  assert.ok(Math.abs(mean - Math.log(35)) < 4 * (0.8 / Math.sqrt(n)) + 1e-3, `median ${Math.exp(mean)}`);
  assert.ok(Math.abs(deviation - 0.8) < 0.01, `sigma ${deviation}`);
});

test('draws are even: no byte of them is drawn more often than chance allows', () => {
  for (const shift of [0, 8, 16, 24]) {
    const counts = new Int32Array(256);
    const draws = 256_000;
    for (let n = 0; n < draws; n++) counts[(hash(n * 7, 12345, n & 15) >>> shift) & 255]!++;
    const chi = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    // 255 degrees of freedom: mean 255, standard deviation 22.6.
    assert.ok(chi > 165 && chi < 346, `bits ${shift}: ${chi}`);
  }
});

test('an alias table gives the weights back', () => {
  const weights = [5, 0, 1, 10, 0.25];
  const {keep, other} = aliasOf(weights);
  const shares = weights.map(() => 0);
  for (const [index, share] of keep.entries()) {
    shares[index]! += share / 4294967296 / weights.length;
    shares[other[index]!]! += (1 - share / 4294967296) / weights.length;
  }
  for (const [index, weight] of weights.entries())
    assert.ok(Math.abs(shares[index]! - weight / 16.25) < 1e-6);
});

test('quantiles of the normal distribution are those of the tables', () => {
  // Abramowitz and Stegun, table 26.1.
  for (const [p, z] of [
    [0.5, 0],
    [0.975, 1.959964],
    [0.9986501, 3],
    [0.001349898, -3],
    [0.8413447, 1],
  ] as const)
    assert.ok(Math.abs(normalQuantile(p) - z) < 1e-5, `${p}`);
  const {start, step, tail} = quantilesOf({kind: 'normal', mean: 10, deviation: 2});
  assert.ok(Math.abs(start[2048]! - 10) < 1e-6 && step[2048]! > 0);
  assert.ok(tail(1) < 2 && tail(-1) > 18);
});

test('rates: constant ones exactly, a day with its peak, bursts as often as asked', async () => {
  const fields = '    attributes: [user_id]';
  const during = async (rate: string, fromMs: number, seconds: number) => {
    const generator = generatorOf(await plain(fields, `  rate: ${rate}`), {originMs: fromMs});
    let count = 0;
    for (; generator.nextMs < fromMs + seconds * 1000; count++) generator.next();
    return count;
  };
  assert.equal(await during('200/s', originMs, 60), 12_000);
  const hour = 3_600_000;
  const daily = '{base: 10/s, daily: {low: 20%, peak: "18:00"}}';
  assert.ok(Math.abs((await during(daily, originMs + 18 * hour - 300_000, 600)) - 6_000) < 10);
  assert.ok(Math.abs((await during(daily, originMs + 6 * hour - 300_000, 600)) - 1_200) < 10);
  // The mean of the curve is (1 + low) / 2.
  assert.ok(Math.abs((await during(daily, originMs, 86_400)) - 10 * 0.6 * 86_400) < 200);
  const bursts = await during('{base: 10/s, bursts: {every: 10m, for: 30s, times: 5}}', originMs, 6_000);
  assert.ok(Math.abs(bursts - 10 * (6_000 + 10 * 30 * 4)) < 500, `${bursts}`);
});

test('a domain that says nothing gets values by type and name', async () => {
  const domain = await loadDomain(`domain: games
event_types:
  - name: player_action
    attributes: [action_type, game_level, player_id, {name: ref, type: uuid}, {name: at, type: timestamp}, {name: born, type: date}, {name: won, type: boolean}]
    dimensions: [platform, region, {name: mode, type: enum, symbols: [solo, team]}]
    metrics: [{name: score, type: int}, {name: playtime, type: long}, {name: latency_ms, type: double}, {name: price, type: money}]
`);
  const generator = generatorOf(domain);
  const chunk = new Chunk(generator, domain, 3);
  const events = Array.from({length: 500}, () => {
    const [event] = take(generator, 1);
    chunk.add();
    return event!.values;
  });
  assert.equal(chunk.rejected.length, 0);
  assert.equal(new Set(events.map(({event_id}) => event_id)).size, 500);
  for (const {platform, mode, score, price, ref, won, player_id} of events) {
    assert.ok(['android', 'ios', 'windows', 'console'].includes(String(platform)));
    assert.ok(mode === 'solo' || mode === 'team');
    assert.ok(Number(score) >= 0 && Number(score) <= 100 && Number.isInteger(score));
    assert.ok(Number(price) > 0);
    assert.match(String(ref), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a000-[0-9a-f]{12}$/);
    assert.equal(typeof won, 'boolean');
    assert.match(String(player_id), /^player-\d{4}$/);
  }
});

test('faults are changed by words, and words that mean nothing are refused', () => {
  const configured = {...noFaults, late: {share: 0.02, fromMs: 1000, toMs: 2000}, corruptShare: 0.01};
  assert.deepEqual(parseFaults('off', configured, configured), noFaults);
  assert.deepEqual(parseFaults('on', noFaults, configured), configured);
  assert.deepEqual(parseFaults('late=5%,duplicate=1%', noFaults, configured), {
    ...noFaults,
    late: {share: 0.05, fromMs: 1000, toMs: 2000},
    duplicateShare: 0.01,
  });
  assert.deepEqual(parseFaults('late=5%:1m..2m', noFaults, noFaults).late, {
    share: 0.05,
    fromMs: 60_000,
    toMs: 120_000,
  });
  for (const text of ['lat=5%', 'late=5', 'late=500%', 'late=5%:2m..1m', 'corrupt=60%,schema_drift=50%', ''])
    assert.throws(() => parseFaults(text, noFaults, configured), /is no fault|together/, text);
});
