import type {MarkHealth} from '../sinks/marker.ts';

/** A query waits while anything that it delivers to waits: the first tells it to stop reading, the last to read on. */
export class Pauses {
  #callbacks: MarkHealth;
  #waiting = new Set<string>();

  constructor(callbacks: MarkHealth) {
    this.#callbacks = callbacks;
  }

  of(source: string): MarkHealth {
    return {
      onPaused: (error) => {
        this.#waiting.add(source);
        if (this.#waiting.size === 1) this.#callbacks.onPaused(error);
      },
      onResumed: () => {
        if (this.#waiting.delete(source) && this.#waiting.size === 0) this.#callbacks.onResumed();
      },
    };
  }

  /** The query stopped: nothing that works again makes it read on. */
  forget(): void {
    this.#waiting.clear();
  }
}
