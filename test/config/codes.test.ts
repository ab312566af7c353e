import assert from 'node:assert/strict';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {diagnosticCodes} from '../../src/config/codes.ts';

const source = ['config', 'model', 'expr', 'ingest']
  .flatMap((folder) => {
    const dir = join(import.meta.dirname, '../../src', folder);
    return readdirSync(dir, {recursive: true, encoding: 'utf8'}).map((name) => join(dir, name));
  })
  .filter((path) => path.endsWith('.ts') && !path.endsWith('config/codes.ts'))
  .map((path) => readFileSync(path, 'utf8'))
  .join('\n');

test('every code of the catalogue is used, and every code of an expression is in the catalogue', () => {
  const codes = Object.keys(diagnosticCodes);
  assert.deepEqual(
    codes.filter((code) => !source.includes(`'${code}'`)),
    [],
  );
  const ofExpressions = new Set([...source.matchAll(/'(EXPR_[A-Z_]+)'/g)].map(([, code]) => code!));
  assert.ok(ofExpressions.size > 5);
  assert.deepEqual(
    [...ofExpressions].filter((code) => !codes.includes(code)),
    [],
  );
});

test('every summary is a sentence', () => {
  for (const [code, summary] of Object.entries(diagnosticCodes)) assert.match(summary, /^[A-Z`].*\.$/, code);
});
