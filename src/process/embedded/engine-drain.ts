/** A drain under way: the workers that have not settled yet what they had read. */
export class Drain {
  readonly #left: Set<number>;
  readonly #settled = Promise.withResolvers<boolean>();
  #isOver = false;

  constructor(workers: number) {
    this.#left = new Set(Array.from({length: workers}, (_, worker) => worker));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  drained(worker: number): void {
    this.#left.delete(worker);
    if (this.#left.size === 0) this.#end(true);
  }

  /** The workers end as they are. */
  end(): void {
    this.#end(false);
  }

  /** Resolves with whether all of them have settled, after so long at the latest. */
  async within(ms: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<boolean>((resolve) => {
      if (ms < Infinity) timer = setTimeout(resolve, ms, false);
    });
    return Promise.race([this.#settled.promise, over]).finally(() => clearTimeout(timer));
  }

  #end(isSettled: boolean): void {
    this.#isOver = true;
    this.#settled.resolve(isSettled);
  }
}
