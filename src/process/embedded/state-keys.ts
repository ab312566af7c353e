/** Keys that a chunk of a pane holds; a chunk is what the store has as one piece. */
export type KeyPiece = {chunk: number; bytes: Uint8Array<ArrayBuffer>};

const encoder = new TextEncoder();

/**
 * The keys of a pane's groups as the store will have them: UTF-8, one after another, by chunk. A key is encoded when its group
 * joins the pane, so that a checkpoint only copies bytes; chunks that are full and were taken are forgotten.
 */
export class PaneKeys {
  #chunkSlots: number;
  #bytes = new Uint8Array(256);
  #length = 0;
  /** Where the chunks begin in `#bytes`, from `#firstChunk` on. */
  #starts: number[] = [0];
  #firstChunk = 0;
  /** Keys of the last chunk. */
  #count = 0;
  /** Keys were added since the last `take`. */
  #isChanged = false;

  constructor(chunkSlots: number) {
    this.#chunkSlots = chunkSlots;
  }

  get bytes(): number {
    return this.#bytes.length;
  }

  /** The next slot's key. */
  add(key: string): void {
    if (this.#count === this.#chunkSlots) {
      this.#starts.push(this.#length);
      this.#count = 0;
    }
    this.#count++;
    this.#isChanged = true;
    const most = this.#length + key.length * 3;
    if (most > this.#bytes.length) this.#grow(most);
    const bytes = this.#bytes;
    let at = this.#length;
    for (let index = 0; index < key.length; index++) {
      const code = key.charCodeAt(index);
      if (code > 127) {
        at += encoder.encodeInto(key.slice(index), bytes.subarray(at)).written;
        break;
      }
      bytes[at++] = code;
    }
    this.#length = at;
  }

  /** The chunks that have new keys, whole; all in one buffer. */
  take(): KeyPiece[] {
    if (!this.#isChanged) return [];
    this.#isChanged = false;
    const copied = this.#bytes.slice(0, this.#length);
    const pieces = this.#starts.map((start, index) => ({
      chunk: this.#firstChunk + index,
      bytes: copied.subarray(start, this.#starts[index + 1] ?? this.#length),
    }));
    // The last chunk may grow still, and is then written again.
    const last = this.#starts.length - 1;
    const start = this.#starts[last]!;
    this.#bytes = this.#bytes.slice(start, Math.max(this.#length, start + 256));
    this.#length -= start;
    this.#starts = [0];
    this.#firstChunk += last;
    return pieces;
  }

  /** What was added is what the store has. */
  forget(): void {
    this.take();
  }

  #grow(most: number): void {
    const larger = new Uint8Array(Math.max(most, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
