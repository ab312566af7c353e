import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {lenientNames} from '../../src/expr/evaluate.ts';
import {functions} from '../../src/expr/functions.ts';
import {operations} from '../../src/expr/operations.ts';
import {expressionReference} from '../../src/expr/reference.ts';

test('docs/reference/expressions.md says what the source says', () => {
  const path = new URL('../../docs/reference/expressions.md', import.meta.url);
  assert.equal(readFileSync(path, 'utf8'), expressionReference(), 'run node docs/generate.ts');
});

test('every function of the catalogue has an operation', () => {
  for (const [name, {signatures}] of Object.entries(functions))
    for (const {op} of signatures) {
      const known = operations.has(op) || lenientNames.has(op.split('.')[0]!) || op === 'if';
      assert.ok(known, `${name}: ${op}`);
    }
});
