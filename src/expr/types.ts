/** The types a value can have, in fields, expressions and columns. */
export type ValueType =
  | 'string'
  | 'int'
  | 'long'
  | 'double'
  | 'boolean'
  | 'timestamp'
  | 'date'
  | 'uuid'
  | 'money'
  | 'enum';

/**
 * A value at run time. int: number. long, money (cents), timestamp (epoch ms): number while |x| <= 2^53, bigint beyond, exact
 * to int64. date: days since 1970-01-01 as a number. string, uuid, enum: string. null: SQL's NULL.
 */
export type Value = string | number | bigint | boolean | null;

/** Where in its text an expression is wrong; `offset` and `length` count UTF-16 units of the expression's text. */
export type ExprProblem = {code: string; message: string; offset: number; length: number; hint?: string};

/** A place in the expression's text, UTF-16 units. */
export type Span = {offset: number; length: number};

export type Literal =
  | {
      kind: 'literal';
      type: ValueType;
      value: Value;
      span: Span /** A decimal literal's digits, for money. */;
      text?: string;
    }
  | {kind: 'literal'; type: 'null'; value: null; span: Span};

/** Parsed, untyped. `call` covers functions, `op` unary and binary operators and predicates (named as in SQL, lower case). */
export type Expr =
  | Literal
  | {kind: 'name'; name: string; span: Span}
  | {kind: 'op'; op: string; args: Expr[]; span: Span}
  | {kind: 'call'; name: string; args: Expr[]; span: Span}
  | {
      kind: 'case';
      operand: Expr | undefined;
      whens: {when: Expr; then: Expr}[];
      otherwise: Expr | undefined;
      span: Span;
    }
  | {kind: 'cast'; arg: Expr; to: ValueType; span: Span};

/**
 * Typed and normalised: every implicit conversion is explicit (`cast`), every overloaded operator is resolved to an
 * operation on one type. JSON-serialisable (bigint literals as decimal text in `text`), part of the plan and its fingerprint.
 */
export type TypedExpr =
  | {
      kind: 'literal';
      type: ValueType | 'null';
      value: string | number | boolean | null /** int64 beyond 2^53 */;
      text?: string;
    }
  | {kind: 'column'; type: ValueType; name: string}
  | {
      kind: 'apply';
      type: ValueType /** Key of `operations` in functions.ts, e.g. "add.long", "eq.string", "upper". */;
      op: string;
      args: TypedExpr[];
    }
  | {kind: 'case'; type: ValueType; whens: {when: TypedExpr; then: TypedExpr}[]; otherwise: TypedExpr}
  | {kind: 'cast'; type: ValueType; from: ValueType | 'null'; arg: TypedExpr};

/** The columns an expression may name. `nullable` (default true): whether a value can be missing. */
export type ExprScope = ReadonlyMap<
  string,
  {type: ValueType; symbols?: readonly string[]; nullable?: boolean}
>;
