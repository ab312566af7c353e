/** What docs/operations.md gives to copy is taken by the programs that it is for; metrics that any page names exist. */
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type TestContext, test} from 'node:test';
import {type MetricSpec, metricSpecs} from '../../src/observe/catalogue.ts';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/operations.md'), 'utf8');
const block = (language: string): string => {
  const found = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(page)?.[1];
  assert.ok(found, `a block of ${language}`);
  return found;
};
const specs: Record<string, MetricSpec> = metricSpecs;

/** Names of metrics in a text with the labels that stand behind them; the second of `millrace_ingest_*` is the star. */
const named = (text: string) =>
  [
    ...text.matchAll(
      /\b(millrace_[a-z_]+|events_produced_total|produce_latency_seconds)(\*?)(?:\{([^}]*)\})?/g,
    ),
  ].map(([, name = '', star = '', labels = '']) => ({
    name,
    isPrefix: star !== '',
    labels: [...labels.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label!),
  }));

function wrongIn(text: string): string[] {
  return named(text).flatMap(({name, isPrefix, labels}) => {
    if (isPrefix) return Object.keys(specs).some((each) => each.startsWith(name)) ? [] : [`${name}*`];
    const plain = name.replace(/_(bucket|sum|count)$/, '');
    const spec = specs[name] ?? (specs[plain]?.type === 'histogram' ? specs[plain] : undefined);
    if (!spec) return [name];
    return labels
      .filter((label) => !(spec.labels as readonly string[]).includes(label))
      .map((label) => `${name}{${label}}`);
  });
}

test('the check of metrics sees what is wrong', () => {
  assert.deepEqual(wrongIn('millrace_lag_seconds, `produce_latency_seconds_bucket`, millrace_ingest_*'), []);
  assert.deepEqual(
    wrongIn('millrace_lag_second millrace_lag_seconds_sum millrace_none_* millrace_lag_seconds{sink="a"}'),
    ['millrace_lag_second', 'millrace_lag_seconds_sum', 'millrace_none_*', 'millrace_lag_seconds{sink}'],
  );
});

test('every metric that a document names exists, with its labels', () => {
  const files = readdirSync(join(root, 'docs'), {recursive: true})
    .map((name) => join('docs', String(name)))
    .filter((name) => name.endsWith('.md'));
  const texts = ['README.md', ...files].map((name) => ({name, text: readFileSync(join(root, name), 'utf8')}));
  assert.deepEqual(
    texts.flatMap(({name, text}) => wrongIn(text).map((wrong) => `${name}: ${wrong}`)),
    [],
  );
  assert.ok(texts.flatMap(({text}) => named(text)).length > 80);
});

/** A program's opinion of a file; the test is skipped where the program is not installed. */
function judged(t: TestContext, program: string, args: string[], file: string, text: string): void {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-operations-'));
  t.after(() => rmSync(dir, {recursive: true}));
  const path = join(dir, file);
  writeFileSync(path, text);
  const {error, status, stdout, stderr} = spawnSync(program, [...args, path], {encoding: 'utf8'});
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') {
    t.skip(`needs ${program}`);
    return;
  }
  assert.equal(status, 0, stdout + stderr);
  assert.doesNotMatch(stderr, /millrace\.service/, 'no warning of the unit');
}

test('the unit is one that systemd takes', (t) => {
  const unit = block('ini')
    .replaceAll('/srv/millrace', root)
    .replace(/^User=.*\n/m, '');
  judged(t, 'systemd-analyze', ['verify', '--man=no'], 'millrace.service', unit);
});

test('the alerts are rules that Prometheus takes', (t) => {
  judged(t, 'promtool', ['check', 'rules'], 'alerts.yaml', block('yaml'));
});
