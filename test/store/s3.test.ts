import assert from 'node:assert/strict';
import {after, test} from 'node:test';
import {createS3Client} from '../../src/store/s3.ts';
import {startBucket} from '../support/bucket.ts';

const bucket = await startBucket();
after(() => bucket?.stop());
const skip = bucket === undefined && process.env.CI !== 'true' && 'there is no SeaweedFS here';

test('objects are written, read, listed and removed under any name; conditions hold', {skip}, async (t) => {
  assert.ok(bucket, 'CI needs SeaweedFS');
  const client = createS3Client(bucket.settings);
  t.after(() => client.close());
  const name = "a b/ü+(1)'*.x";
  const first = await client.put(name, Buffer.from('one'), {kind: 'absent'});
  assert.ok(first);
  assert.equal(await client.put(name, Buffer.from('two'), {kind: 'absent'}), undefined);
  assert.deepEqual((await client.get(name))?.bytes, Buffer.from('one'));
  assert.equal((await client.get(name))?.etag, first);
  const second = await client.put(name, Buffer.from('three'), {kind: 'same', etag: first});
  assert.ok(second);
  assert.equal(await client.put(name, Buffer.from('four'), {kind: 'same', etag: first}), undefined);
  assert.equal(await client.put('not there', Buffer.from('four'), {kind: 'same', etag: first}), undefined);
  await client.put('a b/other', new Uint8Array());
  assert.deepEqual(await client.list('a b/'), ['a b/other', name]);
  await client.delete(name);
  await client.delete(name);
  assert.equal(await client.get(name), undefined);
});

test('of writers that come at once one alone finds its condition kept', {skip}, async (t) => {
  assert.ok(bucket, 'CI needs SeaweedFS');
  const client = createS3Client(bucket.settings);
  t.after(() => client.close());
  for (let round = 0; round < 3; round++) {
    const absent = [1, 2].map((each) =>
      client.put(`race ${round}`, Buffer.from(`${each}`), {kind: 'absent'}),
    );
    const [won] = (await Promise.all(absent)).filter((tag) => tag !== undefined);
    assert.equal((await Promise.all(absent)).filter((tag) => tag !== undefined).length, 1);
    const same = [3, 4].map((each) =>
      client.put(`race ${round}`, Buffer.from(`${each}`), {kind: 'same', etag: won!}),
    );
    assert.equal((await Promise.all(same)).filter((tag) => tag !== undefined).length, 1);
  }
});

test('a list is whole where it takes several pages', {skip}, async (t) => {
  assert.ok(bucket, 'CI needs SeaweedFS');
  const client = createS3Client(bucket.settings);
  t.after(() => client.close());
  const names = Array.from({length: 1_050}, (_, index) => `many/${String(index).padStart(5, '0')}`);
  for (let from = 0; from < names.length; from += 50)
    await Promise.all(names.slice(from, from + 50).map((name) => client.put(name, new Uint8Array())));
  assert.deepEqual(await client.list('many/'), names);
});
