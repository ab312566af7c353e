/** What a scenario made against what its test expects. */
import type {Value, ValueType} from '../expr/types.ts';
import {formatCents} from '../expr/values.ts';
import type {Ledger} from '../observe/ledger.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {Expectation, ExpectedCell, ExpectedFields, ExpectedRow, Outcome} from './scenario-types.ts';
import {writtenValue} from './scenario-values.ts';

/** A table of what differs. Cells of a changed line that differ read "expected → actual". */
export type Difference = {
  /** `rows of revenue_per_minute`, `dead letters`, ... */
  title: string;
  columns: string[];
  lines: {
    mark: 'same' | 'missing' | 'unexpected' | 'changed';
    cells: string[];
    /** Where it is expected, from 1. */
    line?: number;
  }[];
};

/** Doubles agree when they differ by less than this share. */
const relative = 1e-6;

/** @returns what differs; empty when everything is as expected. */
export function compareOutcome(expected: Expectation, outcome: Outcome, plans: QueryPlan[]): Difference[] {
  const differences: Difference[] = [];
  for (const [query, rows] of expected.rows) {
    const plan = plans.find((each) => each.query === query)!;
    differences.push(compareRows(plan, rows, outcome.rows.get(query) ?? []));
  }
  if (expected.deadLetters)
    differences.push(
      compareFields('dead letters', expected.deadLetters, outcome.deadLetters, ['event_type', 'code']),
    );
  if (expected.late)
    differences.push(
      compareFields('late events', expected.late, outcome.late, ['query', 'event_id', 'missed']),
    );
  if (expected.ledger) differences.push(compareLedger(expected.ledger, outcome.ledger));
  return differences.filter(({lines}) => lines.some(({mark}) => mark !== 'same'));
}

type Row = Record<string, Value>;
type Shown = Pick<ExpectedCell, 'name' | 'column' | 'type'>;

function compareRows(plan: QueryPlan, expected: ExpectedRow[], actual: Row[]): Difference {
  const columns = shownColumns(plan, expected);
  const keys = new Set(plan.table.key);
  const left = new Set(actual);
  // A row that fits wholly is taken first, so that one that fits in part does not take it away.
  const pairs = new Map<ExpectedRow, Row>();
  for (const fits of [() => true, ({column}: ExpectedCell) => keys.has(column)])
    for (const row of expected) {
      if (pairs.has(row)) continue;
      const cells = row.cells.filter(fits);
      const found = [...left].find((candidate) =>
        cells.every((cell) => isEqual(cell, candidate[cell.column]!)),
      );
      if (!found) continue;
      pairs.set(row, found);
      left.delete(found);
    }
  const lines: Difference['lines'] = expected.map((row) => {
    const found = pairs.get(row);
    const line = row.place.file.position(row.place.start).line;
    const cells = columns.map((column) => {
      const wanted = row.cells.find(({name}) => name === column.name);
      const is = found ? show(found[column.column]!, column.type) : '';
      if (!wanted) return is;
      if (!found || isEqual(wanted, found[column.column]!)) return show(wanted.value, column.type);
      return `${show(wanted.value, column.type)} → ${is}`;
    });
    const isSame = found && row.cells.every((cell) => isEqual(cell, found[cell.column]!));
    return {mark: !found ? 'missing' : isSame ? 'same' : 'changed', cells, line};
  });
  for (const row of left)
    lines.push({mark: 'unexpected', cells: columns.map(({column, type}) => show(row[column]!, type))});
  return {title: `rows of ${plan.query}`, columns: columns.map(({name}) => name), lines};
}

/** The columns that the test names, in its order; of a query of which it names no row, all. */
function shownColumns(plan: QueryPlan, expected: ExpectedRow[]): Shown[] {
  const columns = new Map<string, Shown>();
  for (const {name, column, type} of expected.flatMap(({cells}) => cells))
    columns.set(name, {name, column, type});
  // What tells rows apart is shown whether it is named or not.
  const first = plan.table.columns.filter(
    ({name}) => plan.table.key.includes(name) && ![...columns.values()].some(({column}) => column === name),
  );
  const all =
    columns.size > 0 ? first : plan.table.columns.filter(({name}) => !['deleted', 'version'].includes(name));
  return [
    ...all.map(({name, type}) => ({name, column: name, type: type === 'money' ? ('long' as const) : type})),
    ...columns.values(),
  ];
}

const show = (value: Value, type: ValueType): string => {
  if (value === null) return 'NULL';
  if (type === 'money') return formatCents(value as number | bigint);
  return String(writtenValue(value, type));
};

function isEqual({value, type}: ExpectedCell, actual: Value): boolean {
  if (value === actual) return true;
  if (type !== 'double' || typeof value !== 'number' || typeof actual !== 'number') return false;
  return Math.abs(value - actual) <= relative * Math.max(Math.abs(value), Math.abs(actual));
}

type Fields = Record<string, string | number>;

/** Every expected record must be there, and no other. */
function compareFields(
  title: string,
  expected: ExpectedFields[],
  actual: Fields[],
  usual: string[],
): Difference {
  const named = [...new Set(expected.flatMap(({fields}) => Object.keys(fields)))];
  const columns = named.length > 0 ? named : usual;
  const cellsOf = (fields: Fields) => columns.map((name) => String(fields[name] ?? ''));
  const left = new Set(actual);
  const lines: Difference['lines'] = expected.map(({place, fields}) => {
    const found = [...left].find((candidate) =>
      Object.entries(fields).every(([name, value]) => String(candidate[name] ?? '') === String(value)),
    );
    if (found) left.delete(found);
    const {line} = place.file.position(place.start);
    return {mark: found ? 'same' : 'missing', cells: cellsOf(fields), line};
  });
  for (const record of left) lines.push({mark: 'unexpected', cells: cellsOf(record)});
  return {title, columns, lines};
}

const ledgerKeys = ['event_type', 'query', 'topic', 'partition'];

/** A line that leaves out a part of the key is compared with the sum over that part. */
function compareLedger(expected: ExpectedFields[], {ingest, query}: Ledger): Difference {
  const columns = [...new Set(expected.flatMap(({fields}) => Object.keys(fields)))];
  const lines = expected.map(({place, fields}): Difference['lines'][number] => {
    const source: Fields[] = 'query' in fields ? query : ingest;
    const found = source.filter((line) =>
      ledgerKeys.every((key) => !(key in fields) || String(line[key]) === String(fields[key])),
    );
    let mark: Difference['lines'][number]['mark'] = 'same';
    const cells = columns.map((name) => {
      const wanted = fields[name];
      if (wanted === undefined || ledgerKeys.includes(name)) return String(wanted ?? '');
      const sum = found.reduce((total, line) => total + Number(line[name]), 0);
      if (sum === wanted) return String(wanted);
      mark = 'changed';
      return `${wanted} → ${sum}`;
    });
    return {mark, cells, line: place.file.position(place.start).line};
  });
  return {title: 'ledger', columns, lines};
}
