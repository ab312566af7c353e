/**
 * Commits into a directory and into a bucket, restoring, and taking over: node bench/checkpoint-stores.bench.ts [rounds]
 * The stores are interleaved; medians. The bucket is SeaweedFS on the same machine. What was restored is compared.
 */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {cpus, loadavg, tmpdir} from 'node:os';
import {join} from 'node:path';
import {startObjectStore} from '../src/cluster/seaweedfs.ts';
import {
  type CheckpointPlace,
  openStateStore,
  type StateStore,
  startCheckpointWriter,
} from '../src/process/embedded/statestore.ts';

const rounds = Number(process.argv[2] ?? 30);
const sizes = [4 << 10, 1 << 20, 8 << 20];
const server = await startObjectStore({bucket: 'checkpoints'});
const {endpoint, region, bucket, accessKey, secretKey} = server;
const s3 = {endpoint, region, bucket, accessKey, secretKey, pathStyle: true};
const dirs: string[] = [];
const newDir = (): string => {
  dirs.push(mkdtempSync(join(tmpdir(), 'millrace-bench-')));
  return dirs.at(-1)!;
};
const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;
const ms = (value: number) => `${value.toFixed(1)} ms`;

/** Counts in cells look like this: most bytes of a double are alike. */
const cellsOf = (bytes: number, seed: number): Uint8Array =>
  new Uint8Array(Float64Array.from({length: bytes / 8}, (_, index) => (index * 7 + seed) % 100_000).buffer);

type Open = {store: StateStore; close(): Promise<void>};
async function open(place: CheckpointPlace): Promise<Open> {
  const writer = await startCheckpointWriter(place);
  const store = openStateStore(place.dir, writer.connect());
  return {
    store,
    async close() {
      store.close();
      await writer.close();
    },
  };
}

try {
  const bucketPlace = (): CheckpointPlace => ({dir: newDir(), remote: {s3, prefix: 'bench/'}});
  const stores: [string, Open][] = [
    ['directory', await open({dir: newDir()})],
    ['bucket', await open(bucketPlace())],
  ];
  console.log(`${cpus().length} x ${cpus()[0]!.model}, load ${loadavg()[0]!.toFixed(1)}, ${rounds} rounds`);
  let epoch = 0;
  for (const size of sizes) {
    const took = new Map(stores.map(([name]) => [name, [] as number[]]));
    for (let round = 0; round < rounds; round++) {
      epoch++;
      for (const [name, {store}] of stores) {
        const puts = [{key: `row${round % 12}/${size}`, bytes: cellsOf(size, epoch)}];
        const startMs = performance.now();
        await store.commit({query: 'q', epoch, meta: '{}', puts, deletes: []});
        took.get(name)!.push(performance.now() - startMs);
      }
    }
    const shown = [...took].map(([name, all]) => `${name} ${ms(median(all))} (max ${ms(Math.max(...all))})`);
    console.log(`commit of ${size >> 10} KiB: ${shown.join(', ')}`);
  }
  const sums = stores.map(([, {store}]) =>
    store.keys('q').map((key) => [key, Buffer.from(store.get('q', key)!).toString('hex')]),
  );
  assert.deepEqual(sums[0], sums[1]);
  const bytes = stores[1]![1].store.sizeBytes('q');
  for (const [, {close}] of stores) await close();
  const restores: number[] = [];
  for (let round = 0; round < 5; round++) {
    const startMs = performance.now();
    const {store, close} = await open(bucketPlace());
    restores.push(performance.now() - startMs);
    assert.deepEqual(store.keys('q').length, sums[0]!.length);
    await close();
  }
  console.log(`restore of ${(bytes / 2 ** 20).toFixed(0)} MiB on an empty machine: ${ms(median(restores))}`);
} finally {
  await server.stop();
  for (const dir of dirs) rmSync(dir, {recursive: true, force: true});
}
