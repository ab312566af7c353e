import type {Value} from '../../expr/types.ts';
import type {QueryPlan} from '../plan/nodes.ts';
import {addQuantile, createQuantile, isBetter} from './accumulators.ts';
import type {TextDictionary} from './dictionary.ts';
import type {KernelSource} from './kernel.ts';
import type {EdgeKind} from './kernel-code.ts';
import type {Keys} from './kernel-keys.ts';
import {
  addSlot,
  type CellOp,
  cellOps,
  clearTable,
  createPane,
  emptyPane,
  layOut,
  type ObjectOp,
  objectOps,
  type Pane,
  paneBytes,
  paneDelta,
  sampledBytes,
  slotOf,
} from './kernel-pane.ts';
import {createSessions, type Sessions} from './kernel-sessions.ts';
import {extendTokens} from './kernel-tokens.ts';
import {addWide} from './kernel-wide.ts';
import {paneSpan} from './kernel-window.ts';
import type {AccumulatorObject, Delta, PaneDelta} from './types.ts';

/**
 * What a kernel has added up since it was taken last: panes, sessions, records for the side topics. Generated code works on
 * its fields directly.
 */
export type Store = {
  ops: CellOp[];
  objects: ObjectOp[];
  /** The pane of the last row; generated code begins with it. */
  pane: Pane;
  /** Of the partition that is being walked. */
  maxMs: number;
  /** The plan's, or Infinity in a batch whose records count whatever their lateness. */
  watermarkMs: number;
  filtered: number;
  corrected: number;
  duplicates: number;
  /** By row of the batch that is walked: 1 for a duplicate; only with `dedup`. */
  isDuplicate: Uint8Array;
  /** Set by generated code in front of a row whose codes have no room in keys. */
  wantsKeys: boolean;
  shifts: Int32Array;
  limits: Int32Array;
  groups: Keys['groups'];
  /** Codes of the row for which a slot is asked. */
  codes: Int32Array;
  numberCode(dimension: number, value: number): number;
  pair(level: number, a: number, b: number): number;
  /** The pane of an instant; null when its end and the horizon lie at or before `lateMs`. */
  paneAt(timeMs: number, lateMs: number): Pane | null;
  /** The state of one window alone, for events that only some of their windows take. */
  ownPane(startMs: number, endMs: number): Pane;
  addSlot(pane: Pane, key: number): number;
  /** Slot of a key, or -1. */
  findSlot(pane: Pane, key: number): number;
  /** Slot of a key, made when it is new, with its codes in `codes`. */
  slot(pane: Pane, key: number): number;
  /** Lets keys and panes grow when codes have appeared that have no room. */
  makeRoom(): void;
  /** Session windows: when a slot's session takes events without a look at others, and the way to the right slot. */
  starts: Float64Array;
  lasts: Float64Array;
  sessionSlot(key: number, slot: number, timeMs: number): number;
  addWide(pane: Pane, cell: number, value: number): void;
  extendTokens: typeof extendTokens;
  quantile(objects: (AccumulatorObject | null)[], slot: number, value: number): void;
  edge(
    source: KernelSource,
    objects: (AccumulatorObject | null)[],
    slot: number,
    op: 'first' | 'last',
    edge: number,
    timeMs: number,
    row: number,
    value: number,
  ): void;
  side: Delta['side'];
  rekey(): void;
  take(): Pick<Delta, 'firstGroup' | 'newGroups' | 'panes' | 'sessions' | 'side'>;
  bytes(): number;
  clear(): void;
};

/** Emptied panes kept for their arrays. */
const spareMax = 2;

export function createStore(plan: QueryPlan, keys: Keys, edgeTexts: TextDictionary): Store {
  const ops = cellOps(plan.accumulators);
  const objects = objectOps(plan.accumulators);
  const spanOf = paneSpan(plan.window);
  const horizonMs = plan.late === 'correct' ? plan.correctForMs : 0;
  const panes = new Map<number, Pane>();
  const own = new Map<number, Pane>();
  const spares: Pane[] = [];
  const create = (isOwn: boolean, startMs: number, endMs: number) =>
    createPane(isOwn, startMs, endMs, ops.length, objects, spares.pop());
  // Of no instant: the first row asks for its own.
  const nowhere = createPane(false, NaN, NaN, ops.length, objects);
  let taken = 0;

  /** What a pane has; it stays when most of its groups had events, else its arrays are kept for another one. */
  function takePane(pane: Pane): PaneDelta | undefined {
    const delta = paneDelta(pane, ops);
    if (!pane.own && delta && delta.groups.length * 4 >= pane.slots) emptyPane(pane, ops);
    else {
      if (!pane.own) panes.delete(pane.startMs);
      if (spares.length < spareMax) spares.push(clearTable(pane));
    }
    return delta;
  }
  const sessions: Sessions | undefined =
    plan.window.type === 'session' ? createSessions(plan.window.gapMs, ops, objects, keys) : undefined;

  const store: Store = {
    ops,
    objects,
    pane: sessions?.pane ?? nowhere,
    maxMs: -Infinity,
    watermarkMs: plan.watermarkMs,
    filtered: 0,
    corrected: 0,
    duplicates: 0,
    isDuplicate: new Uint8Array(0),
    wantsKeys: false,
    shifts: keys.shifts,
    limits: keys.limits,
    groups: keys.groups,
    codes: new Int32Array(plan.groupBy.length),
    numberCode: keys.numberCode,
    pair: keys.pair,
    paneAt(timeMs, lateMs) {
      const {startMs, endMs} = spanOf(timeMs);
      if (endMs + horizonMs <= lateMs) return null;
      let pane = panes.get(startMs);
      if (pane === undefined) panes.set(startMs, (pane = create(false, startMs, endMs)));
      store.pane = pane;
      return pane;
    },
    ownPane(startMs, endMs) {
      let pane = own.get(startMs);
      if (pane === undefined) own.set(startMs, (pane = create(true, startMs, endMs)));
      return pane;
    },
    addSlot: (pane, key) => addSlot(pane, key, keys.group(key, store.codes), keys.space(), ops),
    findSlot: slotOf,
    makeRoom() {
      if (!keys.wantsRoom()) return;
      keys.grow();
      store.rekey();
    },
    slot(pane, key) {
      const known = slotOf(pane, key);
      return known >= 0 ? known : store.addSlot(pane, key);
    },
    starts: sessions?.starts ?? new Float64Array(0),
    lasts: sessions?.lasts ?? new Float64Array(0),
    sessionSlot(key, slot, timeMs) {
      const found = sessions!.slot(key, slot, timeMs, store.codes);
      store.starts = sessions!.starts;
      store.lasts = sessions!.lasts;
      return found;
    },
    addWide,
    extendTokens,
    quantile: (hot, slot, value) =>
      addQuantile((hot[slot] ??= createQuantile()) as ReturnType<typeof createQuantile>, value),
    edge(source, hot, slot, op, edge, timeMs, row, value) {
      const known = hot[slot] as Parameters<typeof isBetter>[0] | null;
      const eventId = source.scope.eventId(row);
      if (known && !isBetter(known, timeMs, eventId)) return;
      hot[slot] = {op, timeMs, eventId, value: edgeValue(source, source.code.edges[edge]!, value, edgeTexts)};
    },
    side: [],
    rekey() {
      const count = plan.groupBy.length;
      for (const pane of [...panes.values(), ...own.values(), ...(sessions ? [sessions.pane] : [])]) {
        for (let slot = 0; slot < pane.slots; slot++)
          if (pane.keys[slot]! >= 0)
            pane.keys[slot] = keys.keyOf(keys.groups.codes, pane.groups[slot]! * count);
        layOut(pane, keys.space());
      }
    },
    take() {
      const firstGroup = taken;
      const newGroups = keys.values(firstGroup);
      taken = keys.size();
      const deltas = [...panes.values(), ...own.values()].flatMap((pane) => takePane(pane) ?? []);
      own.clear();
      const {side} = store;
      store.side = [];
      const intervals = sessions?.take() ?? [];
      store.pane = sessions?.pane ?? nowhere;
      return {firstGroup, newGroups, panes: deltas, sessions: intervals, side};
    },
    bytes: () =>
      [...panes.values(), ...own.values(), ...spares].reduce((sum, pane) => sum + paneBytes(pane), 0) +
      (sessions?.bytes() ?? 0) +
      sampledBytes(store.side, ({frame}) => frame.length + 100),
    clear() {
      taken = 0;
      spares.length = 0;
      panes.clear();
      sessions?.clear();
      store.pane = sessions?.pane ?? nowhere;
    },
  };
  return store;
}

function edgeValue(source: KernelSource, edge: EdgeKind, value: number, texts: TextDictionary): Value {
  switch (edge.kind) {
    case 'number':
      return value;
    case 'boolean':
      return value === 1;
    case 'column':
      return source.decoder.dictionaries[edge.column]!.text(value);
    case 'text':
      return texts.text(value);
  }
}
