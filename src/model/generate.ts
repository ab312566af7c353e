/** Section `generate:` of a domain: checked, with every default filled in. */
import type {Path} from '../config/diagnostics.ts';
import {suggest} from '../config/nearest.ts';
import {quote} from '../config/nodes.ts';
import {parseDuration} from '../quantity.ts';
import type {GenerateConfig} from './config.ts';
import {type EventTypes, findEventType} from './event-types.ts';
import {buildValue, durationOf, readDistribution} from './generate-values.ts';
import type {Reporter} from './reporter.ts';
import type {Distribution, Generate, GeneratedValue, Lookup} from './types.ts';

const root: Path = ['generate'];
/** Sums of decimal probabilities are off by their rounding. */
const slack = 1e-9;

/** What a domain without the section is generated with, when someone asks for it. */
export const plainGenerate: Generate = {
  seed: 1,
  startMs: null,
  rate: {perSecond: 100, daily: null, bursts: null},
  keys: {},
  sessions: null,
  mix: {},
  values: {},
  faults: {late: null, outOfOrder: null, duplicateShare: 0, corruptShare: 0, driftShare: 0},
};

/** Builds the section as far as it is right; mistakes go to the reporter. */
export function buildGenerate(
  config: GenerateConfig,
  eventTypes: EventTypes,
  lookups: ReadonlyMap<string, Lookup | undefined>,
  reporter: Reporter,
): Generate {
  const sessions = buildSessions(config, eventTypes, reporter);
  const fields = [...eventTypes.byName.values()].flatMap(({eventType}) => eventType.fields);
  const names = new Set(fields.map(({name}) => name));
  const keys: Generate['keys'] = {};
  for (const [name, key] of Object.entries(config.keys ?? {})) {
    const field = fields.find((each) => each.name === name);
    const path = [...root, 'keys', name];
    if (!field) unknownField(name, names, path, reporter);
    else if (!['string', 'int', 'long', 'uuid'].includes(field.type))
      reporter.error(path, 'GENERATE_VALUE', `${quote(name)} is a ${field.type}, which is no key`, {
        onKey: true,
      });
    if (key?.count === undefined) continue;
    if (key.count < 1 || key.count > countMax)
      reporter.error([...path, 'count'], 'VALUE_RANGE', `a key space has 1 to ${countMax} keys`);
    keys[name] = {count: key.count, zipf: key.zipf ?? 0, pattern: key.pattern ?? null};
  }
  for (const name of Object.keys(config.mix ?? {}))
    findEventType(name, eventTypes, [...root, 'mix', name], reporter);
  if (sessions && Object.keys(config.mix ?? {}).length > 0)
    reporter.error([...root, 'mix'], 'GENERATE_VALUE', 'sessions say which events come: mix has no effect', {
      onKey: true,
      hint: 'remove one of them',
    });
  const startMs = config.start === undefined ? null : Date.parse(config.start);
  if (startMs !== null && Number.isNaN(startMs))
    reporter.error([...root, 'start'], 'VALUE_INVALID', `${quote(config.start!)} is no date`);
  return {
    seed: config.seed ?? 1,
    startMs,
    rate: buildRate(config, reporter),
    keys,
    sessions,
    mix: {...config.mix},
    values: buildValues(config, eventTypes, lookups, sessions !== null, names, reporter),
    faults: buildFaults(config, reporter),
  };
}

/** An alias table has eight bytes a key. */
const countMax = 5_000_000;

function unknownField(name: string, names: ReadonlySet<string>, path: Path, reporter: Reporter): void {
  reporter.error(path, 'FIELD_UNKNOWN', `no event type of this domain has a field ${quote(name)}`, {
    onKey: true,
    hint: suggest(name, names),
  });
}

function buildRate({rate}: GenerateConfig, reporter: Reporter): Generate['rate'] {
  const path = [...root, 'rate'];
  const {daily, bursts} = rate ?? {};
  if (rate?.base !== undefined && (rate.base <= 0 || rate.base > 1e8))
    reporter.error(path, 'VALUE_RANGE', 'a rate is above 0 and at most 100M/s');
  const [hours = 18, minutes = 0] = (daily?.peak ?? '18:00').split(':').map(Number);
  if (daily?.low === 0) reporter.error([...path, 'daily', 'low'], 'VALUE_RANGE', 'the rate never falls to 0');
  const {every, for: length, times} = bursts ?? {};
  if (every !== undefined && length !== undefined && (length >= every || length < 1000))
    reporter.error(
      [...path, 'bursts', 'for'],
      'VALUE_RANGE',
      'a burst lasts at least 1s and is shorter than its period',
    );
  return {
    perSecond: rate?.base ?? 100,
    daily: daily?.low === undefined ? null : {lowShare: daily.low, peakMs: (hours * 60 + minutes) * 60_000},
    bursts:
      every === undefined || length === undefined || times === undefined
        ? null
        : {everyMs: every, forMs: length, times},
  };
}

function buildSessions(
  {sessions}: GenerateConfig,
  eventTypes: EventTypes,
  reporter: Reporter,
): Generate['sessions'] {
  if (!sessions) return null;
  const path = [...root, 'sessions'];
  const {entity, start, id = 'session_id', open_max: openMax = 65_536} = sessions;
  const withEntity = [...eventTypes.byName.values()].map(({eventType}) => eventType.fields);
  const names = new Set(withEntity.flatMap((fields) => fields.map(({name}) => name)));
  if (entity !== undefined && !names.has(entity)) {
    reporter.error(
      [...path, 'entity'],
      'FIELD_UNKNOWN',
      `no event type of this domain has a field ${quote(entity)}`,
      {
        hint: suggest(entity, names),
      },
    );
  }
  if (start !== undefined) findEventType(start, eventTypes, [...path, 'start'], reporter);
  if (openMax < 1 || openMax > 1_000_000)
    reporter.error([...path, 'open_max'], 'VALUE_RANGE', 'from 1 to 1M sessions are kept');
  const steps: Record<string, Record<string, number>> = {};
  for (const [from, targets] of Object.entries(sessions.steps ?? {})) {
    findEventType(from, eventTypes, [...path, 'steps', from], reporter);
    let sum = 0;
    for (const [to, share] of Object.entries(targets ?? {})) {
      findEventType(to, eventTypes, [...path, 'steps', from, to], reporter);
      sum += share ?? 0;
    }
    if (sum > 1 + slack)
      reporter.error(
        [...path, 'steps', from],
        'GENERATE_SHARES',
        `the steps from ${from} sum to ${+sum.toFixed(6)}`,
        {
          onKey: true,
          hint: 'probabilities sum to at most 1; the rest ends the session',
        },
      );
    steps[from] = {...targets};
  }
  if (!reaches(steps, start ?? ''))
    reporter.error(
      [...path, 'steps'],
      'GENERATE_SHARES',
      'sessions never end: every step leads to another one',
      {
        onKey: true,
        hint: 'leave something to 1 in a step that is reached',
      },
    );
  const pause = buildPause(sessions.pause ?? '10s', [...path, 'pause'], reporter);
  if (entity === undefined || start === undefined) return null;
  return {entity, id, start, steps, pause, openMax};
}

/** Whether a session can end: from every event type that is reached, one that leaves something to 1 is reached. */
function reaches(steps: Record<string, Record<string, number>>, start: string): boolean {
  const targets = (from: string) =>
    Object.entries(steps[from] ?? {})
      .filter(([, share]) => share > 0)
      .map(([to]) => to);
  const ends = (from: string) =>
    Object.values(steps[from] ?? {}).reduce((sum, share) => sum + share, 0) < 1 - slack;
  const reached = (from: string): Set<string> => {
    const seen = new Set([from]);
    for (const name of seen) for (const to of targets(name)) seen.add(to);
    return seen;
  };
  return [...reached(start)].every((from) => [...reached(from)].some(ends));
}

function buildPause(raw: unknown, path: Path, reporter: Reporter): Distribution {
  const fixed = durationOf(raw);
  if (fixed !== undefined) return {kind: 'uniform', from: fixed, to: fixed};
  const [kind, value] = Object.entries((raw ?? {}) as object)[0] ?? [];
  if (kind === 'uniform' || kind === 'normal' || kind === 'lognormal') {
    const found = readDistribution(kind, value, [...path, kind], reporter, durationOf);
    if (found) return found;
  } else
    reporter.error(path, 'GENERATE_VALUE', 'a pause is a duration or a distribution of durations', {
      hint: 'for example {lognormal: [20s, 1.0]}',
    });
  return {kind: 'uniform', from: 10_000, to: 10_000};
}

function buildFaults({faults = {}}: GenerateConfig, reporter: Reporter): Generate['faults'] {
  const path = [...root, 'faults'];
  const shift = (name: 'late' | 'out_of_order') => {
    const {share, by} = faults[name] ?? {};
    if (share === undefined || by === undefined) return null;
    const range = parseRange(by);
    if (!range) {
      reporter.error([...path, name, 'by'], 'VALUE_INVALID', `${quote(by)} is no range of durations`, {
        hint: 'write from..to: 30s..20m',
      });
      return null;
    }
    return {share, ...range};
  };
  const built = {
    late: shift('late'),
    outOfOrder: shift('out_of_order'),
    duplicateShare: faults.duplicate ?? 0,
    corruptShare: faults.corrupt ?? 0,
    driftShare: faults.schema_drift ?? 0,
  };
  const sum =
    (built.late?.share ?? 0) + (built.outOfOrder?.share ?? 0) + built.corruptShare + built.driftShare;
  if (sum > 1 + slack)
    reporter.error(
      path,
      'GENERATE_SHARES',
      `late, out_of_order, corrupt and schema_drift are together ${+(sum * 100).toFixed(3)}%`,
      {
        hint: 'an event has one of them at most: together up to 100%',
      },
    );
  return built;
}

/** "30s..20m" -> ms; undefined when it is none. */
export function parseRange(text: string): {fromMs: number; toMs: number} | undefined {
  const [from, to, more] = text.split('..').map((part) => parseDuration(part));
  return from === undefined || to === undefined || more !== undefined || to < from || to > 36_500 * 86_400_000
    ? undefined
    : {fromMs: from, toMs: to};
}

function buildValues(
  config: GenerateConfig,
  eventTypes: EventTypes,
  lookups: ReadonlyMap<string, Lookup | undefined>,
  hasSessions: boolean,
  names: ReadonlySet<string>,
  reporter: Reporter,
): Generate['values'] {
  const values: Record<string, GeneratedValue> = {};
  const around = {eventTypes, lookups, hasSessions, reporter};
  // `<event type>.<field>` says more than `<field>`, wherever it stands.
  const entries = Object.entries(config.values ?? {}).sort(
    ([a], [b]) => Number(a.includes('.')) - Number(b.includes('.')),
  );
  for (const [name, raw] of entries) {
    const path = [...root, 'values', name];
    const [only, field = name] = name.includes('.') ? name.split('.', 2) : [undefined, name];
    if (only !== undefined && !findEventType(only, eventTypes, path, reporter)) continue;
    const having = [...eventTypes.byName.values()].filter(
      ({eventType}) =>
        (only === undefined || eventType.name === only) &&
        eventType.fields.some((each) => each.name === field),
    );
    if (having.length === 0) unknownField(field, names, path, reporter);
    if (field === 'event_id' || field === 'timestamp') {
      reporter.error(path, 'GENERATE_VALUE', `${field} is made by the generator itself`, {onKey: true});
      continue;
    }
    for (const {eventType} of having) {
      const target = eventType.fields.find((each) => each.name === field)!;
      const built = buildValue(raw, eventType.name, target, path, around);
      // One mistake is told once, however many event types have the field.
      if (!built) break;
      values[`${eventType.name}.${field}`] = built;
    }
  }
  return values;
}
