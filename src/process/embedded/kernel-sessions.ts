import type {Keys} from './kernel-keys.ts';
import {
  addSlot,
  type CellOp,
  createPane,
  mergeSlots,
  newSlot,
  type ObjectOp,
  type Pane,
  paneBytes,
  paneDelta,
  place,
} from './kernel-pane.ts';
import type {SessionDelta} from './types.ts';

/**
 * Sessions of a delta: for each group disjoint intervals of accepted events that the gap does not join. All intervals live in
 * one pane, a slot each; its table leads from a group's key to the interval that took the group's last event.
 */
export type Sessions = {
  pane: Pane;
  /** First event of a slot's interval, epoch ms. */
  starts: Float64Array;
  /** Last event of a slot's interval, epoch ms. */
  lasts: Float64Array;
  /** The slot for an event; `slot` is the one that the table leads to, -1 when there is none. */
  slot(key: number, slot: number, timeMs: number, codes: Int32Array): number;
  take(): SessionDelta[];
  bytes(): number;
  clear(): void;
};

export function createSessions(gapMs: number, ops: CellOp[], objects: ObjectOp[], keys: Keys): Sessions {
  /** Slots of a group that has, or had, several intervals. */
  let several = new Map<number, number[]>();
  const empty = () => createPane(false, -Infinity, Infinity, ops.length, objects);

  function begin(slot: number, timeMs: number): number {
    if (slot >= sessions.starts.length) {
      sessions.starts = grown(sessions.starts, slot * 2);
      sessions.lasts = grown(sessions.lasts, slot * 2);
    }
    sessions.starts[slot] = timeMs;
    sessions.lasts[slot] = timeMs;
    return slot;
  }

  const joins = (slot: number, timeMs: number): boolean =>
    timeMs >= sessions.starts[slot]! - gapMs && timeMs <= sessions.lasts[slot]! + gapMs;

  function extend(slot: number, timeMs: number): void {
    if (timeMs < sessions.starts[slot]!) sessions.starts[slot] = timeMs;
    if (timeMs > sessions.lasts[slot]!) sessions.lasts[slot] = timeMs;
  }

  /** The interval among `slots` that takes the event, or a new one; intervals that the event joins become one. */
  function settle(slots: number[], key: number, group: number, timeMs: number): number {
    const {pane} = sessions;
    const [first, ...others] = slots.filter((slot) => joins(slot, timeMs));
    const into = first ?? begin(newSlot(pane, key, group, ops), timeMs);
    extend(into, timeMs);
    for (const slot of others) {
      mergeSlots(pane, into, slot, ops);
      extend(into, sessions.starts[slot]!);
      extend(into, sessions.lasts[slot]!);
      pane.keys[slot] = -1;
    }
    const left = slots.filter((slot) => slot !== into && !others.includes(slot));
    several.set(group, [...left, into]);
    place(pane, key, into);
    return into;
  }

  const sessions: Sessions = {
    pane: empty(),
    starts: new Float64Array(64),
    lasts: new Float64Array(64),
    slot(key, slot, timeMs, codes) {
      const {pane} = sessions;
      if (slot < 0) return begin(addSlot(pane, key, keys.group(key, codes), keys.space(), ops), timeMs);
      const group = pane.groups[slot]!;
      const slots = several.get(group);
      if (slots && slots.length > 1) return settle(slots, key, group, timeMs);
      if (!joins(slot, timeMs)) return settle([slot], key, group, timeMs);
      extend(slot, timeMs);
      return slot;
    },
    take() {
      const {pane} = sessions;
      // Every slot has an event, so those of the delta are those of the pane.
      const taken = paneDelta(pane, ops);
      if (taken === undefined) return [];
      const {groups, cells, wide, objects: finished} = taken;
      const stride = ops.length;
      const deltas: SessionDelta[] = [];
      for (let slot = 0; slot < pane.slots; slot++) {
        if (pane.keys[slot]! < 0) continue;
        const from = slot * stride;
        const own = new Map<number, bigint>();
        if (wide.size > 0)
          for (let i = 0; i < stride; i++) {
            const exact = wide.get(from + i);
            if (exact !== undefined) own.set(i, exact);
          }
        deltas.push({
          group: groups[slot]!,
          startMs: sessions.starts[slot]!,
          lastMs: sessions.lasts[slot]!,
          cells: cells.slice(from, from + stride),
          wide: own,
          objects: finished.map((column) => column[slot]!),
        });
      }
      sessions.clear();
      return deltas;
    },
    bytes: () => paneBytes(sessions.pane) + sessions.starts.byteLength * 2 + several.size * 100,
    clear() {
      sessions.pane = empty();
      several = new Map();
    },
  };
  return sessions;
}

function grown(array: Float64Array, length: number): Float64Array {
  const next = new Float64Array(length);
  next.set(array);
  return next;
}
