import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {test} from 'node:test';
import {avroSchema, canonicalForm, fingerprint64} from '../../src/schema/avro.ts';
import {compileDecoder} from '../../src/schema/decode.ts';
import {compileEncoder} from '../../src/schema/encode.ts';
import {schemaIdOf} from '../../src/schema/frame.ts';
import {
  type DeadLetter,
  deadLetterOf,
  deadLetterSchema,
  deadLetterValues,
  lateOf,
  lateSchema,
  lateValues,
} from '../../src/schema/side.ts';
import type {AvroRecord, AvroValue} from '../../src/schema/types.ts';
import {random} from '../support/random.ts';
import {avscType, valuesOf} from './avsc.ts';
import {python, pythonSkip} from './python.ts';
import {eventType, field, randomEventType, randomValue} from './random.ts';

type Case = {schema: AvroRecord; rows: AvroValue[][]};

const cases: Case[] = Array.from({length: 60}, (_, seed) => {
  const chance = random(seed);
  const type = randomEventType('event', chance);
  const rows = Array.from({length: 25}, () => type.fields.map((of) => randomValue(of, chance)));
  return {schema: avroSchema(type), rows};
});

const encodeAll = ({schema, rows}: Case, schemaId = 7): Uint8Array[] => {
  const encoder = compileEncoder(schema, schemaId);
  return rows.map((values) => {
    const buffer = new Uint8Array(encoder.sizeMax(values));
    const end = encoder.encode(values, buffer, 0);
    assert.ok(end > 0, 'sizeMax is enough');
    return buffer.subarray(0, end);
  });
};

const bodies = (of: Case): Uint8Array[] => encodeAll(of).map((frame) => frame.subarray(5));

test('what the encoder wrote the decoder reads, exactly', () => {
  for (const of of cases) {
    const decode = compileDecoder(of.schema);
    for (const [i, body] of bodies(of).entries()) assert.deepEqual(decode(body, 0, body.length), of.rows[i]);
  }
});

test('avsc reads what we write and we read what avsc writes', () => {
  for (const of of cases) {
    const type = avscType(of.schema);
    const decode = compileDecoder(of.schema);
    bodies(of).forEach((body, i) => {
      const record = type.fromBuffer(Buffer.from(body)) as object;
      assert.deepEqual(valuesOf(record), of.rows[i]);
      const theirs = type.toBuffer(
        Object.fromEntries(of.schema.fields.map(({name}, index) => [name, of.rows[i]![index]])),
      );
      assert.deepEqual(Buffer.from(body), theirs, 'the same bytes');
      assert.deepEqual(decode(theirs, 0, theirs.length), of.rows[i]);
    });
  }
});

/** A value as JSON that loses nothing: [kind, text]. */
const tagged = (value: AvroValue, type: unknown): [string, string] | null => {
  if (value === null) return null;
  const text = JSON.stringify(type);
  if (typeof value === 'string') return ['s', value];
  if (typeof value === 'boolean') return ['b', String(value)];
  if (text.includes('"double"')) {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value as number);
    return ['d', bytes.toString('hex')];
  }
  return ['i', BigInt(value as number | bigint).toString()];
};

const script = `
import io, json, struct, sys
import fastavro
from fastavro.schema import parse_schema, to_parsing_canonical_form, fingerprint
def load(t):
    if t is None: return None
    kind, text = t
    return {'s': lambda: text, 'b': lambda: text == 'true', 'i': lambda: int(text),
            'd': lambda: struct.unpack('<d', bytes.fromhex(text))[0]}[kind]()
def dump(v):
    if v is None: return None
    if isinstance(v, bool): return ['b', 'true' if v else 'false']
    if isinstance(v, str): return ['s', v]
    if isinstance(v, float): return ['d', struct.pack('<d', v).hex()]
    return ['i', str(v)]
answers = []
for case in json.load(sys.stdin):
    schema = parse_schema(json.loads(case['canonical']))
    names = [f['name'] for f in schema['fields']]
    read, written = [], []
    for body, row in zip(case['bodies'], case['rows']):
        record = fastavro.schemaless_reader(io.BytesIO(bytes.fromhex(body)), schema, None)
        read.append([dump(record[n]) for n in names])
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, {n: load(t) for n, t in zip(names, row)})
        written.append(out.getvalue().hex())
    canonical = to_parsing_canonical_form(json.loads(case['schema']))
    answers.append({'read': read, 'written': written, 'canonical': canonical,
                    'fingerprint': fingerprint(canonical, 'CRC-64-AVRO')})
print(json.dumps(answers))
`;

test('fastavro reads what we write and we read what fastavro writes', {skip: pythonSkip}, () => {
  const input = cases.map((of) => ({
    schema: JSON.stringify(of.schema),
    // Without logical types, so that Python gives integers and not dates that end in the year 9999.
    canonical: canonicalForm(of.schema),
    bodies: bodies(of).map((body) => Buffer.from(body).toString('hex')),
    rows: of.rows.map((row) => row.map((value, i) => tagged(value, of.schema.fields[i]!.type))),
  }));
  const {stdout, stderr, status} = spawnSync(python, ['-c', script], {
    input: JSON.stringify(input),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  assert.equal(status, 0, stderr);
  const answers = JSON.parse(stdout) as {
    read: unknown;
    written: string[];
    canonical: string;
    fingerprint: string;
  }[];
  assert.equal(answers.length, cases.length);
  answers.forEach((answer, i) => {
    const {schema, rows} = cases[i]!;
    assert.deepEqual(answer.read, input[i]!.rows);
    assert.equal(answer.canonical, canonicalForm(schema));
    const littleEndian = Buffer.alloc(8);
    littleEndian.writeBigUInt64LE(fingerprint64(schema));
    assert.equal(answer.fingerprint, littleEndian.toString('hex'));
    const decode = compileDecoder(schema);
    answer.written.forEach((hex, row) => {
      const bytes = Buffer.from(hex, 'hex');
      assert.deepEqual(decode(bytes, 0, bytes.length), rows[row]);
    });
  });
});

test('a frame has its schema id, and a record its length', () => {
  const schema = avroSchema(eventType('e', []));
  for (const schemaId of [1, 255, 256, 0x01020304, 0xfffffffe]) {
    const encoder = compileEncoder(schema, schemaId);
    const buffer = new Uint8Array(100);
    const end = encoder.encodeRecord(['id', 5], buffer, 10);
    assert.equal(Buffer.from(buffer.buffer).readUInt32LE(10), end - 14);
    assert.equal(schemaIdOf(buffer, 14, end), schemaId);
    assert.deepEqual(compileDecoder(schema)(buffer, 19, end), ['id', 5]);
  }
});

test('a buffer that is too small gives -1 and is not written beyond its end', () => {
  for (const of of cases.slice(0, 20)) {
    const encoder = compileEncoder(of.schema, 1);
    for (const values of of.rows.slice(0, 5)) {
      const whole = new Uint8Array(encoder.sizeMax(values));
      const length = encoder.encode(values, whole, 0);
      for (let size = 0; size < length; size += 1 + (length >> 6))
        assert.equal(encoder.encode(values, new Uint8Array(size), 0), -1);
    }
  }
});

test('a value that the field cannot hold is never written', () => {
  const fields = (['int', 'long', 'double', 'boolean', 'string', 'enum', 'money'] as const).map((type) =>
    field(type, type, {required: true}),
  );
  const schema = avroSchema(eventType('e', fields));
  const good: AvroValue[] = ['id', 1, 1, 1, 1, true, 'x', 'red', 1];
  const encoder = compileEncoder(schema, 1);
  const buffer = new Uint8Array(200);
  assert.ok(encoder.encode(good, buffer, 0) > 0);
  const wrong: [number, unknown[]][] = [
    [0, [null, 5, undefined]],
    [1, [1.5, Number.NaN, null, '1', 2n ** 63n]],
    [2, [2 ** 31, 1.5, Number.NaN, 1n, null]],
    [3, [1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 54, 2n ** 63n, -(2n ** 63n) - 1n, '1', null]],
    [4, ['1', 1n, null]],
    [5, [0, 1, null, 'true']],
    [7, ['purple', '', null, 0, 'constructor']],
  ];
  for (const [index, values] of wrong)
    for (const value of values)
      assert.throws(
        () => encoder.encode(good.with(index, value as AvroValue), buffer, 0),
        {name: 'AssertionError'},
        `field ${index}, ${String(value)}`,
      );
});

test('an unpaired surrogate is written as U+FFFD, in short text and in long', () => {
  const schema = avroSchema(eventType('e', []));
  const encoder = compileEncoder(schema, 1);
  for (const pad of ['', 'x'.repeat(100), 'x'.repeat(1000)])
    for (const bad of ['\ud800', '\udc00', 'a\ud83d', '\ude00\ud83d', '\ud83d\ud83d\ude00']) {
      const text = pad + bad;
      const buffer = new Uint8Array(encoder.sizeMax([text, 0]));
      const end = encoder.encode([text, 0], buffer, 0);
      assert.deepEqual(compileDecoder(schema)(buffer, 5, end), [text.toWellFormed(), 0]);
    }
});

test('a string field takes UTF-8 bytes as they are', () => {
  const schema = avroSchema(eventType('e', []));
  const buffer = new Uint8Array(100);
  const end = compileEncoder(schema, 1).encode([Buffer.from('grün'), 1], buffer, 0);
  assert.deepEqual(compileDecoder(schema)(buffer, 5, end), ['grün', 1]);
});

test('dead letters and late events come back as they were, and avsc reads them', () => {
  const base = {
    id: 'i',
    timeMs: 5,
    domain: 'shop',
    stage: 'validate',
    code: 'TYPE',
    message: 'né',
    source: 's',
  };
  const original = Uint8Array.of(0, 255, 128, 7);
  const letters: DeadLetter[] = [
    {
      ...base,
      eventType: null,
      query: null,
      position: {file: 'a.csv', row: 7},
      eventId: null,
      schemaId: null,
      original,
    },
    {
      ...base,
      eventType: 'e',
      query: 'q',
      position: {topic: 't', partition: 3, offset: 2 ** 40},
      eventId: 'x',
      schemaId: 4294967295,
      original,
    },
    {
      ...base,
      eventType: 'e',
      query: null,
      position: {request: 'r', index: 0},
      eventId: null,
      schemaId: null,
      original: new Uint8Array(0),
    },
  ];
  for (const letter of letters) {
    const [frame] = encodeAll({schema: deadLetterSchema, rows: [deadLetterValues(letter)]});
    assert.deepEqual(deadLetterOf(compileDecoder(deadLetterSchema)(frame!, 5, frame!.length)), letter);
    assert.deepEqual(
      valuesOf(avscType(deadLetterSchema).fromBuffer(Buffer.from(frame!.subarray(5))) as object),
      deadLetterValues(letter),
    );
  }
  for (const missed of [[], [1, 2, 1767225600000]]) {
    const late = {
      id: 'i',
      timeMs: 5,
      domain: 'd',
      query: 'q',
      topic: 't',
      partition: 0,
      offset: 9,
      watermarkMs: -1,
      missed,
      original,
    };
    const [frame] = encodeAll({schema: lateSchema, rows: [lateValues(late)]});
    assert.deepEqual(lateOf(compileDecoder(lateSchema)(frame!, 5, frame!.length)), late);
  }
});
