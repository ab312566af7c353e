/**
 * What it costs to judge records that other programs appended: node bench/judge.bench.ts [events] [rounds] [other checkout]
 *
 * Decode and kernel of one thread, from batches in memory of 256 KiB; the same events as Millrace's own, as another program's without a
 * check, with one, and with three that use all kinds of columns. With the directory of another revision its decoder and
 * kernel take the own ones beside, interleaved in the same rounds. Figures are medians of events per second of this thread's CPU time.
 */
import assert from 'node:assert/strict';
import {join, resolve} from 'node:path';
import {pathToFileURL} from 'node:url';
import {checkExpr} from '../src/expr/check.ts';
import {parseExpr} from '../src/expr/parse.ts';
import type {RecordBatch} from '../src/log/types.ts';
import type {CheckedType} from '../src/model/checked.ts';
import type {Domain, EventType} from '../src/model/types.ts';
import {createTopicDecoder} from '../src/process/embedded/decode.ts';
import {createKernel} from '../src/process/embedded/kernel.ts';
import {buildPlan} from '../src/process/plan/build.ts';
import type {QueryPlan} from '../src/process/plan/nodes.ts';
import {avroSchema} from '../src/schema/avro.ts';
import {compileEncoder} from '../src/schema/encode.ts';
import {field} from '../test/support/fields.ts';
import {categories, countries, createRandom, devices, randomId} from './purchases.ts';

const eventCount = Number(process.argv[2] ?? 500_000);
const rounds = Number(process.argv[3] ?? 9);
const other = process.argv[4];
const batchBytes = 256 * 1024;

const eventType: EventType = {
  domain: 'shop',
  name: 'purchase',
  topic: 'shop.purchase',
  key: 'event_id',
  fields: [
    field('event_id', 'string', {role: 'id', required: true}),
    field('timestamp', 'timestamp', {role: 'time', required: true}),
    ...['user_id', 'product_id', 'category', 'country', 'device'].map((name) => field(name, 'string')),
    field('amount', 'money', {required: true}),
  ],
  derive: [],
  enrich: [],
  checks: [],
};
const scope = new Map(eventType.fields.map(({name, type}) => [name, {type}]));
function checksOf(texts: string[]): CheckedType['checks'] {
  return texts.map((text, index) => {
    const parsed = parseExpr(text);
    assert.ok(parsed.ok);
    const checked = checkExpr(parsed.expr, scope);
    assert.ok(checked.ok);
    return {name: `check_${index}`, expr: checked.typed, text};
  });
}

function createBatches(): RecordBatch[] {
  const random = createRandom(1);
  const below = (n: number) => Math.floor(random() * n);
  const encoder = compileEncoder(avroSchema(eventType), 42);
  const buffer = new Uint8Array(batchBytes);
  const batches: RecordBatch[] = [];
  let [pos, count, baseOffset] = [0, 0, 0];
  const flush = () => {
    const place = {topic: eventType.topic, partition: 0, baseOffset, count};
    batches.push({...place, appendTimeMs: 0, kind: 'data', bytes: buffer.slice(0, pos)});
    baseOffset += count;
    [pos, count] = [0, 0];
  };
  for (let i = 0; i < eventCount; i++) {
    const row = [
      randomId(below),
      1767225600000 + Math.floor(i / 100),
      `u_${String(below(1_000_000)).padStart(7, '0')}`,
      `p_${String(below(5_614)).padStart(6, '0')}`,
      categories[below(12)]!,
      countries[below(30)]!,
      devices[below(3)]!,
      1 + below(100_000),
    ];
    let end = encoder.encodeRecord(row, buffer, pos);
    if (end < 0) {
      flush();
      end = encoder.encodeRecord(row, buffer, pos);
    }
    pos = end;
    count++;
  }
  flush();
  return batches;
}

const domain = {name: 'shop', eventTypes: [eventType], lookups: [], defaults: {futureMaxMs: 3_600_000}};
const amount = {kind: 'column', type: 'money', name: 'amount'} as const;
const base = buildPlan(domain as unknown as Domain, {
  ...{domain: 'shop', name: 'q', from: ['purchase'], where: null},
  ...{
    window: {type: 'tumbling', sizeMs: 60_000},
    groupBy: [{name: 'country', column: 'country', type: 'string'}],
  },
  measures: [
    {name: 'orders', column: 'orders', type: 'long', fn: 'count', filter: null, text: ''},
    {name: 'revenue', column: 'revenue', type: 'money', fn: 'sum', arg: amount, text: ''},
  ],
  ...{watermarkMs: 600_000, late: 'correct', dedupMs: null, correctForMs: 86_400_000, idleMs: 30_000},
  ...{emit: 'change', onTrimmed: 'stop', sinks: []},
  limits: {groups: 1e6, memoryBytes: 1e9, stateDiskBytes: 1e9},
});
const batches = createBatches();
const unchecked = batches.map((batch): RecordBatch => ({...batch, isUnchecked: true}));
const withChecks = (...texts: string[]): QueryPlan => ({
  ...base,
  checks: [{topic: eventType.topic, fields: eventType.fields, derive: [], checks: checksOf(texts)}],
});
const three = withChecks('amount > 0.00', "country <> 'XX' or device = 'mobile'", "user_id like 'u%'");

type Code = {createTopicDecoder: typeof createTopicDecoder; createKernel: typeof createKernel};
const here: Code = {createTopicDecoder, createKernel};
async function codeOf(dir: string): Promise<Code> {
  const load = (file: string) =>
    import(pathToFileURL(join(resolve(dir), 'src/process/embedded', file)).href) as Promise<Code>;
  return {
    createTopicDecoder: (await load('decode.ts')).createTopicDecoder,
    createKernel: (await load('kernel.ts')).createKernel,
  };
}

const cases: {name: string; code: Code; plan: QueryPlan; batches: RecordBatch[]; perS: number[]}[] = [
  {name: 'own, three checks', code: here, plan: three, batches, perS: []},
  ...(other ? [{name: 'own, other revision', code: await codeOf(other), plan: base, batches, perS: []}] : []),
  {name: "another's, no check", code: here, plan: base, batches: unchecked, perS: []},
  {name: "another's, one check", code: here, plan: withChecks('amount > 0.00'), batches: unchecked, perS: []},
  {name: "another's, three checks", code: here, plan: three, batches: unchecked, perS: []},
];

/** @returns the sum of the groups' counts */
function once({code, plan, batches: given}: (typeof cases)[number]): number {
  const decoder = code.createTopicDecoder(eventType.topic, [plan], () => avroSchema(eventType));
  const kernel = code.createKernel({plan, worker: 0, decoders: new Map([[eventType.topic, decoder]])});
  kernel.open(eventType.topic, 0, 0, -Infinity);
  for (const batch of given) kernel.process(decoder.decode(batch, batch.baseOffset));
  const {cuts, side} = kernel.take();
  assert.equal(side.length, 0);
  return cuts[0]!.aggregated;
}

for (let round = -1; round < rounds; round++)
  for (let turn = 0; turn < cases.length; turn++) {
    // Each is the first as often as the others.
    const each = cases[(turn + round + 1) % cases.length]!;
    const before = process.threadCpuUsage();
    assert.equal(once(each), eventCount);
    const {user, system} = process.threadCpuUsage(before);
    if (round >= 0) each.perS.push(eventCount / ((user + system) / 1e6));
  }
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const first = cases[0]!.perS;
for (const {name, perS} of cases) {
  const ratio = median(perS.map((value, round) => value / first[round]!));
  console.log(`${name.padEnd(26)}${(median(perS) / 1e6).toFixed(2)} M events/s, ${ratio.toFixed(2)} of own`);
}
