/** Seeded random domains, in the configuration language, and random events for them. */
import type {Value, ValueType} from '../../src/expr/types.ts';
import type {Random} from '../support/random.ts';

type Column = {name: string; type: ValueType; required: boolean};

export type RandomDomain = {
  name: string;
  /** Content of the domain file; JSON is YAML. */
  yaml: string;
  /** File name below `config/lookups` -> content, and the same as a snapshot. */
  lookup: {csv: string; rows: Map<Value, Value[]>} | undefined;
  /** Partitions by event type. */
  partitions: Record<string, number>;
  columns: Record<string, Column[]>;
  /** About how far event time goes from one event to the next, and how far behind events may be. */
  stepMs: number;
  spreadMs: number;
};

const hostile = [
  '',
  ' ',
  'a',
  'A',
  'b',
  "'",
  '"',
  '\\',
  '\n',
  '\0',
  'null',
  'NULL',
  'constructor',
  '__proto__',
  '😀',
  'ä',
  'x'.repeat(300),
  '\u2028',
  '0',
  '-1',
  'a|b',
  'n',
  'true',
  '{x}',
];
const enumSymbols = ['red', 'green', 'blue'];
const uuids = [
  '00000000-0000-4000-8000-000000000001',
  'ffffffff-ffff-4fff-bfff-ffffffffffff',
  '12345678-1234-4234-8234-123456789abc',
];
const numbers: ValueType[] = ['int', 'long', 'double', 'money'];
const fieldTypes: ValueType[] = [
  'string',
  'string',
  'string',
  'int',
  'long',
  'long',
  'double',
  'boolean',
  'timestamp',
  'date',
  'uuid',
  'money',
  'money',
  'enum',
];
/** A column that only the second event type has: NULL in events of the first. */
const extra: Column = {name: 'extra', type: 'long', required: false};
const chance = (random: Random, percent: number): boolean => random.int(100) < percent;
const some = <T>(random: Random, from: T[], most: number): T[] => {
  const left = [...from];
  return Array.from(
    {length: Math.min(random.int(most + 1), left.length)},
    () => left.splice(random.int(left.length), 1)[0]!,
  );
};

export function randomDomain(seed: number, random: Random): RandomDomain {
  const shared = Array.from({length: 2 + random.int(5)}, (_, index) => randomColumn(random, index));
  const eventTypes = chance(random, 30) ? ['a', 'b'] : ['a'];
  const hasLookup = chance(random, 40);
  const columns: Record<string, Column[]> = {};
  const derived: Column[] = [];
  const deriveTexts: Record<string, string> = {};
  for (const type of some(random, ['string', 'long', 'boolean', 'double'] as ValueType[], 3)) {
    const name = `derived_${type}`;
    deriveTexts[name] = valueText(random, type, [...shared, ...derived]);
    derived.push({name, type, required: false});
  }
  const enriched: Column[] = hasLookup
    ? [
        {name: 'brand', type: 'string', required: false},
        {name: 'price', type: 'money', required: false},
      ]
    : [];
  const keyed = shared.find(({type}) => type === 'string');
  const lookup = hasLookup && keyed ? randomLookup(random) : undefined;
  const all = [...shared, ...derived, ...(lookup ? enriched : [])];
  const {window, sizeMs} = randomWindow(random);
  const eventTypesYaml = eventTypes.map((name) => {
    const fields = name === 'b' ? [...shared, extra] : shared;
    columns[name] = fields;
    const isMetric = ({type, name}: Column) =>
      numbers.includes(type) && name.charCodeAt(name.length - 1) % 2 === 0;
    const spec = ({name, type, required}: Column) => ({
      name,
      type,
      required,
      ...(type === 'enum' ? {symbols: enumSymbols} : {}),
    });
    return {
      name,
      attributes: fields.filter((field) => !isMetric(field)).map(spec),
      metrics: fields.filter(isMetric).map(spec),
      derive: deriveTexts,
      ...(lookup
        ? {enrich: [{lookup: 'things', on: keyed!.name, take: {brand: 'brand', price: 'price'}}]}
        : {}),
    };
  });
  const aggregations = Array.from({length: 1 + random.int(3)}, (_, index) =>
    randomQuery(random, `q${index}`, eventTypes, all, index === 0 ? {window, sizeMs} : randomWindow(random)),
  );
  const yaml = JSON.stringify({
    domain: `s${seed}`,
    event_types: eventTypesYaml,
    ...(lookup
      ? {
          lookups: [
            {
              name: 'things',
              key: 'id',
              columns: {brand: 'string', price: 'money'},
              from: {csv: `../lookups/s${seed}.csv`},
            },
          ],
        }
      : {}),
    aggregations,
  });
  const partitions = Object.fromEntries(eventTypes.map((name) => [name, 1 + random.int(4)]));
  const stepMs = Math.max(1, Math.floor(sizeMs / random.pick([1, 3, 10, 40])));
  return {
    name: `s${seed}`,
    yaml,
    lookup,
    partitions,
    columns,
    stepMs,
    spreadMs: sizeMs * random.pick([1, 3, 10]),
  };
}

function randomColumn(random: Random, index: number): Column {
  const type = index === 0 ? 'string' : random.pick(fieldTypes);
  return {name: `${type}_${index}`, type, required: chance(random, 35)};
}

function randomLookup(random: Random): RandomDomain['lookup'] {
  const rows = new Map<Value, Value[]>();
  for (const key of some(random, ['a', 'A', 'b', 'c', '0', '-1', 'n'], 6))
    rows.set(key, [random.pick(['x', 'y', null]), random.pick([0, 100, -5, null, 123456])]);
  return {csv: 'id,brand,price\n', rows};
}

function randomWindow(random: Random): {window: Record<string, string>; sizeMs: number} {
  const sizeMs = random.pick([1, 250, 1000, 7_000, 60_000, 3_600_000, 86_400_000, 604_800_000]);
  const kind = random.int(10);
  if (kind < 3) return {window: {type: 'tumbling', size: `${sizeMs}ms`}, sizeMs};
  if (kind < 6) {
    const slides = random.pick([1, 2, 3, 5, 12]);
    return {
      window: {type: 'sliding', size: `${sizeMs * slides}ms`, slide: `${sizeMs}ms`},
      sizeMs: sizeMs * slides,
    };
  }
  if (kind < 8) return {window: {type: 'session', gap: `${sizeMs}ms`}, sizeMs: sizeMs * 5};
  const unit = random.pick(['day', 'week', 'month']);
  const timezone = random.pick([
    'UTC',
    'America/New_York',
    'Europe/Berlin',
    'America/Sao_Paulo',
    'Asia/Kathmandu',
    'Pacific/Apia',
  ]);
  return {window: {type: 'calendar', unit, timezone}, sizeMs: 86_400_000};
}

function randomQuery(
  random: Random,
  name: string,
  eventTypes: string[],
  columns: Column[],
  {window, sizeMs}: {window: Record<string, string>; sizeMs: number},
): Record<string, unknown> {
  const from = eventTypes.length > 1 && chance(random, 30) ? [random.pick(eventTypes)] : eventTypes;
  const usable = from.includes('b') ? [...columns, extra] : columns;
  const late = random.pick(['correct', 'correct', 'correct', 'topic', 'drop']);
  const ms = (factors: number[]) => `${Math.floor(sizeMs * random.pick(factors))}ms`;
  return {
    name,
    from,
    ...(chance(random, 40) ? {where: conditionText(random, usable)} : {}),
    window,
    group_by: some(random, columns, 3).map(({name}) => name),
    measures: randomMeasures(random, usable),
    watermark: ms([0, 0.1, 0.5, 1, 3]),
    late,
    ...(late === 'correct' ? {correct_for: ms([0, 0.3, 1, 5, 1000])} : {}),
    ...(chance(random, 40) ? {dedup: ms([0.01, 0.1, 1, 10])} : {}),
    emit: random.pick(['change', 'change', 'close']),
  };
}

function randomMeasures(random: Random, columns: Column[]): Record<string, string> {
  const measures: Record<string, string> = {};
  const of = (types: ValueType[]) => columns.filter(({type}) => types.includes(type));
  const counts: string[] = [];
  const add = (text: string, isCount = false) => {
    const name = `m${Object.keys(measures).length}`;
    measures[name] = text;
    if (isCount) counts.push(name);
  };
  for (let left = 1 + random.int(6); left > 0; left--) {
    const column = random.pick(columns);
    const numeric = of(numbers);
    const ordered = of([...numbers, 'timestamp', 'date']);
    const what = random.int(9);
    if (what === 0) add('count()', true);
    else if (what === 1) add(`count(${conditionText(random, columns)})`, true);
    else if (what === 2) add(`count(${column.name})`, column.type !== 'boolean');
    else if (what === 3) add(`distinct(${column.name})`);
    else if (what === 4) add(`${random.pick(['first', 'last'])}(${column.name})`);
    else if (what < 7 && numeric.length > 0)
      add(`${random.pick(['sum', 'avg'])}(${random.pick(numeric).name})`);
    else if (what === 7 && ordered.length > 0)
      add(`${random.pick(['min', 'max'])}(${random.pick(ordered).name})`);
    else if (what === 8 && numeric.length > 0)
      add(`quantile(${random.pick(numeric).name}, ${random.pick([0, 0.1, 0.5, 0.95, 1])})`);
    else add('count()', true);
  }
  if (counts.length < 2) return measures;
  const ratio = `${counts[0]} / ${counts[1]}`;
  // A ratio may stand before what it is made of.
  if (chance(random, 50)) return {early: ratio, ...measures};
  add(ratio);
  return measures;
}

function conditionText(random: Random, columns: Column[], depth = 0): string {
  if (depth < 2 && chance(random, 35)) {
    const inner = () => conditionText(random, columns, depth + 1);
    return random.pick([`(${inner()} and ${inner()})`, `(${inner()} or ${inner()})`, `not (${inner()})`]);
  }
  const {name, type} = random.pick(columns);
  if (chance(random, 15)) return `${name} is ${random.pick(['', 'not '])}null`;
  switch (type) {
    case 'string':
      return random.pick([
        `${name} = 'a'`,
        `${name} in ('a', 'b', '')`,
        `length(${name}) > 1`,
        `${name} like '%a%'`,
        `${name} < 'b'`,
      ]);
    case 'enum':
      return random.pick([`${name} = 'red'`, `${name} <> 'blue'`]);
    case 'uuid':
      return `${name} = '${uuids[0]}'`;
    case 'boolean':
      return random.pick([name, `${name} = false`]);
    case 'timestamp':
      return random.pick([`${name} < timestamp`, `hour(${name}) >= 12`]);
    case 'date':
      return `${name} >= cast('2020-01-01' as date)`;
    case 'money':
      return random.pick([`${name} >= 1.00`, `${name} * 3 > 10.00`]);
    default:
      return random.pick([
        `${name} > 0`,
        `${name} between -5 and 5`,
        `${name} + 1 > 3`,
        `abs(${name}) < 100`,
      ]);
  }
}

function valueText(random: Random, type: ValueType, columns: Column[]): string {
  const of = (wanted: ValueType[]) =>
    columns.filter((column) => wanted.includes(column.type)).map(({name}) => name);
  const text = random.pick(of(['string']));
  const [integer] = of(['int', 'long']);
  const [double] = of(['double']);
  switch (type) {
    case 'string':
      return random.pick([
        `upper(${text})`,
        `coalesce(${text}, '?')`,
        `case when ${conditionText(random, columns)} then 'yes' end`,
        `concat(${text}, '|')`,
      ]);
    case 'boolean':
      return conditionText(random, columns);
    case 'double':
      return double === undefined ? `cast(length(${text}) as double)` : `${double} / 2`;
    default:
      return integer === undefined
        ? random.pick([`cast(length(${text}) as long)`, `cast(${text} as long)`])
        : random.pick([`${integer} + 1`, `cast(${integer} as long) * 1000`, `cast(${integer} as long) - 7`]);
  }
}

/** Values of one event; `mode` says how extreme its integers are. */
export function randomEvent(
  random: Random,
  columns: Column[],
  timeMs: number,
  id: string,
  mode: number,
): Record<string, Value> {
  const event: Record<string, Value> = {event_id: id, timestamp: timeMs};
  for (const {name, type, required} of columns)
    event[name] = !required && chance(random, 15) ? null : randomValue(random, type, mode);
  return event;
}

function randomValue(random: Random, type: ValueType, mode: number): Value {
  switch (type) {
    case 'string':
      if (chance(random, 60)) return random.pick(['a', 'a', 'a', 'b', 'c']);
      return chance(random, 80) ? random.pick(hostile) : `u${random.int(100_000)}`;
    case 'int':
      return chance(random, 3) ? random.pick([2 ** 31 - 1, -(2 ** 31)]) : random.int(20) - 6;
    case 'long':
    case 'money':
      return randomLong(random, mode);
    case 'double':
      if (chance(random, 2)) return Number.NaN;
      return random.pick([0, -0, 0.5, -1, 2.5, 0.1, 1e-300, random.int(2_000_000) / 1000 - 1000]);
    case 'boolean':
      return random.int(2) === 0;
    case 'timestamp':
      return random.pick([0, -1, 1_700_000_000_123, random.int(2 ** 31) * 900]);
    case 'date':
      return random.pick([0, -1, 19_000, random.int(30_000)]);
    case 'uuid':
      return random.pick(uuids);
    case 'enum':
      return random.pick(enumSymbols);
  }
}

function randomLong(random: Random, mode: number): number | bigint {
  if (mode === 0 || chance(random, 70)) return random.int(2000) - 300;
  if (mode === 1)
    return random.pick([2 ** 53 - 1, -(2 ** 53) + 1, 2 ** 52, 2 ** 53, 2n ** 53n + 1n, -(2n ** 53n) - 1n]);
  return random.pick([2n ** 63n - 1n, -(2n ** 63n), 2n ** 62n, -(2n ** 62n) - 1n, 2n ** 53n + 1n]);
}
