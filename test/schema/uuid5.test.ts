import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import {test} from 'node:test';
import {uuid5, uuid5Number, uuid5Of} from '../../src/schema/uuid5.ts';
import {python, pythonSkip} from './python.ts';

const dns = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';

/** The definition, by node:crypto. */
function slowUuid5(namespace: string, name: string): string {
  const hash = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest();
  hash[6] = (hash[6]! & 0x0f) | 0x50;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

test('the vector of RFC 9562, appendix A.4', () => {
  assert.equal(uuid5(dns, 'www.example.com'), '2ed6657d-e927-568b-95e1-2665a8aea6a2');
});

test('names of every length around the block size agree with node:crypto, split anywhere', () => {
  for (let length = 0; length < 260; length++) {
    const name = Array.from({length}, (_, i) => String.fromCharCode(97 + ((i * 7) % 26))).join('');
    const expected = slowUuid5(dns, name);
    for (const at of [0, length >> 1, length])
      assert.equal(
        uuid5Of(dns, name.slice(0, at)).of(name.slice(at)),
        expected,
        `length ${length}, split at ${at}`,
      );
  }
});

test('rows of a file: a number is its digits, and ids do not depend on the ones made before', () => {
  const ids = uuid5Of(dns, 'departures/flights.csv/ü/');
  const buffer = new Uint8Array(50);
  for (const row of [0, 9, 10, 1234567, 2 ** 31, 2 ** 53 - 1, 1e15, 999999999999999, 7]) {
    const expected = slowUuid5(dns, `departures/flights.csv/ü/${row}`);
    assert.equal(ids.of(row), expected);
    assert.equal(ids.write(row, buffer, 3), 39);
    assert.equal(Buffer.from(buffer).toString('latin1', 3, 39), expected);
    assert.equal(
      ids.of('a long suffix '.repeat(20)),
      slowUuid5(dns, `departures/flights.csv/ü/${'a long suffix '.repeat(20)}`),
    );
  }
});

test("ids are those of Python's uuid.uuid5", {skip: pythonSkip}, () => {
  const names = ['', 'a', 'ünïcödé', '日本語', '😀'.repeat(40), 'x'.repeat(1000)];
  const script =
    'import json,sys,uuid\nnames=json.load(sys.stdin)\nprint(json.dumps([str(uuid.uuid5(uuid.NAMESPACE_DNS,n)) for n in names]))';
  const {stdout, stderr} = spawnSync(python, ['-c', script], {
    input: JSON.stringify(names),
    encoding: 'utf8',
  });
  assert.deepEqual(
    JSON.parse(stdout || `"${stderr}"`),
    names.map((name) => uuid5(dns, name)),
  );
});

test('the id of a number in a name space is that of its digits, whatever the case of the name space', () => {
  const numbers = [0, 7, 10, 99, 100, 12_345, 2 ** 31, Number.MAX_SAFE_INTEGER];
  for (let round = 0; round < 50; round++) {
    const namespace = uuid5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', `name space ${round}`);
    for (const n of numbers) {
      assert.equal(uuid5Number(namespace, n), uuid5(namespace, String(n)));
      assert.equal(uuid5Number(namespace.toUpperCase(), n), uuid5(namespace, String(n)));
    }
  }
});
