/** The functions of the language, with their documentation. */
import {timeFunctions} from './functions-times.ts';

/**
 * A parameter: a type; `any` takes every type as it is; `T` stands for the common type of all its arguments; `zone`, `unit`
 * and `digits` are literals (a time zone's name, one of the signature's units, a whole number). `?` may be left out, `...`
 * may be repeated.
 */
export type Param = string;

export type Signature = {
  params: Param[];
  /** A type, or `T`. */
  result: string;
  /** Key in operations.ts; `.T` becomes the common type. */
  op: string;
  units?: readonly string[];
};

export type FunctionSpec = {
  group: 'Conditions' | 'Numbers' | 'Strings' | 'Times';
  doc: string;
  signatures: Signature[];
  /** Expression and its value as text; a test runs each. */
  examples: [string, string][];
};

const numeric = (op: string, more: Param[] = []): Signature[] =>
  ['long', 'double', 'money'].map((type) => ({params: [type, ...more], result: type, op: `${op}.${type}`}));
const text1 = (op: string, result = 'string'): Signature[] => [{params: ['string'], result, op}];
const text2 = (op: string, result: string): Signature[] => [{params: ['string', 'string'], result, op}];

/** The functions of the language, by name. What each operation computes is in operations.ts. */
export const functions: Record<string, FunctionSpec> = {
  coalesce: {
    group: 'Conditions',
    doc: 'The first argument that is not NULL.',
    signatures: [{params: ['T', 'T...'], result: 'T', op: 'coalesce'}],
    examples: [["coalesce(null, 'b', 'c')", 'b']],
  },
  nullif: {
    group: 'Conditions',
    doc: 'NULL if both are equal, else the first.',
    signatures: [{params: ['T', 'T'], result: 'T', op: 'nullif.T'}],
    examples: [
      ['nullif(0, 0)', 'NULL'],
      ['nullif(5, 0)', '5'],
    ],
  },
  if: {
    group: 'Conditions',
    doc: 'The second argument if the condition is true, else (false or NULL) the third. The same as `case when c then a else b end`.',
    signatures: [{params: ['boolean', 'T', 'T'], result: 'T', op: 'if'}],
    examples: [
      ["if(2 > 1, 'yes', 'no')", 'yes'],
      ["if(null, 'yes', 'no')", 'no'],
    ],
  },
  greatest: {
    group: 'Conditions',
    doc: 'The greatest of the arguments that are not NULL.',
    signatures: [{params: ['T', 'T...'], result: 'T', op: 'greatest.T'}],
    examples: [['greatest(1, null, 3)', '3']],
  },
  least: {
    group: 'Conditions',
    doc: 'The least of the arguments that are not NULL.',
    signatures: [{params: ['T', 'T...'], result: 'T', op: 'least.T'}],
    examples: [['least(1, null, 3)', '1']],
  },
  abs: {
    group: 'Numbers',
    doc: 'The value without its sign.',
    signatures: numeric('abs'),
    examples: [
      ['abs(-5)', '5'],
      ['abs(-1.5)', '1.5'],
    ],
  },
  sign: {
    group: 'Numbers',
    doc: '-1, 0 or 1.',
    signatures: ['long', 'double', 'money'].map((type) => ({
      params: [type],
      result: 'long',
      op: `sign.${type}`,
    })),
    examples: [
      ['sign(-0.5)', '-1'],
      ['sign(0)', '0'],
    ],
  },
  round: {
    group: 'Numbers',
    doc: 'Rounded to `digits` after the point (default 0; negative: before it), half away from zero. A double rounds as its decimal text reads: `round(1.005, 2)` is 1.01.',
    signatures: numeric('round', ['digits?']),
    examples: [
      ['round(2.5)', '3'],
      ['round(-2.5)', '-3'],
      ['round(1.005, 2)', '1.01'],
      ['round(1250, -2)', '1300'],
    ],
  },
  floor: {
    group: 'Numbers',
    doc: 'The greatest whole number that is not above the value; a long, for money whole units.',
    signatures: [
      {params: ['long'], result: 'long', op: 'floor.long'},
      {params: ['double'], result: 'long', op: 'floor.double'},
      {params: ['money'], result: 'money', op: 'floor.money'},
    ],
    examples: [
      ['floor(2.7)', '2'],
      ['floor(-2.1)', '-3'],
    ],
  },
  ceil: {
    group: 'Numbers',
    doc: 'The least whole number that is not below the value; a long, for money whole units.',
    signatures: [
      {params: ['long'], result: 'long', op: 'ceil.long'},
      {params: ['double'], result: 'long', op: 'ceil.double'},
      {params: ['money'], result: 'money', op: 'ceil.money'},
    ],
    examples: [
      ['ceil(2.1)', '3'],
      ['ceil(-2.7)', '-2'],
    ],
  },
  mod: {
    group: 'Numbers',
    doc: 'The remainder, with the sign of the first argument; NULL for a divisor of 0. The same as `%`.',
    signatures: ['long', 'double'].map((type) => ({params: [type, type], result: type, op: `mod.${type}`})),
    examples: [
      ['mod(7, 3)', '1'],
      ['mod(-7, 3)', '-1'],
      ['mod(7, 0)', 'NULL'],
    ],
  },
  upper: {
    group: 'Strings',
    doc: 'In capital letters (Unicode).',
    signatures: text1('upper'),
    examples: [["upper('straße')", 'STRASSE']],
  },
  lower: {
    group: 'Strings',
    doc: 'In small letters (Unicode).',
    signatures: text1('lower'),
    examples: [["lower('JFK')", 'jfk']],
  },
  trim: {
    group: 'Strings',
    doc: 'Without spaces at both ends.',
    signatures: text1('trim'),
    examples: [["trim('  a b ')", 'a b']],
  },
  ltrim: {
    group: 'Strings',
    doc: 'Without spaces at the start.',
    signatures: text1('ltrim'),
    examples: [["ltrim('  a')", 'a']],
  },
  rtrim: {
    group: 'Strings',
    doc: 'Without spaces at the end.',
    signatures: text1('rtrim'),
    examples: [["rtrim('a  ')", 'a']],
  },
  length: {
    group: 'Strings',
    doc: 'Number of characters (Unicode code points).',
    signatures: text1('length', 'long'),
    examples: [["length('naïve')", '5']],
  },
  substring: {
    group: 'Strings',
    doc: 'Characters from `start` (1 is the first, a negative one counts from the end), at most as many as the third argument says.',
    signatures: [{params: ['string', 'long', 'long?'], result: 'string', op: 'substring'}],
    examples: [
      ["substring('millrace', 1, 4)", 'mill'],
      ["substring('millrace', -4)", 'race'],
    ],
  },
  replace: {
    group: 'Strings',
    doc: 'Every occurrence of the second argument replaced by the third.',
    signatures: [{params: ['string', 'string', 'string'], result: 'string', op: 'replace'}],
    examples: [["replace('a-b-c', '-', '+')", 'a+b+c']],
  },
  concat: {
    group: 'Strings',
    doc: 'The arguments joined; NULL if one is. The same as `||`.',
    signatures: [{params: ['string', 'string...'], result: 'string', op: 'concat'}],
    examples: [["concat('a', 'b', 'c')", 'abc']],
  },
  starts_with: {
    group: 'Strings',
    doc: 'Whether the first argument starts with the second.',
    signatures: text2('starts_with', 'boolean'),
    examples: [["starts_with('millrace', 'mill')", 'true']],
  },
  ends_with: {
    group: 'Strings',
    doc: 'Whether the first argument ends with the second.',
    signatures: text2('ends_with', 'boolean'),
    examples: [["ends_with('millrace', 'mill')", 'false']],
  },
  contains: {
    group: 'Strings',
    doc: 'Whether the second argument occurs in the first.',
    signatures: text2('contains', 'boolean'),
    examples: [["contains('millrace', 'lra')", 'true']],
  },
  position: {
    group: 'Strings',
    doc: 'Place of the first argument in the second, counted from 1; 0 when it does not occur.',
    signatures: text2('position', 'long'),
    examples: [["position('r', 'millrace')", '5']],
  },
  ...timeFunctions,
};

/** Names other SQL dialects use -> what to write here. */
export const synonyms: Record<string, string> = Object.assign(Object.create(null), {
  ifnull: 'coalesce',
  nvl: 'coalesce',
  isnull: 'x is null',
  iif: 'if',
  len: 'length',
  char_length: 'length',
  ucase: 'upper',
  lcase: 'lower',
  substr: 'substring',
  instr: 'position(needle, text)',
  strpos: 'position(needle, text)',
  ceiling: 'ceil',
  max: 'greatest',
  min: 'least',
  now: 'the column "timestamp": there is no clock in expressions',
  current_timestamp: 'the column "timestamp": there is no clock in expressions',
  today: 'the column "timestamp": there is no clock in expressions',
  datediff: "date_diff('day', from, to)",
  timestampdiff: 'date_diff(unit, from, to)',
  dateadd: 'date_add(unit, number, time)',
  date: 'to_date',
  to_timestamp: 'cast(text as timestamp)',
  weekday: 'dayofweek',
  dow: 'dayofweek',
  decode: 'case',
});
