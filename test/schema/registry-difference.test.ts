import assert from 'node:assert/strict';
import {join} from 'node:path';
import {test} from 'node:test';
import {openEmbeddedRegistry} from '../../src/schema/registry.ts';
import {differenceOf} from '../../src/schema/registry-difference.ts';
import type {AvroField, AvroRecord} from '../../src/schema/types.ts';
import {cli, makeRoot} from '../support/cli.ts';

const record = (fields: AvroField[], name = 'order'): AvroRecord => ({
  type: 'record',
  name,
  namespace: 'shop',
  fields,
});
const line = (type: 'int' | 'long') => record([{name: 'count', type}], 'line');

const before = record([
  {name: 'id', type: 'string'},
  {name: 'amount', type: 'int'},
  {name: 'old', type: 'boolean'},
  {name: 'lines', type: {type: 'array', items: line('int')}},
  {name: 'self', type: ['null', 'shop.order'], default: null},
]);
const after = record([
  {name: 'id', type: {type: 'string', logicalType: 'uuid'}},
  {name: 'total', type: 'long', aliases: ['amount']},
  {name: 'note', type: ['null', 'string'], default: null},
  {name: 'lines', type: {type: 'array', items: line('long')}},
  {name: 'self', type: ['null', 'shop.order'], default: null},
]);

test('changes are told by place: added, removed, renamed by an alias, of another type', () => {
  assert.deepEqual(differenceOf(before, before), []);
  assert.deepEqual(
    differenceOf(before, after).map(
      ({path, change, before: was, after: is}) => `${path} ${change} ${was} -> ${is}`,
    ),
    [
      'id changed string -> string (uuid)',
      'total renamed amount: int -> long',
      'note added null -> null | string = null',
      'lines[].count changed int -> long',
      'old removed boolean -> null',
    ],
  );
});

test('schema diff shows the changes and which version reads data of which', async () => {
  const root = makeRoot({
    'config/platform.yaml':
      'platform: p\nsinks: {rows: {backend: stdout}}\ndefaults: {aggregates: rows, raw: none}\n',
    'config/domains/shop.yaml': 'event_types: [{name: order, attributes: [user_id]}]\n',
  });
  const data = join(root, '.millrace', 'log');
  const registry = openEmbeddedRegistry(data);
  await registry.register('shop.order-value', before);
  await registry.register('shop.order-value', after);
  registry.close();
  const outcome = await cli(root, 'schema', 'diff', 'shop.order', '1', '2');
  assert.equal(outcome.code, 3, outcome.stderr);
  assert.equal(
    outcome.stdout,
    [
      '~ id: string -> string (uuid)',
      '~ total: amount: int -> long',
      '+ note: null | string = null',
      '~ lines[].count: int -> long',
      '- old: boolean',
      'version 2 reads data of 1: yes',
      'version 1 reads data of 2: no',
      "  READER_FIELD_MISSING_DEFAULT_VALUE at order.amount: the reader's field has no default, and the writer has no field of this name",
      "  READER_FIELD_MISSING_DEFAULT_VALUE at order.old: the reader's field has no default, and the writer has no field of this name",
      '  TYPE_MISMATCH at order.lines[].count: long cannot be read as int',
      '',
    ].join('\n'),
  );
  const same = await cli(root, 'schema', 'diff', 'shop.order', '2');
  assert.equal(same.code, 0);
  assert.match(same.stdout, /^no difference that Avro sees\n/);
  const json = JSON.parse((await cli(root, 'schema', 'diff', 'shop.order', '1', '--json')).stdout);
  assert.deepEqual([json.before, json.after, json.changes.length, json.forward.length], [1, 2, 5, 3]);
  assert.equal((await cli(root, 'schema', 'diff', 'shop.order', '9')).code, 2);
  assert.equal((await cli(root, 'schema', 'diff', 'nothing', '1')).code, 2);
});
