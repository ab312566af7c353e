import assert from 'node:assert/strict';
import {test} from 'node:test';
import {SeenTable} from '../../../src/process/embedded/seen.ts';
import {SeenState} from '../../../src/process/embedded/seen-state.ts';
import type {StatePut} from '../../../src/process/embedded/state.ts';
import {buildPlan} from '../../../src/process/plan/build.ts';
import {loadDomain} from '../../support/platform.ts';
import {random} from '../../support/random.ts';
import {deltaOf, Rig} from './rig.ts';

const topic = 'shop.sale';

test('a kernel that begins with what the checkpoints hold says the same as one that never ended', () => {
  const withinMs = 1_000;
  const chance = random(7);
  const stored = new Map<string, Uint8Array>();
  const whole = new SeenTable(withinMs);
  let table = new SeenTable(withinMs);
  let state = new SeenState(withinMs);
  let maxMs = 0;
  let duplicates = 0;
  let most = 0;
  for (let round = 0; round < 400; round++) {
    for (let n = chance.int(60); n > 0; n--) {
      const timeMs = maxMs - chance.int(1_500) + chance.int(30);
      maxMs = Math.max(maxMs, timeMs);
      const id = `e${Math.floor(maxMs / 100) - chance.int(20)}-${chance.int(40)}`;
      const said = table.look(id, timeMs, maxMs);
      assert.equal(said, whole.look(id, timeMs, maxMs), `round ${round}: ${id}`);
      if (said) duplicates++;
    }
    const taken = table.take();
    if (taken) state.apply([{topic, partition: 3, ...taken}]);
    const copy: {puts: StatePut[]; deletes: string[]} = {puts: [], deletes: []};
    state.copy(copy, () => maxMs);
    for (const {key, bytes} of copy.puts) stored.set(key, bytes);
    for (const key of copy.deletes) assert.ok(stored.delete(key), `${key} was there`);
    most = Math.max(most, stored.size);
    if (chance.int(5) > 0) continue;
    state = new SeenState(withinMs, {keys: [...stored.keys()], read: (key) => stored.get(key)});
    table = new SeenTable(withinMs, state.of(topic, 3));
  }
  assert.ok(duplicates > 500, `${duplicates} duplicates`);
  assert.ok(most < 20, `${most} pieces at a time`);
  const kept = [...stored.values()].reduce((sum, {length}) => sum + length, 0);
  assert.ok(kept < 100_000, `${kept} bytes are kept of ${maxMs} ms`);
});

test('ids past the memory limit stop the query with an error that names dedup; none is forgotten', async () => {
  const domain = await loadDomain(`domain: shop
event_types: [{name: purchase}]
aggregations:
  - {name: q, from: purchase, window: {type: tumbling, size: 1h}, measures: {n: count()}, dedup: 1d, limits: {memory: 1MiB}}
`);
  const rig = await Rig.open(buildPlan(domain, domain.aggregations[0]!));
  try {
    const ids = Array.from({length: 10_000}, (_, n) => `id-${n}`);
    const seen = [{topic: 'shop.purchase', partition: 0, ids, times: new Float64Array(ids.length)}];
    const delta = {...deltaOf({}), seen};
    assert.throws(() => rig.merger.apply(delta, 0), /q needs .* of memory.*its limit is 1 ?MiB/s);
    assert.throws(() => rig.merger.apply({...deltaOf({}), seen: []}, 0), {
      code: 'QUERY_LIMIT',
      hint: /a shorter dedup/,
    });
  } finally {
    await rig.close();
  }
});

test('dedup is a duration or off, of defaults and of a query', async () => {
  const of = (defaults: string, query: string) => `domain: shop
${defaults}
event_types: [{name: sale}]
aggregations: [{name: q, from: sale, window: {type: tumbling, size: 1h}, measures: {n: count()}${query}}]
`;
  const plan = async (defaults: string, query: string) => {
    const domain = await loadDomain(of(defaults, query));
    return buildPlan(domain, domain.aggregations[0]!);
  };
  const none = await plan('', '');
  assert.equal(none.dedupMs, undefined);
  assert.equal((await plan('defaults: {dedup: 10m}', '')).dedupMs, 600_000);
  assert.equal((await plan('defaults: {dedup: 10m}', ', dedup: off')).fingerprint, none.fingerprint);
  const some = await plan('', ', dedup: 5m');
  assert.notEqual(some.fingerprint, none.fingerprint);
  await assert.rejects(plan('', ', dedup: always'), /10m, or off/);
});
