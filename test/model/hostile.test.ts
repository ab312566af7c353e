import assert from 'node:assert/strict';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import fc from 'fast-check';
import type {Diagnostic} from '../../src/config/diagnostics.ts';
import {formatDiagnostics} from '../../src/config/diagnostics.ts';
import {loadPlatform} from '../../src/model/load.ts';
import {directory, sinkSpecs} from '../config/directory.ts';
import {ecommerce} from '../support/ecommerce.ts';

const platform = `platform: acme
secrets: {backend: env, env: {file: .env}}
log: {backend: embedded, embedded: {dir: .millrace/log, retention: keep, size_max: 20GiB, partitions: 4}}
sinks:
  analytics: {backend: chdb, chdb: {dir: x}}
  records: {backend: remote, remote: {url: "http://\${secret:host}", tags: [a]}}
defaults: {watermark: 10m, late: correct, limits: {groups: 5M}, dead_letters: {budget: 5%}}
server: {host: 127.0.0.1, port: 4000}
`;
const flights = readFileSync(join(import.meta.dirname, '../../config/domains/flights.yaml'), 'utf8');

const odd = fc.constantFrom(
  '',
  '~',
  'null',
  'true',
  '0',
  '-1',
  '1e999',
  '99999999999999999999',
  '0.1',
  '[]',
  '{}',
  '[[]]',
  '{a: 1}',
  '[null]',
  '"',
  "''",
  '""',
  '10m',
  '5%',
  '*day',
  '&x',
  '<<',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'event_id',
  'timestamp',
  'events',
  '${secret:x}',
  '${',
  'a__b',
  '"\\0"',
  '\ud800',
  'count(',
  "'a' ||",
  'case when',
  'sum(sum(x))',
  '((((((((',
  'none',
  'ä',
  '|',
  '>',
  '- x',
  'x: y',
  'x: [',
  '# ',
  '\t',
  '999999w',
  'a'.repeat(300),
);
/** Places of words, numbers and marks in a text. */
const wordsOf = (text: string) =>
  [...text.matchAll(/[\w./%]+|[[\]{}:,'"-]/g)].map(({index, 0: word}) => ({index, length: word.length}));

const mutated = (text: string) => {
  const words = wordsOf(text);
  return fc
    .array(fc.record({at: fc.nat(words.length - 1), by: odd, keep: fc.boolean()}), {
      minLength: 1,
      maxLength: 4,
    })
    .map((edits) =>
      edits
        .toSorted((a, b) => b.at - a.at)
        .reduce((current, {at, by, keep}) => {
          const {index, length} = words[at]!;
          return current.slice(0, index) + by + current.slice(keep ? index : index + length);
        }, text),
    );
};

function checkPlaces(diagnostics: Diagnostic[], texts: Record<string, string>): void {
  for (const {file, line, column, message} of diagnostics) {
    if (line === undefined) continue;
    const lines = texts[file]!.split('\n');
    assert.ok(line >= 1 && line <= lines.length, `${file}:${line} ${message}`);
    assert.ok(column! >= 1 && column! <= lines[line - 1]!.length + 1, `${file}:${line}:${column} ${message}`);
  }
}

test('whatever a file says, loading answers, and every mistake points into its file', async (t) => {
  const root = directory(t, {
    'config/lookups/products.csv': '',
    'config/domains/.keep': '',
    '.env': 'host=h',
  });
  await fc.assert(
    fc.asyncProperty(mutated(platform), mutated(ecommerce), mutated(flights), async (one, two, three) => {
      const texts = {
        'config/platform.yaml': one,
        'config/domains/ecommerce.yaml': two,
        'config/domains/flights.yaml': three,
      };
      // A lone surrogate cannot be in a file; what is written is what the mistake points into.
      for (const [path, text] of Object.entries(texts)) writeFileSync(join(root, path), text);
      const loaded = await loadPlatform({from: root, sinkSpecs, variables: {}});
      const diagnostics = loaded.ok ? loaded.warnings : loaded.diagnostics;
      checkPlaces(diagnostics, texts);
      assert.equal(
        loaded.ok,
        diagnostics.every(({severity}) => severity === 'warning'),
      );
      assert.equal(typeof formatDiagnostics(diagnostics), 'string');
      // The model of what is right is data.
      if (loaded.ok) JSON.stringify(loaded.platform);
    }),
    {numRuns: 200},
  );
});
