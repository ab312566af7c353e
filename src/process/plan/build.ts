import {createHash} from 'node:crypto';
import type {TypedExpr, ValueType} from '../../expr/types.ts';
import {columnsOf} from '../../expr/walk.ts';
import {checkedType} from '../../model/checked.ts';
import {queryTable} from '../../model/tables.ts';
import type {Aggregation, Domain, EventType, Field} from '../../model/types.ts';
import type {AccumulatorPlan, MeasurePlan, QueryPlan, SourcePlan} from './nodes.ts';

/**
 * The plan of one aggregation at one revision.
 * @param domain holds the event types that the aggregation reads and its lookups.
 */
export function buildPlan(domain: Domain, aggregation: Aggregation, revision = 1): QueryPlan {
  const wanted = wantedColumns(aggregation);
  const sources = aggregation.from.map((name) => buildSource(domain, eventTypeOf(domain, name), wanted));
  const checks = aggregation.from
    .map((name) => eventTypeOf(domain, name))
    .filter((eventType) => eventType.checks.length > 0)
    .map(checkedType);
  const {accumulators, measures} = buildMeasures(aggregation, (expr) => neverNull(expr, aggregation, domain));
  const plan: Omit<QueryPlan, 'fingerprint'> = {
    domain: domain.name,
    query: aggregation.name,
    id: `${domain.name}.${aggregation.name}`,
    revision,
    sources,
    where: aggregation.where,
    watermarkMs: aggregation.watermarkMs,
    futureMaxMs: domain.defaults.futureMaxMs,
    ...(checks.length > 0 ? {checks} : {}),
    late: aggregation.late,
    correctForMs: aggregation.correctForMs,
    ...(aggregation.dedupMs === null ? {} : {dedupMs: aggregation.dedupMs}),
    idleMs: aggregation.idleMs,
    window: aggregation.window,
    tzdata: aggregation.window.type === 'calendar' ? (process.versions.tz ?? null) : null,
    groupBy: aggregation.groupBy,
    accumulators,
    measures,
    emit: aggregation.emit,
    ...(aggregation.onTrimmed === 'archive' ? {onTrimmed: 'archive' as const} : {}),
    table: queryTable(aggregation, revision),
    sinks: aggregation.sinks,
    limits: aggregation.limits,
  };
  return {...plan, fingerprint: fingerprintOf(plan)};
}

/** Plans of every aggregation of every domain. */
export function buildPlans(
  domains: Domain[],
  revisionOf: (domain: string, query: string) => number = () => 1,
): QueryPlan[] {
  return domains.flatMap((domain) =>
    domain.aggregations.map((aggregation) =>
      buildPlan(domain, aggregation, revisionOf(domain.name, aggregation.name)),
    ),
  );
}

/** Hash of what decides the rows' content; sinks, limits and the pace of emission are not part of it. */
export function fingerprintOf(plan: Omit<QueryPlan, 'fingerprint'>): string {
  const {
    domain,
    query,
    sources,
    where,
    watermarkMs,
    late,
    correctForMs,
    dedupMs,
    window,
    tzdata,
    groupBy,
    accumulators,
    measures,
  } = plan;
  const meaning = {
    domain,
    query,
    sources,
    where,
    watermarkMs,
    late,
    correctForMs: late === 'correct' ? correctForMs : null,
    // Without one it is not there: the hash of before there was `dedup:` holds.
    ...(dedupMs === undefined ? {} : {dedupMs}),
    window,
    tzdata,
    groupBy,
    accumulators,
    measures,
  };
  return createHash('sha256').update(JSON.stringify(meaning)).digest('hex').slice(0, 32);
}

function eventTypeOf(domain: Domain, name: string): EventType {
  const found = domain.eventTypes.find((eventType) => eventType.name === name);
  if (!found) throw new Error(`the model let an unknown event type through: ${domain.name}.${name}`);
  return found;
}

function wantedColumns(aggregation: Aggregation): Set<string> {
  const wanted = new Set(aggregation.groupBy.map((dimension) => dimension.name));
  const add = (expr: TypedExpr | null) => {
    if (expr) for (const name of columnsOf(expr)) wanted.add(name);
  };
  if (aggregation.dedupMs !== null) wanted.add('event_id');
  add(aggregation.where);
  for (const measure of aggregation.measures) {
    if (measure.fn === 'count') add(measure.filter);
    else if (measure.fn !== 'ratio') add(measure.arg);
    if (measure.fn === 'first' || measure.fn === 'last') wanted.add('event_id');
  }
  return wanted;
}

/** Works backwards: enrich needs its `on`, derive needs earlier derives and fields. */
function buildSource(domain: Domain, eventType: EventType, wantedNames: Set<string>): SourcePlan {
  const wanted = new Set(wantedNames).add('timestamp');
  const enrich: SourcePlan['enrich'] = [];
  for (const rule of eventType.enrich) {
    const take = rule.take.filter(({name}) => wanted.has(name));
    if (take.length === 0) continue;
    const lookup = domain.lookups.find(({name}) => name === rule.lookup);
    if (!lookup) throw new Error(`the model let an unknown lookup through: ${rule.lookup}`);
    enrich.push({lookup: rule.lookup, on: rule.on, onType: lookup.keyType, take});
    wanted.add(rule.on);
  }
  const derive: SourcePlan['derive'] = [];
  for (const {name, type, expr} of [...eventType.derive].reverse()) {
    if (!wanted.has(name)) continue;
    derive.unshift({name, type, expr});
    for (const needed of columnsOf(expr)) wanted.add(needed);
  }
  const fields = eventType.fields.filter(({name}) => wanted.has(name)).map(sourceField);
  return {topic: eventType.topic, eventType: eventType.name, fields, derive, enrich};
}

const sourceField = ({
  name,
  column,
  type,
  required,
  aliases,
  symbols,
  pii,
}: Field): SourcePlan['fields'][number] => ({
  name,
  column,
  type,
  nullable: !required,
  aliases,
  ...(symbols ? {symbols} : {}),
  ...(pii ? {pii} : {}),
});

/**
 * True when `expr` is a plain column that is required in every source, so that counting it is counting events. Not for a
 * double: NaN, which others' producers may write into a required field, is NULL.
 */
function neverNull(expr: TypedExpr, aggregation: Aggregation, domain: Domain): boolean {
  if (expr.kind !== 'column' || expr.type === 'double') return false;
  return aggregation.from.every((name) =>
    eventTypeOf(domain, name).fields.some((field) => field.name === expr.name && field.required),
  );
}

function buildMeasures(
  aggregation: Aggregation,
  isNeverNull: (expr: TypedExpr) => boolean,
): {accumulators: AccumulatorPlan[]; measures: MeasurePlan[]} {
  const accumulators: AccumulatorPlan[] = [{op: 'count', filter: null, arg: null}];
  const keys = new Map<string, number>([[JSON.stringify(accumulators[0]), 0]]);
  const use = (accumulator: AccumulatorPlan): number => {
    const key = JSON.stringify(accumulator);
    const known = keys.get(key);
    if (known !== undefined) return known;
    keys.set(key, accumulators.push(accumulator) - 1);
    return accumulators.length - 1;
  };
  const countOf = (arg: TypedExpr) => (isNeverNull(arg) ? 0 : use({op: 'count', filter: null, arg}));
  const measures = aggregation.measures.map((measure): MeasurePlan => {
    const {name, column, type} = measure;
    switch (measure.fn) {
      case 'count':
        return {
          name,
          column,
          type,
          fn: 'value',
          accumulator: use({op: 'count', filter: measure.filter, arg: null}),
        };
      case 'sum':
      case 'avg': {
        const argType = typeOf(measure.arg);
        const sum = use({op: 'sum', arg: measure.arg, type: argType});
        return {name, column, type, fn: measure.fn, sum, count: countOf(measure.arg), argType};
      }
      case 'quantile': {
        const argType = typeOf(measure.arg);
        const accumulator = use({op: 'quantile', arg: measure.arg, type: argType});
        return {name, column, type, fn: 'quantile', accumulator, q: measure.q, argType};
      }
      case 'ratio':
        return {name, column, type, fn: 'ratio', expr: measure.expr};
      default:
        return {
          name,
          column,
          type,
          fn: 'value',
          accumulator: use({op: measure.fn, arg: measure.arg, type: typeOf(measure.arg)}),
        };
    }
  });
  return {accumulators, measures};
}

function typeOf(expr: TypedExpr): ValueType {
  if (expr.type === 'null') throw new Error('the model let a measure over NULL through');
  return expr.type;
}
