/** Fills revisions beside what runs: slowly enough for what runs, and up to the same place as what runs. */
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import {type LogSource, type OpenLogOptions, openLog} from '../log/open.ts';
import {topicsOf} from '../process/embedded/topics-read.ts';
import {passesByItself} from '../process/embedded/worker-again.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {QueryStatus} from '../process/types.ts';
import type {Filling, Steering} from './change-steering.ts';
import type {EngineHost} from './engine.ts';

export type FillLine = {
  query: string;
  revision: number;
  /** Events that are still to be read, and how many there are in all. */
  lagEvents: number;
  events: number;
  eventsPerSecond: number;
  /** Estimated, at the rate so far; null before there is one. */
  secondsLeft: number | null;
  /** It waits for the queries that run. */
  isThrottled: boolean;
  /** What it stands still for until that passes: a full disk under its checkpoints, say. */
  standsFor?: string;
};

type Place = {topic: string; partition: number; offset: number};

const lookMs = 50;
const tellMs = 500;
/** As good as caught up: the rest is read while the ends are made equal. */
const nearEvents = 50_000;

/** Brokers that do not answer are not waited for longer by one look at the log: what waits for them says so then, ms. */
export const patienceMs = 2_000;

/** Where the log ends now in every partition that a query reads. @throws KAFKA_* */
export async function logEnds(
  source: LogSource,
  plan: QueryPlan,
  options: OpenLogOptions = {},
): Promise<Place[]> {
  const log = await openLog(source, {...options, topics: topicsOf(plan)});
  try {
    return topicsOf(plan).flatMap((topic) =>
      Array.from({length: log.partitions(topic)}, (_, partition) => ({
        topic,
        partition,
        offset: log.endOffset(topic, partition),
      })),
    );
  } finally {
    log.close();
  }
}

/**
 * Lets revisions read until each is near the log's end. While a query that runs lags more than `lagMaxMs` they wait.
 * What passes by itself is waited for.
 * @throws REBUILD_STOPPED when one of them stops for good
 */
export async function* catchUp(
  engine: EngineHost,
  filling: Filling,
  {lagMaxMs, signal}: {lagMaxMs: number; signal: AbortSignal},
): AsyncGenerator<FillLine> {
  const begun = new Map<string, {atMs: number; lagEvents: number}>();
  const last = new Map<string, FillLine>();
  let toldMs = performance.now();
  let isThrottled = false;
  for (;;) {
    signal.throwIfAborted();
    const lines: FillLine[] = [];
    let isNear = true;
    for (const {id, revision} of filling.plans) {
      const steering = filling.steer(id);
      steering.report();
      const known = steering.status();
      const status = checked(known, id, revision);
      if (!status && known)
        lines.push({...(last.get(id) ?? unread(id, revision)), standsFor: waitsText(known)});
      if (!status || status.lagEvents > nearEvents || (status.positions ?? []).length === 0) isNear = false;
      if (!status) continue;
      const first = begun.get(id) ?? {atMs: performance.now(), lagEvents: status.lagEvents};
      begun.set(id, first);
      const line = lineOf(status, revision, first, isThrottled);
      last.set(id, line);
      lines.push(line);
    }
    if (isNear) {
      for (const {id} of filling.plans) filling.steer(id).resume();
      yield* lines;
      failpoint('change.caught-up');
      return;
    }
    isThrottled = throttle(engine, filling, isThrottled, lagMaxMs);
    if (performance.now() - toldMs >= tellMs) {
      toldMs = performance.now();
      failpoint('change.filling');
      yield* lines;
    }
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}

function lineOf(
  {query, lagEvents, counts}: QueryStatus,
  revision: number,
  first: {atMs: number; lagEvents: number},
  isThrottled: boolean,
): FillLine {
  const seconds = (performance.now() - first.atMs) / 1000;
  const eventsPerSecond = seconds > 0 ? Math.max(0, (first.lagEvents - lagEvents) / seconds) : 0;
  return {
    query,
    revision,
    lagEvents,
    events: lagEvents + counts.reduce((sum, {read}) => sum + read, 0),
    eventsPerSecond: Math.round(eventsPerSecond),
    secondsLeft: eventsPerSecond > 0 ? Math.round((lagEvents / eventsPerSecond) * 10) / 10 : null,
    isThrottled,
  };
}

const unread = (query: string, revision: number): FillLine => ({
  query,
  revision,
  lagEvents: 0,
  events: 0,
  eventsPerSecond: 0,
  secondsLeft: null,
  isThrottled: false,
});

const waitsText = ({reason}: QueryStatus): string => `${reason?.code} ${reason?.message}`;

/** What runs comes first: revisions stop reading when it lags, and go on when it lags half as much. @returns whether they wait */
function throttle(engine: EngineHost, filling: Filling, isThrottled: boolean, lagMaxMs: number): boolean {
  const live = engine.status();
  if (live[0]) engine.steer(live[0].query).report();
  const lagMs = Math.max(0, ...live.map((status) => (status.state === 'running' ? status.lagMs : 0)));
  const waits = mustWait(isThrottled, lagMs, lagMaxMs);
  if (waits === isThrottled) return waits;
  for (const {id} of filling.plans) {
    if (waits) filling.steer(id).pause();
    else filling.steer(id).resume();
  }
  return waits;
}

/** Whether a filling waits, having waited before or not: from more than the limit until half of it. */
export const mustWait = (waited: boolean, lagMs: number, lagMaxMs: number): boolean =>
  lagMs > (waited ? lagMaxMs / 2 : lagMaxMs);

/** @returns undefined before it told anything, and while it waits for what passes by itself. @throws REBUILD_STOPPED */
function checked(status: QueryStatus | undefined, query: string, revision: number): QueryStatus | undefined {
  if (status && beginsAgain(status)) return undefined;
  if (status?.state !== 'stopped' && status?.state !== 'failed') return status;
  throw new PlatformError(
    'REBUILD_STOPPED',
    `revision ${revision} of ${query} stopped: ${status.reason?.code} ${status.reason?.message}`,
    {
      cause: status.reason,
      hint: status.reason?.hint ?? 'mend the cause, then do the same again: it goes on where it was',
      ...(status.reason?.place === undefined ? {} : {place: status.reason.place}),
    },
  );
}

const passing = new Set<string | undefined>(['SINK_SLOW', 'SINK_UNAVAILABLE', 'SINK_LOST']);

const beginsAgain = ({state, reason}: QueryStatus): boolean =>
  state === 'stopped' && passesByItself(reason?.code);

/** Whether a query reads, or will again by itself: one that has begun, and waits for a sink, or for its checkpoint's disk. */
export const goesOn = (status: QueryStatus): boolean =>
  status.state === 'running' ||
  beginsAgain(status) ||
  (status.state === 'paused' && passing.has(status.reason?.code) && status.positions !== undefined);

/**
 * Brings the old and the new revision to the same place in every partition and holds them there, with all rows of it
 * acknowledged. The old one stands still only for as long as the new one needs for the last records.
 * @param old undefined when it does not run
 * @param ends where the log ends in what the plan reads
 * @returns false when the old one cannot be brought anywhere; the new one has then read what the log held
 */
export async function meet(
  old: Steering | undefined,
  filling: Filling,
  plan: QueryPlan,
  {ends, signal}: {ends: () => Promise<Place[]>; signal: AbortSignal},
): Promise<boolean> {
  const now = filling.steer(plan.id);
  const reach = async (steering: Steering, places: Place[], isNew: boolean): Promise<Place[] | undefined> => {
    for (;;) {
      signal.throwIfAborted();
      steering.report();
      const status = isNew ? checked(steering.status(), plan.id, plan.revision) : steering.status();
      if (!isNew && status && !goesOn(status)) return undefined;
      // Where one stood that begins again from its checkpoint says nothing.
      const positions = (status && !beginsAgain(status) && status.positions) || [];
      const isThere = places.every(({topic, partition, offset}) =>
        positions.some(
          (each) => each.topic === topic && each.partition === partition && each.offset >= offset,
        ),
      );
      // What was said before it was told where to stop says nothing: two looks at the same place do.
      if (isThere && status?.isClean) return positions;
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  };
  const near = await ends();
  now.until(near);
  await reach(now, near, true);
  if (!old) {
    now.until(null);
    return false;
  }
  const last = await ends();
  old.until(last);
  let stood = await reach(old, last, false);
  for (let again: Place[] | undefined; stood; stood = again) {
    await new Promise((resolve) => setTimeout(resolve, lookMs));
    again = await reach(old, last, false);
    if (JSON.stringify(again) === JSON.stringify(stood)) break;
  }
  if (!stood) {
    now.until(null);
    return false;
  }
  now.until(stood);
  await reach(now, stood, true);
  failpoint('change.met');
  return true;
}
