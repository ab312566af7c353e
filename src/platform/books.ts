import {openLogReader} from '../log/embedded.ts';
import type {Platform} from '../model/types.ts';
import {buildLedger, type Ledger, type LedgerSources} from '../observe/ledger.ts';
import type {CheckpointHeader} from '../process/embedded/checkpoint.ts';
import {stateName} from '../process/embedded/checkpoint.ts';
import {openStateReader} from '../process/embedded/statestore.ts';
import {replayTopic} from '../schema/replay.ts';
import type {PlatformDirs} from './places.ts';
import {readRevisions, revisionOf} from './revisions.ts';
import type {RawStatus} from './status.ts';

/**
 * The ledger as the files say it: ingest from the log, queries from their last checkpoints. Works beside a running platform;
 * only the delivery lines are the platform's own.
 */
export function readLedger(
  platform: Platform,
  dirs: PlatformDirs,
  deliveries: LedgerSources['delivery'] = [],
): Ledger {
  const log = openLogReader(dirs.log);
  try {
    const queries = headersOf(platform, dirs).map(({domain, query, header}) => ({
      domain,
      query,
      counts: header.cuts.map((cut) => ({...cut, replayed: cut.replayed ?? 0})),
    }));
    return buildLedger({
      ingest: log.ledger(),
      transformed: log.transformed(),
      queries,
      delivery: bySink(deliveries),
    });
  } finally {
    log.close();
  }
}

/** Running maximum of event time by partition of a topic, as far as checkpoints know it, epoch ms; null: no event yet. */
export function readMaxima(platform: Platform, dirs: PlatformDirs, topic: string): (number | null)[] {
  const maxima: (number | null)[] = [];
  for (const {header} of headersOf(platform, dirs))
    for (const cut of header.cuts) {
      if (cut.topic !== topic || !Number.isFinite(Number(cut.maxTimeMs))) continue;
      maxima[cut.partition] = Math.max(maxima[cut.partition] ?? 0, Number(cut.maxTimeMs));
    }
  return Array.from(maxima, (ms) => ms ?? null);
}

/** How far every query's last checkpoint reaches. */
export const cutsOf = (
  platform: Platform,
  dirs: PlatformDirs,
): {query: string; topic: string; partition: number; offset: number}[] =>
  headersOf(platform, dirs).flatMap(({domain, query, header}) => {
    const id = `${domain}.${query}`;
    const replays = {topic: replayTopic(id), partition: 0, offset: header.replay?.offset ?? 0};
    return [...header.cuts, replays].map(({topic, partition, offset}) => ({
      query: id,
      topic,
      partition,
      offset,
    }));
  });

function headersOf(
  platform: Platform,
  dirs: PlatformDirs,
): {domain: string; query: string; header: CheckpointHeader}[] {
  const revisions = readRevisions(dirs.revisions);
  const states = openStateReader(dirs.state);
  try {
    return platform.domains.flatMap(({name: domain, aggregations}) =>
      aggregations.flatMap(({name: query}) => {
        const id = `${domain}.${query}`;
        const loaded = states.load(stateName({id, revision: revisionOf(revisions, id)}));
        return loaded ? [{domain, query, header: JSON.parse(loaded.meta) as CheckpointHeader}] : [];
      }),
    );
  } finally {
    states.close();
  }
}

/** Raw deliveries as lines of the ledger: what was handed to the sink is written, being written or set aside. */
export const rawLines = (raw: RawStatus[]): LedgerSources['delivery'] =>
  raw.map(({sink, written, pending, dead}) => ({
    sink,
    emitted: written + pending + dead,
    written,
    pending,
    dead,
  }));

function bySink(deliveries: LedgerSources['delivery']): LedgerSources['delivery'] {
  const sums = new Map<string, LedgerSources['delivery'][number]>();
  for (const {sink, emitted, written, pending, dead} of deliveries) {
    const sum = sums.get(sink) ?? {sink, emitted: 0, written: 0, pending: 0, dead: 0};
    sums.set(sink, sum);
    sum.emitted += emitted;
    sum.written += written;
    sum.pending += pending;
    sum.dead += dead;
  }
  return [...sums.values()];
}
