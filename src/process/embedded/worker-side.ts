import type {SideOutput} from './worker-messages.ts';

/** Batches of late and dead records that may be on their way to the log before the query stops reading. */
const batchesMax = 8;

/** What one query sets aside, until it is durable. */
export class SideGate {
  #send: (batch: number, side: SideOutput) => void;
  #last = 0;
  #under = new Set<number>();
  #waiters: ((isDurable: boolean) => void)[] = [];

  constructor(send: (batch: number, side: SideOutput) => void) {
    this.#send = send;
  }

  /** Forgets what is on its way: a restart comes by it again. Batches are numbered from `first` on. */
  begin(first: number): void {
    this.#last = first;
    this.forget();
  }

  /** The query stopped: no checkpoint may wait for this any more, since it will not become durable. */
  forget(): void {
    this.#under.clear();
    for (const wake of this.#waiters.splice(0)) wake(false);
  }

  send(side: SideOutput): void {
    const batch = ++this.#last;
    this.#under.add(batch);
    this.#send(batch, side);
  }

  durable(batch: number): void {
    this.#under.delete(batch);
    if (this.#under.size === 0) for (const wake of this.#waiters.splice(0)) wake(true);
  }

  /** Resolves when nothing is on its way: with false when it was forgotten instead. */
  async settled(): Promise<boolean> {
    return this.#under.size === 0 || new Promise<boolean>((resolve) => this.#waiters.push(resolve));
  }

  get isEmpty(): boolean {
    return this.#under.size === 0;
  }

  get isFull(): boolean {
    return this.#under.size >= batchesMax;
  }
}
