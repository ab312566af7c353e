/** Follows the book of rows topics: what the engine's process writes there. */
import {tellPassedOver} from '../log/passed-over.ts';
import type {LogReader} from '../log/types.ts';
import {walkRecords} from '../schema/frame.ts';
import {Book, bookEntryOf} from '../sinks/kafka/book.ts';
import type {Telemetry} from '../telemetry.ts';

const readBytesMax = 1 << 20;

export class RowsBook {
  /** As of the last reading. */
  readonly book = new Book();
  readonly #topic: string;
  readonly #log: LogReader;
  readonly #telemetry: Telemetry;
  #offset = 0;
  #id: string | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor({book, log, telemetry}: {book: string; log: LogReader; telemetry: Telemetry}) {
    this.#topic = book;
    this.#log = log;
    this.#telemetry = telemetry;
  }

  /** Takes what was added, one reading after another. @throws the log's errors */
  read(): Promise<void> {
    const next = this.#reading.then(() => this.#read());
    this.#reading = next.catch(() => {});
    return next;
  }

  async #read(): Promise<void> {
    const log = this.#log;
    const topic = this.#topic;
    if (log.partitions(topic) === 0) return;
    const is = log.topicId?.(topic);
    // One that was made anew is read from its beginning; what was known stays, and is said again.
    if (is !== undefined && is !== this.#id) this.#offset = 0;
    this.#id = is ?? this.#id;
    this.#offset = Math.max(this.#offset, log.startOffset(topic, 0));
    while (this.#offset < log.endOffset(topic, 0)) {
      const batches = await log.read(topic, 0, this.#offset, readBytesMax);
      if (batches.length === 0) return;
      for (const batch of batches) {
        if (batch.kind === 'data')
          walkRecords(batch, (index, pos, end) => {
            if (batch.baseOffset + index >= this.#offset)
              this.book.take(bookEntryOf(batch.bytes.subarray(pos, end)));
          });
        this.#offset = batch.baseOffset + batch.count;
      }
      tellPassedOver(this.#telemetry, topic, this.book.takePassedOver());
    }
  }
}
