/**
 * Which ids each topic remembers, and where their records lie: the writer's side.
 *
 *   tail     the newest ids, in the order in which they came: one row a commit, and a hash table in memory
 *   runs     the others; when the tail has `tailEntries` it becomes a run, and 8 runs of about one size become one
 *
 * A run is never changed, and has a filter in memory that says of nearly every id that the run lacks that it does. So a new id
 * costs a few bytes at the end of a table, whether ids are in order or random. Runs become one a little at a time, in the
 * transactions that bring new ids, in proportion to their number.
 *
 * Nothing deletes an id: an entry counts while its offset is not below the start of its partition, is left out when runs become one,
 * and a run without such entries is deleted.
 */
import type {DatabaseSync} from 'node:sqlite';
import type {Stream} from '../chain.ts';
import {type Belongs, EntryTable, entryWords, filterHash, keyOf} from './entries.ts';
import {blocksFor, Filter, pieceBuckets} from './filter.ts';
import {bitsFor, endsOf, isDead, type LiveRun, Merge, spread} from './merge.ts';
import {idChanges, idQueries, indexCrc, type Run} from './store.ts';

/** Entries of a tail that becomes a run: 64 buckets of 384. */
const tailEntries = 24_576;
/** Runs of about one size that become one. */
const fanout = 8;
/** Runs up to this many times the tail are of the first size; each further size is `fanout` times as large. */
const firstSize = 4 / 3;
/** Buckets that are written, and deleted, for every bucketful of new ids: with 1 for each size there is, nothing piles up. */
const workRate = 10;
/** Buckets deleted by a trim: as many as would be by many appends. */
const trimWork = 256;
/** What one of them is for the write-ahead log. */
const bucketBytes = 16_384;

/** Work inside the writer's transactions; after one that was rolled back `load` brings the index to what the file has. */
export class IdIndex {
  readonly #queries;
  readonly #changes;
  readonly #tailMax: number;
  readonly #isGone: Belongs;
  readonly #tail = new EntryTable();
  readonly #key = new Uint32Array(6);
  /** Entries of the tail that the file has. */
  #stored = 0;
  #tailCrc = 0;
  #live: LiveRun[] = [];
  #merges: Merge[] = [];
  /** Runs that are not needed any more, and how many pieces of them are deleted. */
  #garbage: {run: Run; pieces: number}[] = [];
  #streams: {topic: string; startOffset: number}[] = [];
  /** Work that is due, buckets. */
  #due = 0;
  #writtenBytes = 0;

  /**
   * Reads all but the buckets. Throws LOG_CORRUPT. @param tailMax entries at which the tail becomes a run
   * @param isGone records whose ids do not count although their streams have not passed them
   */
  constructor(
    database: DatabaseSync,
    streams: Iterable<Stream>,
    tailMax = tailEntries,
    isGone: Belongs = () => false,
  ) {
    this.#tailMax = tailMax;
    this.#isGone = isGone;
    this.#queries = idQueries(database);
    this.#changes = idChanges(database);
    this.load(streams);
  }

  /** Makes it what the file says. Throws LOG_CORRUPT. */
  load(streams: Iterable<Stream>): void {
    this.#streams = [];
    for (const stream of streams) this.setStream(stream);
    const {runs, tail, tailCrc} = this.#queries.read();
    this.#tail.clear();
    for (const entries of tail) this.#tail.addAll(entries);
    this.#stored = this.#tail.count;
    this.#tailCrc = tailCrc;
    const known = new Map(this.#live.map(({run, filter}) => [run.id, filter]));
    this.#live = runs
      .filter(({live}) => live === 1)
      .map((run) => ({run, filter: known.get(run.id) ?? this.#queries.filter(run)}));
    // A run that was being made when the writer stopped is begun again.
    this.#garbage = runs.filter(({live}) => live === 0).map((run) => ({run, pieces: 0}));
    this.#merges = [];
    this.#due = 0;
  }

  /** Tells which topic a stream belongs to and where it starts. */
  setStream({id, topic, startOffset}: Stream): void {
    this.#streams[id] = {topic, startOffset};
  }

  readonly #remembered: Belongs = (stream, offset) =>
    offset >= this.#streams[stream]!.startOffset && !this.#isGone(stream, offset);

  /** Remembers the place of an id. @returns false when its topic has the id already */
  add({id: stream, topic}: Stream, id: string, offset: number): boolean {
    const key = this.#key;
    keyOf(id, key);
    const isOfTopic: Belongs = (other, place) =>
      this.#streams[other]!.topic === topic && this.#remembered(other, place);
    if (this.#tail.find(key, isOfTopic)) return false;
    const second = this.#live.length === 0 ? 0 : filterHash(key, 0);
    for (const {run, filter} of this.#live)
      if (filter.mayHold(key, second) && this.#queries.find(run, key, isOfTopic)) return false;
    this.#tail.add(key, stream, offset);
    return true;
  }

  /** Stores what was added since, as part of commit number `sequence`, and does what work is due. */
  write(sequence: number): void {
    const added = this.#tail.count - this.#stored;
    if (added === 0) return;
    if (this.#tail.count >= this.#tailMax) this.#seal();
    else {
      const entries = this.#tail.from(this.#stored);
      this.#tailCrc = this.#changes.addTail(sequence, this.#tailCrc, entries);
      this.#writtenBytes += entries.byteLength;
    }
    this.#stored = this.#tail.count;
    this.#due += (added / this.#tailMax) * pieceBuckets * workRate;
    if (this.#due < 1) return;
    const work = Math.floor(this.#due);
    this.#due -= work;
    this.#merge(work);
    this.#sweep(work);
  }

  /** Makes a run of the tail. */
  #seal(): void {
    const entries = this.#tail.from(0);
    const bits = bitsFor(this.#tail.count);
    const blocks = blocksFor(this.#tail.count, 2 ** bits);
    const run = this.#changes.createRun(bits, blocks);
    const filter = new Filter(bits, blocks);
    let count = 0;
    for (const [number, bucket] of spread([entries], bits, 0, 2 ** bits, this.#remembered).entries()) {
      this.#changes.addBucket(run, number, bucket, filter);
      count += bucket.length / entryWords;
    }
    this.#live.push({run: this.#changes.updateRun({...run, live: 1, count, ends: endsOf(entries)}), filter});
    this.#changes.clearTail();
    this.#tail.clear();
    this.#tailCrc = 0;
    this.#writtenBytes += 2 ** bits * bucketBytes;
  }

  #isMerging({run}: LiveRun): boolean {
    return this.#merges.some(({inputs}) => inputs.some((input) => input.run.id === run.id));
  }

  #sizeOf({count}: Run): number {
    const times = count / (firstSize * this.#tailMax);
    return times <= 1 ? 0 : Math.ceil(Math.log(times) / Math.log(fanout));
  }

  /** Begins what can be begun; the smallest runs come first, so that their number stays small while large ones become one. */
  #begin(): void {
    const bySize = Map.groupBy(
      this.#live.filter((live) => !this.#isMerging(live)),
      ({run}) => this.#sizeOf(run),
    );
    for (const inputs of bySize.values())
      if (inputs.length >= fanout) this.#merges.push(new Merge(inputs, this.#queries, this.#changes));
    const weight = ({inputs}: Merge) => inputs.reduce((sum, {run}) => sum + run.count, 0);
    this.#merges.sort((a, b) => weight(a) - weight(b));
  }

  #merge(buckets: number): void {
    this.#begin();
    for (let left = buckets; left > 0; ) {
      const merge = this.#merges[0];
      if (!merge) return;
      const written = merge.step(this.#remembered);
      left -= written;
      this.#writtenBytes += written * bucketBytes;
      if (!merge.isDone) continue;
      this.#merges.shift();
      const output = merge.finish();
      for (const {run} of merge.inputs) this.#retire(run);
      this.#live.push(output);
      // As they are in the file.
      this.#live.sort((a, b) => a.run.id - b.run.id);
      this.#begin();
    }
  }

  #retire(run: Run): void {
    this.#live = this.#live.filter((live) => live.run.id !== run.id);
    this.#garbage.push({run: this.#changes.updateRun({...run, live: 0}), pieces: 0});
  }

  #sweep(buckets: number): void {
    for (let left = buckets; left > 0; left -= pieceBuckets) {
      const garbage = this.#garbage[0];
      if (!garbage) return;
      this.#changes.removePiece(garbage.run, garbage.pieces++);
      if (garbage.pieces * pieceBuckets < 2 ** garbage.run.bits) continue;
      this.#changes.removeRun(garbage.run);
      this.#garbage.shift();
    }
  }

  /** The start of a stream has moved: deletes runs of which nothing is left. */
  trim(stream: Stream): void {
    this.setStream(stream);
    for (const live of this.#live)
      if (!this.#isMerging(live) && isDead(live.run, this.#remembered)) this.#retire(live.run);
    this.#sweep(trimWork);
  }

  /** Checksum of what the file has; stored with every commit. */
  crc(): number {
    return indexCrc(
      this.#live.map(({run}) => run),
      this.#tailCrc,
    );
  }

  /** About how much it has written since the last call, bytes. */
  takeWrittenBytes(): number {
    const bytes = this.#writtenBytes;
    this.#writtenBytes = 0;
    return bytes;
  }
}
