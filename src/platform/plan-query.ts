import type {QueryPlan} from '../process/plan/nodes.ts';
import {formatDuration} from '../quantity.ts';
import {type Meaning, meaningOf} from './plan-meaning.ts';
import {type Change, type ChangeDetail, highest} from './plan-types.ts';

/** What differs between two definitions of a query. @returns undefined when nothing does. */
export function queryChange(before: QueryPlan, after: QueryPlan): Change | undefined {
  const details = [
    ...meaningDetails(before, after),
    ...sinkDetails(before, after),
    ...paceDetails(before, after),
  ];
  if (details.length === 0) return undefined;
  return {
    class: highest(details.map((detail) => detail.class)),
    kind: 'query',
    action: 'change',
    name: after.id,
    details,
    consumers: consumersOf(before, after),
    lost: [],
    restart: false,
  };
}

/** Whether a change of a query is carried out with a new revision. */
export const needsRevision = (before: QueryPlan, after: QueryPlan): boolean =>
  meaningDetails(before, after).length > 0 || sinkDetails(before, after).length > 0;

function meaningDetails(before: QueryPlan, after: QueryPlan): ChangeDetail[] {
  const old = meaningOf(before);
  const now = meaningOf(after);
  const names = [...new Set([...old.keys(), ...now.keys()])];
  return names
    .filter((name) => old.get(name)?.exact !== now.get(name)?.exact)
    .filter((name) => !isFollowed(name, old, now))
    .map((name) => {
      const a = old.get(name);
      const b = now.get(name);
      const detail: ChangeDetail = {
        class: breaks(name, before, after) ? 'breaking' : 'revision',
        what: name,
        before: a?.text ?? null,
        after: b?.text ?? null,
      };
      const effect = effectOf(name, before, after);
      return effect ? {...detail, effect} : detail;
    });
}

/** A field that the query newly needs, or needs no more, is told by what needs it; a field of a new source by the source. */
function isFollowed(name: string, old: Meaning, now: Meaning): boolean {
  const [eventType = '', ...rest] = name.split('.');
  if (rest.length === 0 || ['measures', 'group_by', 'from'].includes(eventType)) return false;
  return !(old.has(name) && now.has(name));
}

const columnOf = (plan: QueryPlan, name: string): {name: string; type: string} | undefined => {
  const [kind, key] = name.split('.');
  const found = (kind === 'measures' ? plan.measures : plan.groupBy).find((each) => each.name === key);
  return found && {name: found.column, type: found.type};
};

/** Readers of the view break when a column goes, gets another type, or the rows have another key. */
function breaks(name: string, before: QueryPlan, after: QueryPlan): boolean {
  if (name.startsWith('group_by.')) return true;
  if (!name.startsWith('measures.')) return false;
  const old = columnOf(before, name);
  const now = columnOf(after, name);
  return old !== undefined && (old.name !== now?.name || old.type !== now.type);
}

function effectOf(name: string, before: QueryPlan, after: QueryPlan): string | undefined {
  if (name.startsWith('group_by.'))
    return columnOf(after, name)
      ? `a window has a row for each ${name.slice(9)}`
      : `rows of one ${name.slice(9)} are added up`;
  if (!name.startsWith('measures.')) return undefined;
  const old = columnOf(before, name);
  const now = columnOf(after, name);
  if (old && !now) return `column ${old.name} goes`;
  if (!old && now) return `column ${now.name} ${now.type} comes`;
  return old && now && (old.name !== now.name || old.type !== now.type)
    ? `column ${old.name} ${old.type} becomes ${now.name} ${now.type}`
    : undefined;
}

function sinkDetails(before: QueryPlan, after: QueryPlan): ChangeDetail[] {
  const gone = before.sinks.filter((sink) => !after.sinks.includes(sink));
  const come = after.sinks.filter((sink) => !before.sinks.includes(sink));
  if (gone.length + come.length === 0) return [];
  return [
    {
      class: gone.length > 0 ? 'breaking' : 'revision',
      what: 'sinks',
      before: before.sinks.join(', '),
      after: after.sinks.join(', '),
      ...(gone.length > 0
        ? {effect: `${gone.join(', ')} gets no more rows; what it has stays until prune`}
        : {}),
    },
  ];
}

function paceDetails(before: QueryPlan, after: QueryPlan): ChangeDetail[] {
  const pairs: [string, string, string][] = [
    ['emit', before.emit, after.emit],
    ['idle', formatDuration(before.idleMs), formatDuration(after.idleMs)],
    ['limits', JSON.stringify(before.limits), JSON.stringify(after.limits)],
    ['on_trimmed', before.onTrimmed ?? 'stop', after.onTrimmed ?? 'stop'],
  ];
  return pairs
    .filter(([, old, now]) => old !== now)
    .map(([what, old, now]) => ({
      class: 'safe',
      what,
      before: old,
      after: now,
      effect: 'the query goes on from its checkpoint',
    }));
}

/** The view's readers, and which columns they lose. */
function consumersOf(before: QueryPlan, after: QueryPlan): string[] {
  const columns = new Map(after.table.columns.map(({name, type}) => [name, type]));
  const lost = before.table.columns
    .filter(({name, type}) => columns.get(name) !== type)
    .map(({name}) => name);
  const keyed = (plan: QueryPlan) =>
    plan.groupBy
      .map(({column}) => column)
      .sort()
      .join(', ');
  const gone = before.sinks.filter((sink) => !after.sinks.includes(sink));
  return before.sinks.flatMap((sink) => {
    const view = `readers of view ${before.id} in ${sink}`;
    if (gone.includes(sink)) return [`${view}: no new rows`];
    return [
      ...(lost.length > 0 ? [`${view}: ${lost.length === 1 ? 'column' : 'columns'} ${lost.join(', ')}`] : []),
      ...(keyed(before) === keyed(after)
        ? []
        : [`${view}: rows by (${keyed(after)}) instead of (${keyed(before)})`]),
    ];
  });
}

/** Whether `after` is `before` under another name of the same domain. */
export function isRenamed(before: QueryPlan, after: QueryPlan): boolean {
  const plain = (plan: QueryPlan) =>
    JSON.stringify([...meaningOf(plan)].sort(([a], [b]) => (a < b ? -1 : 1)));
  return before.domain === after.domain && plain(before) === plain(after);
}
