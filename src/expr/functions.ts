/** Long because it is one table: every function of the language, with its documentation. */

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
const part = (op: string, date: boolean): Signature[] => [
  {params: ['timestamp', 'zone?'], result: 'long', op: `${op}.timestamp`},
  ...(date ? [{params: ['date'], result: 'long', op: `${op}.date`}] : []),
];
const truncated = ['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'] as const;
const elapsed = ['millisecond', 'second', 'minute', 'hour', 'day', 'week'] as const;
const added = [...elapsed, 'month', 'quarter', 'year'] as const;

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
  year: {
    group: 'Times',
    doc: 'Year.',
    signatures: part('year', true),
    examples: [["year(date '2024-02-29')", '2024']],
  },
  month: {
    group: 'Times',
    doc: 'Month, 1 to 12.',
    signatures: part('month', true),
    examples: [["month(date '2024-02-29')", '2']],
  },
  day: {
    group: 'Times',
    doc: 'Day of the month, 1 to 31.',
    signatures: part('day', true),
    examples: [["day(date '2024-02-29')", '29']],
  },
  hour: {
    group: 'Times',
    doc: 'Hour, 0 to 23.',
    signatures: part('hour', false),
    examples: [
      ["hour(timestamp '2024-07-01 12:30:00')", '12'],
      ["hour(timestamp '2024-07-01 12:30:00', 'America/New_York')", '8'],
    ],
  },
  minute: {
    group: 'Times',
    doc: 'Minute, 0 to 59.',
    signatures: part('minute', false),
    examples: [["minute(timestamp '2024-07-01 12:30:00')", '30']],
  },
  second: {
    group: 'Times',
    doc: 'Second, 0 to 59.',
    signatures: part('second', false),
    examples: [["second(timestamp '2024-07-01 12:30:15')", '15']],
  },
  dayofweek: {
    group: 'Times',
    doc: 'Day of the week as ISO 8601 counts: 1 is Monday, 7 is Sunday.',
    signatures: part('dayofweek', true),
    examples: [["dayofweek(date '2024-02-29')", '4']],
  },
  dayofyear: {
    group: 'Times',
    doc: 'Day of the year, 1 to 366.',
    signatures: part('dayofyear', true),
    examples: [["dayofyear(date '2024-03-01')", '61']],
  },
  date_trunc: {
    group: 'Times',
    doc: `Start of the unit that holds the time: ${truncated.join(', ')}. Weeks begin on Monday; a local day begins at its first instant. A date has the units from day.`,
    signatures: [
      {
        params: ['unit', 'timestamp', 'zone?'],
        result: 'timestamp',
        op: 'date_trunc.timestamp',
        units: truncated,
      },
      {params: ['unit', 'date'], result: 'date', op: 'date_trunc.date', units: truncated.slice(3)},
    ],
    examples: [
      ["date_trunc('hour', timestamp '2024-07-01 12:30:00')", '2024-07-01T12:00:00.000Z'],
      ["date_trunc('day', timestamp '2024-07-01 02:00:00', 'America/New_York')", '2024-06-30T04:00:00.000Z'],
      ["date_trunc('week', date '2024-02-29')", '2024-02-26'],
    ],
  },
  date_diff: {
    group: 'Times',
    doc: `Whole units from the first time to the second, cut toward zero: ${elapsed.join(', ')}. Dates have day and week.`,
    signatures: [
      {params: ['unit', 'timestamp', 'timestamp'], result: 'long', op: 'date_diff.timestamp', units: elapsed},
      {params: ['unit', 'date', 'date'], result: 'long', op: 'date_diff.date', units: elapsed.slice(4)},
    ],
    examples: [
      ["date_diff('minute', timestamp '2024-07-01 12:00:00', timestamp '2024-07-01 13:30:59')", '90'],
      ["date_diff('day', date '2024-03-01', date '2024-02-01')", '-29'],
    ],
  },
  date_add: {
    group: 'Times',
    doc: `The time moved by a number of units: ${added.join(', ')}, in UTC. A month that lacks the day gives its last one. Dates have the units from day.`,
    signatures: [
      {params: ['unit', 'long', 'timestamp'], result: 'timestamp', op: 'date_add.timestamp', units: added},
      {params: ['unit', 'long', 'date'], result: 'date', op: 'date_add.date', units: added.slice(4)},
    ],
    examples: [
      ["date_add('minute', -90, timestamp '2024-07-01 12:00:00')", '2024-07-01T10:30:00.000Z'],
      ["date_add('month', 1, date '2024-01-31')", '2024-02-29'],
    ],
  },
  to_date: {
    group: 'Times',
    doc: 'The date of a timestamp, in UTC or in the zone given.',
    signatures: [{params: ['timestamp', 'zone?'], result: 'date', op: 'to_date'}],
    examples: [["to_date(timestamp '2024-07-01 02:00:00', 'America/New_York')", '2024-06-30']],
  },
  epoch_ms: {
    group: 'Times',
    doc: 'Milliseconds since 1970-01-01 UTC.',
    signatures: [{params: ['timestamp'], result: 'long', op: 'epoch_ms'}],
    examples: [["epoch_ms(timestamp '1970-01-02')", '86400000']],
  },
  from_epoch_ms: {
    group: 'Times',
    doc: 'The timestamp of milliseconds since 1970-01-01 UTC.',
    signatures: [{params: ['long'], result: 'timestamp', op: 'from_epoch_ms'}],
    examples: [['from_epoch_ms(86400000)', '1970-01-02T00:00:00.000Z']],
  },
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
