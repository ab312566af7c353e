/** The words of an expression: keywords, operators, names of types. */
import type {ValueType} from './types.ts';

/** Types that `cast(x as type)` can name. */
export const castTypes = [
  'string',
  'int',
  'long',
  'double',
  'boolean',
  'timestamp',
  'date',
  'uuid',
  'money',
] as const satisfies ValueType[];

/** Keywords: no column goes by such a name without quotes. */
export const reserved = new Set(
  'and or not is null true false in between like escape case when then else end cast distinct from as'.split(
    ' ',
  ),
);

/** Binding strengths of the binary operators; all associate to the left. */
export const strengths: Record<string, number> = {
  or: 1,
  and: 2,
  '=': 4,
  '<>': 4,
  '!=': 4,
  '<': 4,
  '<=': 4,
  '>': 4,
  '>=': 4,
  is: 4,
  in: 4,
  between: 4,
  like: 4,
  not: 4,
  '||': 5,
  '+': 6,
  '-': 6,
  '*': 7,
  '/': 7,
  '%': 7,
};
/** Of what follows "not", a comparison, a sign. */
export const notStrength = 3;
export const comparisonStrength = 4;
export const unaryStrength = 8;

/** Operators whose result is not compared again. */
export const comparisons = new Set([
  '=',
  '<>',
  '<',
  '<=',
  '>',
  '>=',
  'in',
  'between',
  'like',
  'is null',
  'is distinct from',
]);

/** SQL's other names of the types. */
export const typeNames: Record<string, ValueType> = Object.assign(Object.create(null), {
  bigint: 'long',
  integer: 'int',
  smallint: 'int',
  varchar: 'string',
  text: 'string',
  char: 'string',
  float: 'double',
  real: 'double',
  number: 'double',
  decimal: 'money',
  numeric: 'money',
  bool: 'boolean',
  datetime: 'timestamp',
});
