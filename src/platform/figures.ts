import type {IngestCounts} from '../log/types.ts';
import {buildLedger, type Ledger} from '../observe/ledger.ts';
import type {Metrics, Readings} from '../observe/metrics.ts';
import type {Parts} from './parts.ts';
import type {PlatformStatus, RawStatus, RowsStatus} from './status.ts';
import {totalsOf} from './totals.ts';

/** Figures of a running platform as they were when they were looked at last. */
export type Figures = {
  /** Looks at the log's books and at the raw deliveries. */
  refresh(parts: Pick<Parts, 'log' | 'outputs'>): Promise<void>;
  raw(): RawStatus[];
  /** Rows are delivered from topics here: what their deliveries say. */
  deliversRows(status: () => RowsStatus[]): void;
  /** For the metrics. */
  readings(parts: Pick<Parts, 'engine' | 'outputs' | 'events' | 'registry' | 'dirs' | 'spool'>): Readings;
  totals(parts: Pick<Parts, 'engine' | 'outputs'>): PlatformStatus['totals'];
  /** Counts rows that were written: an observer of the metrics. */
  observe: Metrics['observers'][number];
};

export function createFigures(): Figures {
  let counts: IngestCounts[] = [];
  let raw: RawStatus[] = [];
  let rows: () => RowsStatus[] = () => [];
  /** Since this process started. */
  let rowsWritten = 0;
  return {
    async refresh({log, outputs}) {
      counts = log.ledger();
      raw = await outputs.raw.status();
    },
    raw: () => raw,
    deliversRows(status) {
      rows = status;
    },
    readings: ({engine, outputs, events, registry, dirs, spool}) => ({
      queries: engine.status(),
      raw: raw.flatMap(({lagEvents, ...rest}) => (lagEvents === null ? [] : [{...rest, lagEvents}])),
      rows: rows(),
      delivery: [...outputs.deliveries(engine.status()), ...rows()].map(
        ({sink, table, pending, state, lagMs, ...more}) => ({
          sink,
          table,
          pending,
          paused: state !== 'running',
          lagMs,
          ...('lagEvents' in more ? {lagEvents: more.lagEvents} : {}),
        }),
      ),
      events: events.inFlight(),
      ...(dirs.registry.server ? {registryAvailable: registry.status().state === 'running'} : {}),
      ...(spool.status() ? {spool: spool.status()!} : {}),
      shares: events.shares(),
    }),
    totals: (parts) => totalsOf(counts, parts.engine, rowsWritten, liveLedger(counts, parts).balanced),
    observe(name, event) {
      if (name === 'RowsWritten') rowsWritten += (event as {rows: number}).rows;
    },
  };
}

/** The ledger from what is in memory: cheap, and as old as its figures. */
const liveLedger = (ingest: IngestCounts[], {engine, outputs}: Pick<Parts, 'engine' | 'outputs'>): Ledger =>
  buildLedger({
    ingest,
    queries: engine.status().map(({query, counts: lines}) => {
      const [domain = '', name = ''] = query.split('.');
      return {domain, query: name, counts: lines};
    }),
    delivery: outputs.deliveries(),
  });
