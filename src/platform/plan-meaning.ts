/** What a query's rows depend on, part by part and whatever the order of keys, so that two definitions can be compared. */
import type {WindowSpec} from '../model/types.ts';
import {formatExpr} from '../process/plan/explain.ts';
import type {AccumulatorPlan, MeasurePlan, QueryPlan} from '../process/plan/nodes.ts';
import {formatDuration} from '../quantity.ts';

/** One part: its exact form, to be compared, and as people read it. */
export type MeaningPart = {exact: string; text: string};

/** Parts by name: `window`, `where`, `measures.revenue`, `from.purchase`, `purchase.derive.basket`. */
export type Meaning = Map<string, MeaningPart>;

/** The parts that decide the rows; not sinks, limits, `emit`, `idle` or `on_trimmed`. */
export function meaningOf(plan: QueryPlan): Meaning {
  const parts: Meaning = new Map();
  const add = (name: string, exact: unknown, text: string) =>
    parts.set(name, {exact: JSON.stringify(exact), text});
  add('window', [plan.window, plan.tzdata], windowText(plan.window));
  if (plan.where) add('where', plan.where, formatExpr(plan.where));
  add('watermark', plan.watermarkMs, formatDuration(plan.watermarkMs));
  add('late', plan.late, plan.late);
  if (plan.late === 'correct') add('correct_for', plan.correctForMs, formatDuration(plan.correctForMs));
  if (plan.dedupMs !== undefined) add('dedup', plan.dedupMs, formatDuration(plan.dedupMs));
  for (const {name, column, type} of plan.groupBy) add(`group_by.${name}`, {column, type}, type);
  for (const measure of plan.measures)
    add(`measures.${measure.name}`, exactMeasure(plan, measure), measureText(plan, measure));
  for (const {eventType, fields, derive, enrich} of plan.sources) {
    add(`from.${eventType}`, eventType, eventType);
    for (const {name, ...field} of fields)
      add(
        `${eventType}.${name}`,
        sorted(field),
        `${field.type}${field.nullable ? ', optional' : ''}${field.aliases.length > 0 ? `, once ${field.aliases.join(', ')}` : ''}`,
      );
    for (const {name, type, expr} of derive)
      add(`${eventType}.derive.${name}`, [type, expr], formatExpr(expr));
    for (const rule of enrich)
      for (const {name, from, type} of rule.take)
        add(
          `${eventType}.enrich.${name}`,
          [rule.lookup, rule.on, rule.onType, from, type],
          `${from} of ${rule.lookup} on ${rule.on}`,
        );
  }
  return parts;
}

/** Whether two plans make the same rows, whatever the order of keys in the files they come from. */
export function sameMeaning(a: QueryPlan, b: QueryPlan): boolean {
  const one = meaningOf(a);
  const other = meaningOf(b);
  return (
    a.id === b.id &&
    one.size === other.size &&
    [...one].every(([name, {exact}]) => other.get(name)?.exact === exact)
  );
}

/** The plan that runs for a definition with the same meaning: its table and keys stay as they are, its pace is the new one. */
export const withPaceOf = (
  {onTrimmed: _, ...plan}: QueryPlan,
  {emit, idleMs, limits, sinks, onTrimmed}: QueryPlan,
): QueryPlan => ({
  ...plan,
  emit,
  idleMs,
  limits,
  sinks,
  ...(onTrimmed ? {onTrimmed} : {}),
});

const accumulated = (plan: QueryPlan, index: number): AccumulatorPlan => plan.accumulators[index]!;

/** A measure with its accumulators spelled out: their numbers depend on the order of measures. */
function exactMeasure(plan: QueryPlan, measure: MeasurePlan): unknown {
  const {name: _, ...rest} = measure;
  if (measure.fn === 'ratio') return rest;
  if (measure.fn === 'value' || measure.fn === 'quantile')
    return {...rest, accumulator: accumulated(plan, measure.accumulator)};
  return {...rest, sum: accumulated(plan, measure.sum), count: accumulated(plan, measure.count)};
}

function measureText(plan: QueryPlan, measure: MeasurePlan): string {
  switch (measure.fn) {
    case 'ratio':
      return formatExpr(measure.expr);
    case 'avg':
    case 'sum':
      return `${measure.fn}(${accumulatorArg(accumulated(plan, measure.sum))})`;
    case 'quantile':
      return `quantile(${accumulatorArg(accumulated(plan, measure.accumulator))}, ${measure.q})`;
    case 'value': {
      const accumulator = accumulated(plan, measure.accumulator);
      return `${accumulator.op}(${accumulatorArg(accumulator)})`;
    }
  }
}

function accumulatorArg(accumulator: AccumulatorPlan): string {
  if (accumulator.op !== 'count') return formatExpr(accumulator.arg);
  return accumulator.filter
    ? formatExpr(accumulator.filter)
    : accumulator.arg
      ? formatExpr(accumulator.arg)
      : '';
}

/** A window in a few words. */
export function windowText(window: WindowSpec): string {
  switch (window.type) {
    case 'tumbling':
      return `tumbling ${formatDuration(window.sizeMs)}`;
    case 'sliding':
      return `sliding ${formatDuration(window.sizeMs)} every ${formatDuration(window.slideMs)}`;
    case 'session':
      return `session, gap ${formatDuration(window.gapMs)}`;
    case 'calendar':
      return `calendar ${window.unit} in ${window.timezone}`;
  }
}

const sorted = (object: object): [string, unknown][] =>
  Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1));
