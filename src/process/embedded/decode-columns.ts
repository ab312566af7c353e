import type {TypedExpr, ValueType} from '../../expr/types.ts';
import {columnsOf, conjuncts} from '../../expr/walk.ts';
import type {Protected} from '../../schema/protected.ts';
import {avroAliases} from '../../schema/readable.ts';
import type {QueryPlan, SourcePlan} from '../plan/nodes.ts';

/**
 * How a logged field becomes a column. number: Float64Array, NaN is NULL, booleans 1 and 0. code: Int32Array of codes in the
 * field's dictionary, 0 is NULL. token: Int32Array of HyperLogLog tokens, 0 is NULL (a text that is only counted as distinct
 * is never interned). place: Int32Array of positions in `DecodedBatch.bytes`, -1 is NULL (a text that is rarely looked at).
 */
export type ColumnUse = 'number' | 'code' | 'token' | 'place';

export type ColumnSpec = {
  /** As expressions call it. */
  name: string;
  /** As in Avro. */
  column: string;
  /** Other Avro names that older writers may have used. */
  aliases: readonly string[];
  type: ValueType;
  /** Of an enum: what its values can be. */
  symbols?: string[];
  /** An event has to have it. */
  required: boolean;
  use: ColumnUse;
  /** Of personal data: how it is protected. */
  of?: Protected;
  /** No query looks at it in rows whose text of that name is another one: it need not be looked up there. */
  only?: Only;
};

/** Rows whose column `name`, a code, is this text. */
export type Only = {name: string; text: string};

/** Filters compare with longer texts as well, but then every row's is looked up. */
const onlyBytesMax = 48;

/** Texts are interned; everything else is a number. */
export const isText = (type: ValueType): boolean => type === 'string' || type === 'uuid' || type === 'enum';

/** Names that a source's expressions read, `distinct(name)` of a plain name left out: that one needs no value. */
export function namesRead(plan: QueryPlan, source: SourcePlan): Set<string> {
  const names = new Set(plan.groupBy.map(({name}) => name));
  const add = (expr: TypedExpr | null) => {
    if (expr) for (const name of columnsOf(expr)) names.add(name);
  };
  add(plan.where);
  for (const {expr} of source.derive) add(expr);
  for (const {on} of source.enrich) names.add(on);
  for (const accumulator of plan.accumulators) {
    if (accumulator.op === 'count') add(accumulator.filter);
    if (!(accumulator.op === 'distinct' && accumulator.arg.kind === 'column')) add(accumulator.arg);
  }
  return names;
}

/** Columns that one query needs of one of its sources. */
export function columnsOfSource(plan: QueryPlan, source: SourcePlan): ColumnSpec[] {
  const read = namesRead(plan, source);
  const only = onlyOf(plan, source);
  const ordered = plan.accumulators.some(({op}) => op === 'first' || op === 'last');
  const specs: ColumnSpec[] = [];
  for (const {name, column, aliases, type, pii, nullable, symbols} of source.fields) {
    const of = pii && {attribute: `${plan.domain}.${column}`, kind: pii};
    const add = (use: ColumnUse) =>
      specs.push({
        name,
        column,
        aliases: avroAliases({type, aliases}),
        type,
        ...(symbols ? {symbols} : {}),
        required: !nullable,
        use,
        ...(of ? {of} : {}),
        ...(only && type !== 'enum' && isText(type) && !of && use !== 'place' && !only.read.has(name)
          ? {only: only.of}
          : {}),
      });
    if (!isText(type)) add('number');
    else {
      const isCounted = plan.accumulators.some(({op, arg}) => op === 'distinct' && isColumn(arg, name));
      // What is counted of personal data are the values that it is read as: they have to be looked up.
      if (read.has(name) || (isCounted && of)) add('code');
      else if (isCounted) add('token');
      if (name === 'event_id' && (ordered || plan.dedupMs !== undefined)) add('place');
    }
  }
  return specs;
}

/**
 * What a query's filter asks of a text of the source: where it is another one, nothing of the row counts. `read`: names that are
 * looked at before, and what they hold may fail.
 */
function onlyOf(plan: QueryPlan, source: SourcePlan): {of: Only; read: Set<string>} | undefined {
  if (!plan.where) return undefined;
  const read = columnsOf(plan.where);
  for (const {expr} of source.derive) for (const name of columnsOf(expr)) read.add(name);
  for (const {on, take} of source.enrich) if (take.some(({name}) => read.has(name))) read.add(on);
  for (const part of conjuncts(plan.where)) {
    if (part.kind !== 'apply' || part.op !== 'eq.string') continue;
    const column = part.args.find(({kind}) => kind === 'column');
    const literal = part.args.find(({kind}) => kind === 'literal');
    if (column?.kind !== 'column' || literal?.kind !== 'literal') continue;
    const {name} = column;
    const text = String(literal.value);
    const isPlain = source.fields.some((each) => each.name === name && each.type === 'string' && !each.pii);
    if (isPlain && literal.value !== null && Buffer.byteLength(text) <= onlyBytesMax)
      return {of: {name, text}, read};
  }
  return undefined;
}

/** Index of the column that says whether another one is looked at in a row. */
export const onlyColumn = (specs: readonly ColumnSpec[], {only}: ColumnSpec): number | undefined =>
  only && specs.findIndex(({name, use}) => name === only.name && use === 'code');

const isColumn = (expr: TypedExpr | null, name: string): boolean =>
  expr?.kind === 'column' && expr.name === name;

/** Columns that all queries together need of a topic. `timestamp` is the first. */
export function columnsOfTopic(topic: string, plans: QueryPlan[]): ColumnSpec[] {
  const found = new Map<string, ColumnSpec>();
  for (const plan of plans)
    for (const source of plan.sources)
      if (source.topic === topic)
        for (const spec of columnsOfSource(plan, source)) {
          const key = `${spec.use} ${spec.name}`;
          const other = found.get(key);
          const {only, ...always} = spec;
          const isSame = !other || (other.only?.name === only?.name && other.only?.text === only?.text);
          found.set(key, isSame ? spec : always);
        }
  const specs = [...found.values()];
  const time = specs.findIndex(({name}) => name === 'timestamp');
  return [...specs.splice(time, 1), ...specs];
}
