/**
 * Ids that a log remembers: the log's writer (runs with filters) against one SQLite b-tree of (topic, id), which it had before,
 * and variants of that. The trees hold ids alone, no batches, so what they are given is in their favour. Commits of 2,500 ids;
 * variants take turns. Then: every id is known, and a new one is not.
 *
 *     node bench/ids.bench.ts [thousands of ids] [rounds] [log]       `log`: without the trees
 */
import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {openLogReader, openLogWriter} from '../src/log/embedded.ts';
import {packRecords} from '../src/schema/frame.ts';
import {machine, median, range} from './world.ts';

const total = Number(process.argv[2] ?? 1_000) * 1_000;
const rounds = Number(process.argv[3] ?? 3);
const withTrees = process.argv[4] !== 'log';
const perCommit = 2_500;

type Ids = 'random' | 'ordered';
type Outcome = {perSecond: number; lastPerSecond: number; p99Ms: number; filterBytes: number; openMs: number};

let timeMs = 1_700_000_000_000;
function idsOf(kind: Ids): string[] {
  return Array.from({length: perCommit}, () => {
    const bytes = randomBytes(16);
    if (kind === 'ordered') bytes.writeUIntBE(Math.floor((timeMs += 0.01)), 0, 6);
    const hex = bytes.toString('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  });
}

/** Commits until there are `total` ids. `lastPerSecond`: of the last tenth. */
async function fill(kind: Ids, commit: (ids: string[], from: number) => unknown) {
  const tookMs: number[] = [];
  const some: string[] = [];
  for (let from = 0; from < total; from += perCommit) {
    const ids = idsOf(kind);
    some.push(ids[0]!);
    const startMs = performance.now();
    await commit(ids, from);
    tookMs.push(performance.now() - startMs);
  }
  const rate = (times: number[]) => (times.length * perCommit * 1000) / times.reduce((a, b) => a + b, 0);
  return {
    some,
    perSecond: rate(tookMs),
    lastPerSecond: rate(tookMs.slice(-Math.ceil(tookMs.length / 10))),
    p99Ms: tookMs.toSorted((a, b) => a - b)[Math.floor(tookMs.length * 0.99)]!,
  };
}

async function runs(dir: string, kind: Ids): Promise<Outcome> {
  const writer = openLogWriter(dir);
  writer.ensureTopic('shop.sale', 4);
  const each = perCommit / 4;
  const bytes = packRecords(Array.from({length: each}, () => new Uint8Array(90)));
  const {some, ...told} = await fill(kind, (ids) =>
    writer.append({
      appends: [0, 1, 2, 3].map((partition) => ({
        topic: 'shop.sale',
        partition,
        count: each,
        bytes,
        ids: ids.slice(partition * each, (partition + 1) * each),
      })),
    }),
  );
  await writer.close();
  const reader = openLogReader(dir);
  assert.ok(reader.knows('shop.sale', some).every(Boolean));
  assert.deepEqual(reader.knows('shop.sale', ['new', ...idsOf(kind).slice(0, 1)]), [false, false]);
  reader.close();
  const startMs = performance.now();
  await openLogWriter(dir).close();
  const openMs = performance.now() - startMs;
  const database = new DatabaseSync(join(dir, 'log.db'), {readOnly: true});
  const sum = database.prepare(
    'SELECT coalesce(sum((1 << bits) * blocks * 64), 0) AS bytes FROM id_runs WHERE live = 1',
  );
  const filterBytes = (sum.get() as {bytes: number}).bytes;
  database.close();
  return {...told, filterBytes, openMs};
}

/** The b-tree as it was, with pages of `pageBytes`, and with the ids of a commit sorted before they are inserted. */
const tree =
  (pageBytes: number, isSorted: boolean) =>
  async (dir: string, kind: Ids): Promise<Outcome> => {
    const database = new DatabaseSync(join(dir, 'tree.db'));
    database.exec(`PRAGMA page_size = ${pageBytes}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
      PRAGMA wal_autocheckpoint = ${(4 * 2 ** 20) / pageBytes}; PRAGMA cache_size = -16384;
      CREATE TABLE ids (topic TEXT NOT NULL, id ANY NOT NULL, partition INTEGER, place INTEGER, PRIMARY KEY (topic, id)) STRICT, WITHOUT ROWID`);
    const insert = database.prepare('INSERT OR IGNORE INTO ids VALUES (?, ?, ?, ?)');
    const {some, ...told} = await fill(kind, (ids, from) => {
      database.exec('BEGIN IMMEDIATE');
      for (const [i, id] of (isSorted ? ids.toSorted() : ids).entries())
        assert.equal(
          insert.run('shop.sale', Buffer.from(id.replaceAll('-', ''), 'hex'), i & 3, from + i).changes,
          1,
        );
      database.exec('COMMIT');
    });
    const {count} = database.prepare('SELECT count(*) AS count FROM ids').get() as {count: number};
    assert.equal(count, total, `${some.length} commits`);
    database.close();
    return {...told, filterBytes: 0, openMs: 0};
  };

const variants: [string, (dir: string, kind: Ids) => Promise<Outcome>][] = [
  ['log: runs', runs],
  ['tree, 16 KiB', tree(16_384, false)],
  ['tree, 16 KiB, sorted', tree(16_384, true)],
  ['tree, 4 KiB', tree(4_096, false)],
];
console.log(`${machine()}; ${total} ids, ${rounds} rounds, medians (ranges)`);
for (const kind of ['random', 'ordered'] as const) {
  const taken = variants.slice(0, withTrees ? variants.length : 1);
  const results = taken.map((): Outcome[] => []);
  for (let round = 0; round < rounds; round++)
    for (const [index, [, run]] of taken.entries()) {
      const dir = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
      results[index]!.push(await run(dir, kind));
      rmSync(dir, {recursive: true});
    }
  for (const [index, [name]] of taken.entries()) {
    const of = (pick: (outcome: Outcome) => number, digits = 0) => {
      const values = results[index]!.map(pick);
      return `${median(values).toFixed(digits)} (${range(values, digits)})`;
    };
    const memory = `; filters ${of(({filterBytes}) => filterBytes / total, 2)} B/id, open ${of(({openMs}) => openMs)} ms`;
    console.log(
      `${kind}, ${name}: ${of(({perSecond}) => perSecond / 1000)} k ids/s, at the end ${of(({lastPerSecond}) => lastPerSecond / 1000)}, commit p99 ${of(({p99Ms}) => p99Ms)} ms${name.startsWith('log') ? memory : ''}`,
    );
  }
}
