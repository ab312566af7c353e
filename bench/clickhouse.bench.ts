/**
 * What the ClickHouse sink costs over its server: `node bench/clickhouse.bench.ts [rounds]`.
 *   rows       delivery -> encode -> HTTP, against the same server fed prepared bytes of the same rows over HTTP: Native, as the sink
 *              sends them, and TabSeparated
 *   raw        writeRaw of events against prepared bytes in the same way
 * The server is ClickHouse's HTTP protocol in front of chDB, in a process of its own. All sides take turns in one run, each into
 * its own table of the same definition; the sums are compared at the end.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {Agent, request} from 'node:http';
import {cpus, loadavg, tmpdir} from 'node:os';
import {join} from 'node:path';
import {systemClock} from '../src/clock.ts';
import {startClickHouse} from '../src/cluster/clickhouse.ts';
import type {Value} from '../src/expr/types.ts';
import type {Table} from '../src/model/types.ts';
import {encodeNative} from '../src/sinks/clickhouse/native.ts';
import {encodeText} from '../src/sinks/clickhouse/text.ts';
import {createDelivery} from '../src/sinks/delivery.ts';
import {openSink} from '../src/sinks/host.ts';
import {batchOf, tableId} from '../src/sinks/tables.ts';
import type {RawBatch, RowBatch} from '../src/sinks/types.ts';
import {noTelemetry} from '../src/telemetry.ts';
import {queryTable, rawTable} from '../test/conformance/sink.ts';

const rounds = Number(process.argv[2] ?? 31);
const root = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
const server = await startClickHouse({dir: join(root, 'db')});
const agent = new Agent({keepAlive: true});
const t0 = Date.UTC(2026, 0, 31, 12);

const post = (query: string, body: Uint8Array | string = '') =>
  new Promise<string>((resolve, reject) => {
    request(`${server.url}/?query=${encodeURIComponent(query)}`, {method: 'POST', agent}, (answer) => {
      let text = '';
      answer.on('data', (chunk) => (text += chunk));
      answer.on('end', () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(text))));
    })
      .on('error', reject)
      .end(body);
  });

const sink = await openSink({
  name: 'analytics',
  choice: {backend: 'clickhouse', options: {url: server.url, parts: 100_000}},
  root,
});
const longs = (name: string) => ({name, type: 'long', nullable: false}) as const;
const rowsTable = queryTable('bench', {country: 'string', device: 'string'}, [
  longs('orders'),
  {name: 'revenue_cents', type: 'money', nullable: true},
  {name: 'average', type: 'double', nullable: true},
]);

/** As rows come from the engine's thread: every text is an object of its own. */
const rowsOf = (rows: number, round: number): Value[][] =>
  Array.from({length: rows}, (_, i) => [
    t0 + round * 60_000,
    t0 + (round + 1) * 60_000,
    `c${i % 500}`,
    `d${Math.floor(i / 500)}`,
    i,
    i * 99,
    99.5,
    i + 1,
    false,
    false,
    2 * i + 2,
  ]);
const eventsOf = (rows: number, round: number): Value[][] =>
  Array.from({length: rows}, (_, i) => {
    const offset = round * rows + i;
    const id = `0190163d-8694-739b-aea5-${String(offset * 7919).padStart(12, '0')}`;
    return [id, t0 + offset, `note ${i}`, i * 100, 0, offset, t0];
  });

type Side = 'ours' | 'native' | 'text';
const sides: Side[] = ['ours', 'native', 'text'];

/** The middle of the times, and what one in ten is below: less of the machine's other work is in that. */
function spread(values: number[]): {median: number; tenth: number} {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))]!;
  return {median: at(0.5), tenth: at(0.1)};
}

async function compare(
  what: string,
  rows: number,
  table: Table,
  batchOfRound: (round: number) => RowBatch,
  ours: (batch: RowBatch) => Promise<void>,
): Promise<void> {
  const columns = table.columns.map(({name}) => name).join(', ');
  const times: Record<Side, number[]> = {ours: [], native: [], text: []};
  const turns = rows > 20_000 ? Math.ceil(rounds / 3) : rounds;
  for (let round = 0; round < turns + 2; round++) {
    const insert = (to: string, format: string) => `INSERT INTO shop.${to} (${columns}) FORMAT ${format}`;
    const native = Buffer.concat(encodeNative(table, batchOfRound(round)));
    const text = Buffer.from(encodeText(table, batchOfRound(round)));
    const work: Record<Side, () => Promise<unknown>> = {
      ours: (
        (batch) => () =>
          ours(batch)
      )(batchOfRound(round)),
      native: () => post(insert('peer_native', 'Native'), native),
      text: () => post(insert('peer_text', 'TabSeparated'), text),
    };
    for (let turn = 0; turn < sides.length; turn++) {
      const side = sides[(round + turn) % sides.length]!;
      const startMs = performance.now();
      await work[side]();
      if (round >= 2) times[side].push(performance.now() - startMs);
    }
  }
  const [a, b, c] = sides.map((side) => spread(times[side])) as [Spread, Spread, Spread];
  const speed = ({median, tenth}: Spread) =>
    `${median.toFixed(1)} ms, tenth ${tenth.toFixed(1)} (${Math.round(rows / tenth)}k rows/s)`;
  const against = (peer: Spread) =>
    `${(peer.median / a.median).toFixed(2)}x, tenths ${(peer.tenth / a.tenth).toFixed(2)}x`;
  console.log(
    `${what}, ${rows}: ${speed(a)}; prepared Native ${speed(b)}: ${against(b)}; prepared text ${speed(c)}: ${against(c)}`,
  );
}
type Spread = ReturnType<typeof spread>;

async function peersLike(table: Table): Promise<void> {
  await sink.ensure(table);
  for (const peer of ['peer_native', 'peer_text'])
    await post(`CREATE OR REPLACE TABLE shop.${peer} AS ${tableId(table)}`);
}

console.log(
  `node ${process.version}, ${cpus().length} x ${cpus()[0]!.model}, load ${loadavg()[0]!.toFixed(1)}, ${rounds} rounds`,
);
await peersLike(rowsTable);
const delivery = createDelivery({
  sink,
  sinkName: 'analytics',
  table: rowsTable,
  clock: systemClock,
  random: Math.random,
  telemetry: noTelemetry,
  // As the platform makes it for windows.
  distinct: true,
  writesMax: sink.spec.capabilities.writes ?? 1,
});
for (const rows of [100, 1_000, 20_000, 50_000, 200_000])
  await compare(
    'rows',
    rows,
    rowsTable,
    (round) => batchOf(rowsTable, rowsOf(rows, round)),
    (batch) => delivery.push(batch),
  );
const sum = (table: string) => post(`SELECT count(), sum(orders) FROM shop.${table} FINAL FORMAT CSV`);
console.log(
  `  in the tables: ${[await sum(rowsTable.name), await sum('peer_native'), await sum('peer_text')].map((text) => text.trim()).join(' | ')}`,
);
for (const rows of [1_000, 20_000]) {
  const events = rawTable(`events_${rows}`);
  await peersLike(events);
  await compare(
    'raw events',
    rows,
    events,
    (round): RawBatch => ({
      ...batchOf(events, eventsOf(rows, round)),
      topic: 'shop.events',
      partition: 0,
      fromOffset: round * rows,
      toOffset: (round + 1) * rows,
    }),
    (batch) => sink.writeRaw!(events, batch as RawBatch),
  );
}
await sink.close();
await server.kill();
agent.destroy();
rmSync(root, {recursive: true});
