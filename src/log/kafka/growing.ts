/** Memory for what is unpacked, within a limit. */

/** What packed bytes say is not what they hold, or more than is allowed. */
export class CodecFailure extends Error {}

/** Why a batch is not unpacked that is a bomb. */
export const tooLarge = 'it unpacks to more than is allowed';

/** Memory that grows as it is filled, up to a limit. */
export class Growing {
  bytes: Uint8Array;
  length = 0;
  readonly #max: number;

  constructor(sizeHint: number, bytesMax: number) {
    this.bytes = Buffer.allocUnsafeSlow(Math.min(sizeHint, bytesMax));
    this.#max = bytesMax;
  }

  /** Makes sure that `size` more bytes fit. Throws CodecFailure. */
  ensure(size: number): void {
    const wanted = this.length + size;
    if (wanted > this.#max) throw new CodecFailure(tooLarge);
    if (wanted <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.min(this.#max, Math.max(wanted, this.bytes.length * 2)));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  get filled(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}
