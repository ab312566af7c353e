import {type Session, sessionCells} from './sessions-heap.ts';
import type {RestoredState} from './state.ts';
import {missingPiece} from './state-bytes.ts';
import type {Layout} from './state-cells.ts';
import {decodeSessions, type PendingRows} from './state-codec.ts';

/** A start that was superseded, and whose row may be in a sink. It holds a reference to its group until it is marked. */
export type Tombstone = {startMs: number; endMs: number; gid: number};

/** Sessions and tombstones on their way to the sinks. */
export type SessionRows = {sessions: Set<Session>; tombstones: Tombstone[]};

export const newRows = (): SessionRows => ({sessions: new Set(), tombstones: []});

export function moveRows(from: SessionRows, into: SessionRows): void {
  for (const session of from.sessions) into.sessions.add(session);
  into.tombstones.push(...from.tombstones.splice(0));
  from.sessions.clear();
}

export const isAmong = (session: Session, all: SessionRows[]): boolean =>
  all.some(({sessions}) => sessions.has(session));

export const pendingOf = ({startMs, endMs, gid}: Tombstone): PendingRows => ({startMs, endMs, gids: [gid]});

/** Every stored session; those of a group in order of start. @throws PlatformError CHECKPOINT_CORRUPT */
export function* readSessions(
  saved: RestoredState,
  layout: Layout,
): Generator<Pick<Session, 'startMs' | 'lastMs' | 'cells' | 'objects'> & {groupKey: string}> {
  const {cellCount} = layout;
  for (const key of saved.keys) {
    if (!key.startsWith('s/')) continue;
    const bytes = saved.read(key);
    if (!bytes) throw missingPiece(key);
    const {groupKeys, startsMs, lastsMs, cells, wide, objects} = decodeSessions(bytes, layout);
    const wideOf = groupKeys.map(() => new Map<number, bigint>());
    for (const [index, value] of wide) wideOf[Math.floor(index / cellCount)]!.set(index % cellCount, value);
    for (const [row, groupKey] of groupKeys.entries())
      yield {
        groupKey,
        startMs: startsMs[row]!,
        lastMs: lastsMs[row]!,
        cells: sessionCells(cells.slice(row * cellCount, (row + 1) * cellCount), wideOf[row]!),
        objects: objects.map((column) => column[row]!),
      };
  }
}
