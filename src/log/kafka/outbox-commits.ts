/** What an outbox adds to the commits of its log: its places and deletions are written with them, now and then. */
import {PlatformError} from '../../errors.ts';
import {formatBytes} from '../../quantity.ts';
import type {Stream} from '../chain.ts';
import type {CommitHooks} from '../group.ts';
import type {Outbox} from '../outbox.ts';
import type {StoredBatch} from '../outbox-tables.ts';
import type {AppendTransaction} from '../types.ts';

/** Places and deletions are written with a commit at most so often, and by one of their own when there is none. */
const writeMs = 100;

type Given = {
  dir: string;
  bytesMax: number;
  /** Bytes that wait for Kafka. */
  bytes: () => number;
  committed: CommitHooks['committed'];
};

export class OutboxCommits implements CommitHooks {
  readonly #outbox: Outbox;
  readonly #given: Given;
  #writtenMs = 0;
  #isWriting = false;
  #isRequested = false;

  constructor(outbox: Outbox, given: Given) {
    this.#outbox = outbox;
    this.#given = given;
  }

  /** The next commit writes. */
  request(): void {
    this.#isRequested = true;
  }

  /** Something waits to be written, and no commit has for a while. */
  get isDue(): boolean {
    const {isChanged, left} = this.#outbox;
    return (isChanged || left > 0) && performance.now() - this.#writtenMs >= writeMs;
  }

  usedBytes(): number {
    return this.#given.bytes();
  }

  readonly isGone = (stream: number, offset: number): boolean => this.#outbox.isRefused(stream, offset);

  idsFrom(stream: Stream): number {
    return this.#outbox.idsFrom(stream);
  }

  full(): PlatformError {
    const {bytesMax, dir} = this.#given;
    return new PlatformError(
      'LOG_FULL',
      `Kafka is away or slow, and what waits for it has reached the limit of ${formatBytes(bytesMax)}`,
      {hint: 'bring the brokers back, or raise log.kafka.spool.size_max', place: dir},
    );
  }

  within(streams: Iterable<Stream>, change: (topic: string, partition: number) => Stream): Stream[] {
    const nowMs = performance.now();
    this.#isWriting = false;
    if (!this.#isRequested && nowMs - this.#writtenMs < writeMs) return [];
    this.#isRequested = false;
    this.#writtenMs = nowMs;
    this.#isWriting = true;
    return this.#outbox.write(streams, change);
  }

  committed(batches: ReadonlyMap<AppendTransaction, StoredBatch[]>): void {
    if (this.#isWriting) this.#outbox.written();
    this.#isWriting = false;
    for (const [transaction, stored] of batches) this.#outbox.books.committed(transaction, stored);
    this.#given.committed(batches);
  }
}
