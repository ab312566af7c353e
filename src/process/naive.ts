import {evaluate} from '../expr/evaluate.ts';
import {ExpressionFailure} from '../expr/failure.ts';
import type {Value} from '../expr/types.ts';
import type {CheckedType} from '../model/checked.ts';
import type {WindowSpec} from '../model/types.ts';
import {type Group, type Kept, type NaiveRow, rowOf} from './naive-rows.ts';
import type {AccumulatorPlan, QueryPlan, SourcePlan} from './plan/nodes.ts';
import type {LookupSnapshot, QueryCounts} from './types.ts';

/**
 * The obvious evaluator: keeps every event of every group of every window and computes rows at the end. Slow, short and
 * independent of the engine, which is tested against it.
 */
export type NaiveEvent = {
  topic: string;
  partition: number;
  offset: number;
  /** Logged fields by name; `timestamp` is a number. A mark has only a timestamp. */
  values: Record<string, Value>;
  /** When it was appended, epoch ms; absent: its time is not judged by it. */
  appendTimeMs?: number;
  /** Another program appended it: its checks are judged here. */
  isUnchecked?: boolean;
  mark?: boolean;
};

export type NaiveResult = {
  rows: NaiveRow[];
  counts: QueryCounts[];
  late: {topic: string; partition: number; offset: number; missed: number[]}[];
  dead: {topic: string; partition: number; offset: number}[];
};

/** @param events in log order within each partition; the order among partitions does not matter. */
export function naive(
  plan: QueryPlan,
  events: Iterable<NaiveEvent>,
  lookups: Map<string, LookupSnapshot> = new Map(),
): NaiveResult {
  const maxima = new Map<string, number>();
  const groups = new Map<string, Group>();
  const sessions = new Map<string, {dimensions: Value[]; events: Kept[]}>();
  const result: NaiveResult = {rows: [], counts: [], late: [], dead: []};
  const horizonMs = plan.late === 'correct' ? plan.correctForMs : 0;
  const seen: {place: string; id: Value; timeMs: number}[] = [];

  for (const {topic, partition, offset, values, appendTimeMs, isUnchecked, mark} of events) {
    const source = plan.sources.find((candidate) => candidate.topic === topic);
    if (!source) continue;
    const place = `${topic}/${partition}`;
    const timeMs = Number(values.timestamp);
    const counts = countsOf(result.counts, topic, partition);
    if (!mark) counts.read++;
    const isFuture = appendTimeMs !== undefined && timeMs > appendTimeMs + plan.futureMaxMs;
    const checks = isUnchecked && plan.checks?.find((type) => type.topic === topic);
    if (isFuture || (checks && !passes(checks, values))) {
      counts.dead++;
      result.dead.push({topic, partition, offset});
      continue;
    }
    maxima.set(place, Math.max(maxima.get(place) ?? -Infinity, timeMs));
    if (mark) continue;
    const watermarkMs = maxima.get(place)! - plan.watermarkMs;
    if (plan.dedupMs !== undefined) {
      const floorMs = maxima.get(place)! - plan.dedupMs;
      const id = values.event_id ?? null;
      const isDuplicate = seen.some(
        (other) => other.place === place && other.id === id && other.timeMs > floorMs,
      );
      seen.push({place, id, timeMs});
      if (isDuplicate) {
        counts.duplicate++;
        continue;
      }
    }
    let kept: Kept;
    try {
      const row = columnsOfEvent(source, values, lookups);
      const get = (name: string) => row[name] ?? null;
      if (plan.where && evaluate(plan.where, get) !== true) {
        counts.filtered++;
        continue;
      }
      kept = {timeMs, row, args: plan.accumulators.map((accumulator) => argument(accumulator, get))};
    } catch (error) {
      if (!(error instanceof ExpressionFailure)) throw error;
      counts.dead++;
      result.dead.push({topic, partition, offset});
      continue;
    }
    const dimensions = plan.groupBy.map(({name}) => kept.row[name] ?? null);
    const groupKey = keyOf(dimensions);
    if (plan.window.type === 'session') {
      if (timeMs < watermarkMs - horizonMs) {
        counts.late++;
        result.late.push({topic, partition, offset, missed: [timeMs]});
        continue;
      }
      counts.aggregated++;
      if (timeMs < watermarkMs) counts.corrected++;
      const group = sessions.get(groupKey) ?? {dimensions, events: []};
      sessions.set(groupKey, group);
      group.events.push(kept);
      continue;
    }
    const windows = windowsOf(plan.window, timeMs);
    const taken = windows.filter(({endMs}) => endMs + horizonMs > watermarkMs);
    if (taken.length === 0) {
      counts.late++;
      result.late.push({topic, partition, offset, missed: windows.map(({startMs}) => startMs)});
      continue;
    }
    counts.aggregated++;
    if (taken.length < windows.length) counts.lateInPart++;
    if (taken.some(({endMs}) => endMs <= watermarkMs)) counts.corrected++;
    for (const window of taken) {
      const key = `${window.startMs} ${groupKey}`;
      const group = groups.get(key) ?? {...window, dimensions, events: []};
      groups.set(key, group);
      group.events.push(kept);
    }
  }

  for (const {dimensions, events: all} of sessions.values())
    for (const chain of chains(all, plan.window.type === 'session' ? plan.window.gapMs : 0))
      result.rows.push(rowOf(plan, {...chain, dimensions}));
  for (const group of groups.values()) result.rows.push(rowOf(plan, group));
  return result;
}

function passes({derive, checks}: CheckedType, values: Record<string, Value>): boolean {
  const row = {...values};
  const get = (name: string) => row[name] ?? null;
  try {
    for (const {name, expr} of derive) row[name] = evaluate(expr, get);
    return checks.every(({expr}) => evaluate(expr, get) !== false);
  } catch (error) {
    if (error instanceof ExpressionFailure) return false;
    throw error;
  }
}

function countsOf(all: QueryCounts[], topic: string, partition: number): QueryCounts {
  const known = all.find((counts) => counts.topic === topic && counts.partition === partition);
  if (known) return known;
  const zero = {
    read: 0,
    aggregated: 0,
    corrected: 0,
    lateInPart: 0,
    filtered: 0,
    duplicate: 0,
    late: 0,
    dead: 0,
    replayed: 0,
  };
  return all[all.push({topic, partition, ...zero}) - 1]!;
}

/** Columns of an event as a query sees them: logged, derived, enriched. @throws ExpressionFailure */
export function columnsOfEvent(
  source: SourcePlan,
  values: Record<string, Value>,
  lookups: Map<string, LookupSnapshot>,
): Record<string, Value> {
  const row: Record<string, Value> = {event_type: source.eventType};
  for (const {name} of source.fields) row[name] = values[name] ?? null;
  const get = (name: string) => row[name] ?? null;
  for (const {name, expr} of source.derive) row[name] = evaluate(expr, get);
  for (const {lookup, on, take} of source.enrich) {
    const snapshot = lookups.get(lookup);
    const key = get(on);
    const found = key === null ? undefined : snapshot?.rows.get(key);
    for (const {name, from} of take) row[name] = found?.[snapshot!.columns.indexOf(from)] ?? null;
  }
  return row;
}

function argument(accumulator: AccumulatorPlan, get: (name: string) => Value): Value {
  if (accumulator.op !== 'count') return evaluate(accumulator.arg, get);
  if (accumulator.filter) return evaluate(accumulator.filter, get) === true ? 1 : null;
  return accumulator.arg ? evaluate(accumulator.arg, get) : 1;
}

/** Dimension values as text that tells types and NULL apart. */
const keyOf = (values: Value[]): string =>
  values
    .map((value) => (value === null ? 'n' : `${typeof value} ${String(value).length} ${value}`))
    .join('|');

/** The windows that hold an instant, earliest first; not for sessions. */
export function windowsOf(window: WindowSpec, timeMs: number): {startMs: number; endMs: number}[] {
  switch (window.type) {
    case 'tumbling': {
      const startMs = Math.floor(timeMs / window.sizeMs) * window.sizeMs;
      return [{startMs, endMs: startMs + window.sizeMs}];
    }
    case 'sliding': {
      const windows = [];
      for (
        let startMs = Math.floor(timeMs / window.slideMs) * window.slideMs;
        startMs > timeMs - window.sizeMs;
        startMs -= window.slideMs
      )
        windows.push({startMs, endMs: startMs + window.sizeMs});
      return windows.reverse();
    }
    case 'calendar':
      return [calendarWindow(window.unit, window.timezone, timeMs)];
    case 'session':
      throw new Error('sessions are not assigned event by event');
  }
}

const formats = new Map<string, Intl.DateTimeFormat>();
const firstInstants = new Map<string, number>();

/** Local date "YYYY-MM-DD" of an instant. */
function localDate(timezone: string, timeMs: number): string {
  let format = formats.get(timezone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-CA', {
      timeZone: timezone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
    });
    formats.set(timezone, format);
  }
  return format.format(timeMs);
}

/**
 * First instant whose local date is `date` or later. Minute by minute, since where the clock goes back over midnight local dates
 * do not only grow; from before the date begins anywhere.
 */
function firstInstant(timezone: string, date: string): number {
  const key = `${timezone} ${date}`;
  const known = firstInstants.get(key);
  if (known !== undefined) return known;
  let timeMs = Date.parse(`${date}T00:00:00Z`) - 16 * 3_600_000;
  while (localDate(timezone, timeMs) < date) timeMs += 60_000;
  firstInstants.set(key, timeMs);
  return timeMs;
}

function calendarWindow(unit: 'day' | 'week' | 'month', timezone: string, timeMs: number) {
  const text = (date: Date) => date.toISOString().slice(0, 10);
  const following = (date: Date) => {
    const next = new Date(date);
    if (unit === 'month') next.setUTCMonth(next.getUTCMonth() + 1);
    else next.setUTCDate(next.getUTCDate() + (unit === 'week' ? 7 : 1));
    return next;
  };
  let first = new Date(`${localDate(timezone, timeMs)}T00:00:00Z`);
  if (unit === 'week') first.setUTCDate(first.getUTCDate() - ((first.getUTCDay() + 6) % 7));
  if (unit === 'month') first.setUTCDate(1);
  // An instant with yesterday's date, after the clock went back over midnight: today has begun already.
  if (firstInstant(timezone, text(following(first))) <= timeMs) first = following(first);
  return {
    startMs: firstInstant(timezone, text(first)),
    endMs: firstInstant(timezone, text(following(first))),
  };
}

function chains(events: Kept[], gapMs: number): {startMs: number; endMs: number; events: Kept[]}[] {
  const found: {startMs: number; endMs: number; events: Kept[]}[] = [];
  for (const event of [...events].sort((a, b) => a.timeMs - b.timeMs)) {
    const last = found.at(-1);
    if (last && event.timeMs <= last.endMs) {
      last.events.push(event);
      last.endMs = event.timeMs + gapMs;
    } else found.push({startMs: event.timeMs, endMs: event.timeMs + gapMs, events: [event]});
  }
  return found;
}
