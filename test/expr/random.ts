/** Random expressions (as text, so that the parser and the checker take part) and random rows, for differential tests. */
import fc from 'fast-check';
import {checkExpr} from '../../src/expr/check.ts';
import {parseExpr} from '../../src/expr/parse.ts';
import type {ExprScope, TypedExpr, Value, ValueType} from '../../src/expr/types.ts';

type Kind = 'long' | 'double' | 'money' | 'boolean' | 'string' | 'timestamp' | 'date';

export const scope: ExprScope = new Map(
  Object.entries({
    i: {type: 'int'},
    l: {type: 'long'},
    k: {type: 'long'},
    d: {type: 'double'},
    f: {type: 'double'},
    m: {type: 'money'},
    n: {type: 'money'},
    b: {type: 'boolean'},
    c: {type: 'boolean'},
    s: {type: 'string'},
    constructor: {type: 'string'},
    e: {type: 'enum', symbols: ['JFK', 'LGA', "it's"]},
    u: {type: 'uuid'},
    t: {type: 'timestamp'},
    q: {type: 'date'},
  } as const),
);

const hostile = [
  '',
  'a',
  'b%',
  '_',
  "'",
  '"',
  '`',
  '\u0024{x}',
  '\\',
  '\u2028',
  '\u2029',
  '\n',
  '\0',
  '😀',
  '\uD800',
  'constructor',
  '__proto__',
  '12',
  '-7.25',
  'true',
  '2024-02-29',
  '2024-02-29T23:59:59Z',
  'JFK',
  'ab ',
  ' AB',
  'x'.repeat(40),
];
const edges = [
  0n,
  1n,
  -1n,
  2n,
  7n,
  10n,
  99n,
  100n,
  150n,
  -250n,
  2n ** 31n - 1n,
  -(2n ** 31n),
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 53n + 1n,
  -(2n ** 53n) - 1n,
  2n ** 62n,
  2n ** 63n - 1n,
  -(2n ** 63n),
];

const toValue = (x: bigint): Value => (x >= -(2n ** 53n) && x <= 2n ** 53n ? Number(x) : x);
const nullable = (arbitrary: fc.Arbitrary<Value>) =>
  fc.oneof({weight: 1, arbitrary: fc.constant(null)}, {weight: 6, arbitrary});
const int64 = fc.oneof(
  fc.constantFrom(...edges),
  fc.bigInt(-1000n, 1000n),
  fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
);
const small = fc.bigInt(-100_000n, 100_000n).map(toValue);
const text: fc.Arbitrary<Value> = fc.oneof(
  fc.constantFrom(...hostile),
  fc.string({unit: 'binary', maxLength: 6}),
);
const real: fc.Arbitrary<Value> = fc.oneof(
  fc.constantFrom(0, 1, -1, 0.5, -0.5, 2.5, 1.005, 1e15, 1e18, -1e19, 1e300, Number.MIN_VALUE),
  fc.double({noNaN: true, noDefaultInfinity: true}),
);
const uuid = fc.constantFrom('00000000-0000-4000-8000-000000000001', 'ffffffff-ffff-4fff-bfff-ffffffffffff');

/** A row; `wide` also with integers beyond 2^53. */
export const rows = (wide: boolean): fc.Arbitrary<Record<string, Value>> => {
  const long = wide ? fc.oneof(int64.map(toValue), small) : fc.oneof(small, fc.maxSafeInteger());
  return fc.record({
    i: nullable(fc.integer()),
    l: nullable(long),
    k: nullable(long),
    d: nullable(real),
    f: nullable(real),
    m: nullable(long),
    n: nullable(long),
    b: nullable(fc.boolean()),
    c: nullable(fc.boolean()),
    s: nullable(text),
    constructor: nullable(text),
    e: nullable(fc.constantFrom('JFK', 'LGA', "it's")),
    u: nullable(uuid),
    t: nullable(fc.integer({min: -1e12, max: 4e12})),
    q: nullable(fc.integer({min: -20000, max: 40000})),
  });
};

const quoted = (value: string) => `'${value.replaceAll("'", "''")}'`;
const of = (template: string, ...parts: fc.Arbitrary<string>[]): fc.Arbitrary<string> =>
  fc.tuple(...parts).map((filled) => template.replace(/#(\d)/g, (_, i) => filled[Number(i)]!));

const leaves: Record<Kind, fc.Arbitrary<string>> = {
  long: fc.oneof(fc.constantFrom('i', 'l', 'k', 'null'), int64.map(String), fc.constantFrom('0', '2', '3')),
  double: fc.constantFrom('d', 'f', '0.5', '1e3', '-2.25', '0.0'),
  money: fc.constantFrom('m', 'n', 'cast(12.34 as money)', 'cast(-0.05 as money)'),
  boolean: fc.constantFrom('b', 'c', 'true', 'false', 'b is null', "s = 'a'", 'l > 0'),
  string: fc.oneof(fc.constantFrom('s', 'constructor', 'e'), fc.constantFrom(...hostile).map(quoted)),
  timestamp: fc.constantFrom('t', "timestamp '2024-03-10 07:00:00'", "timestamp '1970-01-01'"),
  date: fc.constantFrom('q', "date '2024-02-29'"),
};

const kinds = Object.keys(leaves) as Kind[];
const comparison = fc.constantFrom(
  '=',
  '<>',
  '<',
  '<=',
  '>',
  '>=',
  'is distinct from',
  'is not distinct from',
);
const zone = fc.constantFrom("'America/New_York'", "'Asia/Kolkata'", "'UTC'", "'Pacific/Apia'");

/** Text of an expression of a kind, at most `depth` deep. */
export function expression(kind: Kind, depth: number): fc.Arbitrary<string> {
  if (depth === 0) return leaves[kind];
  const x = (of: Kind): fc.Arbitrary<string> =>
    fc
      .constant(null)
      .chain(() => expression(of, depth - 1))
      .map((inner) => `(${inner})`);
  const generic = [
    of('case when #0 then #1 else #2 end', x('boolean'), x(kind), x(kind)),
    of('coalesce(#0, #1)', x(kind), x(kind)),
    of('nullif(#0, #1)', x(kind), x(kind)),
    of('if(#0, #1, null)', x('boolean'), x(kind)),
    ...(kind === 'boolean'
      ? []
      : [of('greatest(#0, #1)', x(kind), x(kind)), of('least(#0, #1, #0)', x(kind), x(kind))]),
  ];
  return fc.oneof(
    {weight: 2, arbitrary: leaves[kind]},
    {weight: 6, arbitrary: fc.oneof(...special(kind, x))},
    {weight: 2, arbitrary: fc.oneof(...generic)},
  );
}

function special(kind: Kind, x: (of: Kind) => fc.Arbitrary<string>): fc.Arbitrary<string>[] {
  switch (kind) {
    case 'long':
      return [
        ...['+', '-', '*', '%'].map((op) => of(`#0 ${op} #1`, x('long'), x('long'))),
        of('-#0', x('long')),
        of('abs(#0)', x('long')),
        of('sign(#0)', x('money')),
        of('round(#0, -2)', x('long')),
        of('floor(#0)', x('double')),
        of('ceil(#0)', x('double')),
        of('length(#0)', x('string')),
        of('position(#0, #1)', x('string'), x('string')),
        of('cast(#0 as long)', x('string')),
        of('cast(#0 as long)', x('double')),
        of('cast(#0 as long)', x('money')),
        of('cast(#0 as int)', x('long')),
        of('cast(#0 as long)', x('boolean')),
        of('hour(#0, #1)', x('timestamp'), zone),
        of('minute(#0)', x('timestamp')),
        of('year(#0)', x('date')),
        of('dayofweek(#0)', x('timestamp')),
        of('dayofyear(#0)', x('date')),
        of('day(#0, #1)', x('timestamp'), zone),
        of('month(#0)', x('timestamp')),
        of("date_diff('hour', #0, #1)", x('timestamp'), x('timestamp')),
        of("date_diff('week', #0, #1)", x('date'), x('date')),
        of('epoch_ms(#0)', x('timestamp')),
      ];
    case 'double':
      return [
        ...['+', '-', '*', '/', '%'].map((op) => of(`#0 ${op} #1`, x('double'), x('double'))),
        of('#0 / #1', x('long'), x('long')),
        of('#0 / #1', x('money'), x('money')),
        of('#0 / #1', x('money'), x('long')),
        of('#0 * #1', x('money'), x('double')),
        of('-#0', x('double')),
        of('abs(#0)', x('double')),
        of('round(#0, 2)', x('double')),
        of('round(#0)', x('double')),
        of('cast(#0 as double)', x('money')),
        of('cast(#0 as double)', x('string')),
        of('#0 + #1', x('long'), x('double')),
      ];
    case 'money':
      return [
        of('#0 + #1', x('money'), x('money')),
        of('#0 - #1', x('money'), x('money')),
        of('#0 * #1', x('money'), x('long')),
        of('#0 * 1.19', x('money')),
        of('0.333 * #0', x('money')),
        of('#0 + 1.5', x('money')),
        of('-#0', x('money')),
        of('abs(#0)', x('money')),
        of('round(#0, 1)', x('money')),
        of('round(#0)', x('money')),
        of('floor(#0)', x('money')),
        of('ceil(#0)', x('money')),
        of('cast(#0 as money)', x('long')),
        of('cast(#0 as money)', x('double')),
        of('cast(#0 as money)', x('string')),
      ];
    case 'boolean':
      return [
        ...['and', 'or'].map((op) => of(`#0 ${op} #1`, x('boolean'), x('boolean'))),
        of('#0 and #1 or #2', x('boolean'), x('boolean'), x('boolean')),
        of('not #0', x('boolean')),
        ...kinds.flatMap((of_) => [
          of('#0 #2 #1', x(of_), x(of_), comparison),
          of('#0 is not null', x(of_)),
          of('#0 in (#1, #2)', x(of_), x(of_), x(of_)),
          of('#0 not in (#1, #2)', x(of_), x(of_), leaves[of_]),
          of('#0 between #1 and #2', x(of_), x(of_), x(of_)),
        ]),
        of('#0 #2 #1', leaves.string, leaves.string, comparison),
        of('#0 #2 #1', x('long'), x('double'), comparison),
        of("e in ('JFK', #0)", fc.constantFrom("'LGA'", 'null', 's')),
        of("u = '00000000-0000-4000-8000-000000000001'"),
        of('l not in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)'),
        of('#0 like #1', x('string'), x('string')),
        of("#0 like 'a_%%' escape '_'", x('string')),
        of('starts_with(#0, #1)', x('string'), x('string')),
        of('ends_with(#0, #1)', x('string'), x('string')),
        of('contains(#0, #1)', x('string'), x('string')),
        of('cast(#0 as boolean)', x('string')),
      ];
    case 'string':
      return [
        of('#0 || #1', x('string'), x('string')),
        of('concat(#0, #1, #0)', x('string'), x('string')),
        of('upper(#0)', x('string')),
        of('trim(#0)', x('string')),
        of('rtrim(#0)', x('string')),
        of('substring(#0, #1, 2)', x('string'), x('long')),
        of('substring(#0, #1)', x('string'), x('long')),
        of('replace(#0, #1, #2)', x('string'), x('string'), x('string')),
        ...kinds.map((of_) => of('cast(#0 as string)', x(of_))),
        of('cast(u as string)'),
      ];
    case 'timestamp':
      return [
        of("date_trunc('day', #0, #1)", x('timestamp'), zone),
        of("date_trunc('hour', #0)", x('timestamp')),
        of("date_add('month', #0, #1)", x('long'), x('timestamp')),
        of('cast(#0 as timestamp)', x('date')),
        of('cast(#0 as timestamp)', x('string')),
        of('from_epoch_ms(#0)', x('long')),
      ];
    case 'date':
      return [
        of("date_trunc('month', #0)", x('date')),
        of('to_date(#0, #1)', x('timestamp'), zone),
        of("date_add('day', #0, #1)", x('long'), x('date')),
        of('cast(#0 as date)', x('timestamp')),
        of('cast(#0 as date)', x('string')),
      ];
  }
}

/** A random expression of any kind, parsed and checked. */
export const expressions = (
  depth: number,
): fc.Arbitrary<{text: string; typed: TypedExpr; type: ValueType | 'null'}> =>
  fc
    .constantFrom(...kinds)
    .chain((kind) => expression(kind, depth))
    .map((source) => ({source, result: compileText(source)}))
    .filter(({result}) => result !== undefined)
    .map(({source, result}) => ({text: source, ...result!}));

/** Undefined when the checker refuses it (a literal out of place, such as a uuid or "= null"). */
export function compileText(source: string): {typed: TypedExpr; type: ValueType | 'null'} | undefined {
  const parsed = parseExpr(source);
  if (!parsed.ok) throw new Error(`${source}: ${parsed.problems[0]!.message}`);
  const checked = checkExpr(parsed.expr, scope);
  return checked.ok ? {typed: checked.typed, type: checked.type} : undefined;
}
