/** Damaged and lost files: found out, never a wrong number, and rows come back from the log where it has them. */
import assert from 'node:assert/strict';
import {cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {DatabaseSync} from 'node:sqlite';
import {after, before, type TestContext, test} from 'node:test';
import {compareOutcomes, type Outcome, readOutcome} from './outcome.ts';
import {runUntilIdle, start} from './process.ts';
import {fileSinks} from './sink-reader.ts';
import {makeWorld, purchases, replaceLookup} from './world.ts';

const home = mkdtempSync(join(tmpdir(), 'millrace-damage-'));
const good = join(home, 'good');
let wanted: Outcome;
before(async () => {
  makeWorld(good, {rows: 1_000, ratePerSecond: 4_000});
  const {code, stderr} = await runUntilIdle(good);
  assert.equal(code, 0, stderr);
  wanted = await readOutcome(good);
});
after(() => rmSync(home, {recursive: true}));

function copy(t: TestContext): string {
  const root = mkdtempSync(join(home, 'copy-'));
  cpSync(good, root, {recursive: true});
  t.after(() => rmSync(root, {recursive: true, force: true}));
  return root;
}

const at = (root: string, name: string) => join(root, '.millrace', name);

/** Flips one bit in the middle of each of these blobs, behind its checksum's back. */
function flip(path: string, table: string, where: string): void {
  const database = new DatabaseSync(path);
  const rows = database.prepare(`SELECT id, bytes FROM ${table} WHERE ${where}`).all() as {
    id: number;
    bytes: Uint8Array;
  }[];
  assert.ok(rows.length > 0);
  for (const {id, bytes} of rows) {
    bytes[bytes.length >> 1]! ^= 1;
    database.prepare(`UPDATE ${table} SET bytes = ? WHERE id = ?`).run(bytes, id);
  }
  database.close();
}

const rowsOf = (root: string) =>
  ['per_hour', 'sliding', 'brands'].map((query) =>
    readFileSync(at(root, `rows/shop/${query}__r1.jsonl`), 'utf8'),
  );

test('a flipped bit in a batch of the log is found with its place, and no row is made of it', async (t) => {
  const root = copy(t);
  flip(
    at(root, 'log/log.db'),
    'batches',
    "stream IN (SELECT id FROM streams WHERE topic = 'shop.purchase' AND partition = 0) AND base_offset = 0",
  );
  // Rows are to be made again from the log, so that it is read.
  rmSync(at(root, 'state'), {recursive: true});
  rmSync(at(root, 'rows'), {recursive: true});
  rmSync(at(root, 'copies'), {recursive: true});
  const {code, stderr} = await runUntilIdle(root);
  assert.match(stderr, /LOG_CORRUPT.*shop\.purchase/);
  assert.equal(code, 4, 'queries that stopped are no success');
  for (const {window_start, country, events} of await fileSinks(root).latest('per_hour', 0, [])) {
    const whole = JSON.parse(wanted.rows.get(`per_hour@0 ${window_start} ${country}`)!) as {events: number};
    assert.ok(Number(events) <= whole.events);
  }
});

test('a flipped bit in a checkpoint stops that query, or its rows are made again: they are never wrong', async (t) => {
  const root = copy(t);
  flip(
    at(root, 'state/state.db'),
    'state',
    "query IN (SELECT id FROM checkpoints WHERE query LIKE 'shop.per_hour/%') AND length(bytes) > 20",
  );
  const before = rowsOf(root);
  const {code, stderr} = await runUntilIdle(root);
  assert.equal(code, 4, 'a query that stopped is no success');
  assert.match(stderr, /per_hour stopped: CHECKPOINT_CORRUPT/);
  assert.match(stderr, /hint: .*millrace(\.js)? rebuild shop\.per_hour/);
  assert.deepEqual(rowsOf(root), before);
  const rebuilt = await start(root, ['rebuild', 'shop.per_hour']).ended;
  assert.equal(rebuilt.code, 0, rebuilt.stderr);
  const latest = (revision: number) => {
    const byWindow = new Map<string, {version: number}>();
    for (const line of readFileSync(at(root, `rows/shop/per_hour__r${revision}.jsonl`), 'utf8')
      .trim()
      .split('\n')) {
      const {closed: _, ...row} = JSON.parse(line) as {
        window_start: string;
        country: string;
        version: number;
        closed: boolean;
      };
      const key = `${row.window_start} ${row.country}`;
      if (row.version > (byWindow.get(key)?.version ?? 0)) byWindow.set(key, row);
    }
    return new Map(
      [...byWindow].sort().map(([key, {version, ...row}]) => [key, {...row, events: version >> 1}]),
    );
  };
  assert.deepEqual(latest(2), latest(1));
});

test('a sink whose directory was removed is filled again from the log', async (t) => {
  const root = copy(t);
  rmSync(at(root, 'rows'), {recursive: true});
  rmSync(at(root, 'copies'), {recursive: true});
  const {code, stderr} = await runUntilIdle(root);
  assert.equal(code, 0, stderr);
  assert.deepEqual(compareOutcomes(await readOutcome(root), wanted).slice(0, 5), []);
});

test('one of the two sinks of a query was removed: it is filled again, the other stays right', async (t) => {
  const root = copy(t);
  rmSync(at(root, 'copies'), {recursive: true});
  const {code, stderr} = await runUntilIdle(root);
  assert.equal(code, 0, stderr);
  assert.deepEqual(compareOutcomes(await readOutcome(root), wanted).slice(0, 5), []);
});

test('a torn last line of a sink is cut off, and what was lost with it comes back', async (t) => {
  const root = copy(t);
  const path = at(root, 'rows/shop/purchase.jsonl');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.slice(0, -20));
  rmSync(at(root, 'rows/shop/purchase.offsets.json'));
  const {code, stderr} = await runUntilIdle(root);
  assert.equal(code, 0, stderr);
  assert.deepEqual(compareOutcomes(await readOutcome(root), wanted).slice(0, 5), []);
});

test('rows that are made again after a lookup was switched are those of the journal', async (t) => {
  const root = copy(t);
  // A switch, and events behind it.
  replaceLookup(root, 1);
  assert.equal((await runUntilIdle(root)).code, 0);
  const more = purchases(1_060).trimEnd().split('\n');
  writeFileSync(
    join(root, 'data/more.csv'),
    [more[0], ...more.slice(-60).filter((line) => line > '2025-03-09T09:30')].join('\n'),
  );
  const config = join(root, 'config/domains/shop.yaml');
  writeFileSync(
    config,
    readFileSync(config, 'utf8').replace(
      'inputs:\n',
      'inputs:\n  - {name: more, event_type: purchase, from: ../../data/more.csv, order_by: none}\n',
    ),
  );
  const second = await runUntilIdle(root);
  assert.equal(second.code, 0, second.stderr);
  const before = await readOutcome(root);
  assert.deepEqual(before.problems, []);
  rmSync(at(root, 'rows'), {recursive: true});
  const {code, stderr} = await runUntilIdle(root);
  assert.equal(code, 0, stderr);
  assert.deepEqual(compareOutcomes(await readOutcome(root), before).slice(0, 5), []);
});
