/** The way of a query's rows into one of its sinks, beside those into the others. */
import type {EmittedRows, QueryStatus} from '../process/types.ts';
import type {Delivery} from '../sinks/delivery.ts';
import type {MarkHealth} from '../sinks/marker.ts';
import type {RowBatch} from '../sinks/types.ts';
import type {DeliveryStatus} from './status.ts';

/** Rows that may wait for a sink that is slower than another one of its query. */
const heldRowsMax = 50_000;

export class Way {
  readonly sinkName: string;
  readonly delivery: Delivery;
  readonly marks: MarkHealth;
  #last: Promise<void> = Promise.resolve();
  /** What is in the sink; undefined before all rows of a place were. */
  #reached: EmittedRows['through'] | undefined;

  constructor(sinkName: string, delivery: Delivery, marks: MarkHealth) {
    this.sinkName = sinkName;
    this.delivery = delivery;
    this.marks = marks;
  }

  /** Resolves when the rows are durable in the sink. */
  push(rows: RowBatch, through: EmittedRows['through']): Promise<void> {
    this.#last = this.delivery.push(rows).then(() => {
      if (through.length > 0) this.#reached = through;
    });
    return this.#last;
  }

  /** Everything that was pushed until now is durable: rows are written in the order in which they came. Rejects when it was given up. */
  get settled(): Promise<void> {
    return this.#last;
  }

  get isFull(): boolean {
    return this.delivery.heldRows() > heldRowsMax;
  }

  /** Gives up what is pending; what comes after it does not depend on it. */
  abandon(): void {
    this.delivery.abandon();
    this.#last = Promise.resolve();
  }

  /** @param table `<namespace>.<table>` @param query what the engine says of it */
  status(table: string, query: QueryStatus | undefined): DeliveryStatus {
    const {delivery} = this;
    const state = delivery.state();
    const reason = delivery.reason();
    const counts = delivery.counts();
    return {
      sink: this.sinkName,
      table,
      state: state === 'closed' ? 'stopped' : state,
      ...counts,
      lagEvents: (query?.lagEvents ?? 0) + (counts.pending > 0 ? this.#behind(query?.positions ?? []) : 0),
      lagMs: Math.max(query?.lagMs ?? 0, delivery.waitingMs()),
      ...(reason ? {message: `${reason.code} ${reason.message}`} : {}),
      ...(reason?.place ? {place: reason.place} : {}),
    };
  }

  /** Events that were read since what is in the sink. */
  #behind(positions: NonNullable<QueryStatus['positions']>): number {
    const reached = this.#reached ?? [];
    return positions.reduce((sum, {topic, partition, offset}) => {
      const there = reached.find((each) => each.topic === topic && each.partition === partition);
      return sum + (there ? Math.max(0, offset - there.offset) : 0);
    }, 0);
  }
}

/**
 * Gives rows to all sinks of a query. One that is slower than another holds it only when too many rows wait for it.
 * @param isStrict they are taken when all have them
 */
export function pushAll(
  ways: readonly Way[],
  rows: RowBatch,
  through: EmittedRows['through'],
  isStrict: boolean,
): Record<'taken' | 'written', Promise<void>> {
  const pushed = ways.map((way) => way.push(rows, through));
  const written = Promise.all(pushed).then(() => {});
  if (isStrict || ways.length === 1) return {taken: written, written};
  const taken = Promise.any(pushed)
    .catch(() => written)
    .then(() => Promise.all(pushed.filter((_, index) => ways[index]!.isFull)))
    .then(() => {});
  return {taken, written};
}
