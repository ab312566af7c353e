import {evaluate, type Get} from '../../expr/evaluate.ts';
import type {TypedExpr, Value, ValueType} from '../../expr/types.ts';
import {columnsOf} from '../../expr/walk.ts';
import type {QueryPlan, SourcePlan} from '../plan/nodes.ts';
import type {DecodedBatch, SpecialRow, TopicDecoder} from './decode.ts';
import {columnsOfSource} from './decode-columns.ts';
import type {LookupSet} from './lookups.ts';

/** What the names in a query's expressions mean over one source: logged fields, derived and enriched columns. */
export type SourceScope = {
  /** Columns of the decoder that the query uses of this source. */
  used: Set<number>;
  /** Where a name's value comes from in the end: columns of codes, and how many that are numbers. */
  roots(expr: TypedExpr): {codes: number[]; numbers: number};
  /** Column of a logged field; undefined when the name is none or has another use. */
  numberColumn(name: string): number | undefined;
  codeColumn(name: string): number | undefined;
  tokenColumn(name: string): number | undefined;
  /** Reads names, the logged text column being this. */
  getWith(text: () => string | null): Get;
  /** Reads names in a row of the current batch. */
  getRow(row: number): Get;
  /** The event's id in a row, for `first`, `last` and `dedup`. */
  eventId(row: number): string;
  setBatch(decoded: DecodedBatch): void;
};

type Rule = {on: string; lookup: string; from: string};

export function createScope(
  plan: QueryPlan,
  source: SourcePlan,
  decoder: TopicDecoder,
  lookups: LookupSet,
): SourceScope {
  const types = new Map<string, ValueType>();
  const columns = new Map<string, number>();
  const used = new Set<number>();
  for (const {name, type, use} of columnsOfSource(plan, source)) {
    const column = decoder.column(name, use);
    used.add(column);
    types.set(name, type);
    columns.set(`${use} ${name}`, column);
  }
  const derived = new Map(source.derive.map(({name, expr}) => [name, expr]));
  const enriched = new Map<string, Rule>(
    source.enrich.flatMap(({lookup, on, take}) =>
      take.map(({name, from}): [string, Rule] => [name, {on, lookup, from}]),
    ),
  );
  let batch: DecodedBatch;
  let special: Map<number, SpecialRow>;

  const getter = (field: (name: string) => Value): Get => {
    const get: Get = (name) => {
      const rule = enriched.get(name);
      if (rule) return lookups.value(rule.lookup, get(rule.on), rule.from);
      const expr = derived.get(name);
      if (expr) return evaluate(expr, get);
      if (types.has(name)) return field(name);
      return name === 'event_type' ? source.eventType : null;
    };
    return get;
  };

  function fieldOf(row: number, name: string): Value {
    const number = columns.get(`number ${name}`);
    if (number !== undefined) {
      const wide = special.get(row)?.wide.get(number);
      if (wide !== undefined) return wide;
      const value = batch.columns[number]![row]!;
      return Number.isNaN(value) ? null : types.get(name) === 'boolean' ? value === 1 : value;
    }
    const code = columns.get(`code ${name}`)!;
    const value = batch.columns[code]![row]!;
    return value === 0 ? null : decoder.dictionaries[code]!.text(value);
  }

  const roots: SourceScope['roots'] = (expr) => {
    const codes = new Set<number>();
    let numbers = 0;
    const visit = (name: string): void => {
      const rule = enriched.get(name);
      const expr = derived.get(name);
      if (rule) visit(rule.on);
      else if (expr) for (const inner of columnsOf(expr)) visit(inner);
      else if (columns.has(`number ${name}`)) numbers++;
      else if (columns.has(`code ${name}`)) codes.add(columns.get(`code ${name}`)!);
    };
    for (const name of columnsOf(expr)) visit(name);
    return {codes: [...codes], numbers};
  };

  const plain = (use: string) => (name: string) =>
    enriched.has(name) || derived.has(name) ? undefined : columns.get(`${use} ${name}`);

  return {
    used,
    roots,
    numberColumn: plain('number'),
    codeColumn: plain('code'),
    tokenColumn: plain('token'),
    getWith: (text) => getter(text),
    getRow: (row) => getter((name) => fieldOf(row, name)),
    eventId: (row) => {
      const place = batch.columns[columns.get('place event_id')!]![row]!;
      return place === -1 ? '' : batch.textAt(place);
    },
    setBatch(decoded) {
      batch = decoded;
      special = new Map(decoded.special.map((row) => [row.row, row]));
    },
  };
}
