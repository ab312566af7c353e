/** What is read of one partition from one position on: buffered ahead of who reads it. */
import type {RecordBatch} from '../types.ts';
import {BatchFailure} from './batch-header.ts';
import type {BatchTarget} from './batch-read.ts';
import {batchesBeyond, type Chunk, endOfChunk, isFull, releaseChunk, takeFrom} from './chunk.ts';

export class Stream {
  readonly topic: string;
  readonly partition: number;
  /** Of the topic that it reads, whatever has its name later; undefined where the cluster gives none. */
  readonly topicId: string | undefined;
  /** Offset that the next request asks for. */
  position: number;
  /** Epoch under which the record before `position` was written; -1: unknown. */
  lastEpoch = -1;
  /** Offset that the next read hands out. */
  head: number;
  /** Bytes that were fetched and not handed out. */
  buffered = 0;
  /** A request is under way. */
  isAsked = false;
  /** The position that it asks for, and over which connection. */
  asked = {position: -1, line: ''};
  /** How often in a row what came was damaged. */
  damaged = 0;
  /** Nothing is asked before this time, `performance.now()`. */
  notBefore = 0;
  /** Bytes of the next request: grows when a batch is larger. */
  wanted = 0;
  /** When somebody read here last, `performance.now()`. */
  usedAt = 0;
  /** Somebody waits for records. */
  waiting = 0;
  /** What an answer said of the places of its batches that is believed when the next one says the same (`oddPlace`). */
  doubt = '';
  /** Its topic is compacted: holes are ordinary. */
  hasHoles = false;
  /** Why nothing more can be read from here on; told when what was read before it is handed out. */
  failure: unknown;
  readonly #chunks: Chunk[] = [];
  /** What the last read handed out: who stopped in the middle of it gets the rest again. */
  #last: {from: number; batches: RecordBatch[]} | undefined;
  /** Chunks that are handed out whole: looked at until the next take. */
  #spent: Chunk[] = [];
  #arrived: () => void = () => {};
  #arrival: Promise<void> | undefined;

  constructor(topic: string, partition: number, offset: number, topicId?: string) {
    this.topic = topic;
    this.topicId = topicId;
    this.partition = partition;
    this.position = offset;
    this.head = offset;
  }

  get hasRecords(): boolean {
    return this.#chunks.length > 0;
  }

  add(chunk: Chunk): void {
    const {offset, leaderEpoch} = endOfChunk(chunk);
    this.position = offset;
    this.lastEpoch = leaderEpoch;
    this.buffered += chunk.left;
    this.#chunks.push(chunk);
    this.#wake();
  }

  fail(error: unknown): void {
    this.failure = error;
    this.#wake();
  }

  /** Forgets what was fetched: what was not handed out is asked for again from `head` on. */
  restart(): void {
    for (const chunk of this.#chunks.splice(0)) releaseChunk(chunk);
    // Its memory is used for what comes next.
    this.#last = undefined;
    this.buffered = 0;
    this.position = this.head;
    this.lastEpoch = -1;
    this.failure = undefined;
  }

  /** Batches from the one that holds `offset` on, when they are what comes next or what was handed out last. */
  again(offset: number): RecordBatch[] | undefined {
    if (!this.#last || offset < this.#last.from || offset >= this.head) return undefined;
    const batches = batchesBeyond(this.#last.batches, offset);
    return batches.length > 0 ? batches : undefined;
  }

  /** Hands out the next batches, at least one. Throws BatchFailure when the first of them is broken. */
  take(bytesMax: number): RecordBatch[] {
    for (const chunk of this.#spent.splice(0)) releaseChunk(chunk);
    const batches: RecordBatch[] = [];
    const target: BatchTarget = {topic: this.topic, partition: this.partition, batches};
    const from = this.head;
    for (let taken = 0; taken < bytesMax && this.#chunks.length > 0 && !isFull(target); ) {
      const chunk = this.#chunks[0]!;
      const before = chunk.left;
      try {
        this.head = takeFrom(chunk, target, this.head, bytesMax - taken);
      } catch (error) {
        if (batches.length === 0 || !(error instanceof BatchFailure)) throw error;
        // What lies before it counts; it is the first of the next take.
        break;
      }
      this.buffered -= before - chunk.left;
      taken += before - chunk.left;
      if (chunk.left > 0) continue;
      this.#chunks.shift();
      this.#spent.push(chunk);
    }
    this.damaged = 0;
    // Kept for many partitions, large ones would fill the memory: whoever stopped in the middle fetches them again.
    this.#last = isFull(target) ? undefined : {from, batches};
    return batches;
  }

  /** Resolves at the next arrival or failure, or when that takes longer. */
  async arrival(patienceMs: number): Promise<void> {
    this.#arrival ??= new Promise((resolve) => {
      this.#arrived = resolve;
    });
    this.waiting++;
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise((resolve) => {
      timer = setTimeout(resolve, patienceMs);
    });
    await Promise.race([this.#arrival, over]);
    clearTimeout(timer);
    this.waiting--;
  }

  #wake(): void {
    this.#arrival = undefined;
    this.#arrived();
  }
}
