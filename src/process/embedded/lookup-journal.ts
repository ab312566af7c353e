/** Reading the lookup journal back: which snapshot counts at which place when the log is read again. */
import assert from 'node:assert/strict';
import type {QueryPlan} from '../plan/nodes.ts';
import {type LookupSwitch, stateName} from './checkpoint.ts';
import type {StateReader} from './statestore.ts';

type Place = {topic: string; partition: number; offset: number};

/** From `offset` of the (topic, partition) on, up to its next step, records see the snapshot. */
export type LookupStep = Place & {lookup: string; snapshot: string};

/** Names of the lookups that a query reads. */
export const lookupsOf = ({sources}: QueryPlan): string[] => [
  ...new Set(sources.flatMap(({enrich}) => enrich.map(({lookup}) => lookup))),
];

/**
 * The switches that a query's rows are made with: those of its own journal; for a revision that has none yet those of the
 * newest revision before it. Empty for a query without lookups and for one that never ran.
 * @throws PlatformError CHECKPOINT_CORRUPT, CHECKPOINT_IO
 */
export function readJournal(
  store: StateReader,
  plan: QueryPlan,
): {entries: LookupSwitch[]; isInherited: boolean} {
  if (lookupsOf(plan).length > 0)
    for (let {revision} = plan; revision > 0; revision--) {
      const entries = store.journal(stateName({id: plan.id, revision}));
      if (entries.length === 0) continue;
      return {
        entries: entries.map((entry) => JSON.parse(entry) as LookupSwitch),
        isInherited: revision !== plan.revision,
      };
    }
  return {entries: [], isInherited: false};
}

/**
 * The journal of a query that is about to read, and what of it is not written under its name yet: what it inherits, and the
 * first snapshots of lookups that no entry names. `hasRead`: records may have been read before with what it says. @param lookups lookup -> snapshot id that the query has
 * @throws PlatformError CHECKPOINT_CORRUPT, CHECKPOINT_IO
 */
export function completeJournal(
  store: StateReader,
  plan: QueryPlan,
  lookups: Record<string, string>,
  starts: Place[],
): {entries: LookupSwitch[]; unwritten: LookupSwitch[]; hasRead: boolean} {
  const {entries, isInherited} = readJournal(store, plan);
  const places = starts.map(({topic, partition, offset}) => ({topic, partition, offset}));
  const first = Object.entries(lookups)
    .filter(([name]) => entries.every(({lookup}) => lookup !== name))
    .map(([lookup, snapshot]): LookupSwitch => ({lookup, snapshot, places}));
  return {
    entries: [...entries, ...first],
    unwritten: [...(isInherited ? entries : []), ...first],
    hasRead: entries.length > 0,
  };
}

/** The snapshot that counts after all switches; undefined when no entry names the lookup. */
export const lastSnapshot = (entries: LookupSwitch[], name: string): string | undefined =>
  entries.findLast(({lookup}) => lookup === name)?.snapshot;

/**
 * What reading from `places` on has to follow, for every place and lookup in ascending order, beginning with the step in
 * effect there. Empty when every place is past its last step, so that `lookups` alone says everything.
 */
export function stepsFrom(
  entries: LookupSwitch[],
  places: Place[],
  lookups: Record<string, string>,
): LookupStep[] {
  const all: LookupStep[] = [];
  let isOver = true;
  for (const place of places)
    for (const [lookup, last] of Object.entries(lookups)) {
      const steps = stepsOf(entries, place, lookup);
      const at = Math.max(
        0,
        steps.findLastIndex(({offset}) => offset <= place.offset),
      );
      const ahead = steps.slice(at);
      if (ahead.some(({snapshot}) => snapshot !== last)) isOver = false;
      all.push(...ahead);
    }
  return isOver ? [] : all;
}

/** A later switch counts from its place on, whatever was journalled for places behind it: a log may have lost its end since. */
function stepsOf(entries: LookupSwitch[], {topic, partition}: Place, name: string): LookupStep[] {
  const steps: LookupStep[] = [];
  for (const {lookup, snapshot, places} of entries) {
    if (lookup !== name) continue;
    // A partition that was not there yet had no record before the switch.
    const offset =
      places.find((place) => place.topic === topic && place.partition === partition)?.offset ?? 0;
    while (steps.length > 0 && steps.at(-1)!.offset >= offset) steps.pop();
    steps.push({topic, partition, offset, lookup, snapshot});
  }
  return steps;
}

type Track = {lookup: string; steps: LookupStep[]; at: number};

/** Follows the steps of one feed's partitions, which it reads in any order. */
export class LookupHistory {
  #tracks = new Map<string, Track[]>();

  /** @param steps as `stepsFrom` gives them */
  constructor(steps: LookupStep[]) {
    for (const step of steps) {
      const place = `${step.topic} ${step.partition}`;
      const tracks = this.#tracks.get(place) ?? [];
      this.#tracks.set(place, tracks);
      const track = tracks.find(({lookup}) => lookup === step.lookup);
      if (track) track.steps.push(step);
      else tracks.push({lookup: step.lookup, steps: [step], at: 0});
    }
  }

  /** The steps in effect for a batch of records [fromOffset, nextOffset). Batches of a partition come in order. */
  inEffect(topic: string, partition: number, fromOffset: number, nextOffset: number): LookupStep[] {
    const tracks = this.#tracks.get(`${topic} ${partition}`) ?? [];
    return tracks.map((track) => {
      while ((track.steps[track.at + 1]?.offset ?? Infinity) <= fromOffset) track.at++;
      const next = track.steps[track.at + 1];
      // Cursors stand at ends of batches whenever a query holds for a switch, and a log never cuts its batches anew.
      assert.ok(
        !next || next.offset >= nextOffset,
        `a lookup switches within a batch of ${topic}/${partition}`,
      );
      return track.steps[track.at]!;
    });
  }

  /** The lookup has one snapshot for all places from now on. */
  forget(lookup: string): void {
    for (const [place, tracks] of this.#tracks)
      this.#tracks.set(
        place,
        tracks.filter((track) => track.lookup !== lookup),
      );
  }

  /** Every partition was read past its last step, by what `inEffect` was asked. */
  isOver(): boolean {
    for (const tracks of this.#tracks.values())
      for (const {steps, at} of tracks) if (at < steps.length - 1) return false;
    return true;
  }
}
