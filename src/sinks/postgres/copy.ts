import type {Connection, Submittable} from 'pg';

/** What of the client's connection COPY needs; its types leave these out. */
type Wire = Connection & {
  sendCopyFromChunk(chunk: Uint8Array): void;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
};

/**
 * COPY ... FROM STDIN: chunks are made while the server works on those before; what the socket does not take is waited for.
 * After an error nothing more is sent: the server drops what is under way.
 * https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-COPY
 */
export class CopyFrom implements Submittable {
  readonly done: Promise<void>;
  readonly #text: string;
  readonly #chunks: Iterator<Uint8Array>;
  #resolve: () => void = () => {};
  #reject: (error: unknown) => void = () => {};
  /** Ours, while chunks were made: the server then answers that we gave up. */
  #failure: unknown;
  #over = false;

  constructor(text: string, chunks: Iterable<Uint8Array>) {
    this.#text = text;
    this.#chunks = chunks[Symbol.iterator]();
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // The error is the caller's, who waits for `done`.
    this.done.catch(() => {});
  }

  submit(connection: Connection): void {
    connection.query(this.#text);
  }

  handleCopyInResponse(connection: Connection): void {
    this.#send(connection as Wire);
  }

  #send(wire: Wire): void {
    try {
      while (!this.#over) {
        const {done, value} = this.#chunks.next();
        if (done) {
          wire.endCopyFrom();
          return;
        }
        wire.sendCopyFromChunk(value);
        if (wire.stream.writableNeedDrain) {
          wire.stream.once('drain', () => this.#send(wire));
          return;
        }
      }
    } catch (error) {
      this.#failure = error;
      wire.sendCopyFail('the rows could not be encoded');
    }
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#over = true;
    this.#resolve();
  }

  handleError(error: unknown): void {
    this.#over = true;
    this.#reject(this.#failure ?? error);
  }
}
