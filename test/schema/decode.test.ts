import assert from 'node:assert/strict';
import {test} from 'node:test';
import {avroSchema} from '../../src/schema/avro.ts';
import {compileDecoder, compileResolvingDecoder, type Decoder} from '../../src/schema/decode.ts';
import {compileEncoder} from '../../src/schema/encode.ts';
import {packRecords, recordLength, schemaIdOf, walkDecoded, walkRecords} from '../../src/schema/frame.ts';
import {DecodeFailure} from '../../src/schema/read.ts';
import {lateSchema} from '../../src/schema/side.ts';
import type {AvroRecord, AvroSchema, AvroValue} from '../../src/schema/types.ts';
import {type Random, random} from '../support/random.ts';
import {avscType} from './avsc.ts';
import {eventType, field, randomEventType, randomValue} from './random.ts';

const record = (...fields: AvroRecord['fields']): AvroRecord => ({type: 'record', name: 'r', fields});

/** Values, or the failure's message; anything else that is thrown fails the test. */
function outcome(decode: Decoder, bytes: Uint8Array, pos: number, end: number): AvroValue[] | string {
  try {
    return decode(bytes, pos, end);
  } catch (error) {
    assert.ok(error instanceof DecodeFailure, `not a DecodeFailure: ${error}`);
    return error.message;
  }
}

function bodyOf(schema: AvroRecord, values: AvroValue[]): Uint8Array {
  const encoder = compileEncoder(schema, 1);
  const buffer = new Uint8Array(encoder.sizeMax(values));
  return buffer.slice(5, encoder.encode(values, buffer, 0));
}

/** A schema with everything that others may write. */
const foreign = record(
  {name: 'id', type: 'string'},
  {
    name: 'nested',
    type: {
      type: 'record',
      name: 'tree',
      namespace: 'other',
      fields: [
        {name: 'value', type: 'double'},
        {name: 'children', type: {type: 'array', items: 'tree'}},
        {name: 'tags', type: {type: 'map', values: ['null', 'string', 'float']}},
      ],
    },
  },
  {name: 'raw', type: {type: 'fixed', name: 'hash', size: 4}},
  {name: 'nothing', type: {type: 'array', items: 'null'}},
  {name: 'choice', type: ['int', 'string', 'boolean', 'null']},
  {name: 'blob', type: 'bytes'},
  {name: 'count', type: 'long'},
);

const leaf = (value: number) => ({value, children: [], tags: {a: null, b: 1.5, ü: 'ü'}});
const foreignBody = new Uint8Array(
  avscType(foreign).toBuffer({
    id: 'x',
    nested: {value: 1, children: [leaf(2), {...leaf(3), children: [leaf(4)]}], tags: {}},
    raw: Buffer.from([1, 2, 3, 4]),
    nothing: [null, null],
    choice: 'text',
    blob: Buffer.from([0, 255]),
    count: 77,
  }),
);

test('columns of a foreign schema are read past records, maps, arrays and unions', () => {
  const decode = compileDecoder(foreign, ['count', 'choice', 'raw', 'blob', 'id']);
  assert.deepEqual(decode(foreignBody, 0, foreignBody.length), [
    77,
    'text',
    Uint8Array.of(1, 2, 3, 4),
    Uint8Array.of(0, 255),
    'x',
  ]);
});

test('a record or a map is no column', () => {
  assert.throws(() => compileDecoder(foreign, ['nested']), {code: 'SCHEMA_UNSUPPORTED'});
});

test('wanted columns come in the order asked for, and the others are checked all the same', () => {
  const schema = avroSchema(eventType('e', [field('a', 'string'), field('b', 'long'), field('c', 'enum')]));
  const body = bodyOf(schema, ['id', 5, 'text', 7, 'blue']);
  assert.deepEqual(compileDecoder(schema, ['c', 'a'])(body, 0, body.length), ['blue', 'text']);
  assert.deepEqual(compileDecoder(schema, [])(body, 0, body.length), []);
  body[body.length - 1] = 6; // a fourth symbol of three
  assert.throws(() => compileDecoder(schema, ['a'])(body, 0, body.length), {
    message: /^field c: index 3 of 3/,
  });
});

test('every truncation is a failure, and no record can borrow from its neighbour', () => {
  for (let seed = 0; seed < 40; seed++) {
    const chance = random(seed);
    const type = randomEventType('e', chance);
    const schema = avroSchema(type);
    const body = bodyOf(
      schema,
      type.fields.map((of) => randomValue(of, chance)),
    );
    const all = compileDecoder(schema);
    const some = compileDecoder(schema, ['timestamp']);
    const twice = Buffer.concat([body, body]);
    for (let end = 0; end < body.length; end += 1 + (body.length >> 7)) {
      const alone = outcome(all, body.slice(0, end), 0, end);
      assert.equal(typeof alone, 'string', `${end} of ${body.length} bytes`);
      assert.equal(outcome(all, twice, 0, end), alone, 'what lies behind the end does not matter');
      assert.equal(outcome(some, twice, 0, end), alone, 'nor which columns are wanted');
    }
    assert.match(outcome(all, twice, 0, body.length + 1) as string, /^1 bytes follow the record/);
    assert.match(outcome(all, body, 0, body.length + 1) as string, /ends inside/);
  }
});

function fuzz(schema: AvroRecord, body: Uint8Array, columns: string[], chance: Random): void {
  const all = compileDecoder(schema, columns);
  const none = compileDecoder(schema, []);
  for (let round = 0; round < 300; round++) {
    const bytes = body.slice();
    if (chance.int(3) === 0) for (let i = 0; i < bytes.length; i++) bytes[i] = chance.int(256);
    else
      for (let i = 0; i <= chance.int(4); i++)
        bytes[chance.int(bytes.length)] = chance.pick([0, 1, 2, 127, 128, 255, chance.int(256)]);
    const end = chance.int(4) === 0 ? chance.int(bytes.length + 1) : bytes.length;
    const padded = Buffer.concat([Buffer.alloc(3, 0xaa), bytes.subarray(0, end), Buffer.alloc(300, 0x02)]);
    const inside = outcome(all, padded, 3, 3 + end);
    assert.deepEqual(inside, outcome(all, bytes.slice(0, end), 0, end), 'never reads beyond the end');
    assert.equal(typeof outcome(none, padded, 3, 3 + end), typeof inside === 'string' ? 'string' : 'object');
  }
}

test('random and mutated bytes give values or a failure, whichever columns are wanted', () => {
  for (let seed = 0; seed < 40; seed++) {
    const chance = random(seed + 1000);
    const type = randomEventType('e', chance);
    const schema = avroSchema(type);
    const body = bodyOf(
      schema,
      type.fields.map((of) => randomValue(of, chance)),
    ).slice(0, 2000);
    fuzz(
      schema,
      body,
      schema.fields.map(({name}) => name),
      chance,
    );
  }
  fuzz(foreign, foreignBody, ['id', 'choice', 'count'], random(1));
  const late = bodyOf(lateSchema, ['i', 1, 'd', 'q', 't', 0, 1, 2, [1, 2, 3], Uint8Array.of(1)]);
  fuzz(
    lateSchema,
    late,
    lateSchema.fields.map(({name}) => name),
    random(2),
  );
});

const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));

test('garbage that is made to hurt is refused at once', () => {
  const refuse = (type: AvroSchema, bytes: string, message: RegExp) => {
    const schema = record({name: 'x', type});
    for (const columns of [['x'], []])
      assert.match(
        outcome(compileDecoder(schema, columns), hex(bytes), 0, hex(bytes).length) as string,
        message,
      );
  };
  refuse('long', 'ff ff ff ff ff ff ff ff ff 02', /more than 64 bits/);
  refuse('long', '80 80 80 80 80 80 80 80 80 80 01', /more than 64 bits/);
  refuse('int', '80 80 80 80 20', /more than 32 bits/);
  refuse('string', '01', /length of -1/);
  refuse('string', 'fe ff ff ff ff ff ff ff ff 01', /length of 9223372036854775807/);
  refuse('bytes', '0a 61', /length of 5, 1 bytes are left/);
  refuse('string', '04 c3 28', /not UTF-8/);
  refuse('string', '06 ed a0 80', /not UTF-8/);
  refuse('boolean', '02', /a boolean of 2/);
  refuse(['null', 'string'], '04', /index 2 of 2/);
  refuse(['null', 'string'], '01', /index -1 of 2/);
  refuse({type: 'array', items: 'long'}, 'fe ff ff ff 0f 02', /ends inside/);
  refuse(
    {type: 'array', items: 'long'},
    'ff ff ff ff ff ff ff ff ff 01',
    /a block of -9223372036854775808 items|ends inside/,
  );
});

test('a count of 2^53 items without bytes does not loop', () => {
  const schema = record({name: 'x', type: {type: 'array', items: 'null'}});
  assert.deepEqual(compileDecoder(schema, [])(hex('80 80 80 80 80 80 80 10 00'), 0, 9), []);
});

test('records nested without end are refused, not followed', () => {
  const schema = record({name: 'x', type: ['null', 'r']});
  assert.match(
    outcome(compileDecoder(schema, []), new Uint8Array(5000).fill(2), 0, 5000) as string,
    /nested|deep/,
  );
});

test('a longer form of an index or a length is read, as other readers do', () => {
  const schema = record({name: 'x', type: ['null', 'string']});
  assert.deepEqual(compileDecoder(schema)(hex('82 00 82 00 61'), 0, 5), ['a']);
});

test('what others wrote into a topic that we alone write is passed over', () => {
  const ours = hex('00 00 00 00 07 04 61 62');
  const strange = [
    hex('78'),
    hex(''),
    hex('00 00 00 00 07'),
    hex('01 00 00 00 07 04 61 62'),
    hex('00 00 00 00 07 04 61'),
    hex(`00 00 00 00 07 ${'ff '.repeat(12)}`),
  ];
  const frames = [...strange, ours, ...strange];
  const seen: unknown[] = [];
  walkDecoded(
    {bytes: packRecords(frames), count: frames.length},
    compileDecoder(record({name: 'x', type: 'string'})),
    (index, values) => seen.push([index, values]),
  );
  assert.deepEqual(seen, [[6, ['ab']]]);
});

test('a batch is walked record by record, and lengths that lie are refused', () => {
  const frames = [hex('00 00 00 00 07 aa'), hex('00 00 00 00 08'), hex('')];
  const bytes = packRecords(frames);
  const seen: string[] = [];
  const visit = (index: number, pos: number, end: number) => {
    seen.push(`${index}:${Buffer.from(bytes.subarray(pos, end)).toString('hex')}`);
  };
  walkRecords({bytes, count: 3}, visit);
  assert.deepEqual(seen, ['0:0000000007aa', '1:0000000008', '2:']);
  assert.throws(() => walkRecords({bytes, count: 2}, visit), {
    reason: 'BATCH_INVALID',
    message: /4 bytes follow/,
  });
  assert.throws(() => walkRecords({bytes, count: 4}, visit), {reason: 'BATCH_INVALID'});
  assert.throws(() => recordLength(hex('ff ff ff ff 00'), 0, 5), {
    reason: 'BATCH_INVALID',
    message: /4294967295 bytes/,
  });
  assert.equal(schemaIdOf(frames[1]!, 0, 5), 8);
  assert.throws(() => schemaIdOf(hex('01 00 00 00 07'), 0, 5), {reason: 'FRAME_INVALID'});
  assert.throws(() => schemaIdOf(bytes, 0, 4), {reason: 'FRAME_INVALID'});
});

/** Reads with `reader` what avsc wrote with `writer`, by us and by avsc. */
function resolved(writer: AvroRecord, reader: AvroRecord, value: object): AvroValue[] {
  const bytes = avscType(writer).toBuffer(value);
  const ours = compileResolvingDecoder(writer, reader)(bytes, 0, bytes.length);
  const type = avscType(reader);
  const theirs = type.fromBuffer(bytes, type.createResolver(avscType(writer))) as object;
  assert.deepEqual(
    ours.map((v) => (v instanceof Uint8Array ? Buffer.from(v) : v)),
    Object.values(theirs).map((v) =>
      v !== null && typeof v === 'object' && !Array.isArray(v) && !Buffer.isBuffer(v)
        ? Object.values(v)[0]
        : v,
    ),
    'avsc agrees',
  );
  return ours;
}

test('data of an older schema is read with defaults, aliases and promotions', () => {
  const writer = record(
    {name: 'gone', type: 'string'},
    {name: 'old', type: 'int'},
    {name: 'i', type: 'int'},
    {name: 'l', type: 'long'},
    {name: 'f', type: 'float'},
    {name: 't', type: 'string'},
    {name: 'required', type: 'long'},
    {name: 'list', type: {type: 'array', items: 'int'}},
  );
  const reader = record(
    {name: 'added', type: ['null', 'string'], default: null},
    {name: 'new', type: 'long', aliases: ['older', 'old']},
    {name: 'list', type: {type: 'array', items: 'long'}},
    {name: 'l', type: 'double'},
    {name: 'i', type: 'double'},
    {name: 'f', type: 'double'},
    {name: 't', type: 'bytes'},
    {name: 'required', type: ['null', 'long'], default: null},
    {name: 'text', type: 'string', default: 'none'},
  );
  const value = {gone: 'x', old: -7, i: 3, l: 2 ** 40, f: 1.5, t: 'é', required: 9, list: [1, -2]};
  assert.deepEqual(resolved(writer, reader, value), [
    null,
    -7,
    [1, -2],
    2 ** 40,
    3,
    1.5,
    Uint8Array.of(0xc3, 0xa9),
    9,
    'none',
  ]);
});

test('an enum symbol that the reader does not have is its default, and without one the record fails', () => {
  const colours = (symbols: string[], fallback?: string): AvroRecord =>
    record({
      name: 'c',
      type: {type: 'enum', name: 'colour', symbols, ...(fallback ? {default: fallback} : {})},
    });
  const writer = colours(['red', 'green', 'blue']);
  const bytes = (value: string) => avscType(writer).toBuffer({c: value});
  const read = (reader: AvroRecord, value: string) =>
    outcome(compileResolvingDecoder(writer, reader), bytes(value), 0, 1);
  assert.deepEqual(read(colours(['blue', 'green'], 'green'), 'red'), ['green']);
  assert.deepEqual(read(colours(['blue', 'green'], 'green'), 'blue'), ['blue']);
  assert.deepEqual(read(colours(['blue', 'green']), 'green'), ['green']);
  assert.match(
    read(colours(['blue', 'green']), 'red') as string,
    /^field c: a symbol that the reader does not have/,
  );
});

test('null where the reader is not nullable fails that record alone', () => {
  const writer = record({name: 'x', type: ['null', 'long']});
  const reader = record({name: 'x', type: 'long'});
  const decode = compileResolvingDecoder(writer, reader);
  assert.deepEqual(decode(hex('02 0a'), 0, 2), [5]);
  assert.match(outcome(decode, hex('00'), 0, 1) as string, /^field x: a branch/);
});

test('a column that cannot be resolved is refused when the decoder is made, if it is wanted', () => {
  const writer = record({name: 'a', type: 'string'});
  const typed = record({name: 'a', type: 'long'});
  const added = record({name: 'a', type: 'string'}, {name: 'b', type: 'long'});
  assert.throws(() => compileResolvingDecoder(writer, typed), {
    code: 'SCHEMA_INCOMPATIBLE',
    message: /a was written as string/,
  });
  assert.throws(() => compileResolvingDecoder(writer, added), {
    code: 'SCHEMA_INCOMPATIBLE',
    message: /b has no default/,
  });
  assert.deepEqual(compileResolvingDecoder(writer, added, ['a'])(hex('02 61'), 0, 2), ['a']);
});

test('names with quotes, line separators and of Object.prototype do not reach the generated code', () => {
  const names = ['"', "'", '`;process.exit(1);`', '\u2028', 'constructor', '__proto__', '*/ //'];
  const schema = record(...names.map((name) => ({name, type: 'string' as const})));
  const values = names.map((_, index) => `v${index}`);
  const body = bodyOf(schema, values);
  assert.deepEqual(compileDecoder(schema)(body, 0, body.length), values);
  assert.deepEqual(compileDecoder(schema, ['__proto__', '"'])(body, 0, body.length), ['v5', 'v0']);
});
