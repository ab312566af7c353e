/**
 * Power failures: a process that appends to a log and commits checkpoints is traced, and images of its disk are made as a
 * power failure may leave it at any step: unsynced writes dropped, kept, reordered, torn at 512 B and 4 KiB. Each image is
 * opened: what was acknowledged is there, both databases are whole, and nothing is in them that was not written.
 * MILLRACE_POWER=5000 asks for more images than 300, MILLRACE_POWER_SEED for others.
 */
import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {test} from 'node:test';
import {openLogReader, openLogWriter} from '../../src/log/embedded.ts';
import {acknowledgedCommits} from '../../src/log/witness.ts';
import {openStateReader} from '../../src/process/embedded/statestore.ts';
import {openStateForWriting, stateFile, stateWitness} from '../../src/process/embedded/statestore-file.ts';
import {readAll, textsOf} from '../support/log-records.ts';
import {Disk, type Loss} from './disk.ts';
import {hasStrace} from './process.ts';
import {type DiskStep, traceSteps} from './trace.ts';
import {seeded} from './world.ts';

const wanted = Number(process.env.MILLRACE_POWER ?? 300);
const seed = Number(process.env.MILLRACE_POWER_SEED ?? 1);
const losses: Loss[] = [
  {kind: 'dropped'},
  {kind: 'kept'},
  {kind: 'reordered'},
  {kind: 'torn', sectorBytes: 512},
  {kind: 'torn', sectorBytes: 4096},
];
/** The lock and SQLite's shared memory do not outlive the machine: who starts makes them anew. */
const isKept = (path: string): boolean => !/lock|-shm$/.test(basename(path));

/** What was told before a step. */
type Acknowledged = {records: number; epoch: number};

async function checkLog(dir: string, acknowledged: number): Promise<number> {
  mkdirSync(dir, {recursive: true});
  const writer = openLogWriter(dir);
  const reader = openLogReader(dir);
  try {
    const total = Number(writer.progress('numbers') ?? 0);
    assert.ok(total >= acknowledged, `${acknowledged} records were acknowledged, ${total} are there`);
    const numbers = reader.topics().includes('t')
      ? textsOf(await readAll(reader, 't', 0)).map((text) => Number(text.replaceAll('.', '')))
      : [];
    assert.deepEqual(
      numbers,
      Array.from({length: total}, (_, number) => number),
    );
    return total;
  } finally {
    reader.close();
    await writer.close();
  }
}

/** The pieces of an epoch, as power-child.ts makes them. @returns records that the state counts */
function checkState(dir: string, acknowledged: number): number {
  mkdirSync(dir, {recursive: true});
  openStateForWriting(dir, acknowledgedCommits(stateWitness(dir))).database.close();
  const reader = openStateReader(dir);
  try {
    const {epoch, meta} = reader.load('q') ?? {epoch: 0, meta: '{"records":0}'};
    assert.ok(epoch >= acknowledged, `epoch ${acknowledged} was acknowledged, ${epoch} is there`);
    const {records} = JSON.parse(meta) as {records: number};
    if (epoch === 0) return 0;
    const panes = Array.from({length: epoch}, (_, index) => index + 1).filter(
      (each) => each % 3 === 0 && !((each + 6) % 9 === 0 && each + 6 <= epoch),
    );
    assert.deepEqual(new Set(reader.keys('q')), new Set(['sum', ...panes.map((pane) => `pane/${pane}`)]));
    assert.equal(Buffer.from(reader.get('q', 'sum')!).toString(), `${records} `.repeat(20 + (epoch % 7)));
    for (const pane of panes)
      assert.deepEqual(new Uint8Array(reader.get('q', `pane/${pane}`)!), new Uint8Array(9_000).fill(pane));
    return records;
  } finally {
    reader.close();
  }
}

function checkIntegrity(path: string): void {
  const database = new DatabaseSync(path, {readOnly: true});
  assert.deepEqual(
    database
      .prepare('PRAGMA integrity_check')
      .all()
      .map((row) => ({...row})),
    [{integrity_check: 'ok'}],
  );
  database.close();
}

async function checkImage(dir: string, {records, epoch}: Acknowledged): Promise<void> {
  const total = await checkLog(join(dir, 'log'), records);
  const counted = checkState(join(dir, 'state'), epoch);
  // A checkpoint is of records that the log holds.
  assert.ok(counted <= total, `the state counts ${counted} records of ${total}`);
  checkIntegrity(join(dir, 'log/log.db'));
  checkIntegrity(stateFile(join(dir, 'state')));
}

function acknowledgedBy(step: DiskStep, before: Acknowledged): Acknowledged {
  const [, store, number] = (step.kind === 'told' && /^(log|state) (\d+)/.exec(step.text)) || [];
  if (store === 'log') return {...before, records: Number(number)};
  return store === 'state' ? {...before, epoch: Number(number)} : before;
}

test(`after a power failure all that was acknowledged is there and nothing is wrong: ${wanted} images`, async (t) => {
  if (!hasStrace) {
    assert.ok(process.env.CI !== 'true', 'CI needs strace');
    t.skip('needs strace');
    return;
  }
  const home = mkdtempSync(join(tmpdir(), 'millrace-power-'));
  t.after(() => rmSync(home, {recursive: true}));
  const root = join(home, 'data');
  mkdirSync(root);
  const child = [process.execPath, join(import.meta.dirname, 'power-child.ts'), root, '3', '12'];
  const steps = traceSteps(child, root, join(home, 'trace'));
  const below = seeded(seed);
  // Steps at which something is at stake, the same number of images from each stretch of the run.
  const chosen = new Map<number, number>();
  for (let image = 0; image < wanted; image++) {
    const at = Math.floor(((image + below(1000) / 1000) / wanted) * steps.length);
    chosen.set(at, (chosen.get(at) ?? 0) + 1);
  }
  const disk = new Disk(root);
  let acknowledged: Acknowledged = {records: 0, epoch: 0};
  let number = 0;
  let unsynced = 0;
  for (const [index, step] of steps.entries()) {
    disk.take(step);
    acknowledged = acknowledgedBy(step, acknowledged);
    for (let left = chosen.get(index) ?? 0; left > 0; left--) {
      const loss = losses[number % losses.length]!;
      const dir = join(home, `image-${number++}`);
      mkdirSync(dir);
      if (disk.unsynced > 0) unsynced++;
      disk.image(dir, loss, below, isKept);
      try {
        await checkImage(dir, acknowledged);
      } catch (error) {
        throw new Error(
          `image ${number - 1} (seed ${seed}), step ${index} of ${steps.length}, ${JSON.stringify(loss)}: ${(error as Error).message}`,
          {cause: error},
        );
      }
      rmSync(dir, {recursive: true});
    }
  }
  assert.equal(number, wanted);
  assert.deepEqual(acknowledged, {records: 144, epoch: 36});
  t.diagnostic(`${steps.length} steps, ${unsynced} of ${wanted} images with writes that were not synced`);
  assert.ok(unsynced > wanted / 3);
});
