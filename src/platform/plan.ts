import type {LoadedConfig} from '../config/load.ts';
import type {Domain, EventType, Platform} from '../model/types.ts';
import {buildPlan} from '../process/plan/build.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {avroSchema, normalForm} from '../schema/avro.ts';
import {checkCompatibility} from '../schema/compatibility.ts';
import {subjectOf} from '../schema/registry.ts';
import {hasRegistry, openRegistry} from '../schema/registry-open.ts';
import type {AvroSchema} from '../schema/types.ts';
import {type Applied, definitionOf, normalModel, readApplied} from './apply-record.ts';
import type {PlatformDirs} from './places.ts';
import {eventTypeChange} from './plan-events.ts';
import {placeOfChange} from './plan-places.ts';
import {
  changeOf,
  defaultsChange,
  inputChanges,
  lookupChanges,
  platformChanges,
  sinkChanges,
} from './plan-platform.ts';
import {isRenamed, needsRevision, queryChange} from './plan-query.ts';
import {openRefillSizes, type RefillSizes} from './plan-refill.ts';
import {type Change, type ChangePlan, highest} from './plan-types.ts';

/**
 * Compares a configuration with what was applied in its state directory; nothing is written.
 * @param config for the places in the files
 * @throws CHECKPOINT_CORRUPT when the record is damaged, LOG_CORRUPT when the log cannot be sampled
 */
export async function planChanges(
  platform: Platform,
  dirs: PlatformDirs,
  config?: LoadedConfig,
): Promise<ChangePlan> {
  const applied = readApplied(dirs);
  const sizes = await openRefillSizes(dirs);
  try {
    const next = normalModel(platform);
    const before = applied ?? nothingApplied(next);
    const changes = diffOf(before, next, platform);
    await refuse(changes, platform, before, dirs);
    for (const change of changes) {
      const place = config && placeOfChange(config, change);
      if (place) change.place = place;
      if (change.kind === 'query') await addRefill(change, platform, before, sizes);
    }
    return {appliedMs: applied?.appliedMs ?? null, changes: changes.sort(inOrder)};
  } finally {
    sizes.close();
  }
}

/** Before the first run there is nothing, with the same settings around it. */
const nothingApplied = (model: Platform): Applied => ({
  appliedMs: 0,
  model: {...model, domains: []},
  schemas: {},
  definitions: {},
});

const kinds = [
  'platform',
  'server',
  'engine',
  'log',
  'sink',
  'domain',
  'event type',
  'lookup',
  'input',
  'query',
];
const inOrder = (a: Change, b: Change): number =>
  kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || (a.name < b.name ? -1 : 1);

function diffOf(before: Applied, next: Platform, platform: Platform): Change[] {
  const changes = [...platformChanges(before.model, next)];
  const queriesOf = (sink: string) =>
    before.model.domains.flatMap(({name, aggregations}) =>
      aggregations.filter(({sinks}) => sinks.includes(sink)).map((query) => `${name}.${query.name}`),
    );
  changes.push(...sinkChanges(before.model, next, queriesOf));
  const old = new Map(before.model.domains.map((domain) => [domain.name, domain]));
  for (const domain of next.domains) {
    const was = old.get(domain.name);
    old.delete(domain.name);
    changes.push(...domainChanges(was ?? emptyDomain(domain), domain, before, platform, was === undefined));
  }
  for (const domain of old.values()) changes.push(removedDomain(domain));
  return changes;
}

const emptyDomain = (domain: Domain): Domain => ({
  ...domain,
  eventTypes: [],
  lookups: [],
  aggregations: [],
  inputs: [],
});

function removedDomain({name, eventTypes, aggregations, defaults}: Domain): Change {
  return changeOf('domain', name, [], {
    action: 'remove',
    class: 'destructive',
    consumers: aggregations.flatMap((query) =>
      query.sinks.map((sink) => `readers of view ${name}.${query.name} in ${sink}`),
    ),
    lost: [
      ...aggregations.map((query) => `rows of ${name}.${query.name} end here; its table stays until prune`),
      ...eventTypes.map(
        ({topic}) =>
          `events of ${topic} are not accepted any more; the log keeps what it has${defaults.raw === null ? '' : `, and ${defaults.raw} its raw table`}`,
      ),
    ],
    restart: true,
  });
}

function domainChanges(
  was: Domain,
  now: Domain,
  before: Applied,
  platform: Platform,
  isNew: boolean,
): Change[] {
  const changes: Change[] = [];
  if (isNew) changes.push(changeOf('domain', now.name, [], {action: 'add', class: 'safe', restart: true}));
  const defaults = defaultsChange(was, now);
  if (defaults) changes.push(defaults);
  changes.push(...eventTypeChanges(was, now, before));
  changes.push(...lookupChanges(was, now), ...inputChanges(was, now));
  changes.push(...queryChanges(was, now, before, platform));
  return changes;
}

function eventTypeChanges(was: Domain, now: Domain, applied: Applied): Change[] {
  const queries = now.aggregations.flatMap(({name}) => runningPlan(applied, `${now.name}.${name}`) ?? []);
  const old = new Map(was.eventTypes.map((eventType) => [eventType.name, eventType]));
  const readersOf = ({name}: EventType, {aggregations, name: domain}: Domain) =>
    aggregations.filter(({from}) => from.includes(name)).map((query) => `${domain}.${query.name}`);
  const changes = now.eventTypes.flatMap((eventType) => {
    const before = old.get(eventType.name);
    old.delete(eventType.name);
    if (!before)
      return changeOf('event type', eventType.topic, [], {action: 'add', class: 'safe', restart: true});
    return eventTypeChange(before, eventType, {domain: now, queries}) ?? [];
  });
  for (const eventType of old.values())
    changes.push(
      changeOf('event type', eventType.topic, [], {
        action: 'remove',
        class: 'destructive',
        consumers: readersOf(eventType, was).map((query) => `query ${query}`),
        lost: [
          `events of ${eventType.topic} are not accepted any more; the log keeps what it has`,
          ...(was.defaults.raw === null ? [] : [`the raw table in ${was.defaults.raw} gets no more events`]),
        ],
        restart: true,
      }),
    );
  return changes;
}

/** The plan that runs under a query's name: the one that is recorded, else what the recorded model makes of it. */
function runningPlan({definitions, model}: Applied, id: string): QueryPlan | undefined {
  if (definitions[id]) return definitions[id].plan;
  const [domainName, query] = id.split('.');
  const domain = model.domains.find(({name}) => name === domainName);
  const aggregation = domain?.aggregations.find(({name}) => name === query);
  return domain && aggregation && buildPlan(domain, aggregation);
}

function queryChanges(was: Domain, now: Domain, before: Applied, platform: Platform): Change[] {
  const names = (domain: Domain) => domain.aggregations.map(({name}) => name);
  const gone = new Set(names(was).filter((name) => !names(now).includes(name)));
  const changes: Change[] = [];
  for (const name of names(now)) {
    const id = `${now.name}.${name}`;
    const {plan} = definitionOf(platform, now.name, name);
    const running = names(was).includes(name) ? runningPlan(before, id) : undefined;
    if (running) changes.push(...[queryChange(running, plan)].flatMap((change) => change ?? []));
    else changes.push(addedQuery(plan, was, gone, before));
  }
  for (const name of gone) {
    const id = `${now.name}.${name}`;
    const {sinks} = was.aggregations.find((query) => query.name === name)!;
    changes.push(
      changeOf('query', id, [], {
        action: 'remove',
        class: 'destructive',
        consumers: sinks.map((sink) => `readers of view ${id} in ${sink}`),
        lost: [`rows of ${id} end here; its table and view stay until prune`],
      }),
    );
  }
  return changes;
}

function addedQuery(plan: QueryPlan, was: Domain, gone: Set<string>, before: Applied): Change {
  const heir = [...gone].find((name) => {
    const old = runningPlan(before, `${was.name}.${name}`);
    return old !== undefined && isRenamed(old, plan);
  });
  if (heir === undefined) return changeOf('query', plan.id, [], {action: 'add', class: 'safe'});
  gone.delete(heir);
  const from = `${was.name}.${heir}`;
  return changeOf('query', plan.id, [], {
    action: 'rename',
    from,
    class: 'breaking',
    consumers: plan.sinks.map((sink) => `readers of view ${from} in ${sink}: it is ${plan.id} now`),
    lost: [`rows of ${from} end here; its table and view stay until prune`],
  });
}

/** What the registry, or what was applied, does not let follow. */
async function refuse(
  changes: Change[],
  platform: Platform,
  before: Applied,
  dirs: PlatformDirs,
): Promise<void> {
  const registry = hasRegistry(dirs.registry)
    ? await openRegistry(dirs.registry, {readOnly: true})
    : undefined;
  try {
    for (const {eventTypes, defaults} of platform.domains)
      for (const eventType of eventTypes) {
        const change = changes.find(({kind, name}) => kind === 'event type' && name === eventType.topic);
        if (!change) continue;
        const schema = avroSchema(eventType);
        const applied = before.schemas[eventType.topic];
        const known: AvroSchema[] = registry
          ? (await registry.versions(subjectOf(eventType.topic))).map((version) => version.schema)
          : applied === undefined
            ? []
            : [applied];
        if (known.some((each) => normalForm(each) === normalForm(schema))) continue;
        const reasons = checkCompatibility(defaults.compatibility, schema, known);
        if (reasons.length === 0) continue;
        change.class = highest([change.class, 'breaking']);
        change.refused = {
          reasons: [...new Set(reasons.map(({path, code, message}) => `${path}: ${code} ${message}`))],
          hint: 'make a new field optional (required: false), name renamed fields in aliases, give a field of another type another name, or set defaults.compatibility',
        };
      }
  } finally {
    registry?.close();
  }
}

async function addRefill(
  change: Change,
  platform: Platform,
  before: Applied,
  sizes: RefillSizes,
): Promise<void> {
  if (change.action === 'remove') return;
  const [domain = '', query = ''] = change.name.split('.');
  const {plan} = definitionOf(platform, domain, query);
  const running = runningPlan(before, change.name);
  if (change.action === 'change' && running && !needsRevision(running, plan)) return;
  change.refill = await sizes.of(plan);
}
