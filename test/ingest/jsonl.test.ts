import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {JsonScanner} from '../../src/ingest/jsonl.ts';
import {recordBytesMax} from '../../src/ingest/records.ts';
import {scanJson} from './scan.ts';

const one = async (line: string, columns = ['a', 'b']) => {
  const [record, ...more] = await scanJson(line, columns);
  assert.equal(more.length, 0);
  return record!.code || record!.values;
};

test('values are taken as they are written: every digit of numbers, strings unescaped', async () => {
  assert.deepEqual(await one('{"a":9007199254740993,"b":"x"}'), ['9007199254740993', 'x']);
  assert.deepEqual(await one(' { "b" : 12.340 , "a" : -1e3 } '), ['-1e3', '12.340']);
  assert.deepEqual(await one('{"a":true,"b":null}'), ['true', null]);
  assert.deepEqual(await one('{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00","b":"plain"}'), [
    '"\\/\b\f\n\r\té😀',
    'plain',
  ]);
  assert.deepEqual(await one('{"b":"plain","a":"\\u0000"}'), ['\0', 'plain']);
  assert.deepEqual(await one('{"\\u0061":1,"b":{"a":2}}'), ['1', 'nested']);
  assert.deepEqual(await one('{}'), [null, null]);
});

test('a repeated key counts as its last, and __proto__ and constructor are keys like others', async () => {
  assert.deepEqual(await one('{"a":1,"a":2,"b":"x","b":null}'), ['2', null]);
  assert.deepEqual(await one('{"a":"\\u0041","a":"B"}'), ['B', null]);
  assert.deepEqual(await one('{"__proto__":{"a":5},"constructor":1,"a":3}'), ['3', null]);
  assert.equal(({} as {a?: number}).a, undefined);
  assert.deepEqual(await one('{"__proto__":7,"toString":8}', ['toString', '__proto__']), ['8', '7']);
});

test('what is not JSON, not an object, or too deep has its code', async () => {
  for (const bad of [
    '{"a":NaN}',
    '{"a":Infinity}',
    '{"a":01}',
    '{"a":1.}',
    '{"a":.5}',
    '{"a":+1}',
    '{"a":1e}',
    '{"a":"x}',
    '{"a":"\\x"}',
    '{"a":"\\u12g4"}',
    '{a:1}',
    "{'a':1}",
    '{"a":1,}',
    '{"a":1',
    '{"a" 1}',
    '{"a":}',
    '{"a":1}}',
    '{"a":1} x',
    '{"a":tru}',
    '{"a":"tab\there"}',
    'nope',
    '{',
    '"',
    '{"a":[1,2}',
    '{"a":[1 2]}',
    '{"a":{"b":1]}',
    '{"a":{1:2}}',
    '{"a":[,]}',
    '{"a":[1,]}',
    '-',
  ])
    assert.equal(await one(bad), 'JSON_SYNTAX', bad);
  for (const other of ['1', '"text"', 'null', '[1,{"a":2}]', 'true'])
    assert.equal(await one(other), 'JSON_OBJECT', other);
  assert.equal(await one(`{"x":${'['.repeat(1000)}${']'.repeat(1000)},"a":1}`), 'JSON_DEPTH');
  assert.equal(await one(`${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`), 'JSON_DEPTH');
  assert.deepEqual(await one(`{"x":${'['.repeat(62)}${']'.repeat(62)},"a":1}`), ['1', null]);
  assert.equal(await one('{"a":"\\ud800"}'), 'UTF8');
  assert.equal(await one('{"a":"\\udc00\\ud800"}'), 'UTF8');
  assert.equal(await one('{"a":"\\ud800x"}'), 'UTF8');
});

test('bad lines keep their bytes and their neighbours are good, for any chunks', async () => {
  const text = Buffer.from('{"a":1}\r\n\n   \n{"a":\n{"a":"caf\xe9"}\n{"a":2}', 'latin1');
  for (const chunk of [1, 3, 100])
    assert.deepEqual(
      (await scanJson(text, ['a'], chunk)).map(({row, code, raw}) => [row, code, raw]),
      [
        [1, '', '{"a":1}'],
        [2, 'JSON_SYNTAX', '{"a":'],
        [3, 'UTF8', '{"a":"caf\xe9"}'],
        [4, '', '{"a":2}'],
      ],
    );
});

test('a line of many megabytes is one bad record, and the next is read', async () => {
  const line = (size: number) => `{"a":"${'x'.repeat(size - 8)}"}`;
  for (const chunk of [4096, 1 << 23])
    assert.deepEqual(
      (
        await scanJson(
          `{"a":1}\n${line(4 * recordBytesMax)}\n${line(recordBytesMax)}\n${line(recordBytesMax + 1)}\n{"a":2}\n`,
          ['a'],
          chunk,
        )
      ).map(({row, code}) => [row, code]),
      [
        [1, ''],
        [2, 'RECORD_TOO_LARGE'],
        [3, ''],
        [4, 'RECORD_TOO_LARGE'],
        [5, ''],
      ],
    );
});

test('the scanner accepts what JSON.parse accepts and finds the same strings, for any object', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__'), fc.jsonValue({maxDepth: 4}), {
        noNullPrototype: true,
      }),
      async (object) => {
        const line = JSON.stringify(object);
        const parsed = JSON.parse(line) as Record<string, unknown>;
        const expected = ['a', 'b'].map((key) => {
          const value = Object.hasOwn(parsed, key) ? parsed[key] : null;
          if (value === null) return null;
          if (typeof value === 'object') return 'nested';
          return typeof value === 'string' ? value : JSON.stringify(value);
        });
        const found = await one(line);
        if (found !== 'UTF8') assert.deepEqual(found, expected);
        else assert.match(line, /\\ud[89a-f]/i);
      },
    ),
    {numRuns: 300},
  );
});

test('any damage to a line is judged as JSON.parse judges it', async () => {
  const base = '{"a":[1,{"b":"x\\n"},null],"b":-1.5e+3,"c":true}';
  await fc.assert(
    fc.asyncProperty(
      fc.nat(base.length),
      fc.nat(2),
      fc.constantFrom('', '"', ',', ':', '{', '}', '[', ']', '\\', '0', '-', 'e', ' ', 't', '.'),
      async (at, removed, inserted) => {
        const line = base.slice(0, at) + inserted + base.slice(at + removed);
        let valid = true;
        try {
          JSON.parse(line);
        } catch {
          valid = false;
        }
        const [record] = await scanJson(line, ['a']);
        if (line.trim() !== '') assert.equal(record!.code === 'JSON_SYNTAX', !valid, line);
      },
    ),
    {numRuns: 500},
  );
});

test('keys of one line are not those of the next when the bytes are a Buffer that is used again', () => {
  const scanner = new JsonScanner(['a', 'b']);
  const buffer = Buffer.alloc(64);
  const read = (line: string) => {
    const length = buffer.write(`${line}\n`);
    scanner.scan(buffer, 0, length, true);
    return [...scanner.starts].map((start, slot) =>
      start < 0 ? null : Buffer.from(scanner.buffer.subarray(start, scanner.ends[slot])).toString(),
    );
  };
  assert.deepEqual(read('{"a":1,"b":2}'), ['1', '2']);
  assert.deepEqual(read('{"b":3,"a":4}'), ['4', '3']);
});
