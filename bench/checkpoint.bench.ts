/**
 * Pause of the hot path for a checkpoint of 100k groups: node bench/checkpoint.bench.ts [rounds]
 * Every round changes all groups, copies, and commits through the real writer thread. Variants are interleaved; medians.
 * The garbage of making and merging a round's delta is collected before the copy: it is not the checkpoint's.
 * At the end each state is read back and its totals are compared.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {cpus, tmpdir} from 'node:os';
import {join} from 'node:path';
import {setFlagsFromString} from 'node:v8';
import {runInNewContext} from 'node:vm';
import {distinctOf, tokenOfNumber} from '../src/process/embedded/accumulators.ts';
import {commitOf, readCheckpoint, stateName} from '../src/process/embedded/checkpoint.ts';
import {Merger} from '../src/process/embedded/merger.ts';
import {openStateStore, startCheckpointWriter} from '../src/process/embedded/statestore.ts';
import type {AccumulatorObject, Delta} from '../src/process/embedded/types.ts';
import type {AccumulatorPlan, QueryPlan} from '../src/process/plan/nodes.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const rounds = Number(process.argv[2] ?? 9);
const groups = 100_000;
const long = {kind: 'column', type: 'long', name: 'x'} as const;
const cells: AccumulatorPlan[] = [
  {op: 'count', filter: null, arg: null},
  {op: 'sum', arg: long, type: 'long'},
  {op: 'min', arg: long, type: 'long'},
  {op: 'max', arg: long, type: 'long'},
];
const distinct: AccumulatorPlan = {op: 'distinct', arg: long, type: 'long'};

const planOf = (query: string, accumulators: AccumulatorPlan[]): QueryPlan => ({
  domain: 'bench',
  query,
  id: `bench.${query}`,
  revision: 1,
  fingerprint: 'bench',
  sources: [{topic: 'bench.event', eventType: 'event', fields: [], derive: [], enrich: []}],
  where: null,
  futureMaxMs: 3_600_000,
  watermarkMs: 0,
  late: 'correct',
  correctForMs: 0,
  idleMs: 30_000,
  window: {type: 'tumbling', sizeMs: 86_400_000},
  tzdata: null,
  groupBy: ['user', 'country'].map((name) => ({name, column: name, type: 'string'})),
  accumulators,
  measures: [{name: 'total', column: 'total', type: 'long', fn: 'sum', sum: 1, count: 0, argType: 'long'}],
  emit: 'close',
  table: {namespace: 'bench', name: 'q', kind: 'query', columns: [], key: []},
  sinks: [],
  limits: {groups: 1e7, memoryBytes: 2 ** 40, stateDiskBytes: 2 ** 40},
});

function sketch(seed: number, values: number): AccumulatorObject {
  const tokens = Int32Array.from({length: values}, (_, k) => tokenOfNumber(seed * 31 + k * 7919));
  return distinctOf(tokens, 0, values);
}

type Variant = {name: string; plan: QueryPlan; groups: number; values: number; isFresh?: boolean};
const variants: Variant[] = [
  {name: '100k groups, 4 cells', plan: planOf('cells', cells), groups, values: 0},
  {
    name: '100k groups, 4 cells, all groups new',
    plan: planOf('fresh', cells),
    groups,
    values: 0,
    isFresh: true,
  },
  {
    name: '100k groups, distinct of 20 each',
    plan: planOf('sparse', [...cells, distinct]),
    groups,
    values: 20,
  },
  {
    name: '10k groups, distinct of 2000 each',
    plan: planOf('dense', [...cells, distinct]),
    groups: 10_000,
    values: 2000,
  },
];

const dir = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
const writer = await startCheckpointWriter(dir);
const store = openStateStore(dir, writer.connect());
const mergerOf = (plan: QueryPlan, isNew: boolean) =>
  new Merger({
    plan,
    places: [{topic: 'bench.event', partition: 0, startOffset: 0}],
    nowMs: 0,
    saved: isNew ? undefined : readCheckpoint(store, plan),
    read: (key) => store.get(stateName(plan), key),
  });

/** Changes every group once; new windows for `isFresh`, so that every group is new in its pane. */
function deltaOf({plan, groups: count, values, isFresh}: Variant, round: number): Delta {
  const width = 4;
  const data = new Float64Array(count * width);
  for (let group = 0; group < count; group++) data.set([1, group, group, group], group * width);
  const shared = Array.from({length: 64}, (_, seed) => (values > 0 ? sketch(seed, values) : null));
  const isFirst = round === 0;
  const counts = {
    read: count,
    aggregated: count,
    corrected: 0,
    lateInPart: 0,
    filtered: 0,
    duplicate: 0,
    late: 0,
    dead: 0,
  };
  const names = Array.from({length: isFirst ? count : 0}, (_, group) => `user-${group}`);
  const startMs = isFresh ? round * 86_400_000 : 0;
  return {
    query: plan.id,
    worker: 0,
    generation: 0,
    firstGroup: isFirst ? 0 : count,
    newGroups: [names, names.map((_, group) => ['US', 'DE', 'FR'][group % 3]!)],
    cuts: [{topic: 'bench.event', partition: 0, offset: (round + 1) * count, maxTimeMs: 0, ...counts}],
    panes: [
      {
        own: false,
        startMs,
        endMs: startMs + 86_400_000,
        groups: Int32Array.from({length: count}, (_, group) => group),
        cells: data,
        wide: new Map(),
        objects: values > 0 ? [Array.from({length: count}, (_, group) => shared[group % 64]!)] : [],
      },
    ],
    sessions: [],
    side: [],
  };
}

const mergers = variants.map(({plan}) => mergerOf(plan, true));
const pauses = variants.map((): number[] => []);
const merges = variants.map((): number[] => []);
const commits = variants.map((): number[] => []);
const sizes = variants.map(() => 0);
for (let round = 0; round <= rounds; round++)
  for (const [index, variant] of variants.entries()) {
    const merger = mergers[index]!;
    const delta = deltaOf(variant, round);
    const merging = performance.now();
    merger.apply(delta, 0);
    if (round > 0) merges[index]!.push(performance.now() - merging);
    collect();
    const start = performance.now();
    const commit = commitOf(variant.plan, merger.checkpoint());
    const paused = performance.now();
    sizes[index] = commit.puts.reduce((sum, {bytes}) => sum + bytes.length, 0);
    const committing = store.commit(commit);
    const posted = performance.now();
    await committing;
    merger.committed(commit.epoch, 0);
    // The first round is not steady: keys are written and code is cold.
    if (round > 0) pauses[index]!.push(paused - start + (posted - paused));
    if (round > 0) commits[index]!.push(performance.now() - start);
  }

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
console.log(`${cpus()[0]!.model}, ${cpus().length} cores, node ${process.version}, ${rounds} rounds`);
for (const [index, {name, plan, groups: count, isFresh}] of variants.entries()) {
  const restored = mergerOf(plan, false);
  assert.equal(restored.time.partitions[0]!.offset, (rounds + 1) * count);
  restored.time.observeEnd('bench.event', 0, 0);
  restored.tick(40_000_000);
  assert.equal(restored.groups.count, isFresh || count === groups ? groups : count);
  console.log(
    `${name}: pause ${median(pauses[index]!).toFixed(2)} ms (worst ${Math.max(...pauses[index]!).toFixed(2)}), ` +
      `merging the delta ${median(merges[index]!).toFixed(1)} ms, ${(sizes[index]! / 2 ** 20).toFixed(1)} MiB, durable after ${median(commits[index]!).toFixed(0)} ms`,
  );
}
store.close();
await writer.close();
rmSync(dir, {recursive: true});
