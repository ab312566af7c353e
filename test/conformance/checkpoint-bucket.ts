/** What a store in a bucket promises beside what every store does: outages, lost answers, damage, bounds. */
import assert from 'node:assert/strict';
import {existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync} from 'node:fs';
import {createServer, request} from 'node:http';
import type {AddressInfo} from 'node:net';
import {dirname, join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {type TestContext, test} from 'node:test';
import {followBucket, readRemoteLease} from '../../src/process/embedded/state-bucket.ts';
import {RemoteHead} from '../../src/process/embedded/state-head.ts';
import {deltasMax} from '../../src/process/embedded/state-remote.ts';
import {
  type CheckpointPlace,
  openStateReader,
  startCheckpointWriter,
} from '../../src/process/embedded/statestore.ts';
import {createS3Client, type S3Client} from '../../src/store/s3.ts';
import type {Bucket} from '../support/bucket.ts';
import {type FaultyProxy, startProxy} from '../support/proxy.ts';
import {commitOf, contentOf, expectedAfter} from './checkpoint-commits.ts';
import {asOwner, contentAt, leaseMs, type SharedStore} from './checkpoint-stores.ts';

export function bucketSuite(bucket: Bucket | undefined, create: (t: TestContext) => SharedStore): void {
  if (!bucket) {
    test(
      's3: SeaweedFS is installed',
      {skip: process.env.CI !== 'true' && 'there is no SeaweedFS here'},
      () => assert.fail('CI needs SeaweedFS'),
    );
    return;
  }
  const clientOf = (t: TestContext): S3Client => {
    const client = createS3Client(bucket.settings);
    t.after(() => client.close());
    return client;
  };
  const throughProxy = async (
    t: TestContext,
    place: CheckpointPlace,
  ): Promise<{proxy: FaultyProxy; place: CheckpointPlace}> => {
    const proxy = await startProxy({to: {host: '127.0.0.1', port: bucket.port}});
    t.after(() => proxy.close());
    const s3 = {...bucket.settings, endpoint: `http://127.0.0.1:${proxy.port}`, timeoutMs: 400};
    return {proxy, place: {...place, remote: {...place.remote!, s3}}};
  };
  const keysOf = (place: CheckpointPlace, client: S3Client) => client.list(place.remote!.prefix);

  test('s3: while the store is away commits wait, visibly, and go on when it is back', async (t) => {
    const shared = create(t);
    const {proxy, place} = await throughProxy(t, shared.machine());
    const told: (string | null)[] = [];
    const onTrouble = (message: string | null) => void told.push(message);
    const after = async (store: Parameters<Parameters<typeof asOwner>[1]>[0]) => {
      await store.commit(commitOf(1));
      proxy.cut();
      let isDone = false;
      const commit = store.commit(commitOf(2)).then(() => {
        isDone = true;
      });
      await new Promise((resolve) => setTimeout(resolve, 2 * leaseMs));
      assert.equal(isDone, false);
      assert.match(String(told.at(-1)), /does not answer/);
      proxy.restore();
      await commit;
      assert.equal(told.at(-1), null);
      // Nobody took the lease: the one who could not renew it has it still.
      await store.commit(commitOf(3));
    };
    await asOwner(place, after, {onTrouble});
    assert.equal(await contentAt(shared.machine()), expectedAfter(3));
  });

  test('s3: a commit whose answer is lost counts once', async (t) => {
    const shared = create(t);
    const {proxy, place} = await throughProxy(t, shared.machine());
    await asOwner(place, async (store) => {
      for (let epoch = 1; epoch <= 6; epoch++) {
        proxy.swallowAnswers();
        const commit = store.commit(commitOf(epoch));
        // Long enough for requests to arrive, different parts of a commit each time.
        await new Promise((resolve) => setTimeout(resolve, 150 + epoch * 170));
        proxy.restore();
        await commit;
      }
    });
    assert.equal(await contentAt(shared.machine()), expectedAfter(6));
  });

  test('s3: the number of objects is bounded, joined deltas and snapshots say the same', async (t) => {
    const shared = create(t);
    const client = clientOf(t);
    const place = shared.machine();
    const commits = deltasMax * 5;
    let most = 0;
    await asOwner(place, async (store) => {
      const big = {query: 'big', epoch: 1, meta: '{}', deletes: []};
      // A snapshot that small deltas do not outweigh, so that they are joined.
      const incompressible = Uint8Array.from(
        {length: 3 << 20},
        (_, index) => (Math.imul(index, 2654435761) >>> 13) & 255,
      );
      await store.commit({...big, puts: [{key: 'all', bytes: incompressible}]});
      for (let epoch = 1; epoch <= commits; epoch++) {
        await store.commit(commitOf(epoch));
        if (epoch % 16 === 0) most = Math.max(most, (await keysOf(place, client)).length);
      }
    });
    assert.ok(most <= deltasMax * 2, `${most} objects`);
    const other = shared.machine();
    assert.equal(await contentAt(other), expectedAfter(commits));
    // And by one that followed a part of the way.
    await asOwner(place, async (store) => {
      for (let epoch = commits + 1; epoch <= commits + 10; epoch++) await store.commit(commitOf(epoch));
      // Who only looks on sees whose it is.
      assert.equal((await readRemoteLease(other.remote!))?.holder?.pid, process.pid);
    });
    assert.equal((await readRemoteLease(other.remote!))?.holder, null);
    await followBucket(other.dir, other.remote!, 'a reader');
    const reader = openStateReader(other.dir);
    assert.equal(contentOf(reader), expectedAfter(commits + 10));
    reader.close();
  });

  test('s3: an object that is damaged or missing is found, never a wrong number', async (t) => {
    const shared = create(t);
    const client = clientOf(t);
    const place = shared.machine();
    await asOwner(place, async (store) => {
      for (let epoch = 1; epoch <= 5; epoch++) await store.commit(commitOf(epoch));
    });
    const {prefix} = place.remote!;
    const piece = (await client.list(`${prefix}pieces/`))[2]!;
    const {bytes} = (await client.get(piece))!;
    const damaged = Buffer.from(bytes);
    damaged[bytes.length >> 1]! ^= 1;
    await client.put(piece, damaged);
    await assert.rejects(contentAt(shared.machine()), {code: 'CHECKPOINT_CORRUPT'});
    await client.delete(piece);
    await assert.rejects(contentAt(shared.machine()), {code: 'CHECKPOINT_CORRUPT'});
    await client.put(piece, bytes);
    assert.equal(await contentAt(shared.machine()), expectedAfter(5));
    const head = (await client.get(`${prefix}head.json`))!;
    await client.put(
      `${prefix}head.json`,
      Buffer.from(head.bytes.toString().replace('"sequence":5', '"sequence":4')),
    );
    await assert.rejects(contentAt(shared.machine()), {code: 'CHECKPOINT_CORRUPT'});
    await client.put(`${prefix}head.json`, Buffer.from('{"format":2}'));
    await assert.rejects(contentAt(shared.machine()), {code: 'CHECKPOINT_NEWER'});
    await client.put(`${prefix}head.json`, head.bytes);
    assert.equal(await contentAt(shared.machine()), expectedAfter(5));
  });

  test('s3: files beside the checkpoints travel; what an owner changed and never committed is gone once another went on', async (t) => {
    const shared = create(t);
    const [first, second] = [shared.machine(), shared.machine()];
    const write = (place: CheckpointPlace, path: string, text: string) => {
      mkdirSync(join(place.dir, dirname(path)), {recursive: true});
      writeFileSync(join(place.dir, path), text);
    };
    const textOf = (place: CheckpointPlace, path: string) => {
      const file = join(place.dir, path);
      return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
    };
    await asOwner(first, async (store) => {
      write(first, 'revisions.json', 'one');
      write(first, 'lookups/shop/products/abc.csv', 'id,name');
      write(first, 'gone.json', 'soon');
      await store.commit(commitOf(1));
      write(first, 'revisions.json', 'two');
      rmSync(join(first.dir, 'gone.json'));
      // Without a commit of a query.
      await store.sync();
      write(first, 'revisions.json', 'never kept');
      write(first, 'stray.json', 'never kept');
    });
    await asOwner(second, async (store) => {
      assert.equal(textOf(second, 'revisions.json'), 'two');
      assert.equal(textOf(second, 'lookups/shop/products/abc.csv'), 'id,name');
      assert.equal(textOf(second, 'gone.json'), undefined);
      await store.commit(commitOf(2));
    });
    await asOwner(first, async (store) => {
      assert.equal(textOf(first, 'revisions.json'), 'two');
      assert.equal(textOf(first, 'stray.json'), undefined);
      assert.equal(contentOf(store), expectedAfter(2));
      // Nobody else went on: what was changed here is the newest there is.
      write(first, 'revisions.json', 'three');
    });
    await asOwner(first, async (store) => store.commit(commitOf(3)));
    await asOwner(second, async () => assert.equal(textOf(second, 'revisions.json'), 'three'));
  });

  test('s3: a copy that is damaged, shortened or gone is made anew from the bucket', async (t) => {
    const place = create(t).machine();
    await asOwner(place, async (store) => {
      for (let epoch = 1; epoch <= 5; epoch++) await store.commit(commitOf(epoch));
    });
    const file = join(place.dir, 'state.db');
    for (const damage of [
      () => {
        const database = new DatabaseSync(file);
        database.exec("UPDATE state SET bytes = CAST('XXX' AS BLOB) WHERE key = 'last'");
        database.close();
      },
      () => truncateSync(file, 8192),
      () => rmSync(file),
    ]) {
      damage();
      assert.equal(await contentAt(place), expectedAfter(5));
    }
  });

  test('s3: an owner that was fenced stays fenced, whatever it was about to do', async (t) => {
    const client = clientOf(t);
    const patience = {onTrouble() {}, signal: new AbortController().signal, isPatient: false};
    const [first, second] = ['first', 'second'].map(() => new RemoteHead(client, 'fenced/', 'fenced'));
    const head = {history: 'h', holder: null, stamp: 0, sequence: 0, snapshot: null, deltas: []};
    await first!.read();
    assert.equal(await first!.replace({format: 1, lease: 1, ...head}, patience), true);
    const seen = (await second!.read())!;
    assert.equal(await second!.replace({...seen, lease: 2}, patience), true);
    await second!.change(() => ({sequence: 7}), patience);
    for (let attempt = 0; attempt < 2; attempt++)
      await assert.rejects(
        first!.change(({sequence}) => ({sequence: sequence + 1}), patience),
        {code: 'FENCED'},
      );
    const {lease, sequence} = (await second!.read())!;
    assert.deepEqual({lease, sequence}, {lease: 2, sequence: 7});
  });

  test('s3: what cannot be used is said at the start', async (t) => {
    const place = create(t).machine();
    const start = (s3: Partial<Bucket['settings']>) =>
      startCheckpointWriter(
        {...place, remote: {...place.remote!, s3: {...bucket.settings, ...s3}}},
        {leaseMs},
      );
    await assert.rejects(start({secretKey: 'wrong'}), {code: 'STORE_REFUSED', hint: /secret_key/});
    await assert.rejects(start({bucket: 'no-such-bucket'}), {code: 'STORE_REFUSED', hint: /make the bucket/});
    await assert.rejects(start({endpoint: `https://127.0.0.1:${bucket.port}`}), {
      code: 'STORE_REFUSED',
      hint: /TLS/,
    });
    await assert.rejects(start({endpoint: 'http://127.0.0.1:1'}), {code: 'STORE_UNAVAILABLE'});
  });

  test('s3: a store that does not keep conditions is refused', async (t) => {
    const server = createServer((incoming, outgoing) => {
      const {'if-match': _, 'if-none-match': __, ...headers} = incoming.headers;
      const {method = '', url = ''} = incoming;
      const onward = request({port: bucket.port, host: '127.0.0.1', method, path: url, headers}, (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
      });
      incoming.pipe(onward);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const place = create(t).machine();
    const s3 = {...bucket.settings, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`};
    await assert.rejects(startCheckpointWriter({...place, remote: {...place.remote!, s3}}, {leaseMs}), {
      code: 'STORE_REFUSED',
      message: /does not keep the conditions/,
    });
    server.closeAllConnections();
  });
}
