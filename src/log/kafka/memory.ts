/** Memory of large answers that is used again: what is allocated and dropped by the megabyte keeps the garbage collector busy. */

/** A smaller answer has memory of its own. */
const smallBytes = 64 * 1024;
/** Blocks that wait to be used again hold so much at most. */
const idleBytesMax = 16 * 1024 * 1024;

export class AnswerMemory {
  #idle: Uint8Array[] = [];
  #idleBytes = 0;

  /** Memory of that length, with an ArrayBuffer that nothing else lies in. */
  take(length: number): Uint8Array {
    if (length < smallBytes) return Buffer.allocUnsafeSlow(length);
    const at = this.#idle.findIndex((block) => block.length >= length);
    if (at < 0) return Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(length))).subarray(0, length);
    const [block] = this.#idle.splice(at, 1);
    this.#idleBytes -= block!.length;
    return block!.subarray(0, length);
  }

  /** Takes back memory that nobody looks at any more. */
  give(bytes: Uint8Array): void {
    const block = new Uint8Array(bytes.buffer);
    if (block.length < smallBytes || this.#idleBytes + block.length > idleBytesMax) return;
    this.#idle.push(block);
    this.#idleBytes += block.length;
  }
}
