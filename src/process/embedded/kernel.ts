/**
 * One query's kernel: adds decoded batches to a delta, and hands the delta over. The generated loop (kernel-code.ts) takes the
 * plain rows; a row that needs care (late, an integer beyond 2^53, a failing expression) is taken by kernel-exact.ts.
 */
import assert from 'node:assert/strict';
import type {QueryPlan, SourcePlan} from '../plan/nodes.ts';
import type {LookupSnapshot} from '../types.ts';
import type {DecodedBatch, TopicDecoder} from './decode.ts';
import {isText} from './decode-columns.ts';
import {createTextDictionary} from './dictionary.ts';
import {type CodeContext, generateKernelRun, isDirect, type KernelRun} from './kernel-code.ts';
import {createExact} from './kernel-exact.ts';
import {createKeys} from './kernel-keys.ts';
import {createScope, type SourceScope} from './kernel-scope.ts';
import {createStore, type Store} from './kernel-store.ts';
import {createLookupSet} from './lookups.ts';
import {markDuplicates, type SeenIds, SeenTable} from './seen.ts';
import type {Delta, PartitionCut} from './types.ts';

export type KernelOptions = {
  plan: QueryPlan;
  worker: number;
  /** Decoders by topic; each must have been made with this plan among its plans. */
  decoders: ReadonlyMap<string, TopicDecoder>;
  lookups?: Iterable<LookupSnapshot>;
};

export type Kernel = {
  plan: QueryPlan;
  /** Where the query stands in a (topic, partition); before the first `process` of it. @param maxTimeMs -Infinity before any event. @param seen ids that a query with `dedup` knows there */
  open(topic: string, partition: number, offset: number, maxTimeMs: number, seen?: SeenIds[]): void;
  /**
   * Adds a batch that begins where the query stands. What a record holds never makes it throw; when it throws, the kernel's
   * delta is lost and the query has failed.
   */
  process(decoded: DecodedBatch): void;
  /**
   * Hands over what was added since the last time, and clears it. `endGeneration`: forgets groups and codes too; the next
   * delta belongs to a new generation.
   */
  take(options?: {endGeneration?: boolean}): Delta;
  /** A new snapshot of a lookup, from the next batch on. */
  setLookup(snapshot: LookupSnapshot): void;
  /** Approximate memory, bytes; without the topics' decoders. */
  bytes(): number;
  /** Groups of the generation. */
  groups(): number;
  /** Offset and running maximum of a (topic, partition); undefined when it is not open. */
  position(topic: string, partition: number): {offset: number; maxTimeMs: number} | undefined;
};

/** One source of the query, ready to run. */
export type KernelSource = {
  plan: SourcePlan;
  decoder: TopicDecoder;
  scope: SourceScope;
  code: KernelRun;
  /** What generated code reads. */
  columns: DecodedBatch['columns'];
  memos: KernelRun['memos'];
  calls: KernelRun['calls'];
  /** Of the decoder's dictionaries. */
  generation: number;
  /** The kernel's own generation that last saw the source. */
  usedIn: number;
};

type Partition = PartitionCut & {moved: boolean; seen: SeenTable | undefined};

export function createKernel({plan, worker, decoders, lookups: snapshots}: KernelOptions): Kernel {
  for (const accumulator of plan.accumulators)
    if (accumulator.op === 'min' || accumulator.op === 'max')
      assert.ok(!isText(accumulator.type), 'minima and maxima are of numbers');
  const lookups = createLookupSet(snapshots);
  const partitions = new Map<string, Partition>();
  const edgeTexts = createTextDictionary();
  const sources = new Map<string, KernelSource>();
  let generation = 0;

  const scopes = plan.sources.map((source) => {
    const decoder = decoders.get(source.topic);
    assert.ok(decoder, `no decoder for topic ${source.topic}`);
    return {source, decoder, scope: createScope(plan, source, decoder, lookups)};
  });
  const direct = plan.groupBy.map(({name}) => {
    const {decoder, scope} = scopes[0]!;
    return isDirect(plan, scope, name) ? decoder.dictionaries[scope.codeColumn(name)!] : undefined;
  });
  const keys = createKeys(plan, direct);
  const store: Store = createStore(plan, keys, edgeTexts);
  const exact = createExact(plan, store, keys);

  let generatedFor = keys.mode;
  function generate(): void {
    generatedFor = keys.mode;
    sources.clear();
    for (const {source, decoder, scope} of scopes) {
      const context: CodeContext = {
        plan,
        source,
        scope,
        dimensionTexts: keys.texts,
        edgeTexts,
        keys: keys.mode,
      };
      const code = generateKernelRun(context);
      const {memos, calls} = code;
      sources.set(source.topic, {
        plan: source,
        decoder,
        scope,
        code,
        columns: [],
        memos,
        calls,
        generation: 0,
        usedIn: -1,
      });
    }
  }
  generate();

  /** Makes columns, memos and keys ready for a batch. */
  function prepare(source: KernelSource, decoded: DecodedBatch): void {
    if (source.generation !== decoded.generation) {
      assert.ok(source.usedIn < generation, 'the kernel was not taken before its topic ended a generation');
      source.generation = decoded.generation;
    }
    source.usedIn = generation;
    source.columns = decoded.columns;
    source.scope.setBatch(decoded);
    for (const memo of source.memos) fillMemo(memo, source.decoder);
    makeRoom();
  }

  /** Gives codes that have appeared their room in keys. Past what one integer holds, keys become pairs and code is generated anew. */
  function makeRoom(): void {
    store.makeRoom();
    if (keys.mode === generatedFor) return;
    const old = new Map(sources);
    generate();
    for (const [topic, source] of sources) {
      const {columns, generation, usedIn} = old.get(topic)!;
      Object.assign(source, {columns, generation, usedIn});
      for (const memo of source.memos) fillMemo(memo, source.decoder);
    }
  }

  function walk(topic: string, decoded: DecodedBatch, partition: Partition): void {
    const {scope} = sources.get(topic)!;
    const special = decoded.special.filter(({wide, bad}) =>
      [...wide.keys(), ...bad.keys()].some((column) => scope.used.has(column)),
    );
    let next = 0;
    let row = 0;
    while (row < decoded.rows) {
      // Codes may have appeared in the loop or on the exact way; generated code must know how keys are made now.
      if (keys.wantsRoom() || keys.mode !== generatedFor) makeRoom();
      const source = sources.get(topic)!;
      const to = special[next]?.row ?? decoded.rows;
      if (row < to) row = source.code.run(store, source, row, to);
      if (store.wantsKeys) {
        store.wantsKeys = false;
        continue;
      }
      if (row >= decoded.rows) break;
      const exactly = special[next]?.row === row ? special[next++] : undefined;
      exact(source, decoded, row, exactly, partition);
      row++;
    }
  }

  return {
    plan,
    open(topic, partition, offset, maxTimeMs, seen) {
      const table = plan.dedupMs === undefined ? undefined : new SeenTable(plan.dedupMs, seen);
      partitions.set(`${topic} ${partition}`, newCut(topic, partition, offset, maxTimeMs, table));
    },
    process(decoded) {
      const {topic} = decoded;
      const partition = partitions.get(`${topic} ${decoded.partition}`);
      const source = sources.get(topic);
      assert.ok(partition && source, `query ${plan.id} does not read ${topic}/${decoded.partition}`);
      assert.equal(decoded.fromOffset, partition.offset, `query ${plan.id} stands elsewhere in ${topic}`);
      prepare(source, decoded);
      const {countAllBelow} = plan;
      // The bound is the log's end of a moment, so an end of a batch.
      const countsAll = countAllBelow?.some(
        (place) =>
          place.topic === topic &&
          place.partition === decoded.partition &&
          decoded.nextOffset <= place.offset,
      );
      const watermarkMs = countsAll ? Infinity : plan.watermarkMs;
      Object.assign(store, {
        maxMs: partition.maxTimeMs,
        watermarkMs,
        filtered: 0,
        corrected: 0,
        duplicates: 0,
      });
      if (partition.seen) markDuplicates(store, source.scope, decoded, partition.seen);
      const classed = () => partition.filtered + partition.duplicate + partition.late + partition.dead;
      const before = classed();
      walk(topic, decoded, partition);
      partition.filtered += store.filtered;
      partition.duplicate += store.duplicates;
      partition.corrected += store.corrected;
      partition.aggregated += decoded.rows - (classed() - before);
      partition.read += decoded.rows + decoded.dead.length;
      partition.dead += decoded.dead.length;
      for (const dead of decoded.dead)
        store.side.push({kind: 'dead', topic, partition: decoded.partition, ...dead});
      partition.maxTimeMs = Math.max(store.maxMs, decoded.markTimeMs ?? -Infinity);
      partition.offset = decoded.nextOffset;
      partition.moved = true;
    },
    take({endGeneration = false} = {}) {
      const cuts = [...partitions.values()].filter(({moved}) => moved);
      for (const {topic, partition, offset, maxTimeMs, seen} of cuts)
        partitions.set(`${topic} ${partition}`, newCut(topic, partition, offset, maxTimeMs, seen));
      const seen = cuts.flatMap(({topic, partition, seen: table}) => {
        const ids = table?.take();
        return ids ? [{topic, partition, ...ids}] : [];
      });
      const delta: Delta = {
        query: plan.id,
        worker,
        generation,
        ...store.take(),
        cuts: cuts.map(({moved: _, seen: __, ...cut}) => cut),
        ...(seen.length > 0 ? {seen} : {}),
      };
      if (!endGeneration) return delta;
      store.clear();
      keys.clear();
      edgeTexts.clear();
      for (const {memos} of sources.values()) for (const memo of memos) memo.filled = 0;
      generation++;
      return delta;
    },
    setLookup(snapshot) {
      lookups.set(snapshot);
      for (const {memos} of sources.values()) for (const memo of memos) memo.filled = 0;
    },
    bytes: () =>
      store.bytes() +
      keys.bytes() +
      edgeTexts.bytes() +
      [...partitions.values()].reduce((sum, {seen}) => sum + (seen?.pendingBytes ?? 0), 0) +
      [...sources.values()].reduce(
        (sum, {memos}) => sum + memos.reduce((part, {table}) => part + table.byteLength, 0),
        0,
      ),
    groups: () => keys.size(),
    position(topic, partition) {
      const found = partitions.get(`${topic} ${partition}`);
      return found && {offset: found.offset, maxTimeMs: found.maxTimeMs};
    },
  };
}

const newCut = (
  topic: string,
  partition: number,
  offset: number,
  maxTimeMs: number,
  seen: SeenTable | undefined,
): Partition => ({
  topic,
  partition,
  offset,
  maxTimeMs,
  read: 0,
  aggregated: 0,
  corrected: 0,
  lateInPart: 0,
  filtered: 0,
  duplicate: 0,
  late: 0,
  dead: 0,
  moved: false,
  seen,
});

/** Values for codes that have appeared since. */
function fillMemo(memo: KernelRun['memos'][number], decoder: TopicDecoder): void {
  const dictionary = decoder.dictionaries[memo.column];
  const size = dictionary?.size ?? 1;
  if (memo.filled >= size) return;
  if (memo.table.length < size) {
    const next = memo.table instanceof Float64Array ? new Float64Array(size * 2) : new Int32Array(size * 2);
    next.set(memo.table);
    memo.table = next;
  }
  for (let code = memo.filled; code < size; code++)
    memo.table[code] = memo.of(code === 0 ? null : dictionary!.text(code));
  memo.filled = size;
}
