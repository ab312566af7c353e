import type {TypedExpr} from '../../expr/types.ts';
import {formatCents} from '../../expr/values.ts';
import {formatDuration} from '../../quantity.ts';
import type {AccumulatorPlan, MeasurePlan, QueryPlan} from './nodes.ts';

/** The plan as people read it: one step a line, in the order in which an event passes them. */
export function explainPlan(plan: QueryPlan): string {
  const lines = [`query ${plan.id} (revision ${plan.revision}, fingerprint ${plan.fingerprint})`];
  const step = (name: string, text: string) => {
    lines.push(`  ${name.padEnd(10)}${text}`);
  };
  for (const source of plan.sources) {
    step('read', source.topic);
    step(
      'decode',
      source.fields.map(({name, type, nullable}) => `${name} ${type}${nullable ? '?' : ''}`).join(', '),
    );
    for (const {name, expr} of plan.checks?.find(({topic}) => topic === source.topic)?.checks ?? [])
      step('check', `${name} = ${formatExpr(expr)}, of records that other programs wrote`);
    for (const {name, expr} of source.derive) step('derive', `${name} = ${formatExpr(expr)}`);
    for (const {lookup, on, take} of source.enrich)
      step(
        'enrich',
        `${take.map(({name, from}) => (name === from ? name : `${name} = ${from}`)).join(', ')} from ${lookup} on ${on}`,
      );
  }
  if (plan.dedupMs !== undefined)
    step(
      'dedup',
      `by event_id within a partition, for ${formatDuration(plan.dedupMs)} behind its newest event`,
    );
  if (plan.where) step('filter', formatExpr(plan.where));
  step(
    'watermark',
    `${formatDuration(plan.watermarkMs)} behind each partition's newest event; ${explainLate(plan)}`,
  );
  step('window', explainWindow(plan));
  step('group by', plan.groupBy.map(({name, type}) => `${name} ${type}`).join(', ') || '(one group)');
  for (const [index, accumulator] of plan.accumulators.entries())
    step('aggregate', `#${index} ${formatAccumulator(accumulator)}`);
  for (const measure of plan.measures) step('measure', `${measure.column} = ${formatMeasure(measure)}`);
  step(
    'emit',
    `on ${plan.emit}, upsert by (window_start${plan.groupBy.map(({name}) => `, ${name}`).join('')}) and version`,
  );
  step('write', `${plan.table.namespace}.${plan.table.name} in ${plan.sinks.join(', ')}`);
  return `${lines.join('\n')}\n`;
}

function explainLate({late, correctForMs}: QueryPlan): string {
  if (late === 'correct')
    return `late events correct their windows for ${formatDuration(correctForMs)}, then go to the late topic`;
  return late === 'topic' ? 'late events go to the late topic' : 'late events are dropped and counted';
}

function explainWindow({window, tzdata}: QueryPlan): string {
  switch (window.type) {
    case 'tumbling':
      return `tumbling ${formatDuration(window.sizeMs)}`;
    case 'sliding':
      return `sliding ${formatDuration(window.sizeMs)} every ${formatDuration(window.slideMs)}, in panes of ${formatDuration(window.slideMs)}`;
    case 'session':
      return `session, gap ${formatDuration(window.gapMs)}`;
    case 'calendar':
      return `calendar ${window.unit} in ${window.timezone} (tz database ${tzdata})`;
  }
}

function formatAccumulator(accumulator: AccumulatorPlan): string {
  if (accumulator.op !== 'count') return `${accumulator.op}(${formatExpr(accumulator.arg)})`;
  if (accumulator.filter) return `count(${formatExpr(accumulator.filter)})`;
  return accumulator.arg ? `count(${formatExpr(accumulator.arg)} is not null)` : 'count(*)';
}

function formatMeasure(measure: MeasurePlan): string {
  switch (measure.fn) {
    case 'value':
      return `#${measure.accumulator}`;
    case 'sum':
      return `#${measure.sum}`;
    case 'avg':
      return `#${measure.sum} / #${measure.count}`;
    case 'quantile':
      return `#${measure.accumulator} at ${measure.q}`;
    case 'ratio':
      return formatExpr(measure.expr);
  }
}

/** A typed expression with every implicit step spelled out. */
export function formatExpr(expr: TypedExpr): string {
  switch (expr.kind) {
    case 'literal':
      if (expr.value === null && expr.text === undefined) return 'null';
      if (expr.type === 'money') return formatCents(BigInt(expr.text ?? String(expr.value)));
      if (expr.text !== undefined) return expr.text;
      return typeof expr.value === 'string' ? `'${expr.value.replaceAll("'", "''")}'` : String(expr.value);
    case 'column':
      return expr.name;
    case 'apply':
      return `${expr.op}(${expr.args.map(formatExpr).join(', ')})`;
    case 'cast':
      return `cast(${formatExpr(expr.arg)} as ${expr.type})`;
    case 'case':
      return `case ${expr.whens.map(({when, then}) => `when ${formatExpr(when)} then ${formatExpr(then)}`).join(' ')} else ${formatExpr(expr.otherwise)} end`;
  }
}
