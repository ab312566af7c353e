/** What a test file expects: rows by query, dead letters, late events, lines of the ledger. */
import type {Path} from '../config/diagnostics.ts';
import {suggest} from '../config/nearest.ts';
import {type ConfigNode, type MapNode, quote} from '../config/nodes.ts';
import type {ValueType} from '../expr/types.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {checkKeys, firstLine, type ScenarioContext, wrongType} from './scenario-nodes.ts';
import type {Expectation, ExpectedCell, ExpectedFields, ExpectedRow} from './scenario-types.ts';
import {instantOf, typedValue} from './scenario-values.ts';

const expectKeys = ['rows', 'dead_letters', 'late', 'ledger'];
export const deadLetterFields = ['event_type', 'stage', 'code', 'message', 'query', 'event_id'];
export const lateFields = ['query', 'event_id', 'missed'];
export const ledgerFields = [
  'event_type',
  'received',
  'appended',
  'duplicate',
  'rejected',
  'query',
  'topic',
  'partition',
  'read',
  'aggregated',
  'corrected',
  'late_in_part',
  'filtered',
  'late',
  'dead',
];

/** @returns undefined after a mistake in its form. */
export function readExpectation(
  node: ConfigNode,
  path: Path,
  context: ScenarioContext,
): Expectation | undefined {
  const {diagnostics} = context;
  if (node.kind !== 'map')
    return wrongType(
      node,
      'what is expected',
      path,
      diagnostics,
      'expect: {rows: {...}}, or expect: snapshot',
    );
  checkKeys(node, expectKeys, path, diagnostics);
  const part = (key: string, known: string[]) => {
    const value = node.entries.get(key)?.value;
    return value ? readFields(value, known, [...path, key], context) : undefined;
  };
  const rows = node.entries.get('rows')?.value;
  return {
    rows: rows ? readRows(rows, [...path, 'rows'], context) : new Map(),
    deadLetters: part('dead_letters', deadLetterFields),
    late: part('late', lateFields),
    ledger: part('ledger', ledgerFields),
  };
}

function readRows(node: ConfigNode, path: Path, context: ScenarioContext): Map<string, ExpectedRow[]> {
  const {plans, diagnostics} = context;
  const rows = new Map<string, ExpectedRow[]>();
  if (node.kind !== 'map') {
    wrongType(node, 'rows by query', path, diagnostics, 'rows: {<query>: [{window_start: "10:00", ...}]}');
    return rows;
  }
  for (const [name, {key, value}] of node.entries) {
    const plan = plans.find((each) => each.query === name);
    if (!plan) {
      const names = plans.map(({query}) => query);
      diagnostics.error(key, 'VALUE_UNKNOWN', `there is no query ${quote(name)}`, {
        path: [...path, name],
        ...(suggest(name, names) ? {hint: suggest(name, names)!} : {}),
      });
    } else if (value.kind !== 'list')
      wrongType(value, 'a list of rows', [...path, name], diagnostics, 'no row at all is written []');
    else
      rows.set(
        name,
        value.items.flatMap((row, index) => readRow(row, plan, [...path, name, index], context) ?? []),
      );
  }
  return rows;
}

function readRow(
  node: ConfigNode,
  plan: QueryPlan,
  path: Path,
  context: ScenarioContext,
): ExpectedRow | undefined {
  const {diagnostics, date} = context;
  if (node.kind !== 'map') return wrongType(node, 'a row: {column: value}', path, diagnostics);
  const cells: ExpectedCell[] = [];
  for (const [name, {key, value}] of node.entries) {
    const column = columnOf(plan, name);
    if (!column) {
      const names = columnNames(plan);
      diagnostics.error(key, 'FIELD_UNKNOWN', `${plan.query} has no column ${quote(name)}`, {
        path: [...path, name],
        hint: suggest(name, names) ?? `columns: ${names.join(', ')}`,
      });
      continue;
    }
    const typed = typedValue(value, column.type, date);
    if (typed.problem === undefined)
      cells.push({name, column: column.column, type: column.type, value: typed.value});
    else diagnostics.error(value.place, 'TYPE_WRONG', typed.problem, {path: [...path, name]});
  }
  return {place: firstLine(node), cells};
}

/** Measures and dimensions of money are written as amounts under their own names, as cents under those of their columns. */
function columnOf(plan: QueryPlan, name: string): {column: string; type: ValueType} | undefined {
  const table = plan.table.columns.find((column) => column.name === name);
  if (table && name !== 'deleted') return {column: name, type: table.type === 'money' ? 'long' : table.type};
  const named = [...plan.measures, ...plan.groupBy].find((each) => each.name === name);
  return named ? {column: named.column, type: named.type} : undefined;
}

const columnNames = ({table, measures, groupBy}: QueryPlan): string[] => [
  ...new Set(
    [...table.columns, ...groupBy, ...measures].map(({name}) => name).filter((name) => name !== 'deleted'),
  ),
];

function readFields(
  node: ConfigNode,
  known: string[],
  path: Path,
  context: ScenarioContext,
): ExpectedFields[] | undefined {
  const {diagnostics} = context;
  if (node.kind !== 'list') return wrongType(node, 'a list', path, diagnostics, 'none at all is written []');
  return node.items.flatMap((item, index) => {
    if (item.kind !== 'map') {
      wrongType(item, 'a map of fields', [...path, index], diagnostics);
      return [];
    }
    checkKeys(item, known, [...path, index], diagnostics);
    return [{place: firstLine(item), fields: fieldsOf(item, [...path, index], context)}];
  });
}

function fieldsOf(node: MapNode, path: Path, {diagnostics, date}: ScenarioContext): ExpectedFields['fields'] {
  const fields: ExpectedFields['fields'] = {};
  for (const [name, {value}] of node.entries) {
    if (name === 'missed') {
      const items = value.kind === 'list' ? value.items : [value];
      const instants = items.map((item) => (item.kind === 'scalar' ? instantOf(item.text, date) : undefined));
      if (instants.includes(undefined)) wrongType(value, 'a list of times', [...path, name], diagnostics);
      else fields[name] = instants.map((ms) => new Date(ms!).toISOString()).join(' ');
    } else if (value.kind !== 'scalar') wrongType(value, 'text or a number', [...path, name], diagnostics);
    else fields[name] = typeof value.value === 'number' ? value.value : value.text;
  }
  return fields;
}
