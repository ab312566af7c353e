/**
 * What a run of the world leaves behind, as named sets, and what is wrong with it by itself or beside another run's.
 *
 * Compared with an undisturbed run:
 *   log       ids of the event topics, by (topic, partition), in the order of their offsets
 *   raw       raw rows by event id
 *   rows      of every query and sink: by key the row of the highest version, without tombstones
 *   dead      dead letters by source, place, stage and query
 *   late      late events by place and query
 *   replayed  attempts to have queries count events after all, and what came of them
 *   ledger    every line of ingest and queries
 * A record's place in the log is its number among the records of its partition: in Kafka fences take offsets.
 * Masked, because they are not content: append times; `closed` with its bit of the version (a window closes when its
 * partitions' reading says so); times and messages of dead letters (a total that left 64 bits is told as it was then).
 * Rows of `labels` depend on the moment at which the lookup was switched. They are computed here from the raw rows and the
 * journal of switches instead, by another way than the engine's.
 */
import {createHash} from 'node:crypto';
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {main} from '../../src/cli/main.ts';
import {openLogReader} from '../../src/log/embedded.ts';
import type {LogSource} from '../../src/log/open.ts';
import type {Ledger} from '../../src/observe/ledger.ts';
import type {LookupSwitch} from '../../src/process/embedded/checkpoint.ts';
import {openStateReader} from '../../src/process/embedded/statestore.ts';
import {type Places, readLog} from './outcome-log.ts';
import {fileSinks, keyOf, type Line, type SinkReader} from './sink-reader.ts';
import {productsCsv, queries} from './world.ts';

export type Outcome = {
  log: Map<string, string>;
  raw: Map<string, string>;
  rows: Map<string, string>;
  dead: Map<string, string>;
  late: Map<string, string>;
  /** Events given to queries to be counted after all, and what these said of them. */
  replayed: Map<string, string>;
  ledger: Map<string, string>;
  /** Violations that need no other run to be seen. */
  problems: string[];
};

export const sets = ['log', 'raw', 'rows', 'dead', 'late', 'ledger'] as const;

/**
 * Reads everything that the platform in `root` has written; it must not run.
 * @param source where its log is; by default in its directory
 */
export async function readOutcome(
  root: string,
  sinks: SinkReader = fileSinks(root),
  source: LogSource = {dir: join(root, '.millrace/log')},
): Promise<Outcome> {
  const outcome: Outcome = {
    log: new Map(),
    raw: new Map(),
    rows: new Map(),
    dead: new Map(),
    late: new Map(),
    replayed: new Map(),
    ledger: new Map(),
    problems: [],
  };
  const places = await readLog(source, outcome);
  const raw = await readRaw(sinks, outcome, places);
  await readRows(sinks, outcome);
  checkLabels(root, raw, await sinks.latest('labels', 0, outcome.problems), outcome.problems);
  await readLedger(root, outcome);
  return outcome;
}

/** Every difference between a run and the undisturbed one, in words; empty when there is none. */
export function compareOutcomes(actual: Outcome, wanted: Outcome): string[] {
  const problems = [...actual.problems];
  for (const set of [...sets, 'replayed'] as const) {
    for (const [key, value] of wanted[set]) {
      const found = actual[set].get(key);
      if (found === undefined) problems.push(`${set}: ${key} is missing`);
      else if (found !== value) problems.push(`${set}: ${key} is ${found}\n    wanted ${value}`);
    }
    for (const key of actual[set].keys())
      if (!wanted[set].has(key)) problems.push(`${set}: ${key} is too much`);
  }
  return problems;
}

// ---- Sinks.

async function readRows(sinks: SinkReader, {rows, problems}: Outcome): Promise<void> {
  for (const query of queries) {
    if (query === 'labels') continue;
    for (let sink = 0; sink < sinks.count(query); sink++)
      for (const line of await sinks.latest(query, sink, problems)) {
        const {closed: _, deleted: __, version: ___, ...content} = line;
        const name = `${query}@${sink} ${keyOf(query, line)}`;
        if (rows.has(name)) problems.push(`rows: ${name} is twice in the table`);
        rows.set(name, JSON.stringify(content));
      }
  }
}

async function readRaw(sinks: SinkReader, {raw, log, problems}: Outcome, places: Places): Promise<Line[]> {
  let purchased: Line[] = [];
  for (const table of ['purchase', 'view']) {
    const all = await sinks.raw(table);
    if (table === 'purchase') purchased = all;
    const spots = new Set<string>();
    for (const {_appended_at, ...line} of all) {
      const place = `shop.${table}/${line._partition}/${line._offset}`;
      if (spots.has(place)) problems.push(`raw: ${place} is twice in the sink`);
      spots.add(place);
      const id = String(line.event_id);
      if (raw.has(id)) problems.push(`raw: ${id} is twice in the sink`);
      const found = places.get(place);
      if (found?.id !== id) problems.push(`raw: ${id} is at ${place}, where the log has ${found?.id}`);
      raw.set(id, JSON.stringify({...line, _offset: found?.number}));
    }
    const logged = [...log].filter(([name]) => name.startsWith(`shop.${table}/`));
    const count = logged.reduce((sum, [, ids]) => sum + (ids === '' ? 0 : ids.split(' ').length), 0);
    if (all.length !== count) problems.push(`raw: ${table} has ${all.length} rows of ${count} events`);
  }
  return purchased;
}

// ---- The query whose rows depend on the lookup journal.

/** The directory of checkpoints, or of the copy of those in a bucket. */
export function stateOf(root: string): string {
  const home = join(root, '.millrace');
  const names = existsSync(home) ? readdirSync(home) : [];
  return join(home, names.find((name) => name.startsWith('checkpoints-')) ?? 'state');
}

/** Whether the query has a checkpoint: from then on its lookup may be replaced. */
export function hasCheckpoint(root: string): boolean {
  if (!existsSync(join(stateOf(root), 'state.db'))) return false;
  const states = openStateReader(stateOf(root));
  try {
    return states.load('shop.labels/r1') !== undefined;
  } finally {
    states.close();
  }
}

/** Switches of the lookup between two records of a partition: in the middle of the data, not between two runs. */
export function switchesInFlow(root: string): number {
  const states = openStateReader(stateOf(root));
  const journal = states.journal('shop.labels/r1').map((entry) => JSON.parse(entry) as LookupSwitch);
  states.close();
  const log = openLogReader(join(root, '.millrace/log'));
  const ends = [0, 1].map((partition) => log.endOffset('shop.purchase', partition));
  log.close();
  return journal.filter(({places}) =>
    places.some(
      ({topic, partition, offset}) => topic === 'shop.purchase' && offset > 0 && offset < ends[partition]!,
    ),
  ).length;
}

const halfDayMs = 12 * 3_600_000;

function checkLabels(root: string, raw: Line[], actual: Line[], problems: string[]): void {
  const home = stateOf(root);
  const snapshots = new Map<string, Map<string, string>>();
  for (const file of readdirSync(join(home, 'lookups/shop/products'))) {
    if (!file.endsWith('.csv')) continue;
    const rows = readFileSync(join(home, 'lookups/shop/products', file), 'utf8')
      .trim()
      .split('\n')
      .slice(1);
    snapshots.set(
      file.slice(0, -4),
      new Map(rows.map((row) => row.split(',')).map(([id, , label]) => [id!, label!])),
    );
  }
  const states = openStateReader(home);
  const journal = states.journal('shop.labels/r1').map((entry) => JSON.parse(entry) as LookupSwitch);
  states.close();
  // The file is not replaced before the first checkpoint, so that everything before the first switch saw version 0.
  const initial = createHash('sha256').update(productsCsv(0)).digest('hex').slice(0, 32);
  const snapshotAt = (partition: number, offset: number): string =>
    journal.findLast(({places}) =>
      places.some((place) => place.partition === partition && place.offset <= offset),
    )?.snapshot ?? initial;
  const counts = new Map<string, number>();
  for (const {_partition, _offset, product_id, timestamp} of raw) {
    const label = snapshots.get(snapshotAt(Number(_partition), Number(_offset)))!.get(String(product_id))!;
    const window = new Date(Math.floor(Date.parse(String(timestamp)) / halfDayMs) * halfDayMs).toISOString();
    const key = `${window} ${label}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const found = new Map(actual.map((line) => [keyOf('labels', line), Number(line.orders)]));
  for (const [key, count] of counts)
    if (found.get(key) !== count)
      problems.push(`rows: labels ${key} has ${found.get(key)} orders, by journal and raw rows ${count}`);
  for (const key of found.keys()) if (!counts.has(key)) problems.push(`rows: labels ${key} should not be`);
}

// ---- The ledger, as the command says it.

async function readLedger(root: string, {ledger, problems}: Outcome): Promise<void> {
  let out = '';
  let err = '';
  const stream = (add: (text: string) => void) =>
    ({
      write: (text: string) => {
        add(text);
        return true;
      },
    }) as unknown as NodeJS.WriteStream;
  const code = await main(['ledger', '--json'], {
    stdout: stream((text) => (out += text)),
    stderr: stream((text) => (err += text)),
    env: process.env,
    cwd: root,
  });
  if (code !== 0) problems.push(`ledger: exit code ${code} ${err}${out}`);
  const {ingest = [], query = []} = JSON.parse(out || '{}') as Partial<Ledger>;
  for (const line of ingest) ledger.set(`ingest ${line.source}`, JSON.stringify(line));
  for (const line of query)
    ledger.set(`query ${line.query} ${line.topic}/${line.partition}`, JSON.stringify(line));
}
