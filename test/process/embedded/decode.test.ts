import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {RecordBatch} from '../../../src/log/types.ts';
import {tokenOfText} from '../../../src/process/embedded/accumulators.ts';
import {createTopicDecoder} from '../../../src/process/embedded/decode.ts';
import type {QueryPlan} from '../../../src/process/plan/nodes.ts';
import {compileEncoder} from '../../../src/schema/encode.ts';
import type {AvroRecord} from '../../../src/schema/types.ts';
import {field} from '../../support/fields.ts';
import {eventType, planOf} from './kernel-world.ts';

const visit = eventType('visit', [field('page', 'string'), field('user', 'string'), field('device', 'enum')]);
const schema: AvroRecord = {
  type: 'record',
  name: 'visit',
  namespace: 'shop',
  fields: [
    {name: 'event_id', type: 'string'},
    {name: 'timestamp', type: {type: 'long', logicalType: 'timestamp-millis'}},
    {name: 'page', type: ['null', 'string'], default: null},
    {name: 'user', type: ['null', 'string'], default: null},
    {name: 'device', type: ['null', {type: 'enum', name: 'device', symbols: ['mobile', 'desktop']}]},
  ],
};
const plan: QueryPlan = planOf([visit], {
  groupBy: ['page', 'device'],
  measures: {users: 'distinct(user)'},
});
const topic = plan.sources[0]!.topic;

type Row = {page: string | null; user: string | null; device: string | null};

function batchOf(rows: Row[], spoilt: Set<number>): RecordBatch {
  const encoder = compileEncoder(schema, 7);
  const buffer = new Uint8Array(rows.length * 600);
  let pos = 0;
  for (const [index, {page, user, device}] of rows.entries()) {
    const start = pos;
    pos = encoder.encodeRecord([`e${index}`, index, page, user, device], buffer, pos);
    // 0xff is in no UTF-8 text.
    if (spoilt.has(index)) buffer[buffer.indexOf('!'.charCodeAt(0), start)] = 0xff;
  }
  const bytes = buffer.slice(0, pos);
  return {topic, partition: 0, baseOffset: 0, count: rows.length, appendTimeMs: 0, kind: 'data', bytes};
}

test('texts that are new, known, long, empty or damaged get their codes and tokens in every place of a batch', () => {
  const decoder = createTopicDecoder(topic, [plan], () => schema);
  const page = decoder.column('page', 'code');
  const user = decoder.column('user', 'token');
  const device = decoder.column('device', 'code');
  const pages = [
    null,
    '',
    'a',
    'cart',
    'twelve bytes',
    'thirteen byte',
    'é',
    'p'.repeat(63),
    'q'.repeat(500),
  ];
  /** Long texts that differ in one place. */
  const near = (k: number) => {
    const letters = [...'0123456789abcdef'.repeat(3).slice(0, 13 + (k % 9))];
    letters[k % letters.length] = 'x';
    return letters.join('');
  };
  const row = (k: number): Row => ({
    page: k % 11 === 10 ? `new ${k}` : k % 3 === 2 ? near(k % 50) : pages[(k * 7) % 9]!,
    user: k % 5 === 0 ? null : `user ${'x'.repeat(k % 80)}${k}`,
    device: [null, 'mobile', 'desktop'][k % 3]!,
  });
  // The first and the last record of a batch, side by side, and either side of a block of the generated code.
  const spoilt = new Set([0, 255, 256, 257, 600, 999]);
  const rows = Array.from({length: 1000}, (_, k) =>
    spoilt.has(k) ? {...row(k), page: `bad ! ${k}`} : row(k),
  );
  for (const generation of [0, 1]) {
    const decoded = decoder.decode(batchOf(rows, spoilt), 0);
    assert.equal(decoded.generation, generation);
    assert.deepEqual(
      decoded.dead.map(({offset, code}) => [offset, code]),
      [...spoilt].map((k) => [k, 'DECODE']),
    );
    const good = rows.filter((_, k) => !spoilt.has(k));
    assert.equal(decoded.rows, good.length);
    const textOf = (column: number, code: number) =>
      code === 0 ? null : decoder.dictionaries[column]!.text(code);
    for (const [index, {page: text, user: name, device: symbol}] of good.entries()) {
      assert.equal(textOf(page, decoded.columns[page]![index]!), text);
      assert.equal(decoded.columns[user]![index], name === null ? 0 : tokenOfText(name));
      assert.equal(textOf(device, decoded.columns[device]![index]!), symbol);
    }
    decoder.endGeneration();
  }
});

test('a text that counts only where a filter finds another one is looked up in those rows alone', () => {
  const filtered = (query: Parameters<typeof planOf>[1]) =>
    createTopicDecoder(topic, [planOf([visit], query)], () => schema);
  const rows = Array.from({length: 600}, (_, k) => ({
    page: k === 7 ? null : k % 3 === 0 ? 'a' : k % 3 === 1 ? `page ${k}` : 'aa',
    user: k === 9 ? null : `user ${'y'.repeat(k % 2 === 0 ? 3 : 80)} ${k}`,
    device: null,
  }));
  const measures = {users: 'distinct(user)'};
  const isLookedUp = (decoder: ReturnType<typeof filtered>, use: 'code' | 'token') => {
    const decoded = decoder.decode(batchOf(rows, new Set()), 0);
    const values = decoded.columns[decoder.column('user', use)]!;
    return rows.map((_, row) => values[row] !== 0);
  };
  const inAll = rows.map(({user}) => user !== null);
  const inSome = rows.map(({page, user}) => page === 'a' && user !== null);
  const decoder = filtered({groupBy: ['user'], where: "page = 'a' and device is null"});
  for (const _ of [0, 1]) {
    assert.deepEqual(isLookedUp(decoder, 'code'), inSome);
    const users = decoder.dictionaries[decoder.column('user', 'code')]!;
    assert.equal(users.size - 1, inSome.filter(Boolean).length, 'the others are not kept');
    assert.equal(users.text(1), rows[0]!.user);
    decoder.endGeneration();
  }
  assert.deepEqual(isLookedUp(filtered({measures, where: "page = 'a'"}), 'token'), inSome);
  // Another condition, none at all, or one that is not always asked: every row's.
  const either = {groupBy: ['user'], where: "page = 'a' or page = 'b'"};
  assert.deepEqual(isLookedUp(filtered(either), 'code'), inAll);
  assert.deepEqual(
    isLookedUp(filtered({groupBy: ['user'], where: "page = 'a' and user <> 'x'"}), 'code'),
    inAll,
  );
  const plans = [{where: "page = 'a'"}, {where: "page = 'aa'"}].map((where) =>
    planOf([visit], {groupBy: ['user'], ...where}),
  );
  assert.deepEqual(
    isLookedUp(
      createTopicDecoder(topic, plans, () => schema),
      'code',
    ),
    inAll,
  );
  // A writer without the filter's field.
  const {fields} = schema;
  const older = {...schema, fields: fields.filter(({name}) => name !== 'page')};
  const read = createTopicDecoder(
    topic,
    [planOf([visit], {groupBy: ['user'], where: "page = 'a'"})],
    () => older,
  );
  const bytes = new Uint8Array(200);
  const end = compileEncoder(older, 7).encodeRecord(['e', 1, 'anna', null], bytes, 0);
  const base = {topic, partition: 0, baseOffset: 0, count: 1, appendTimeMs: 0, kind: 'data'} as const;
  const decoded = read.decode({...base, bytes: bytes.subarray(0, end)}, 0);
  assert.deepEqual([decoded.rows, decoded.columns[read.column('user', 'code')]![0]], [1, 0]);
});

test('a record too far ahead of when it was appended is dead, unless that is not known', () => {
  const rows = Array.from({length: 600}, () => ({page: 'a', user: null, device: null}));
  // Times of the records are 0 to 599.
  const tight = createTopicDecoder(topic, [{...plan, futureMaxMs: 100}], () => schema);
  const {dead, rows: good} = tight.decode({...batchOf(rows, new Set()), appendTimeMs: 201}, 0);
  assert.equal(good, 302);
  assert.deepEqual(
    dead.map(({offset, code}) => `${offset} ${code}`),
    Array.from({length: 298}, (_, k) => `${302 + k} TIMESTAMP_FUTURE`),
  );
  assert.match(dead[0]!.message, /timestamp 302 .* up to 301/);
  assert.equal(tight.decode({...batchOf(rows, new Set()), appendTimeMs: 0}, 0).rows, 600);
});

test('of a batch of another program records that fail a check are left out, wherever they lie; the others are as they were', () => {
  const checked = eventType('visit', visit.fields.slice(2), {checks: {paged: "page <> 'none'"}});
  const fails = new Set([0, 1, 255, 256, 257, 600, 998, 999]);
  const spoilt = new Set([2, 300, 601]);
  const rows = Array.from({length: 1000}, (_, k): Row => {
    const page = fails.has(k)
      ? 'none'
      : spoilt.has(k)
        ? `${'x'.repeat(40)} ! ${k}`
        : k % 7 === 0
          ? null
          : `page ${k % 40}`;
    return {page, user: `user ${k % 90}`, device: null};
  });
  for (const measures of [{n: 'count()'}, {first_user: 'first(user)'}]) {
    // The first query does not look at what the check does.
    const decoder = createTopicDecoder(
      topic,
      [planOf([checked], {groupBy: ['device'], measures})],
      () => schema,
    );
    const batch = batchOf(rows, spoilt);
    for (const from of [0, 256, 600, 999]) {
      const decoded = decoder.decode({...batch, isUnchecked: true}, from);
      const dead = [...fails, ...spoilt].filter((k) => k >= from).sort((a, b) => a - b);
      assert.deepEqual(
        decoded.dead.map(({offset, stage, code}) => [offset, stage, code]),
        dead.map((k) => (fails.has(k) ? [k, 'check', 'CHECK:paged'] : [k, 'decode', 'DECODE'])),
      );
      const good = rows.flatMap((_, k) => (k >= from && !dead.includes(k) ? [k] : []));
      assert.deepEqual([...decoded.columns[0]!.subarray(0, decoded.rows)], good);
      assert.deepEqual(
        good.map((_, row) => decoded.recordOf(row).offset),
        good,
      );
    }
    const own = decoder.decode(batchOf(rows, new Set()), 0);
    assert.deepEqual([own.rows, own.dead.length], [1000, 0], 'what passed ingestion is not judged');
  }
});
