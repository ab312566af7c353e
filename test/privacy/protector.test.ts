import assert from 'node:assert/strict';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import type {EventType} from '../../src/model/types.ts';
import {keysFile} from '../../src/privacy/keys.ts';
import {openPrivacy, refreshMs} from '../../src/privacy/opener.ts';
import {createProtector, type Protector} from '../../src/privacy/protector.ts';
import {keyName, masked, masterKeys} from '../../src/privacy/values.ts';
import {avroSchema} from '../../src/schema/avro.ts';
import {compileDecoder} from '../../src/schema/decode.ts';
import {compileEncoder} from '../../src/schema/encode.ts';
import {frameHeaderBytes, packRecords, walkRecords} from '../../src/schema/frame.ts';
import {unprotected} from '../../src/schema/protected.ts';
import type {AvroValue} from '../../src/schema/types.ts';
import {loadDomain} from '../support/platform.ts';
import {key, platformYaml} from './world.ts';

let dir: string;
let eventType: EventType;
let protector: Protector;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-privacy-'));
  const yaml = `domain: shop
event_types:
  - name: order
    attributes: [{name: email, type: string, pii: hash}, plain, {name: second, type: string, pii: hash}, {name: phone, type: string, pii: mask}]
    metrics: [{name: amount, type: long}]
`;
  const platform = platformYaml.replace('"${secret:pii_key}"', key);
  const domain = await loadDomain(yaml, {'platform.yaml': platform});
  eventType = domain.eventTypes[0]!;
  protector = createProtector([domain], {dir, key});
  openPrivacy({dir, key});
});

after(() => {
  protector.close();
  openPrivacy();
  rmSync(dir, {recursive: true});
});

const row = (
  email: string | null,
  second: string | null = null,
  phone: string | null = null,
): AvroValue[] => ['e1', 0, email, 'plain', second, phone, 7];

function protect(rows: AvroValue[][]): Uint8Array {
  const encoder = compileEncoder(avroSchema(eventType), 3);
  const frames = rows.map((values) => {
    const frame = new Uint8Array(encoder.sizeMax(values));
    return frame.subarray(0, encoder.encode(values, frame, 0));
  });
  const bytes = protector.protect('shop.order', {bytes: packRecords(frames), count: rows.length});
  protector.commit();
  return bytes;
}

function read(bytes: Uint8Array, count: number, schema = avroSchema(eventType)): AvroValue[][] {
  const decode = compileDecoder(schema);
  const rows: AvroValue[][] = [];
  walkRecords({bytes, count}, (_, start, end) => {
    rows.push(decode(bytes, start + frameHeaderBytes, end));
  });
  return rows;
}

test('every text comes back as what stands for it, and everything around it as it was', () => {
  const texts = [
    'a@example.com',
    '',
    'ünïcödé \u{1f600}',
    '\0',
    'pii1:looks:like-a-token',
    'x'.repeat(1_000_000),
  ];
  const bytes = protect(texts.map((text) => row(text, null, text)));
  for (const text of texts.filter((each) => each.length > 1))
    assert.equal(Buffer.from(bytes).includes(Buffer.from(text)), false);
  const rows = read(bytes, texts.length);
  for (const [index, text] of texts.entries()) {
    assert.match(String(rows[index]![2]), /^[0-9a-f]{32}$/);
    assert.deepEqual(rows[index]!.slice(3), ['plain', null, masked(text), 7]);
  }
  assert.equal(new Set(rows.map((values) => values[2])).size, texts.length);
});

test('equal values are equal tokens, in one attribute only', () => {
  const [first, second] = read(
    protect([row('same'), row('same', 'same')]),
    2,
    unprotected(avroSchema(eventType)),
  );
  assert.equal(first![2], second![2]);
  assert.match(String(first![2]), /^pii1:/);
  assert.notEqual(second![2], second![4]);
  const [, opened] = read(protect([row('same'), row('same', 'same')]), 2);
  assert.notEqual(opened![2], opened![4]);
});

test('what was forgotten reads NULL for good; the same value comes again under a new key; its key is in no file', async () => {
  const old = protect([row('gone', 'gone')]);
  const name = keyName(masterKeys(key), 'shop.email', 'gone');
  const held = protector.keys.keyOf(name);
  assert.equal(protector.keys.destroy([name]), 1);
  protector.clear();
  await new Promise((resolve) => setTimeout(resolve, 2 * refreshMs));
  for (const path of [keysFile(dir), `${keysFile(dir)}-wal`])
    assert.equal(readFileSync(path).includes(held), false, path);
  assert.equal(read(old, 1)[0]![2], null);
  assert.match(String(read(old, 1)[0]![4]), /^[0-9a-f]{32}$/);
  const fresh = protect([row('gone')]);
  assert.match(String(read(fresh, 1)[0]![2]), /^[0-9a-f]{32}$/);
  assert.equal(read(old, 1)[0]![2], null);
});

test('masks keep kinds apart and find nobody', () => {
  const cases: [string, string][] = [
    ['john@example.com', 'j***@example.com'],
    ['jo@example.com', '***@example.com'],
    ['+49 170 1234567', '***67'],
    ['4111-1111-1111-1111', '***11'],
    ['12345', '1***'],
    ['Mueller', 'M***'],
    ['Bo', '***'],
    ['', ''],
    ['\u{1f600}\u{1f600}\u{1f600}\u{1f600}', '\u{1f600}***'],
  ];
  for (const [value, mask] of cases) assert.equal(masked(value), mask);
});
