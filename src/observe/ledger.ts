import type {IngestCounts, TransformCounts} from '../log/types.ts';
import type {QueryCounts} from '../process/types.ts';

/** One line a (domain, event type, source): received = appended + duplicate + rejected. */
export type IngestLine = {
  domain: string;
  event_type: string;
  source: string;
  received: number;
  appended: number;
  duplicate: number;
  rejected: number;
  difference: number;
};

/** One line a (domain, event type, source): records that the transform was given, and what became of them. */
export type TransformLine = {
  domain: string;
  event_type: string;
  source: string;
  in: number;
  out: number;
  rejected: number;
};

/** One line a (query, topic, partition): read = aggregated + filtered + duplicate + late + dead. */
export type QueryLine = {
  domain: string;
  query: string;
  topic: string;
  partition: number;
  read: number;
  aggregated: number;
  corrected: number;
  late_in_part: number;
  /** Of those aggregated or filtered: late or dead at first, counted by replay since. */
  replayed: number;
  filtered: number;
  duplicate: number;
  late: number;
  dead: number;
  difference: number;
};

/** One line a sink: emitted = written + pending + dead, in rows since the process started. */
export type DeliveryLine = {
  sink: string;
  emitted: number;
  written: number;
  pending: number;
  /** Refused by the sink and kept as dead letters. */
  dead: number;
  difference: number;
};

/** Every event in exactly one class, read at the last checkpoint's cut; `balanced` when every difference is 0. */
export type Ledger = {
  ingest: IngestLine[];
  transform: TransformLine[];
  query: QueryLine[];
  delivery: DeliveryLine[];
  balanced: boolean;
};

export type LedgerSources = {
  ingest: IngestCounts[];
  transformed?: TransformCounts[];
  queries: {domain: string; query: string; counts: QueryCounts[]}[];
  delivery: {sink: string; emitted: number; written: number; pending: number; dead: number}[];
};

/** The parts of the ledger with the difference of each line, sorted by their keys. */
export function buildLedger({ingest, transformed = [], queries, delivery}: LedgerSources): Ledger {
  const ingestLines = ingest.map(({domain, eventType, source, received, appended, duplicate, rejected}) => ({
    domain,
    event_type: eventType,
    source,
    received,
    appended,
    duplicate,
    rejected,
    difference: received - appended - duplicate - rejected,
  }));
  const transformLines = transformed.map(({domain, eventType, source, in: given, out, rejected}) => ({
    domain,
    event_type: eventType,
    source,
    in: given,
    out,
    rejected,
  }));
  const queryLines = queries.flatMap(({domain, query, counts}) =>
    counts.map(
      ({
        topic,
        partition,
        read,
        aggregated,
        corrected,
        lateInPart,
        replayed,
        filtered,
        duplicate,
        late,
        dead,
      }) => ({
        domain,
        query,
        topic,
        partition,
        read,
        aggregated,
        corrected,
        late_in_part: lateInPart,
        replayed,
        filtered,
        duplicate,
        late,
        dead,
        difference: read - aggregated - filtered - duplicate - late - dead,
      }),
    ),
  );
  const deliveryLines = delivery.map(({sink, emitted, written, pending, dead}) => ({
    sink,
    emitted,
    written,
    pending,
    dead,
    difference: emitted - written - pending - dead,
  }));
  const key = (line: object) => Object.values(line).slice(0, 4).join('\0');
  const byKey = (a: object, b: object) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
  const lines = [...ingestLines, ...queryLines, ...deliveryLines];
  return {
    ingest: ingestLines.sort(byKey),
    transform: transformLines.sort(byKey),
    query: queryLines.sort(byKey),
    delivery: deliveryLines.sort(byKey),
    balanced: lines.every(({difference}) => difference === 0),
  };
}
