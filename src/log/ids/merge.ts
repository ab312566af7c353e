/** Making runs: entries go into buckets by the first bits of their hash; several runs become one, a few buckets at a time. */
import {type Belongs, entryWords, offsetAt, streamAt} from './entries.ts';
import {blocksFor, Filter, pieceBuckets} from './filter.ts';
import type {idChanges, idQueries, Run} from './store.ts';

/** Entries in a bucket, on average at most: with them nearly every bucket is one page of the file (16 KiB). */
const bucketEntries = 450;
const bitsMin = Math.log2(pieceBuckets);

/** A live run, as the writer holds it in memory. */
export type LiveRun = {run: Run; filter: Filter};

/** Bits for a run of at most `count` entries. */
export const bitsFor = (count: number): number =>
  Math.max(bitsMin, Math.ceil(Math.log2(Math.max(1, count) / bucketEntries)));

/**
 * Spreads entries over `buckets` buckets, of which the first is number `first` of 2 ** `bits`; leaves out those that no longer
 * belong to anything. All of the entries lie in these buckets.
 */
export function spread(
  sources: readonly Uint32Array[],
  bits: number,
  first: number,
  buckets: number,
  belongs: Belongs,
): Uint32Array[] {
  const shift = 32 - bits;
  const ends = new Uint32Array(buckets);
  const isKept = sources.map((words) => {
    const kept = new Uint8Array(words.length / entryWords);
    for (let i = 0, at = 0; i < kept.length; i++, at += entryWords) {
      if (!belongs(streamAt(words, at), offsetAt(words, at))) continue;
      kept[i] = 1;
      ends[(words[at]! >>> shift) - first]! += entryWords;
    }
    return kept;
  });
  const spreadOut = Array.from(ends, (length) => new Uint32Array(length));
  ends.fill(0);
  for (const [source, words] of sources.entries())
    for (let i = 0, at = 0; at < words.length; i++, at += entryWords) {
      if (isKept[source]![i] === 0) continue;
      const bucket = (words[at]! >>> shift) - first;
      const to = spreadOut[bucket]!;
      const end = ends[bucket]!;
      for (let word = 0; word < entryWords; word++) to[end + word] = words[at + word]!;
      ends[bucket] = end + entryWords;
    }
  return spreadOut;
}

type Ends = [stream: number, end: number][];

/** For each stream of the entries an offset that none of them reaches, as JSON. */
export function endsOf(words: Uint32Array): string {
  const ends = new Map<number, number>();
  for (let at = 0; at < words.length; at += entryWords) {
    const stream = streamAt(words, at);
    ends.set(stream, Math.max(ends.get(stream) ?? 0, offsetAt(words, at) + 1));
  }
  return JSON.stringify([...ends]);
}

/** Whether no entry of the run belongs to anything. */
export const isDead = ({ends}: Run, belongs: Belongs): boolean =>
  (JSON.parse(ends) as Ends).every(([stream, end]) => !belongs(stream, end - 1));

function joinedEnds(runs: Run[]): string {
  const ends = new Map<number, number>();
  for (const run of runs)
    for (const [stream, end] of JSON.parse(run.ends) as Ends)
      ends.set(stream, Math.max(ends.get(stream) ?? 0, end));
  return JSON.stringify([...ends]);
}

/** Several runs becoming one, inside the transactions of the caller. Its inputs stay as they are until it is done. */
export class Merge {
  readonly inputs: LiveRun[];
  readonly #queries: ReturnType<typeof idQueries>;
  readonly #changes: ReturnType<typeof idChanges>;
  readonly #output: LiveRun;
  /** Coarsest of all: a step works on one bucket of a run with that many bits. */
  readonly #bits: number;
  #steps = 0;
  #count = 0;

  constructor(
    inputs: LiveRun[],
    queries: ReturnType<typeof idQueries>,
    changes: ReturnType<typeof idChanges>,
  ) {
    this.inputs = inputs;
    this.#queries = queries;
    this.#changes = changes;
    const count = inputs.reduce((sum, {run}) => sum + run.count, 0);
    const bits = bitsFor(count);
    const run = changes.createRun(bits, blocksFor(count, 2 ** bits));
    this.#output = {run, filter: new Filter(bits, run.blocks)};
    this.#bits = Math.min(bits, ...inputs.map((input) => input.run.bits));
  }

  get isDone(): boolean {
    return this.#steps === 2 ** this.#bits;
  }

  /** @returns buckets written */
  step(belongs: Belongs): number {
    const {run, filter} = this.#output;
    const sources = this.inputs.flatMap((input) => {
      const each = 2 ** (input.run.bits - this.#bits);
      return Array.from({length: each}, (_, i) => this.#queries.bucket(input.run, this.#steps * each + i));
    });
    const buckets = 2 ** (run.bits - this.#bits);
    const first = this.#steps * buckets;
    for (const [i, entries] of spread(sources, run.bits, first, buckets, belongs).entries()) {
      this.#changes.addBucket(run, first + i, entries, filter);
      this.#count += entries.length / entryWords;
    }
    this.#steps++;
    return buckets;
  }

  /** The new run takes the place of its inputs. */
  finish(): LiveRun {
    const ends = joinedEnds(this.inputs.map(({run}) => run));
    const run = this.#changes.updateRun({...this.#output.run, live: 1, count: this.#count, ends});
    return {...this.#output, run};
  }
}
