/** Divides what a connection receives into answers: `length:int32` and so many bytes each, read straight into memory of their own. */
import {PlatformError} from '../../errors.ts';

/** An answer beyond this is none of a broker: we never ask for so much. */
const answerBytesMax = 256 * 1024 * 1024;
const scratchBytes = 64 * 1024;

export type AnswerEvents = {
  /** Memory for the answer that comes next. */
  memory(length: number): Uint8Array;
  answer(bytes: Uint8Array): void;
};

export class Answers {
  readonly #name: string;
  readonly #events: AnswerEvents;
  /** The length of the next answer, as far as it came. */
  readonly #head = new Uint8Array(4);
  #headFilled = 0;
  #message: Uint8Array | undefined;
  #filled = 0;
  readonly #scratch = new Uint8Array(scratchBytes);

  /** @param name of the broker, for messages */
  constructor(name: string, events: AnswerEvents) {
    this.#name = name;
    this.#events = events;
  }

  /** Where the socket puts what comes next: the rest of the answer that is arriving, else the scratch. */
  room(): Uint8Array {
    return this.#message ? this.#message.subarray(this.#filled) : this.#scratch;
  }

  /** `size` bytes came, in `bytes`: the last room, or memory of the socket. Throws KAFKA_PROTOCOL, and what the events throw. */
  received(size: number, bytes: Uint8Array): void {
    if (this.#message && bytes.buffer === this.#message.buffer) {
      this.#filled += size;
      if (this.#filled === this.#message.length) this.#complete(this.#message);
    } else this.#divide(bytes.subarray(0, size));
  }

  #divide(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#message) {
        const part = bytes.subarray(at, at + this.#message.length - this.#filled);
        this.#message.set(part, this.#filled);
        this.#filled += part.length;
        at += part.length;
      } else {
        this.#head[this.#headFilled++] = bytes[at++]!;
        if (this.#headFilled === 4) this.#begin();
      }
      if (this.#message && this.#filled === this.#message.length) this.#complete(this.#message);
    }
  }

  #begin(): void {
    this.#headFilled = 0;
    const length = new DataView(this.#head.buffer).getInt32(0);
    if (length < 4 || length > answerBytesMax) {
      const isTls = this.#head[0]! >= 0x14 && this.#head[0]! <= 0x17 && this.#head[1] === 3;
      throw new PlatformError(
        'KAFKA_PROTOCOL',
        `${this.#name}: the answer is none of Kafka${isTls ? ', the port speaks TLS' : ''}`,
        {hint: isTls ? 'set log.kafka.security.protocol to ssl or sasl_ssl' : 'check the port'},
      );
    }
    this.#message = this.#events.memory(length);
    this.#filled = 0;
  }

  #complete(message: Uint8Array): void {
    this.#message = undefined;
    this.#filled = 0;
    this.#events.answer(message);
  }
}
