/** Waiting for what is appended, for a worker that has other things to do in between. */
import type {LogReader} from '../../log/types.ts';

/** The log is asked for so long at once, ms. */
const askMs = 250;

export class AppendNews {
  readonly #log: Pick<LogReader, 'waitForAppend'>;
  #asking: Promise<void> | undefined;
  /** The log told of something, and nobody was told yet. */
  #isNew = false;
  #wake: () => void = () => {};

  constructor(log: Pick<LogReader, 'waitForAppend'>) {
    this.#log = log;
  }

  /** Waits for an append, for `wake` or the time. @returns whether something was appended since this was said last. Throws what the log throws. */
  async next(ms: number): Promise<boolean> {
    if (!this.#isNew) {
      this.#asking ??= this.#ask();
      let timer: NodeJS.Timeout | undefined;
      const other = new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, ms);
      });
      await Promise.race([this.#asking, other]);
      clearTimeout(timer);
      this.#wake = () => {};
    }
    const isNew = this.#isNew;
    this.#isNew = false;
    return isNew;
  }

  /** Ends the wait. */
  wake(): void {
    this.#wake();
  }

  /** It goes on when the wait was ended otherwise. What it brings is kept: the log tells of nothing a second time. */
  async #ask(): Promise<void> {
    try {
      if (await this.#log.waitForAppend(askMs)) this.#isNew = true;
    } finally {
      this.#asking = undefined;
    }
  }
}
