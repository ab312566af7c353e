import assert from 'node:assert/strict';
import {readdirSync, readFileSync} from 'node:fs';
import {Writable} from 'node:stream';
import {test} from 'node:test';
import {prose} from '../../docs/generate/markdown.ts';
import {generated} from '../../docs/generate.ts';
import {main} from '../../src/cli/main.ts';
import type {FieldSpec} from '../../src/config/fields.ts';
import {secretBackends} from '../../src/config/secrets/registry.ts';
import {domainSpec} from '../../src/config/specs/domain.ts';
import {platformSpec} from '../../src/config/specs/platform.ts';
import {errors} from '../../src/errors.ts';
import {type MetricSpec, metricSpecs} from '../../src/observe/catalogue.ts';
import {createMetrics} from '../../src/observe/metrics.ts';
import {queryReasons} from '../../src/process/reasons.ts';
import {sinks} from '../../src/sinks/registry.ts';

const root = new URL('../../', import.meta.url);

for (const {path, text} of generated)
  test(`${path} says what the source says`, () => {
    const written = readFileSync(new URL(path, root), 'utf8').split('\n');
    const wanted = text().split('\n');
    const line = wanted.findIndex((each, index) => each !== written[index]);
    // One line, not two whole pages.
    if (line >= 0 || written.length !== wanted.length)
      assert.fail(`${path}:${line + 1} should be ${JSON.stringify(wanted[line])}; run node docs/generate.ts`);
  });

/** Every key of a specification by its path, those of this version alone. */
function keysOf(spec: FieldSpec, path: string): {path: string; spec: FieldSpec}[] {
  if (spec.unavailable) return [];
  const below =
    spec.type === 'object'
      ? Object.entries(spec.fields).flatMap(([key, field]) => keysOf(field, `${path}.${key}`))
      : spec.type === 'list' || spec.type === 'map'
        ? keysOf(spec.of, `${path}[]`)
        : [];
  return [{path, spec}, ...below];
}

const keys = [...keysOf(platformSpec(sinks, secretBackends), 'platform'), ...keysOf(domainSpec, 'domain')];

test('every key of the configuration is in the reference, with its sentence', () => {
  const text = readFileSync(new URL('docs/reference/configuration.md', root), 'utf8');
  for (const {path, spec} of keys) {
    if (!/\.\w+$/.test(path) || spec.type === 'object') continue;
    const key = path.split('.').at(-1)!;
    assert.match(text, new RegExp(`\`([\\w.]+\\.)?${key}(\\[\\]|\\.<name>)?\``), path);
    assert.ok(text.includes(prose(spec.doc).replaceAll('|', '\\|')), `${path}: ${spec.doc}`);
  }
  assert.ok(keys.length > 100, `${keys.length} keys`);
});

test('what is said of a key is a sentence', () => {
  for (const {path, spec} of keys) assert.match(spec.doc, /^\S.*\.$/, path);
});

test('every code that the engine writes is in a catalogue, and every reason is written', () => {
  const dir = new URL('src/process/embedded/', root);
  const files = [...readdirSync(dir).map((name) => new URL(name, dir)), new URL('src/ingest/judge.ts', root)];
  const written = new Set(
    files.flatMap((file) =>
      [
        ...readFileSync(file, 'utf8').matchAll(/code: ['`]([A-Z_]+)['`:]|(?:fail|dead)\([^;]*?'([A-Z_]+)'/g),
      ].map((match) => match[1] ?? match[2]!),
    ),
  );
  const unknown = [...written].filter((each) => !(each in errors) && !(each in queryReasons));
  assert.deepEqual(unknown, []);
  for (const reason of Object.keys(queryReasons))
    assert.ok(written.has(reason), `${reason} is never written`);
});

test('the metrics of the catalogue are those that are exposed, with their help, type and labels', async () => {
  const status = {
    query: 'shop.sales',
    state: 'running' as const,
    counts: [],
    watermarkMs: 0,
    lagEvents: 0,
    lagMs: 0,
    groups: 0,
    openWindows: 0,
    memoryBytes: 0,
    checkpointEpoch: 0,
    observedMs: 0,
  };
  const sink = {sink: 's', table: 'shop.sales'};
  const metrics = createMetrics(() => ({
    queries: [status],
    rows: [{sink: 'analytics', table: 'shop.revenue__r1', lagRows: 3}],
    raw: [{...sink, lagEvents: 0, lagMs: 0, written: 0}],
    delivery: [{...sink, pending: 0, paused: false, lagEvents: 0, lagMs: 0}],
    events: {bytes: 0, requests: 0},
    registryAvailable: true,
    spool: {bytes: 1, records: 1, isSpooling: true},
    shares: [{domain: 'shop', eventType: 'e', received: 2, rejected: 1, isOver: true}],
    observed: {
      isAnswering: true,
      queries: [{name: 'shop.sales', lag: 1, lagMs: 1}],
      sinks: [{sink: 's', topic: 'agg.shop.sales.r1', lag: 1, lagMs: 1}],
      topics: [{topic: 'shop.sale', records: 1}],
    },
  }));
  const query = {domain: 'shop', query: 'sales'};
  const failed = {code: 'SINK_REFUSED', message: ''};
  metrics.emit('EventsAppended', {
    domain: 'shop',
    eventType: 'sale',
    source: 'f',
    appended: 1,
    duplicate: 1,
    rejected: 1,
    seconds: 1,
  });
  metrics.emit('RequestAnswered', {status: 200, seconds: 1});
  metrics.emit('RegistryAnswered', {status: 200, seconds: 1});
  metrics.emit('SchemaAsked', {outcome: 'found'});
  metrics.emit('RegistryLost', {message: ''});
  metrics.emit('EventsTransformed', {domain: 'shop', eventType: 'sale', in: 1, out: 1, rejected: 1});
  metrics.emit('RowsWritten', {...sink, rows: 1, seconds: 1});
  metrics.emit('SinkFailed', {...sink, ...failed, retry: false});
  metrics.emit('RowsRefused', {...sink, rows: 1, message: ''});
  metrics.emit('LettersReplayed', {domain: 'shop', outcome: 'counted', letters: 1});
  metrics.emit('GeneratorObserved', {
    domain: 'shop',
    running: true,
    ratePerSecond: 5,
    openSessions: 1,
    behindSeconds: 0,
  });
  metrics.emit('SinkPaused', {...sink, message: ''});
  metrics.emit('PartsCounted', {...sink, parts: 3, pauseSeconds: 0});
  metrics.emit('SinkResumed', {...sink, seconds: 1});
  metrics.emit('RowsAcknowledged', {query: 'shop.sales', rows: 1, through: []});
  metrics.emit('LookupAccepted', {domain: 'shop', lookup: 'l', rows: 1});
  metrics.emit('LeaseTaken', {place: 'd', epoch: 1});
  metrics.emit('SinkLeaseObserved', {sink: 's', isHeld: true});
  metrics.emit('CheckpointStoreTroubled', {place: 'd', message: 'away'});
  metrics.emit('CheckpointCommitted', {...query, bytes: 1, seconds: 1, pauseSeconds: 1});
  metrics.emit('QueryStopped', {...query, ...failed});
  metrics.emit('InputStopped', {domain: 'shop', input: 'i', ...failed});
  metrics.emit('RecordsProduced', {requests: 1, records: 1, bytes: 1, seconds: 1});
  metrics.emit('ProduceFailed', {code: 'KAFKA_UNAVAILABLE', message: '', retry: true});
  metrics.emit('RecordsWithdrawn', {topic: 'flights.flight', records: 1});
  metrics.emit('RecordsPassedOver', {topic: 'dlq.flights', records: 1});
  metrics.emit('RecordsReread', {topic: 'flights.flight'});
  metrics.emit('RecordsSpooled', {records: 1});
  const text = await metrics.render();
  const exposed = [...text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$/gm)].map(([, ...found]) => found);
  const wanted = Object.entries<MetricSpec>(metricSpecs).map(([name, {help, type}]) => [name, help, type]);
  assert.deepEqual(exposed.sort(), wanted.sort());
  for (const [name, {labels}] of Object.entries<MetricSpec>(metricSpecs)) {
    const sample = new RegExp(`^${name}(?:_count)?(?:\\{(.*)\\})? `, 'm').exec(text);
    assert.ok(sample, `${name} has no sample`);
    const names = [...(sample[1] ?? '').matchAll(/(\w+)="/g)].map(([, label]) => label);
    assert.deepEqual(names.sort(), [...labels].sort(), name);
  }
});

test('the options that the reference gives to every command are those of its help', async () => {
  const text = readFileSync(new URL('docs/reference/commands.md', root), 'utf8');
  let help = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      help += chunk;
      done();
    },
  });
  const code = await main(['status', '--help'], {stdout: stream, stderr: stream, env: {}, cwd: '.'});
  assert.equal(code, 0);
  const flags = [...help.matchAll(/^ {2}(?:-\w, )?(--\w+(?: <\w+>)?) /gm)].map(([, flag]) => flag!);
  assert.deepEqual(flags, ['--json', '--config <dir>', '--env <name>', '--help']);
  for (const flag of flags.slice(0, 3)) assert.ok(text.includes(`| \`${flag}\` |`), flag);
});
