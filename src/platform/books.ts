import {openLogReader} from '../log/embedded.ts';
import {lockOwner} from '../log/lock.ts';
import {hasLog} from '../log/open.ts';
import {partsOfRoles, type Role} from '../model/roles.ts';
import type {Platform} from '../model/types.ts';
import {buildLedger, type Ledger, type LedgerSources} from '../observe/ledger.ts';
import type {CheckpointHeader} from '../process/embedded/checkpoint.ts';
import {stateName} from '../process/embedded/checkpoint.ts';
import {openStateReader} from '../process/embedded/statestore.ts';
import {replayTopic} from '../schema/replay.ts';
import {dirsOf, type PlatformDirs, placesOf} from './places.ts';
import {readRevisions, revisionOf} from './revisions.ts';
import type {RawStatus} from './status.ts';

/**
 * The ledger as the files say it: ingest from the log, queries from their last checkpoints. Works beside a running platform;
 * only the delivery lines are the platform's own. @param logs directories of those that tell of ingest
 */
export function readLedger(
  platform: Platform,
  dirs: PlatformDirs,
  deliveries: LedgerSources['delivery'] = [],
  logs: readonly string[] = [dirs.log],
): Ledger {
  const opened = logs.map((dir) => openLogReader(dir));
  try {
    const queries = headersOf(platform, dirs).map(({domain, query, header}) => ({
      domain,
      query,
      counts: header.cuts.map((cut) => ({...cut, replayed: cut.replayed ?? 0})),
    }));
    return buildLedger({
      ingest: opened.flatMap((log) => log.ledger()),
      transformed: opened.flatMap((log) => log.transformed()),
      queries,
      delivery: bySink(deliveries),
    });
  } finally {
    for (const log of opened) log.close();
  }
}

/**
 * What processes of this platform that ended kept here; undefined when they kept nothing. @param isAnswered those that run tell their
 * own: they are left out
 */
export function readEnded(platform: Platform, dirs: PlatformDirs, isAnswered: boolean): Ledger | undefined {
  const runs = (roles?: readonly Role[]) =>
    isAnswered && lockOwner(placesOf({root: platform.root, ...(roles ? {roles} : {})}).lock) !== undefined;
  if (runs()) return undefined;
  const ended = partsOfRoles.filter((roles) => !runs(roles));
  const logs = [dirs.log, ...ended.map((roles) => dirsOf({...platform, roles}).log)].filter((dir) =>
    hasLog({dir}),
  );
  if (logs.length === 0) return undefined;
  const hasEngine = partsOfRoles.some((roles) => roles.includes('engine') && !ended.includes(roles));
  return readLedger(hasEngine ? {...platform, domains: []} : platform, dirs, [], logs);
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
