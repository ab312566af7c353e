import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {mkdirSync, symlinkSync} from 'node:fs';
import {join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {formatDiagnostics} from '../../src/config/diagnostics.ts';
import {loadPlatform} from '../../src/model/load.ts';
import {directory, load, sinkSpecs} from '../config/directory.ts';
import {ecommerce} from '../support/ecommerce.ts';

/** All mistakes of these files as text. */
async function mistakes(t: TestContext, files: Record<string, string>): Promise<string> {
  const loaded = await load(t, files);
  assert.ok(!loaded.ok, 'no mistake was found');
  return formatDiagnostics(loaded.diagnostics);
}

/** Mistakes of one domain file, one line each: `line:column CODE | hint`. */
async function inDomain(t: TestContext, yaml: string, platform = ''): Promise<string[]> {
  const files = {'config/domains/shop.yaml': yaml, ...(platform ? {'config/platform.yaml': platform} : {})};
  const loaded = await load(t, files);
  const all = loaded.ok ? loaded.warnings : loaded.diagnostics;
  return all.map(({line, column, code, hint}) => `${line}:${column} ${code}${hint ? ` | ${hint}` : ''}`);
}

test('every mistake of every file is told in one run, with place, mark, path and way out', async (t) => {
  const text = await mistakes(t, {
    'config/platform.yaml': 'platform: acme\nsink: {}\nengine: {backend: spark}\ndefaults: {watermark: 10}\n',
    'config/domains/shop.yaml': `domain: shop
event_types:
  - name: purchase
    attributes: [user_id, order id]
    metrics: [{name: amount, type: mony}, {name: quantity, type: long}]
    checks: {few: quantty < 5}
aggregations:
  - name: revenue
    from: purchase
    window: {type: sliding, size: 10m, slide: 3m}
    group_by: [usr_id]
    measures: {total: sum(amount), share: total / order}
    sinks: analytcs
quality: {rows: 42}
`,
  });
  assert.equal(
    text,
    `config/domains/shop.yaml:4:27 error NAME_INVALID "order id" is no name: only letters, digits and _ are allowed
     |     attributes: [user_id, order id]
     |                           ^^^^^^^^
  at event_types[0].attributes[1].name
  hint: for example order_id

config/domains/shop.yaml:5:36 error VALUE_UNKNOWN "mony" is not one of int, long, double, money
     |     metrics: [{name: amount, type: mony}, {name: quantity, type: long}]
     |                                    ^^^^
  at event_types[0].metrics[0].type
  hint: did you mean money?

config/domains/shop.yaml:6:19 error EXPR_UNKNOWN_NAME there is no column "quantty"
     |     checks: {few: quantty < 5}
     |                   ^^^^^^^
  at event_types[0].checks.few
  hint: did you mean "quantity"?

config/domains/shop.yaml:10:47 error WINDOW_SLIDE_NOT_DIVISOR slide "3m" does not divide size "10m"
     |     window: {type: sliding, size: 10m, slide: 3m}
     |                                               ^^
  at aggregations[0].window.slide
  hint: use 1m, 2m, 5m or 10m

config/domains/shop.yaml:11:16 error FIELD_UNKNOWN purchase has no column "usr_id"
     |     group_by: [usr_id]
     |                ^^^^^^
  at aggregations[0].group_by[0]
  hint: did you mean user_id?

config/domains/shop.yaml:12:51 error EXPR_UNKNOWN_NAME there is no measure "order" that this one may use
     |     measures: {total: sum(amount), share: total / order}
     |                                                   ^^^^^
  at aggregations[0].measures.share

config/domains/shop.yaml:13:12 error SINK_UNKNOWN there is no sink "analytcs"
     |     sinks: analytcs
     |            ^^^^^^^^
  at aggregations[0].sinks[0]
  hint: did you mean analytics?

config/domains/shop.yaml:14:1 error NOT_AVAILABLE "quality" is not part of this version of Millrace yet
     | quality: {rows: 42}
     | ^^^^^^^
  at quality
  hint: remove it

config/platform.yaml:2:1 error KEY_UNKNOWN unknown key "sink"
     | sink: {}
     | ^^^^
  at sink
  hint: did you mean sinks?

config/platform.yaml:3:19 error NOT_AVAILABLE "spark" is not part of this version of Millrace yet
     | engine: {backend: spark}
     |                   ^^^^^
  at engine.backend
  hint: use embedded

config/platform.yaml:4:23 error VALUE_INVALID "10" is not a duration
     | defaults: {watermark: 10}
     |                       ^^
  at defaults.watermark
  hint: write a number with ms, s, m, h, d or w: 10m`,
  );
});

test('a mistake in a column is not told again where the column is used', async (t) => {
  const yaml = `event_types:
  - name: click
    metrics: [{name: amount, type: mony}]
    derive: {double: amount * 2, triple: double * 3}
    enrich: [{lookup: nope, on: amount, take: {brand: brand}}]
    checks: {positive: amount > 0}
aggregations:
  - {name: a, from: click, window: {type: tumbling, size: 1m}, group_by: [brand], measures: {total: sum(triple), share: total / total}}
`;
  assert.deepEqual(await inDomain(t, yaml), [
    '3:36 VALUE_UNKNOWN | did you mean money?',
    '5:23 LOOKUP_UNKNOWN | add it to `lookups:`',
  ]);
});

test('names: duplicates, reserved ones, and two that give one column or table', async (t) => {
  const yaml = `domain: dlq
event_types:
  - name: click
    attributes: [user, user, version, {name: old, aliases: [user]}]
    dimensions: [price_cents, {name: kind, type: enum, symbols: [a, a, b-c]}]
    metrics: [{name: price, type: money}, {name: cost, type: money}]
    derive: {user: cost, events: price}
  - name: click
  - name: events
aggregations:
  - {name: q, from: click, window: {type: tumbling, size: 1m}, group_by: [user, user], measures: {user: count(), a: sum(cost), a_cents: count(), closed: count()}}
  - {name: q, from: click, window: {type: tumbling, size: 1m}}
  - {name: click, from: click, window: {type: tumbling, size: 1m}, sinks: [analytics, records]}
`;
  const codes = (await inDomain(t, yaml)).map((line) => line.replace(/ \|.*/, ''));
  assert.deepEqual(codes, [
    '1:9 NAME_RESERVED',
    '4:24 NAME_DUPLICATE',
    '4:30 NAME_RESERVED',
    '4:61 NAME_DUPLICATE',
    '5:69 NAME_DUPLICATE',
    '5:72 ENUM_SYMBOLS',
    '6:22 NAME_COLLISION',
    '7:14 NAME_DUPLICATE',
    '7:26 NAME_RESERVED',
    '8:11 NAME_DUPLICATE',
    '9:11 NAME_RESERVED',
    '11:81 NAME_DUPLICATE',
    '11:99 NAME_COLLISION',
    '11:128 NAME_COLLISION',
    '11:146 NAME_COLLISION',
    '12:12 NAME_DUPLICATE',
    '13:12 NAME_COLLISION',
  ]);
});

test('windows: what is missing, what does not belong, lengths and zones', async (t) => {
  const query = (name: string, window: string) => `  - {name: ${name}, from: click, window: ${window}}\n`;
  const yaml = `event_types: [{name: click}]
aggregations:
${query('a', '{type: tumbling, slide: 1m}')}${query('b', '{type: session, gap: 0}')}${query('c', '{type: calendar, unit: day, timezone: Amerika/New_York}')}${query('d', '{type: sliding, size: 1d, slide: 7h}')}${query('e', '{type: hopping}')}${query('f', '{type: sliding, size: 30d, slide: 1s}')}`;
  assert.deepEqual(await inDomain(t, yaml), [
    '3:36 WINDOW_OPTION_MISSING | add size: 1m',
    '3:53 WINDOW_OPTION_EXTRA | it takes size',
    '4:57 WINDOW_SIZE',
    '5:74 TIMEZONE_UNKNOWN | did you mean America/New_York?',
    '6:69 WINDOW_SLIDE_NOT_DIVISOR | use 2h, 3h, 4h, 6h or 8h',
    '7:43 VALUE_UNKNOWN',
    '8:70 WINDOW_SIZE | use a longer slide',
  ]);
});

test('several event types: columns of one name have one type, groups are in all, names of event types are checked', async (t) => {
  const yaml = `event_types:
  - {name: a, attributes: [{name: n, type: long}], dimensions: [both, only_a]}
  - {name: b, attributes: [{name: n, type: string}], dimensions: [both]}
aggregations:
  - name: q
    from: [a, b, c, a]
    window: {type: tumbling, size: 1m}
  - name: r
    from: [a, b]
    where: n = 5
    window: {type: tumbling, size: 1m}
    group_by: [both, only_a, n, event_type]
    measures: {as: count(event_type = 'aa'), fine: count(only_a = 'x'), sum: sum(n)}
`;
  assert.deepEqual(
    (await inDomain(t, yaml)).map((line) => line.replace(/ \|.*/, '')),
    [
      '6:18 EVENT_TYPE_UNKNOWN',
      '6:21 NAME_DUPLICATE',
      '10:12 COLUMN_TYPES_DIFFER',
      '12:22 GROUP_BY_NOT_IN_ALL',
      '12:30 COLUMN_TYPES_DIFFER',
      '13:39 EXPR_SYMBOL',
      '13:82 COLUMN_TYPES_DIFFER',
    ],
  );
});

test('checks do not see lookups, and say so', async (t) => {
  const yaml = ecommerce.replace('amount_is_positive: amount > 0.00', "branded: brand <> ''");
  const loaded = await load(t, {'config/domains/e.yaml': yaml, 'config/lookups/products.csv': ''});
  assert.ok(!loaded.ok);
  assert.deepEqual(
    loaded.diagnostics.map(({code, hint}) => [code, hint]),
    [['EXPR_UNKNOWN_NAME', 'checks run before the log and see fields and `derive`, not `enrich`']],
  );
});

test('lookups and inputs: files, columns, keys, maps', async (t) => {
  const yaml = `event_types:
  - name: click
    attributes: [{name: user, type: long}]
    enrich: [{lookup: users, on: user, take: {city: cty}}]
lookups:
  - {name: users, key: id, columns: {city: string}, from: {csv: ../lookups/users.csv}}
inputs:
  - {name: a, event_type: klick, from: ../data/a.xml}
  - {name: b, event_type: click, format: csv, timezone: Mars/Base, timestamp: t, map: {timestamp: u, usr: x}}
`;
  assert.deepEqual(
    (await inDomain(t, yaml)).map((line) => line.replace(/ \|.*/, '')),
    [
      '4:34 LOOKUP_KEY_TYPE',
      '4:53 LOOKUP_COLUMN_UNKNOWN',
      '6:65 FILE_NOT_FOUND',
      '8:5 INPUT_FORMAT',
      '8:27 EVENT_TYPE_UNKNOWN',
      '8:40 FILE_NOT_FOUND',
      '9:57 TIMEZONE_UNKNOWN',
      '9:88 INPUT_MAP',
      '9:102 FIELD_UNKNOWN',
    ],
  );
});

test('sinks: unknown backends, options in the wrong place or missing, and what a backend cannot do', async (t) => {
  const platform = `sinks:
  a: {backend: chdb, dir: x}
  b: {backend: bigquery, bigquery: {url: x}}
  c: {backend: remot}
  d: {backend: remote}
  e: {backend: chdb, postgres: {url: y}}
  f: {backend: stdout}
  none: {backend: stdout}
defaults: {raw: f}
`;
  const loaded = await load(t, {
    'config/platform.yaml': platform,
    'config/domains/x.yaml': 'event_types: []',
  });
  assert.ok(!loaded.ok);
  assert.deepEqual(
    loaded.diagnostics.map(
      ({line, column, severity, code, hint}) => `${line}:${column} ${severity} ${code} | ${hint ?? ''}`,
    ),
    [
      '2:22 error KEY_UNKNOWN | write it under chdb: chdb: {dir: ...}',
      '3:16 error VALUE_UNKNOWN | ',
      '3:26 error KEY_UNKNOWN | known here: backend, chdb, pglite, stdout, remote',
      '4:16 error VALUE_UNKNOWN | did you mean remote?',
      '5:6 error KEY_MISSING | add url: it is text',
      '6:22 error KEY_UNKNOWN | known here: backend, chdb, pglite, stdout, remote',
      '8:3 error NAME_RESERVED | give it another name',
      '9:17 error SINK_CAPABILITY | choose another sink, or none',
    ],
  );
});

test('on_trimmed: archive wants raw events that are kept and can be read back, and says so where it stands', async (t) => {
  const aggregation = (name: string, more: string) =>
    `  - {name: ${name}, from: click, window: {type: tumbling, size: 1h}${more}}\n`;
  const domain = (defaults: string, ...aggregations: string[]) =>
    `event_types: [{name: click}]\ndefaults: ${defaults}\naggregations:\n${aggregations.join('')}`;
  const archive = ', on_trimmed: archive';
  const hint = 'name a database in `defaults.raw`, or say `stop`';
  assert.deepEqual(
    await inDomain(t, domain('{raw: none}', aggregation('a', archive), aggregation('b', ''))),
    [`4:76 RAW_MISSING | ${hint}`],
  );
  const remote =
    'sinks: {far: {backend: remote, remote: {url: x}}}\ndefaults: {raw: far, on_trimmed: archive}';
  const far = await mistakes(t, {
    'config/platform.yaml': remote,
    'config/domains/shop.yaml': domain('{idle: 1m}', aggregation('a', ''), aggregation('b', '')),
    'config/domains/other.yaml': domain('{idle: 1m}', aggregation('a', ', on_trimmed: stop')),
  });
  assert.equal(far.match(/ error /g)?.length, 1, far);
  assert.match(
    far,
    /^config\/platform\.yaml:2:34 error SINK_CAPABILITY .*raw events in the sink "far" cannot be read back/,
  );
  const right = await load(t, {
    'config/domains/shop.yaml': domain(
      '{on_trimmed: archive}',
      aggregation('a', ''),
      aggregation('b', ', on_trimmed: stop'),
    ),
  });
  assert.ok(right.ok);
  assert.deepEqual(
    right.platform.domains[0]!.aggregations.map(({onTrimmed}) => onTrimmed),
    ['archive', 'stop'],
  );
});

test('a file that is no YAML does not hide the mistakes of the others, and invents none', async (t) => {
  const loaded = await load(t, {
    'config/platform.yaml': 'sinks: {warehouse: {backend: chdb}',
    'config/domains/a.yaml': 'event_types: [{name: click}]\ndefaults: {aggregates: warehouse, idle: soon}',
    'config/domains/b.yaml': '- a list',
    'config/domains/c.yml': 'event_types: []',
  });
  assert.ok(!loaded.ok);
  assert.deepEqual(
    loaded.diagnostics.map(({file, code}) => `${file} ${code}`),
    [
      'config/domains/a.yaml VALUE_INVALID',
      'config/domains/b.yaml TYPE_WRONG',
      'config/domains/c.yml FILE_UNREADABLE',
      'config/platform.yaml YAML_SYNTAX',
    ],
  );
});

test('a pipe or a device in the place of a file is not waited for', async (t) => {
  const root = directory(t, {'config/domains/a.yaml': ''});
  execFileSync('mkfifo', [join(root, 'config/domains/b.yaml')]);
  symlinkSync('/dev/zero', join(root, 'config/domains/c.yaml'));
  mkdirSync(join(root, 'config/domains/d.yaml'));
  const loaded = await loadPlatform({from: root, sinkSpecs, variables: {}});
  assert.ok(!loaded.ok);
  const types = '[{name: e, transform: ./pipe.ts}, {name: f, transform: .}]';
  const modules = directory(t, {'config/domains/a.yaml': `domain: a\nevent_types: ${types}\n`});
  execFileSync('mkfifo', [join(modules, 'config/domains/pipe.ts')]);
  const named = await loadPlatform({from: modules, sinkSpecs, variables: {}});
  assert.ok(!named.ok);
  assert.deepEqual(
    named.diagnostics
      .filter(({severity}) => severity === 'error')
      .map(({code, message}) => [code, message.split('cannot be read: ')[1]]),
    [
      ['FILE_UNREADABLE', 'it is a pipe or a device and may never end'],
      ['FILE_UNREADABLE', 'it is a directory'],
    ],
  );
  assert.deepEqual(
    loaded.diagnostics.filter(({severity}) => severity === 'error').map(({file, code}) => `${file} ${code}`),
    ['b', 'c', 'd'].map((name) => `config/domains/${name}.yaml FILE_UNREADABLE`),
  );
});

test('text of a file cannot write to the terminal', async (t) => {
  const text = await mistakes(t, {'config/domains/a.yaml': 'domain: "\\u001b[31m"\n"k\u0085\u202e": 1\n'});
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
});
