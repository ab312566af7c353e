/** What differs between two definitions of an event type: its fields, how its events are taken in and read, and whom that touches. */
import {columnsOf} from '../expr/walk.ts';
import type {Domain, EventType, Field} from '../model/types.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {AppliedTransform} from './apply-record.ts';
import {fieldChanges} from './plan-fields.ts';
import {type Change, type ChangeDetail, highest} from './plan-types.ts';

/**
 * @param queries as they run: those that use a field that breaks are its consumers
 * @returns undefined when nothing differs that matters before a query reads it
 */
export function eventTypeChange(
  before: EventType,
  after: EventType,
  {domain, queries}: {domain: Domain; queries: QueryPlan[]},
): Change | undefined {
  const {raw} = domain.defaults;
  const fields = fieldChanges(before, after, raw);
  const details = [...fields.flatMap((each) => each.details), ...ruleDetails(before, after)];
  if (details.length === 0) return undefined;
  const broken = fields
    .filter((each) => each.details.some((detail) => detail.class === 'breaking'))
    .map(({field}) => field);
  return {
    class: highest(details.map((detail) => detail.class)),
    kind: 'event type',
    action: 'change',
    name: after.topic,
    details,
    consumers: consumersOf(broken, before, queries, raw),
    lost: [],
    restart: true,
  };
}

/** Who reads some fields, as things are before the change. */
function consumersOf(
  broken: Field[],
  {topic, name, key, checks}: EventType,
  queries: QueryPlan[],
  raw: string | null,
): string[] {
  if (broken.length === 0) return [];
  const names = new Set(broken.map((field) => field.name));
  const columns = broken.map(({column}) => column).join(', ');
  const uses = ({sources}: QueryPlan) =>
    sources.some(
      ({eventType, fields}) => eventType === name && fields.some((field) => names.has(field.name)),
    );
  return [
    ...(raw === null ? [] : [`readers of raw table ${topic} in ${raw}: ${columns}`]),
    `readers of subject ${topic}-value: ${[...names].join(', ')}`,
    ...(names.has(key) ? [`key of ${topic}`] : []),
    ...checks
      .filter(({expr}) => [...columnsOf(expr)].some((column) => names.has(column)))
      .map((check) => `check ${check.name} of ${topic}`),
    ...queries.filter(uses).map(({id}) => `query ${id}`),
  ];
}

function ruleDetails(before: EventType, after: EventType): ChangeDetail[] {
  const details: ChangeDetail[] = [];
  if (before.key !== after.key)
    details.push({
      class: 'safe',
      what: 'key',
      before: before.key,
      after: after.key,
      effect:
        'events from now on are dealt to partitions by it; one key may lie in two partitions, before and after',
    });
  const list = (
    what: string,
    old: {name: string; text: string}[],
    now: {name: string; text: string}[],
    effect: string,
  ) => {
    const were = new Map(old.map(({name, text}) => [name, text]));
    const are = new Map(now.map(({name, text}) => [name, text]));
    for (const name of new Set([...were.keys(), ...are.keys()]))
      if (were.get(name) !== are.get(name))
        details.push({
          class: 'safe',
          what: `${what}.${name}`,
          before: were.get(name) ?? null,
          after: are.get(name) ?? null,
          effect,
        });
  };
  list('checks', before.checks, after.checks, 'for events from now on; what is logged stays');
  const read = 'computed at read: queries that use it change, the log does not';
  list('derive', before.derive, after.derive, read);
  const taken = ({enrich}: EventType) =>
    enrich.flatMap(({lookup, on, take}) =>
      take.map(({name, from}) => ({name, text: `${from} of ${lookup} on ${on}`})),
    );
  list('enrich', taken(before), taken(after), read);
  details.push(...transformDetails(before.transform, after.transform));
  const rest = Object.keys({...before, ...after}).filter(
    (key) =>
      !['domain', 'name', 'topic', 'key', 'fields', 'derive', 'enrich', 'checks', 'transform'].includes(
        key,
      ) &&
      JSON.stringify((before as Record<string, unknown>)[key]) !==
        JSON.stringify((after as Record<string, unknown>)[key]),
  );
  for (const key of rest)
    details.push({
      class: 'safe',
      what: key,
      before: null,
      after: 'changed',
      effect: 'for events from now on',
    });
  return details;
}

/** What an event type's transform does holds for records from now on, whatever differs. */
function transformDetails(
  before: AppliedTransform | undefined,
  after: AppliedTransform | undefined,
): ChangeDetail[] {
  const effect = 'for events from now on; what is logged stays as it is';
  const detail = (what: string, was: string | null, is: string | null): ChangeDetail[] =>
    was === is ? [] : [{class: 'safe', what, before: was, after: is, effect}];
  const moved = detail('transform', before?.path ?? null, after?.path ?? null);
  if (!before || !after) return moved;
  const isEdited = moved.length === 0 && before.digest !== undefined && before.digest !== after.digest;
  return [
    ...moved,
    ...(isEdited ? detail('transform', before.path, `${after.path}, edited`) : []),
    ...detail('transform.timeout', `${before.timeoutMs} ms`, `${after.timeoutMs} ms`),
    ...detail('transform.outputs', String(before.outputsMax), String(after.outputsMax)),
  ];
}
