import type {Diagnostics, Path} from '../config/diagnostics.ts';
import type {LoadedDomain} from '../config/load.ts';
import {isReservedDomain} from '../config/names.ts';
import {nodeAt, quote} from '../config/nodes.ts';
import {
  buildGroupBy,
  buildMeasures,
  buildWhere,
  dedupMsOf,
  findSources,
  fixedColumns,
  scopeOf,
  withDefaults,
} from './aggregations.ts';
import type {AggregationConfig, DefaultsConfig, DomainConfig} from './config.ts';
import {buildEventType, type EventTypeInfo, type EventTypes} from './event-types.ts';
import {isFree} from './fields.ts';
import {buildGenerate} from './generate.ts';
import {buildInput} from './inputs.ts';
import {buildLookup} from './lookups.ts';
import {checkOnTrimmed} from './on-trimmed.ts';
import {Reporter} from './reporter.ts';
import type {SinkNames} from './sinks.ts';
import type {Aggregation, Defaults, Domain, Lookup, PiiKind} from './types.ts';
import {buildWindow} from './windows.ts';

/** Builds one domain as far as it is right; mistakes go to `diagnostics`. */
export function buildDomain(loaded: LoadedDomain, sinks: SinkNames, diagnostics: Diagnostics): Domain {
  const config = loaded.values as DomainConfig;
  const reporter = new Reporter(loaded.node, diagnostics);
  const name = config.domain ?? '';
  if (config.domain !== undefined && isReservedDomain(name))
    reporter.error(['domain'], 'NAME_RESERVED', `${quote(name)} cannot be the name of a domain`, {
      hint: `for example ${name}_events`,
    });
  const defaults = buildDefaults(loaded.defaults.values as DefaultsConfig, loaded, sinks, diagnostics);
  const lookups = buildLookups(config, name, sinks, reporter);
  const tables = new Map<string, string>();
  const eventTypes = buildEventTypes(config, name, lookups, tables, reporter);
  const aggregations = buildAggregations(config, {
    name,
    defaults,
    eventTypes,
    tables,
    sinks,
    reporter,
    loaded,
  });
  checkOnTrimmed(config, {defaults, sinks, reporter, ofDefaults: reporterOfDefaults(loaded, diagnostics)});
  const inputs = buildInputs(config, name, eventTypes, reporter);
  const generate = nodeAt(loaded.node, ['generate']).found
    ? buildGenerate(config.generate ?? {}, eventTypes, lookups, reporter)
    : null;
  return {
    name,
    defaults,
    eventTypes: [...eventTypes.byName.values()].map(({eventType}) => eventType),
    lookups: [...lookups.values()].filter((lookup) => lookup !== undefined),
    aggregations,
    inputs,
    generate,
  };
}

function buildDefaults(
  config: DefaultsConfig,
  loaded: LoadedDomain,
  sinks: SinkNames,
  diagnostics: Diagnostics,
): Defaults {
  const {node} = loaded.defaults;
  const reporter = reporterOfDefaults(loaded, diagnostics);
  const rawNode = nodeAt(node, ['raw']);
  const isOff =
    config.raw === 'none' || (rawNode.found && rawNode.node.kind === 'scalar' && rawNode.node.value === null);
  const {dead_letters: deadLetters = {}, limits = {}} = config;
  const [aggregates, raw] = [config.aggregates ?? 'analytics', config.raw ?? 'records'];
  sinks.use(aggregates, ['defaults', 'aggregates'], reporter);
  if (!isOff) sinks.use(raw, ['defaults', 'raw'], reporter, 'raw');
  return {
    watermarkMs: config.watermark!,
    late: config.late!,
    correctForMs: config.correct_for!,
    dedupMs: dedupMsOf(config.dedup!),
    futureMaxMs: config.future_max!,
    idleMs: config.idle!,
    emit: config.emit!,
    onTrimmed: config.on_trimmed!,
    compatibility: config.compatibility!,
    ...(nodeAt(node, ['compatibility']).found ? {compatibilityIsSet: true as const} : {}),
    aggregates,
    raw: isOff ? null : raw,
    deadLetters: {
      budgetShare: deadLetters.budget!,
      budgetAfter: deadLetters.after!,
      retentionMs: deadLetters.retention!,
    },
    limits: {
      groups: limits.groups!,
      memoryBytes: limits.memory!,
      stateDiskBytes: limits.state_disk!,
    },
  };
}

/** Paths in its messages are those of the file, where the section is below `defaults`. */
function reporterOfDefaults({defaults: {node}}: LoadedDomain, diagnostics: Diagnostics): Reporter {
  const entries = new Map([['defaults', {key: node.place, value: node}]]);
  return new Reporter({kind: 'map', entries, place: node.place}, diagnostics);
}

/** By name; undefined for one that has mistakes. */
function buildLookups(
  config: DomainConfig,
  domain: string,
  sinks: SinkNames,
  reporter: Reporter,
): Map<string, Lookup | undefined> {
  const lookups = new Map<string, Lookup | undefined>();
  const taken = new Map<string, string>();
  for (const [index, lookup] of (config.lookups ?? []).entries()) {
    if (!lookup) continue;
    const path: Path = ['lookups', index];
    const built = buildLookup(lookup, domain, path, sinks, reporter);
    if (
      lookup.name !== undefined &&
      reporter.claim(taken, lookup.name, 'a lookup of this domain', [...path, 'name'])
    )
      lookups.set(lookup.name, built);
  }
  return lookups;
}

function buildEventTypes(
  config: DomainConfig,
  domain: string,
  lookups: ReadonlyMap<string, Lookup | undefined>,
  tables: Map<string, string>,
  reporter: Reporter,
): EventTypes {
  const eventTypes = new Map<string, EventTypeInfo>();
  for (const [index, eventType] of (config.event_types ?? []).entries()) {
    if (!eventType) continue;
    const path: Path = ['event_types', index];
    const info = buildEventType(eventType, domain, lookups, path, reporter);
    const {name} = eventType;
    if (name === undefined || !isFree(name, [...path, 'name'], reporter)) continue;
    if (reporter.claim(tables, name, 'an event type of this domain', [...path, 'name']))
      eventTypes.set(name, info);
  }
  checkPiiAgrees(config, reporter);
  const isComplete = config.event_types?.every((eventType) => eventType?.name !== undefined) === true;
  return {byName: eventTypes, isComplete};
}

/** One person's value is forgotten everywhere in a domain, so an attribute is protected in all of its event types or in none. */
function checkPiiAgrees(config: DomainConfig, reporter: Reporter): void {
  const known = new Map<string, {pii: PiiKind | undefined; eventType: string}>();
  for (const [index, eventType] of (config.event_types ?? []).entries())
    for (const key of ['attributes', 'dimensions', 'metrics'] as const)
      for (const [at, field] of (eventType?.[key] ?? []).entries()) {
        if (field?.name === undefined) continue;
        const before = known.get(field.name);
        if (!before) known.set(field.name, {pii: field.pii, eventType: eventType!.name ?? ''});
        else if (before.pii !== field.pii)
          reporter.error(
            ['event_types', index, key, at],
            'PII_DIFFERS',
            `${quote(field.name)} is ${field.pii ? `pii: ${field.pii}` : 'not protected'} here, and ${before.pii ? `pii: ${before.pii}` : 'not protected'} in ${before.eventType}`,
            {hint: `write pii: ${field.pii ?? before.pii} in both, or give one of them another name`},
          );
      }
}

type Surroundings = {
  name: string;
  defaults: Defaults;
  eventTypes: EventTypes;
  /** Names of event types: raw tables. */
  tables: ReadonlyMap<string, string>;
  sinks: SinkNames;
  reporter: Reporter;
  loaded: LoadedDomain;
};

function buildAggregations(config: DomainConfig, around: Surroundings): Aggregation[] {
  const taken = new Map<string, string>();
  return (config.aggregations ?? []).flatMap((aggregation, index) => {
    const built = aggregation && buildAggregation(aggregation, ['aggregations', index], taken, around);
    return built ? [built] : [];
  });
}

function buildAggregation(
  config: AggregationConfig,
  path: Path,
  taken: Map<string, string>,
  around: Surroundings,
): Aggregation | undefined {
  const {reporter, defaults, sinks, eventTypes, loaded} = around;
  const {name} = config;
  const namePath = [...path, 'name'];
  const isNamed =
    name !== undefined &&
    isFree(name, namePath, reporter) &&
    reporter.claim(taken, name, 'a query of this domain', namePath);
  const written = config.sinks?.map((sink, index) => {
    if (sink !== undefined) sinks.use(sink, [...path, 'sinks', index], reporter);
    return sink;
  });
  const used = [...new Set((written ?? [defaults.aggregates]).filter((sink) => sink !== undefined))];
  if (isNamed && around.tables.has(name) && defaults.raw !== null && used.includes(defaults.raw))
    reporter.error(
      namePath,
      'NAME_COLLISION',
      `${quote(name)} is an event type, too: both would be the table ${around.name}.${name} in the sink ${defaults.raw}`,
      {
        hint: 'give the query another name',
      },
    );
  const isWritten = (key: string) => nodeAt(loaded.node, [...path, 'window', key]).found;
  const window = config.window && buildWindow(config.window, isWritten, [...path, 'window'], reporter);
  const found = config.from && findSources(config.from, eventTypes, [...path, 'from'], reporter);
  if (!found) return undefined;
  const scope = scopeOf(found);
  const columns = new Map<string, string>(
    fixedColumns.map((column) => [column, 'a column that every row has']),
  );
  const where = buildWhere(config.where, [...path, 'where'], scope, reporter);
  const groupBy = buildGroupBy(config.group_by ?? [], [...path, 'group_by'], scope, columns, reporter);
  const measures = buildMeasures(config.measures ?? {}, [...path, 'measures'], scope, columns, reporter);
  if (!isNamed || !window) return undefined;
  return withDefaults(config, defaults, {
    domain: around.name,
    name,
    from: scope.sources,
    where,
    window,
    groupBy,
    measures,
    sinks: used,
  });
}

function buildInputs(
  config: DomainConfig,
  domain: string,
  eventTypes: EventTypes,
  reporter: Reporter,
): Domain['inputs'] {
  const taken = new Map<string, string>();
  return (config.inputs ?? []).flatMap((input, index) => {
    if (!input) return [];
    const path: Path = ['inputs', index];
    const built = buildInput(input, domain, eventTypes, path, reporter);
    const isNamed =
      input.name !== undefined &&
      reporter.claim(taken, input.name, 'an input of this domain', [...path, 'name']);
    return built && isNamed ? [built] : [];
  });
}
