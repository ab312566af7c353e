import assert from 'node:assert/strict';
import {test} from 'node:test';
import avsc from 'avsc';
import {avroSchema, canonicalForm, fingerprint64, normalForm} from '../../src/schema/avro.ts';
import type {AvroSchema} from '../../src/schema/types.ts';
import {random} from '../support/random.ts';
import {eventType, field, randomEventType} from './random.ts';

test('the purchase of the documentation becomes the record that the documentation shows', () => {
  const schema = avroSchema(
    eventType('purchase', [
      field('user_id', 'string'),
      field('country', 'string', {role: 'dimension', aliases: ['land']}),
      field('amount', 'money', {role: 'metric', required: true, aliases: ['price'], doc: 'What was paid.'}),
      field('quantity', 'long', {role: 'metric', required: true}),
    ]),
  );
  assert.deepEqual(schema, {
    type: 'record',
    name: 'purchase',
    namespace: 'shop',
    fields: [
      {name: 'event_id', type: 'string'},
      {name: 'timestamp', type: {type: 'long', logicalType: 'timestamp-millis'}},
      {name: 'user_id', type: ['null', 'string'], default: null},
      {name: 'country', type: ['null', 'string'], default: null, aliases: ['land']},
      {
        name: 'amount_cents',
        type: 'long',
        doc: 'What was paid. Money, in hundredths.',
        aliases: ['price_cents'],
        'millrace.type': 'money',
      },
      {name: 'quantity', type: 'long'},
    ],
  });
});

test('enum, date and uuid are the types of Avro', () => {
  const {fields} = avroSchema(
    eventType('order', [
      field('day', 'date', {required: true}),
      field('ref', 'uuid'),
      field('state', 'enum', {symbols: ['open', 'closed']}),
    ]),
  );
  assert.deepEqual(fields.slice(2), [
    {name: 'day', type: {type: 'int', logicalType: 'date'}},
    {name: 'ref', type: ['null', {type: 'string', logicalType: 'uuid'}], default: null},
    {
      name: 'state',
      type: ['null', {type: 'enum', name: 'order__state', symbols: ['open', 'closed']}],
      default: null,
    },
  ]);
});

test('an enum symbol that Avro does not allow is refused with its name', () => {
  const type = eventType('order', [field('channel', 'enum', {symbols: ['web', 'in-store', '9']})]);
  assert.throws(() => avroSchema(type), {code: 'SCHEMA_NAME_INVALID', message: /"in-store", "9"/});
});

test('two enums of one event type have two names', () => {
  const type = eventType('order', [field('a', 'enum'), field('b', 'enum')]);
  assert.doesNotThrow(() => avsc.Type.forSchema(avroSchema(type) as avsc.Schema));
});

test("the canonical form is the specification's: full names, no attributes that do not change bytes", () => {
  const schema: AvroSchema = {
    type: 'record',
    name: 'purchase',
    namespace: 'shop',
    doc: 'x',
    fields: [
      {name: 'at', type: {type: 'long', logicalType: 'timestamp-millis'}, default: 0},
      {name: 'kind', type: {type: 'enum', name: 'kind', symbols: ['a', 'b'], default: 'a'}},
      {name: 'again', type: ['null', 'kind', 'other.size'], default: null},
      {name: 'list', type: {type: 'array', items: {type: 'fixed', name: 'other.size', size: 4}}},
    ],
  };
  assert.equal(
    canonicalForm(schema),
    '{"name":"shop.purchase","type":"record","fields":[{"name":"at","type":"long"},' +
      '{"name":"kind","type":{"name":"shop.kind","type":"enum","symbols":["a","b"]}},' +
      '{"name":"again","type":["null","shop.kind","other.size"]},' +
      '{"name":"list","type":{"type":"array","items":{"name":"other.size","type":"fixed","size":4}}}]}',
  );
});

test('canonical forms of random event types are those of avsc', () => {
  for (let seed = 0; seed < 100; seed++) {
    const schema = avroSchema(randomEventType('event', random(seed)));
    assert.equal(canonicalForm(schema), JSON.stringify(avsc.Type.forSchema(schema as avsc.Schema).schema()));
  }
});

test('the fingerprint of "int" is the one that Avro publishes', () => {
  // Apache Avro, share/test/data/schema-tests.txt: "int" has 8247732601305521295.
  assert.equal(BigInt.asIntN(64, fingerprint64('int')), 8247732601305521295n);
});

test('the normal form ignores the order of keys and nothing else', () => {
  const a: AvroSchema = {
    type: 'record',
    name: 'r',
    fields: [{name: 'x', type: ['null', 'long'], default: null}],
  };
  const b: AvroSchema = {
    fields: [{default: null, type: ['null', 'long'], name: 'x'}],
    name: 'r',
    type: 'record',
  };
  const c: AvroSchema = {type: 'record', name: 'r', fields: [{name: 'x', type: ['null', 'long']}]};
  assert.equal(normalForm(a), normalForm(b));
  assert.notEqual(normalForm(a), normalForm(c));
  assert.equal(canonicalForm(a), canonicalForm(c));
});
