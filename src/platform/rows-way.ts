import type {PlatformError} from '../errors.ts';
import type {Table} from '../model/types.ts';
import type {Delivery} from '../sinks/delivery.ts';
import type {Sink} from '../sinks/types.ts';
import type {RowsFeed} from './rows-feed.ts';
import type {RowsStatus} from './status.ts';

/** The rows of one table on their way into one sink. */
export type RowsWay = {
  id: string;
  sinkName: string;
  sink: Sink;
  table: Table;
  feed: RowsFeed;
  delivery: Delivery;
  stop: AbortController;
  /** Resolves the wait for news. */
  wake(): void;
  stopped: PlatformError | undefined;
  /** What went wrong last and is tried again. */
  waits: PlatformError | undefined;
  done: Promise<void>;
};

/** As the platform's status has it. */
export function statusOfWay({sinkName, id, delivery, feed, stopped, waits}: RowsWay): RowsStatus {
  const reason = stopped ?? delivery.reason() ?? waits;
  const state = delivery.state();
  return {
    sink: sinkName,
    table: id,
    state: stopped || state === 'closed' ? 'stopped' : waits ? 'paused' : state,
    ...delivery.counts(),
    lagRows: feed.lagRows,
    lagMs: delivery.waitingMs(),
    skipped: feed.skipped,
    ...(reason ? {message: `${reason.code} ${reason.message}`} : {}),
    ...(reason?.place ? {place: reason.place} : {}),
  };
}
