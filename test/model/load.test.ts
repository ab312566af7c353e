import assert from 'node:assert/strict';
import {join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {formatDiagnostics} from '../../src/config/diagnostics.ts';
import {loadPlatform} from '../../src/model/load.ts';
import {queryTable, rawTable} from '../../src/model/tables.ts';
import type {Platform} from '../../src/model/types.ts';
import {directory, load, sinkSpecs} from '../config/directory.ts';
import {ecommerce} from '../support/ecommerce.ts';

async function platformOf(t: TestContext, files: Record<string, string>, env?: string): Promise<Platform> {
  const loaded = await load(t, files, env === undefined ? {} : {env});
  assert.ok(loaded.ok, loaded.ok ? '' : formatDiagnostics(loaded.diagnostics));
  return loaded.platform;
}

const files = {
  'config/domains/ecommerce.yaml': ecommerce,
  'config/lookups/products.csv': 'product_id,brand,list_price\n',
};

test('the example domain becomes fields, columns and topics', async (t) => {
  const {domains} = await platformOf(t, files);
  const [pageView, purchase] = domains[0]!.eventTypes;
  assert.equal(pageView!.key, 'event_id');
  assert.equal(purchase!.topic, 'ecommerce.purchase');
  assert.equal(purchase!.key, 'user_id');
  assert.deepEqual(
    purchase!.fields.map(
      ({name, column, role, type, required}) => `${role} ${name} ${column} ${type} ${required}`,
    ),
    [
      'id event_id event_id string true',
      'time timestamp timestamp timestamp true',
      'attribute order_id order_id string false',
      'attribute user_id user_id string false',
      'attribute product_id product_id string false',
      'attribute coupon coupon string false',
      'dimension category category string false',
      'dimension country country string false',
      'dimension device device string false',
      'metric amount amount_cents money true',
      'metric quantity quantity long true',
    ],
  );
  assert.deepEqual(
    purchase!.derive.map(({name, type}) => [name, type]),
    [['basket', 'string']],
  );
  assert.deepEqual(purchase!.enrich, [
    {lookup: 'products', on: 'product_id', take: [{name: 'brand', from: 'brand', type: 'string'}]},
  ]);
  assert.deepEqual(
    purchase!.checks.map(({name, text}) => [name, text]),
    [['amount_is_positive', 'amount > 0.00']],
  );
});

test('the example queries have their windows, columns and defaults', async (t) => {
  const {domains, root} = await platformOf(t, files);
  const [revenue, conversion] = domains[0]!.aggregations;
  assert.deepEqual(revenue!.window, {type: 'tumbling', sizeMs: 60_000});
  assert.deepEqual(conversion!.window, {type: 'calendar', unit: 'day', timezone: 'America/New_York'});
  assert.deepEqual(
    revenue!.measures.map(({name, column, type, fn}) => `${fn} ${name} ${column} ${type}`),
    [
      'count orders orders long',
      'sum revenue revenue_cents money',
      'avg average average double',
      'distinct buyers buyers long',
      'count large large long',
      'ratio large_share large_share double',
    ],
  );
  assert.deepEqual(
    [
      conversion!.watermarkMs,
      conversion!.late,
      conversion!.correctForMs,
      conversion!.idleMs,
      conversion!.emit,
      conversion!.sinks,
    ],
    [600_000, 'correct', 86_400_000, 30_000, 'change', ['analytics']],
  );
  assert.deepEqual(conversion!.from, ['page_view', 'purchase']);
  assert.deepEqual(domains[0]!.lookups, [
    {
      domain: 'ecommerce',
      name: 'products',
      key: 'product_id',
      keyType: 'string',
      columns: [
        {name: 'brand', type: 'string'},
        {name: 'list_price', type: 'money'},
      ],
      csv: join(root, 'config/lookups/products.csv'),
      nulls: [''],
      refreshMs: 300_000,
    },
  ]);
});

test('a domain of three lines is a whole platform, with every default', async (t) => {
  const platform = await platformOf(t, {
    'config/domains/games.yaml':
      'event_types:\n  - name: player_action\n    attributes: [action_type, game_level]\n    dimensions: [platform, region]\n',
  });
  const {root} = platform;
  assert.deepEqual(platform.domains[0]!.name, 'games');
  assert.deepEqual(
    platform.domains[0]!.eventTypes[0]!.fields.map(({name}) => name),
    ['event_id', 'timestamp', 'action_type', 'game_level', 'platform', 'region'],
  );
  assert.deepEqual(platform.domains[0]!.defaults, {
    watermarkMs: 600_000,
    late: 'correct',
    correctForMs: 86_400_000,
    dedupMs: null,
    futureMaxMs: 3_600_000,
    idleMs: 30_000,
    emit: 'change',
    onTrimmed: 'stop',
    compatibility: 'backward',
    aggregates: 'analytics',
    raw: 'records',
    deadLetters: {budgetShare: 0.05, budgetAfter: 1000, retentionMs: 2_592_000_000},
    limits: {groups: 5_000_000, memoryBytes: 536_870_912, stateDiskBytes: 10_737_418_240},
  });
  assert.deepEqual(
    {...platform, domains: [], name: ''},
    {
      name: '',
      env: 'dev',
      root,
      domains: [],
      log: {
        backend: 'embedded',
        options: {
          dir: join(root, '.millrace/log'),
          retention: 'keep',
          size_max: 21_474_836_480,
          partitions: 4,
        },
      },
      registry: {backend: 'embedded', options: {}},
      engine: {
        workers: 'auto',
        flushMs: 25,
        checkpointIntervalMs: 1000,
        checkpointsDir: join(root, '.millrace/state'),
        leaseMs: 10_000,
      },
      sinks: {
        analytics: {backend: 'chdb', options: {dir: join(root, '.millrace/clickhouse')}},
        records: {backend: 'pglite', options: {dir: join(root, '.millrace/postgres')}},
      },
      server: {
        host: '127.0.0.1',
        port: 4000,
        connectionsMax: 10_000,
        requestTimeoutMs: 30_000,
        events: {
          bodyBytesMax: 16 * 2 ** 20,
          inflatedBytesMax: 64 * 2 ** 20,
          recordsMax: 10_000,
          inFlightBytesMax: 128 * 2 ** 20,
        },
      },
      plugins: [],
    },
  );
});

test('environments and domains override what stands before them; null removes', async (t) => {
  const domain =
    'event_types: [{name: click}]\naggregations: [{name: clicks, from: click, window: {type: tumbling, size: 1m}, limits: {groups: 7}}]\n';
  const platform = await platformOf(
    t,
    {
      'config/platform.yaml':
        'defaults: {watermark: 1m, idle: 5s, limits: {groups: 10}}\nserver: {port: 1}\nsinks: {a: {backend: stdout}, b: {backend: stdout}}',
      'config/environments/prod.yaml':
        'defaults: {watermark: 2m, aggregates: a}\nserver: {port: null}\nsinks: {b: null}',
      'config/domains/one.yaml': `${domain}defaults: {watermark: 3m, limits: {memory: 1MiB}}`,
      'config/domains/two.yaml': `${domain}defaults: {raw: none}`,
    },
    'prod',
  );
  const [one, two] = platform.domains;
  assert.deepEqual([one!.defaults.watermarkMs, two!.defaults.watermarkMs], [180_000, 120_000]);
  assert.deepEqual([one!.defaults.idleMs, two!.defaults.idleMs], [5000, 5000]);
  assert.deepEqual(one!.aggregations[0]!.limits, {
    groups: 7,
    memoryBytes: 1_048_576,
    stateDiskBytes: 10_737_418_240,
  });
  assert.deepEqual([one!.defaults.raw, two!.defaults.raw], ['records', null]);
  assert.equal(platform.server.port, 4000);
  assert.deepEqual(Object.keys(platform.sinks), ['a', 'records']);
});

test('the root is found upward, and a missing environment is a mistake unless it is dev', async (t) => {
  const root = directory(t, {
    'config/domains/a.yaml': 'event_types: []',
    'config/environments/prod.yaml': '',
    'x/y/.keep': '',
  });
  const from = (dir: string, env: string) =>
    loadPlatform({from: join(root, dir), env, sinkSpecs, variables: {}});
  const found = await from('x/y', 'dev');
  assert.ok(found.ok);
  assert.equal(found.platform.root, root);
  assert.ok((await from('config', 'dev')).ok);
  const missing = await from('.', 'prd');
  assert.ok(!missing.ok);
  assert.equal(
    formatDiagnostics(missing.diagnostics),
    'config/environments error ENVIRONMENT_NOT_FOUND there is no environment "prd"\n  hint: did you mean prod?',
  );
  assert.ok(!(await from('.', '../platform')).ok);
});

test('the example platform of this repository is right', async () => {
  const loaded = await loadPlatform({from: import.meta.dirname, sinkSpecs, variables: {}});
  assert.ok(loaded.ok, loaded.ok ? '' : formatDiagnostics(loaded.diagnostics));
  assert.deepEqual(loaded.warnings, []);
  const [ecommerce, flights] = loaded.platform.domains;
  assert.deepEqual([ecommerce?.name, flights?.name], ['ecommerce', 'flights']);
  assert.deepEqual(flights!.inputs[0]!.map, {
    flight_no: 'flight',
    tail: 'tailnum',
    delay_min: 'dep_delay',
    timestamp: 'time_hour',
  });
  assert.equal(flights!.inputs[0]!.ratePerSecond, 10_000);
  const byDay = flights!.aggregations.filter(({name}) => name.includes('day'));
  assert.deepEqual(byDay[0]!.measures, byDay[1]!.measures);
});

test('tables of a query and of raw events are those of the contracts', async (t) => {
  const {domains} = await platformOf(t, files);
  const table = queryTable(domains[0]!.aggregations[0]!, 3);
  assert.equal(table.name, 'revenue_per_minute__r3');
  assert.deepEqual(table.key, ['window_start', 'category', 'country']);
  assert.deepEqual(
    table.columns.map(({name, type, nullable}) => `${name} ${type}${nullable ? '?' : ''}`),
    [
      'window_start timestamp',
      'window_end timestamp',
      'category string?',
      'country string?',
      'orders long',
      'revenue_cents money?',
      'average double?',
      'buyers long',
      'large long',
      'large_share double?',
      'events long',
      'closed boolean',
      'deleted boolean',
      'version long',
    ],
  );
  assert.deepEqual(table.view, {
    name: 'revenue_per_minute',
    columns: [
      'window_start',
      'window_end',
      'category',
      'country',
      'orders',
      'revenue_cents',
      'average',
      'buyers',
      'large',
      'large_share',
      'events',
      'closed',
    ],
  });
  const raw = rawTable(domains[0]!.eventTypes[1]!);
  assert.deepEqual([raw.namespace, raw.name, raw.key], ['ecommerce', 'purchase', ['event_id']]);
  assert.deepEqual(
    raw.columns.slice(-5).map(({name, type, nullable}) => `${name} ${type}${nullable ? '?' : ''}`),
    ['amount_cents money', 'quantity long', '_partition int', '_offset long', '_appended_at timestamp'],
  );
});

test('options of backends that are not chosen may stay; those of later versions are warnings, their secrets are not needed', async (t) => {
  const loaded = await load(t, {
    'config/domains/a.yaml': 'event_types: []',
    'config/platform.yaml': `platform: acme
secrets:
  backend: env
  env: {file: .env}
  vault: {url: https://vault.example.com, mount: secret, path: millrace}
log:
  backend: embedded
  embedded: {dir: .millrace/log, retention: 7d, size_max: 20GiB, partitions: 2}
  kafka: {brokers: [localhost:9092], security: {password: "\${secret:kafka_password}"}}
registry:
  backend: embedded
  confluent: {url: http://localhost:8081}
engine:
  backend: embedded
  embedded: {workers: 2, checkpoint_interval: 1s, checkpoints: .millrace/state, flush: 25ms}
  spark: {connect: "sc://spark-{domain}:15002", checkpoints: "s3a://checkpoints", trigger: 200ms}
sinks:
  analytics:
    backend: chdb
    chdb: {dir: .millrace/clickhouse}
  records:
    backend: pglite
    pglite: {dir: .millrace/postgres}
    remote: {password: "\${secret:unknown}"}
defaults: {watermark: 10m, late: correct, correct_for: 1d, aggregates: analytics, raw: null}
server: {host: 127.0.0.1, port: 4000}
`,
  });
  assert.ok(loaded.ok, loaded.ok ? '' : formatDiagnostics(loaded.diagnostics));
  assert.deepEqual(
    loaded.warnings.map(({code, path}) => `${code} ${path}`),
    ['engine.spark'].map((path) => `NOT_AVAILABLE ${path}`),
  );
  assert.deepEqual(loaded.platform.log.options, {
    dir: join(loaded.platform.root, '.millrace/log'),
    retention: 604_800_000,
    size_max: 21_474_836_480,
    partitions: 2,
  });
  assert.equal(loaded.platform.engine.workers, 2);
  assert.equal(loaded.platform.domains[0]!.defaults.raw, null);
});

test('aliases of a list or map stand for what they name, in every place', async (t) => {
  const platform = await platformOf(t, {
    'config/domains/a.yaml': `event_types:
  - {name: click, dimensions: &dims [country, device], derive: {mobile: &mobile "device = 'phone'"}}
aggregations:
  - {name: a, from: click, window: &minute {type: tumbling, size: 1m}, group_by: *dims, measures: {phones: count(mobile)}}
  - {name: b, from: click, window: *minute, where: *mobile}
`,
  });
  const [a, b] = platform.domains[0]!.aggregations;
  assert.deepEqual(
    a!.groupBy.map(({name}) => name),
    ['country', 'device'],
  );
  assert.deepEqual(b!.window, {type: 'tumbling', sizeMs: 60_000});
  assert.ok(b!.where);
});
