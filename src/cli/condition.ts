import {checkExpr} from '../expr/check.ts';
import {evaluate, type Get} from '../expr/evaluate.ts';
import {ExpressionFailure} from '../expr/failure.ts';
import {parseExpr} from '../expr/parse.ts';
import type {ExprScope, ValueType} from '../expr/types.ts';
import type {EventType} from '../model/types.ts';
import {refuseExpression} from '../platform/letters-where.ts';
import type {AvroRecord, AvroSchema} from '../schema/types.ts';

/** Columns that a condition may name, and how their values come from a record's logged ones. */
export type ConditionScope = {scope: ExprScope; resolve(logged: Get): Get};

/** What an event has, by the names of the configuration: its fields and what is derived from them. */
export function eventScope({fields, derive}: EventType): ConditionScope {
  const scope: ExprScope = new Map([
    ...fields.map(({name, type, symbols}) => [name, {type, ...(symbols ? {symbols} : {})}] as const),
    ...derive.map(({name, type}) => [name, {type}] as const),
  ]);
  const columns = new Map(fields.map(({name, column}) => [name, column]));
  const expressions = new Map(derive.map(({name, expr}) => [name, expr]));
  return {
    scope,
    resolve(logged) {
      const get: Get = (name) => {
        const expr = expressions.get(name);
        return expr ? evaluate(expr, get) : logged(columns.get(name) ?? name);
      };
      return get;
    },
  };
}

/** The columns of any record of the log, by its schema; those that are no plain values are left out. */
export function recordScope({fields}: AvroRecord): ConditionScope {
  const typed = fields.flatMap(({name, type}) => {
    const value = valueTypeOf(type);
    return value ? [[name, {type: value}] as const] : [];
  });
  return {scope: new Map(typed), resolve: (logged) => logged};
}

const plainTypes = ['string', 'int', 'long', 'double', 'boolean'] as const;

function valueTypeOf(schema: AvroSchema): ValueType | undefined {
  if (Array.isArray(schema)) {
    const branches = schema.filter((branch) => branch !== 'null');
    return branches.length === 1 ? valueTypeOf(branches[0]!) : undefined;
  }
  if (typeof schema === 'object' && 'logicalType' in schema) {
    if (schema.logicalType === 'timestamp-millis') return 'timestamp';
    if (schema.logicalType === 'date') return 'date';
    if (schema.logicalType === 'uuid') return 'uuid';
  }
  const type = typeof schema === 'object' && 'type' in schema ? schema.type : schema;
  return plainTypes.find((plain) => plain === type);
}

/**
 * A condition of the expression language as an option has it. A value that cannot be computed is no match.
 * @throws USAGE that shows where the text is wrong.
 */
export function compileCondition(
  flag: string,
  text: string,
  {scope, resolve}: ConditionScope,
): (logged: Get) => boolean {
  const parsed = parseExpr(text);
  const checked = parsed.ok ? checkExpr(parsed.expr, scope, 'boolean') : parsed;
  if (!checked.ok) refuseExpression(flag, text, checked.problems);
  return (logged) => {
    try {
      return evaluate(checked.typed, resolve(logged)) === true;
    } catch (error) {
      if (error instanceof ExpressionFailure) return false;
      throw error;
    }
  };
}
