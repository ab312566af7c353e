import assert from 'node:assert/strict';
import {spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, rmSync, truncateSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {type TestContext, test} from 'node:test';
import {Worker} from 'node:worker_threads';
import {
  openStateReader,
  openStateStore,
  type StateStore,
  startCheckpointWriter,
} from '../../src/process/embedded/statestore.ts';

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-state-'));
  t.after(() => rmSync(dir, {recursive: true}));
  return dir;
}

/** Runs `body` with a store whose writer is ended afterwards. */
async function withStore(dir: string, body: (store: StateStore) => Promise<void>): Promise<void> {
  const writer = await startCheckpointWriter(dir);
  const store = openStateStore(dir, writer.connect());
  try {
    await body(store);
  } finally {
    store.close();
    await writer.close();
  }
}

/** Changes the file behind the store's back. */
function damage(dir: string, sql: string): void {
  const database = new DatabaseSync(join(dir, 'state.db'));
  database.exec(sql);
  database.close();
}

const bytes = (text: string) => new TextEncoder().encode(text);
const put = (key: string, text: string) => ({key, bytes: bytes(text)});

test('a commit is read back after a restart; a later one changes and deletes rows', async (t) => {
  const dir = temporary(t);
  await withStore(dir, async (store) => {
    assert.equal(store.load('shop/daily/r1'), undefined);
    await store.commit({
      query: 'shop/daily/r1',
      epoch: 1,
      meta: '{"a":1}',
      puts: [put('p1', 'one'), put('p2', 'two')],
      deletes: [],
    });
    await store.commit({
      query: 'shop/daily/r1',
      epoch: 2,
      meta: '{"a":2}',
      puts: [put('p2', 'second'), put('p3', '')],
      deletes: ['p1', 'none'],
    });
    await store.commit({
      query: 'shop/other/r1',
      epoch: 7,
      meta: '{}',
      puts: [put('p1', 'other')],
      deletes: [],
    });
  });
  await withStore(dir, async (store) => {
    assert.deepEqual(store.load('shop/daily/r1'), {meta: '{"a":2}', epoch: 2});
    assert.deepEqual(store.keys('shop/daily/r1'), ['p2', 'p3']);
    assert.equal(store.get('shop/daily/r1', 'p1'), undefined);
    assert.deepEqual(store.get('shop/daily/r1', 'p2'), bytes('second'));
    assert.deepEqual(store.get('shop/daily/r1', 'p3'), bytes(''));
    assert.equal(store.sizeBytes('shop/daily/r1'), 6);
    assert.deepEqual(store.queries(), ['shop/daily/r1', 'shop/other/r1']);
    assert.equal(store.load('shop/other/r1')!.epoch, 7);
  });
});

test('dropped state is gone, its journal stays', async (t) => {
  await withStore(temporary(t), async (store) => {
    await store.commit({
      query: 'q',
      epoch: 1,
      meta: '{}',
      puts: [put('p', 'x')],
      deletes: [],
      journal: ['first'],
    });
    await store.commit({
      query: 'q',
      epoch: 2,
      meta: '{}',
      puts: [],
      deletes: [],
      journal: ['second', 'third'],
    });
    await store.drop('q');
    assert.equal(store.load('q'), undefined);
    assert.deepEqual(store.keys('q'), []);
    assert.deepEqual(store.journal('q'), ['first', 'second', 'third']);
    await store.commit({query: 'q', epoch: 1, meta: '{}', puts: [], deletes: [], journal: ['fourth']});
    assert.deepEqual(store.journal('q'), ['first', 'second', 'third', 'fourth']);
  });
});

test('an epoch that does not grow is refused alone', async (t) => {
  await withStore(temporary(t), async (store) => {
    const commit = (query: string, epoch: number) =>
      store.commit({query, epoch, meta: '{}', puts: [], deletes: []});
    await commit('a', 3);
    const results = await Promise.allSettled([commit('a', 3), commit('b', 1)]);
    assert.deepEqual(
      results.map(({status}) => status),
      ['rejected', 'fulfilled'],
    );
    assert.equal(store.load('b')!.epoch, 1);
  });
});

test('stores in several threads share the writer; buffers that were put are given up', async (t) => {
  const dir = temporary(t);
  const writer = await startCheckpointWriter(dir);
  const workers = [0, 1, 2].map((index) => {
    const port = writer.connect();
    return new Worker(new URL('./statestore-committer.ts', import.meta.url), {
      workerData: {dir, port, query: `q${index}`, commits: 20},
      transferList: [port],
    });
  });
  const left = await Promise.all(workers.map((worker) => once(worker, 'message')));
  assert.deepEqual(left, [[0], [0], [0]], 'bytes left in the buffer of the last put');
  await writer.close();
  const reader = openStateReader(dir);
  t.after(() => reader.close());
  for (const index of [0, 1, 2]) {
    assert.equal(reader.load(`q${index}`)!.epoch, 20);
    assert.deepEqual(reader.get(`q${index}`, 'pane'), new Uint8Array(1000).fill(20));
  }
});

test('an absent store is an empty one to a reader', (t) => {
  const reader = openStateReader(join(temporary(t), 'none'));
  assert.equal(reader.load('q'), undefined);
  assert.deepEqual(reader.keys('q'), []);
  assert.deepEqual(reader.queries(), []);
});

for (const [what, sql, found] of [
  ['an altered row', "UPDATE state SET bytes = CAST('XXX' AS BLOB) WHERE key = 'p1'", 'get'],
  ['an altered meta', "UPDATE checkpoints SET meta = '[]' WHERE query = 'q'", 'load'],
  ['a lost row', "DELETE FROM state WHERE key = 'p1'", 'load'],
  [
    'a row of another epoch',
    "UPDATE state SET (crc, bytes) = (SELECT crc, bytes FROM old) WHERE key = 'p1'",
    'load',
  ],
  ['an altered journal', "UPDATE journal SET entry = 'other'", 'journal'],
] as const)
  test(`${what} is found at load, and the query alone can start anew`, async (t) => {
    const dir = temporary(t);
    const first = {
      query: 'q',
      epoch: 1,
      meta: '{}',
      puts: [put('p1', 'old'), put('p2', 'two')],
      deletes: [],
      journal: ['entry'],
    };
    await withStore(dir, async (store) => store.commit(first));
    damage(dir, "CREATE TABLE old AS SELECT * FROM state WHERE key = 'p1'");
    await withStore(dir, async (store) => {
      await store.commit({query: 'q', epoch: 2, meta: '{}', puts: [put('p1', 'new')], deletes: []});
      await store.commit({query: 'good', epoch: 1, meta: '{}', puts: [put('p', 'x')], deletes: []});
    });
    damage(dir, sql);
    await withStore(dir, async (store) => {
      const read = {
        get: () => store.get('q', 'p1'),
        load: () => store.load('q'),
        journal: () => store.journal('q'),
      };
      assert.throws(read[found], {code: 'CHECKPOINT_CORRUPT', place: 'q'});
      assert.equal(store.load('good')!.epoch, 1);
      await store.drop('q');
      assert.equal(store.load('q'), undefined);
    });
  });

test('a newer format is refused, another file is not taken for a store, and neither is changed', async (t) => {
  const dir = temporary(t);
  await withStore(dir, async (store) =>
    store.commit({query: 'q', epoch: 1, meta: '{}', puts: [], deletes: []}),
  );
  damage(dir, 'PRAGMA user_version = 3');
  await assert.rejects(startCheckpointWriter(dir), {code: 'CHECKPOINT_NEWER'});
  assert.throws(() => openStateReader(dir).load('q'), {code: 'CHECKPOINT_NEWER'});
  damage(dir, 'PRAGMA user_version = 2; PRAGMA application_id = 5');
  await assert.rejects(startCheckpointWriter(dir), {code: 'CHECKPOINT_CORRUPT'});
  damage(dir, 'PRAGMA application_id = 1297240916');
  await withStore(dir, async (store) => assert.equal(store.load('q')!.epoch, 1));
});

test('a store of the release before leases is taken over; its lease begins', async (t) => {
  const dir = temporary(t);
  await withStore(dir, async (store) =>
    store.commit({query: 'q', epoch: 4, meta: '{"a":1}', puts: [put('p', 'x')], deletes: []}),
  );
  // What version 2 added is taken away again.
  const columns = ['lease', 'holder', 'stamp', 'history'].map(
    (name) => `ALTER TABLE meta DROP COLUMN ${name};`,
  );
  damage(dir, `${columns.join(' ')} DROP TABLE files; PRAGMA user_version = 1`);
  const reader = openStateReader(dir);
  assert.equal(reader.load('q')?.epoch, 4);
  reader.close();
  const writer = await startCheckpointWriter(dir);
  assert.equal(writer.epoch, 1);
  const store = openStateStore(dir, writer.connect(), writer.lease);
  assert.deepEqual(store.get('q', 'p'), bytes('x'));
  await store.commit({query: 'q', epoch: 5, meta: '{}', puts: [], deletes: []});
  store.close();
  await writer.close();
});

test('a second writer is refused', async (t) => {
  const dir = temporary(t);
  await withStore(dir, async () => {
    await assert.rejects(startCheckpointWriter(dir), {code: 'LOCKED'});
  });
});

test('after kill -9 every acknowledged checkpoint is there; a shortened write-ahead log is noticed', async (t) => {
  const dir = temporary(t);
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'statestore-child.ts'), dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let acknowledged = 0;
    child.stdout.on('data', (data: Buffer) => {
      acknowledged = Number(data.toString().trimEnd().split('\n').at(-1));
      if (acknowledged > (round + 1) * 100) child.kill('SIGKILL');
    });
    await once(child, 'close');
    const reader = openStateReader(dir);
    const {epoch} = reader.load('q')!;
    assert.ok(epoch >= acknowledged && epoch <= acknowledged + 1, `${epoch} of ${acknowledged}`);
    assert.equal(reader.get('q', 'epoch')!.at(0), epoch % 256);
    reader.close();
  }
  truncateSync(join(dir, 'state.db-wal'), 0);
  await assert.rejects(startCheckpointWriter(dir), {code: 'CHECKPOINT_CORRUPT'});
});

test('a small disk: a commit is refused whole while it is full, and the same store goes on with space', async (t) => {
  const dir = temporary(t);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'millrace-test', dir]).status === 0;
  if (!mounted && process.env.CI === 'true') assert.fail('CI needs the right to mount a tmpfs');
  if (!mounted) return t.skip('a tmpfs cannot be mounted here');
  try {
    await withStore(join(dir, 'state'), async (store) => {
      const commit = (query: string, epoch: number) => {
        const piece = (key: string) => ({key, bytes: new Uint8Array(60_000).fill(epoch)});
        const puts = [piece(`pane/${epoch}`), piece('last')];
        return store.commit({query, epoch, meta: `{"epoch":${epoch}}`, puts, deletes: []});
      };
      const check = (query: string, epoch: number) => {
        assert.equal(store.load(query)?.epoch, epoch);
        const panes = Array.from({length: epoch}, (_, k) => `pane/${k + 1}`);
        assert.deepEqual(new Set(store.keys(query)), new Set(['last', ...panes]));
        assert.deepEqual(new Uint8Array(store.get(query, 'last')!), new Uint8Array(60_000).fill(epoch));
      };
      await commit('a', 1);
      await commit('b', 1);
      writeFileSync(join(dir, 'ballast'), new Uint8Array(1 << 20));
      let epoch = 1;
      const fill = async () => {
        for (; epoch < 100; epoch++) await commit('a', epoch + 1);
      };
      await assert.rejects(fill(), {code: 'CHECKPOINT_DISK_FULL', retry: true});
      // Two that wait together are refused together, and neither leaves a piece.
      const both = await Promise.allSettled([commit('a', epoch + 1), commit('b', 2)]);
      for (const each of both) {
        assert.equal(each.status, 'rejected');
        assert.equal(each.reason.code, 'CHECKPOINT_DISK_FULL');
      }
      check('a', epoch);
      check('b', 1);
      const before = epoch;
      rmSync(join(dir, 'ballast'));
      await commit('b', 2);
      await assert.rejects(fill(), {code: 'CHECKPOINT_DISK_FULL'});
      assert.ok(epoch > before, 'space that came back was used');
      check('a', epoch);
      check('b', 2);
    });
    await withStore(join(dir, 'state'), async (store) => assert.equal(store.load('b')?.epoch, 2));
  } finally {
    spawnSync('umount', [dir]);
  }
});
