/** Injected faults: which event has one, and what it does to it. */

import {PlatformError} from '../errors.ts';
import type {GenerateFaults} from '../model/types.ts';
import {parseDuration, parseShare} from '../quantity.ts';
import {draws, hash} from './random.ts';

export const noFaults: GenerateFaults = {
  late: null,
  outOfOrder: null,
  duplicateShare: 0,
  corruptShare: 0,
  driftShare: 0,
};

/** `late` and `outOfOrder` change the event time, `corrupt` and `drift` the bytes. */
export type Fault = 'none' | 'corrupt' | 'drift' | 'late' | 'outOfOrder';

/** Decides the faults of events. */
export type FaultDecider = {
  /** No event has any. */
  readonly none: boolean;
  /** Of the event with these keys; at most one. */
  fault(a: number, b: number): Fault;
  /** How far its event time lies behind its place, whole ms. */
  shiftMs(fault: Fault, a: number, b: number): number;
  /** Whether it is sent a second time. */
  duplicate(a: number, b: number): boolean;
};

const limit = (share: number): number => share * 4294967296;

export function decideFaults(faults: GenerateFaults): FaultDecider {
  const {late, outOfOrder, duplicateShare, corruptShare, driftShare} = faults;
  const corrupt = limit(corruptShare);
  const drift = corrupt + limit(driftShare);
  const lateEnd = drift + limit(late?.share ?? 0);
  const end = lateEnd + limit(outOfOrder?.share ?? 0);
  const duplicates = limit(duplicateShare);
  return {
    none: end === 0 && duplicates === 0,
    fault(a, b) {
      if (end === 0) return 'none';
      const chance = hash(a, b, draws.fault) >>> 0;
      if (chance >= end) return 'none';
      if (chance < corrupt) return 'corrupt';
      return chance < drift ? 'drift' : chance < lateEnd ? 'late' : 'outOfOrder';
    },
    shiftMs(fault, a, b) {
      const range = fault === 'late' ? late : fault === 'outOfOrder' ? outOfOrder : null;
      if (!range) return 0;
      const share = (hash(a, b, draws.shift) >>> 0) / 4294967296;
      return Math.floor(range.fromMs + share * (range.toMs - range.fromMs + 1));
    },
    duplicate: (a, b) => duplicates > 0 && hash(a, b, draws.duplicate) >>> 0 < duplicates,
  };
}

/** Schema id of an event that drifted: no registry gives ids like it. */
export const driftedSchemaId = 0x7fff_fff0;

/** The bytes of a frame after its fault; a copy. */
export function damaged(frame: Uint8Array, fault: 'corrupt' | 'drift', a: number, b: number): Uint8Array {
  const bytes = Uint8Array.from(frame);
  if (fault === 'drift') {
    new DataView(bytes.buffer).setInt32(1, driftedSchemaId);
    return bytes;
  }
  const chance = hash(a, b, draws.damage) >>> 0;
  // Cut somewhere, or beginning with something else: neither can be read as an event, whatever its values are.
  if (chance & 1) bytes[0] = 1 + ((chance >>> 1) % 255);
  return chance & 1 ? bytes : bytes.slice(0, (chance >>> 1) % bytes.length);
}

const names = {
  late: 'late',
  out_of_order: 'outOfOrder',
  duplicate: 'duplicateShare',
  corrupt: 'corruptShare',
  schema_drift: 'driftShare',
} as const;

/**
 * `off`, `on` (as configured), or changes to the faults that are in effect: `late=5%,duplicate=0%,late=5%:30s..20m`.
 * @throws PlatformError USAGE when it cannot be read.
 */
export function parseFaults(
  text: string,
  current: GenerateFaults,
  configured: GenerateFaults,
): GenerateFaults {
  if (text === 'off') return noFaults;
  if (text === 'on') return configured;
  const faults = structuredClone(current);
  for (const item of text.split(',')) {
    const [, name = '', share = '', from, to] =
      /^\s*(\w+)\s*=\s*([\d.]+%)(?::(\w+)\.\.(\w+))?\s*$/.exec(item) ?? [];
    const value = parseShare(share);
    const [fromMs, toMs] = [from, to].map((each) => (each === undefined ? undefined : parseDuration(each)));
    const bad =
      value === undefined ||
      !Object.hasOwn(names, name) ||
      (from !== undefined && (fromMs === undefined || toMs === undefined || toMs < fromMs));
    if (bad)
      throw new PlatformError('USAGE', `"${item}" is no fault`, {
        hint: `off, on, or for example late=5%,duplicate=1%,out_of_order=10%:0s..5s; known: ${Object.keys(names).join(', ')}`,
      });
    const key = names[name as keyof typeof names];
    if (key === 'late' || key === 'outOfOrder') {
      const known = faults[key] ?? configured[key];
      const range =
        fromMs !== undefined && toMs !== undefined
          ? {fromMs, toMs}
          : {fromMs: known?.fromMs ?? 0, toMs: known?.toMs ?? (key === 'late' ? 1_200_000 : 5_000)};
      faults[key] = value === 0 ? null : {share: value, ...range};
    } else faults[key] = value;
  }
  const sum =
    (faults.late?.share ?? 0) + (faults.outOfOrder?.share ?? 0) + faults.corruptShare + faults.driftShare;
  if (sum > 1 + 1e-9)
    throw new PlatformError('USAGE', 'late, out_of_order, corrupt and schema_drift are together over 100%');
  return faults;
}
