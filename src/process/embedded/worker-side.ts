import type {SideOutput} from './worker-messages.ts';

/** Batches of late and dead records that may be on their way to the log before the query stops reading. */
const batchesMax = 8;

/** What one query sets aside, until it is durable. */
export class SideGate {
  #send: (batch: number, side: SideOutput) => void;
  #last = 0;
  #under = new Set<number>();
  #waiters: (() => void)[] = [];

  constructor(send: (batch: number, side: SideOutput) => void) {
    this.#send = send;
  }

  /** Forgets what is on its way: a restart comes by it again. Batches are numbered from `first` on. */
  begin(first: number): void {
    this.#last = first;
    this.#under.clear();
    for (const wake of this.#waiters.splice(0)) wake();
  }

  send(side: SideOutput): void {
    const batch = ++this.#last;
    this.#under.add(batch);
    this.#send(batch, side);
  }

  durable(batch: number): void {
    this.#under.delete(batch);
    if (this.#under.size === 0) for (const wake of this.#waiters.splice(0)) wake();
  }

  /** Resolves when nothing is on its way. */
  async settled(): Promise<void> {
    if (this.#under.size > 0) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  get isEmpty(): boolean {
    return this.#under.size === 0;
  }

  get isFull(): boolean {
    return this.#under.size >= batchesMax;
  }
}
