/** What differs around events and queries: lookups, inputs, sinks, log, engine, server, defaults. */
import type {Domain, Input, Lookup, Platform} from '../model/types.ts';
import {formatDuration} from '../quantity.ts';
import {type Change, type ChangeClass, type ChangeDetail, type ChangeKind, highest} from './plan-types.ts';

type Rule = {class: ChangeClass; effect?: string};

/** Differences of two flat objects, one detail a key. */
function flatDetails(
  before: object,
  after: object,
  rule: (key: string, old: unknown, now: unknown) => Rule,
): ChangeDetail[] {
  const old = before as Record<string, unknown>;
  const now = after as Record<string, unknown>;
  return [...new Set([...Object.keys(old), ...Object.keys(now)])]
    .filter((key) => exact(old[key]) !== exact(now[key]))
    .map((key) => ({
      what: key,
      before: shown(key, old[key]),
      after: shown(key, now[key]),
      ...rule(key, old[key], now[key]),
    }));
}

/** Text of a value whatever the order of its keys. */
export const exact = (value: unknown): string | undefined =>
  JSON.stringify(value, (_key, each: unknown) =>
    each !== null && typeof each === 'object' && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );

function shown(key: string, value: unknown): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number' && (/Ms$/.test(key) || key === 'retention')) return formatDuration(value);
  return typeof value === 'string' ? value : exact(value)!;
}

export const changeOf = (
  kind: ChangeKind,
  name: string,
  details: ChangeDetail[],
  more: Partial<Change> = {},
): Change => ({
  class: highest(details.map((detail) => detail.class)),
  kind,
  action: 'change',
  name,
  details,
  consumers: [],
  lost: [],
  restart: false,
  ...more,
});

const safe = (effect?: string): Rule => (effect ? {class: 'safe', effect} : {class: 'safe'});

/** Lookups of a domain. */
export function lookupChanges(before: Domain, after: Domain): Change[] {
  return pairs<Lookup>(before.lookups, after.lookups, (old, now, name) => {
    const id = `${after.name}.${name}`;
    if (!old || !now)
      return changeOf('lookup', id, [], {action: old ? 'remove' : 'add', class: 'safe', restart: true});
    const columns = new Map(old.columns.map((column) => [column.name, column.type]));
    const added = now.columns.filter((column) => !columns.has(column.name)).map((column) => column.name);
    const details = flatDetails(old, now, (key) =>
      key === 'columns' && added.length > 0
        ? safe(`${added.join(', ')} is NULL for records that saw an older file`)
        : safe('for records that are read from now on'),
    );
    return details.length > 0 ? changeOf('lookup', id, details, {restart: true}) : undefined;
  });
}

/** Inputs of a domain; one under a new name reads its files again, under new event ids. */
export function inputChanges(before: Domain, after: Domain): Change[] {
  const gone = before.inputs.filter(({name}) => !after.inputs.some((input) => input.name === name));
  return pairs<Input>(before.inputs, after.inputs, (old, now, name) => {
    const id = `${after.name}.${name}`;
    if (old && now) {
      const details = flatDetails(old, now, () => safe('for files that are ingested from now on'));
      return details.length > 0 ? changeOf('input', id, details, {restart: true}) : undefined;
    }
    if (old) {
      const heir = after.inputs.find(
        (input) => isHeir(old, input) && !before.inputs.some((each) => each.name === input.name),
      );
      return heir ? undefined : changeOf('input', id, [], {action: 'remove', class: 'safe', restart: true});
    }
    const was = gone.find((input) => isHeir(input, now!));
    if (!was) return changeOf('input', id, [], {action: 'add', class: 'safe', restart: true});
    const hasIds = Object.hasOwn(now!.map, 'event_id');
    const detail: ChangeDetail = {
      class: hasIds ? 'safe' : 'breaking',
      what: 'name',
      before: was.name,
      after: name,
      effect: hasIds
        ? 'its files are read again; events are known by their ids and not counted twice'
        : 'its files are read again as new ones: the ids of their events are made of the name, so they count twice',
    };
    return changeOf('input', id, [detail], {
      action: 'rename',
      from: `${after.name}.${was.name}`,
      consumers: hasIds ? [] : [`every query over ${after.name}.${now!.eventType}`],
      restart: true,
    });
  });
}

const isHeir = (old: Input, now: Input): boolean => exact({...old, name: ''}) === exact({...now, name: ''});

function pairs<T extends {name: string}>(
  before: T[],
  after: T[],
  compare: (old: T | undefined, now: T | undefined, name: string) => Change | undefined,
): Change[] {
  const old = new Map(before.map((each) => [each.name, each]));
  const now = new Map(after.map((each) => [each.name, each]));
  return [...new Set([...old.keys(), ...now.keys()])].flatMap(
    (name) => compare(old.get(name), now.get(name), name) ?? [],
  );
}

/** Defaults of a domain that are not part of its queries: raw events, dead letters, compatibility. */
export function defaultsChange(before: Domain, after: Domain): Change | undefined {
  const lost: string[] = [];
  const details = [
    ...flatDetails(before.defaults, after.defaults, (key, old) => {
      if (key !== 'raw') return safe();
      if (old === null) return safe('it is filled from what the log holds');
      lost.push(`raw events in ${String(old)} are no longer kept up; what it has stays`);
      return {class: 'destructive', effect: `${String(old)} gets no more raw events`};
    }).filter(({what}) => ['raw', 'compatibility', 'futureMaxMs'].includes(what)),
    ...flatDetails(before.defaults.deadLetters, after.defaults.deadLetters, (key, old, now) => {
      if (key !== 'retentionMs' || Number(now) >= Number(old)) return safe();
      lost.push(`dead letters older than ${formatDuration(Number(now))}`);
      return {class: 'destructive', effect: 'older dead letters are deleted'};
    }).map((detail) => ({...detail, what: `dead_letters.${detail.what}`})),
  ];
  if (details.length === 0) return undefined;
  const consumers =
    lost.length > 0 && before.defaults.raw !== after.defaults.raw && before.defaults.raw !== null
      ? after.eventTypes.map(({topic}) => `readers of raw table ${topic} in ${before.defaults.raw}`)
      : [];
  return changeOf('domain', after.name, details, {lost, consumers, restart: true});
}

/** Sinks, by name. `usedBy`: queries whose rows went there. */
export function sinkChanges(before: Platform, after: Platform, usedBy: (sink: string) => string[]): Change[] {
  const named = ({sinks}: Platform) => Object.entries(sinks).map(([name, choice]) => ({name, ...choice}));
  return pairs(named(before), named(after), (old, now, name) => {
    if (!old) return changeOf('sink', name, [], {action: 'add', class: 'safe', restart: true});
    const queries = usedBy(name);
    if (!now)
      return changeOf('sink', name, [], {
        action: 'remove',
        class: queries.length > 0 ? 'destructive' : 'safe',
        consumers: queries.map((query) => `readers of view ${query} in ${name}`),
        lost: queries.length > 0 ? [`rows in ${name} are no longer kept up; what it has stays`] : [],
        restart: true,
      });
    const details = flatDetails(old, now, (key) =>
      key === 'backend' || queries.length > 0
        ? {class: 'revision', effect: 'a place that is empty is filled from the log at the next start'}
        : safe(),
    );
    return details.length > 0
      ? changeOf('sink', name, details, {
          consumers: queries.map((query) => `readers of view ${query} in ${name}`),
          restart: true,
        })
      : undefined;
  });
}

/** Log, registry, engine, server, plugins. */
export function platformChanges(before: Platform, after: Platform): Change[] {
  const lost: string[] = [];
  const log = [
    ...(before.log.backend === after.log.backend
      ? []
      : [
          {
            class: 'destructive' as const,
            what: 'backend',
            before: before.log.backend,
            after: after.log.backend,
            effect: 'the old log is not read any more',
          },
        ]),
    ...flatDetails(before.log.options, after.log.options, (key, old, now) => {
      if (key === 'partitions') return safe('topics that exist keep their number; new ones get it');
      if (key === 'topics') return safe('topics that exist stay as they are; new ones are made so');
      if (key === 'dir') {
        lost.push(`the log in ${String(old)}: it is not read any more`);
        return {class: 'destructive', effect: 'the old log is not read any more'};
      }
      if (key !== 'retention' || typeof now !== 'number' || (typeof old === 'number' && now >= old))
        return safe();
      lost.push(
        `events older than ${formatDuration(now)}, once every query and raw table has them; a later rebuild lacks them`,
      );
      return {class: 'destructive', effect: 'older events are deleted from the log'};
    }),
  ];
  const changes: Change[] = [];
  if (log.length > 0) changes.push(changeOf('log', 'log', log, {lost, restart: true}));
  // A record of before there were leases says nothing of them: that is no change.
  const engineBefore = Object.assign({leaseMs: after.engine.leaseMs}, before.engine);
  const engine = flatDetails(engineBefore, after.engine, (key, old) =>
    key === 'checkpointsDir'
      ? {
          class: 'destructive',
          effect: `the state in ${String(old)} is not used any more: every query is read again from the log`,
        }
      : safe(),
  );
  if (engine.length > 0)
    changes.push(
      changeOf('engine', 'engine', engine, {
        lost: engine
          .filter((detail) => detail.class === 'destructive')
          .map(({before: dir}) => `the state in ${dir}`),
        restart: true,
      }),
    );
  const server = flatDetails(before.server, after.server, () => safe());
  if (server.length > 0) changes.push(changeOf('server', 'server', server, {restart: true}));
  const rest = flatDetails(
    {name: before.name, plugins: before.plugins, registry: before.registry},
    {name: after.name, plugins: after.plugins, registry: after.registry},
    () => safe(),
  );
  if (rest.length > 0) changes.push(changeOf('platform', after.name, rest, {restart: true}));
  return changes;
}
