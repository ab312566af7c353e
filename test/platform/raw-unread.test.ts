/** Records of a topic that no query reads and that cannot be read themselves: bytes of another program, or a schema that is not there. */
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {test} from 'node:test';
import {openLogWriter} from '../../src/log/embedded.ts';
import {packRecords} from '../../src/schema/frame.ts';
import {readLatest} from '../../src/sinks/file/read.ts';
import {cli, makeRoot, writeFiles} from '../support/cli.ts';
import {startIn} from '../support/running.ts';
import {until} from '../support/until.ts';

const types = `domain: shop
event_types:
  - {name: purchase, dimensions: [country], metrics: [{name: amount, type: money}]}
inputs:
  - {name: purchases, event_type: purchase, from: ../../data/purchases.csv}
`;
const query = `aggregations:
  - {name: sales, from: purchase, window: {type: tumbling, size: 1d}, group_by: [country], measures: {n: count()}}
`;

test('records that cannot be read become dead letters by the raw delivery where no query reads them, and by the query where one does: once', async () => {
  const root = makeRoot({
    'config/domains/shop.yaml': types,
    'config/platform.yaml': `platform: shop
sinks: {rows: {backend: file, file: {dir: out}}}
defaults: {aggregates: rows, raw: rows}
log: {embedded: {partitions: 1}}
`,
    'data/purchases.csv':
      'timestamp,country,amount\n2026-01-05T10:00:00Z,DE,1.00\n2026-01-05T10:00:01Z,FR,2.00\n',
  });
  const letters = async () => {
    const found: Record<string, unknown>[] = JSON.parse((await cli(root, 'dlq', 'list', '--json')).stdout);
    return found.map(({stage, query: of, code, source, position, original}) => [
      ...[stage, of, code, source, position],
      original,
    ]);
  };
  /** What the raw delivery says when it has set aside so many. */
  const run = async (dead: number) => {
    const {running} = await startIn(root);
    try {
      await running.idle(AbortSignal.timeout(120_000));
      const raw = () => running.status().raw[0]!;
      await until(() => raw().lagEvents === 0 && raw().dead === dead, `${dead} are set aside`, 60_000);
      return raw();
    } finally {
      await running.drain();
    }
  };
  const poison = async (...frames: string[]) => {
    const log = openLogWriter(join(root, '.millrace/log'));
    const bytes = packRecords(frames.map((text) => Buffer.from(text, 'latin1')));
    await log.append({appends: [{topic: 'shop.purchase', partition: 0, count: frames.length, bytes}]});
    await log.close();
  };
  await run(0);
  await poison('no frame', '\0\0\x00\x63\0zz');
  assert.deepEqual((({written, dead}) => [written, dead])(await run(2)), [0, 2]);
  const at = (offset: number) => ({topic: 'shop.purchase', partition: 0, offset});
  const both = (of: string | null, source: string) => [
    ['decode', of, 'DECODE', source, at(2), Buffer.from('no frame').toString('base64')],
    [
      'decode',
      of,
      'UNKNOWN_SCHEMA',
      source,
      at(3),
      Buffer.from('\0\0\x00\x63\0zz', 'latin1').toString('base64'),
    ],
  ];
  assert.deepEqual(await letters(), both(null, 'rows shop.purchase'));
  // A sink that has lost its place reads all of it again; the letters are the same.
  await cli(root, 'rebuild', '--sink', 'rows');
  assert.equal((await run(2)).dead, 2);
  assert.equal((await letters()).length, 2);
  assert.equal((await readLatest(join(root, 'out'), 'shop.purchase'))!.rows.length, 2);
  const replayed = await cli(root, 'dlq', 'replay', '--all', '--json');
  assert.match(replayed.stdout, /cannot be read as shop\.purchase is now/);
  // From now on a query says it, and the raw delivery does not.
  writeFiles(root, {'config/domains/shop.yaml': types + query});
  await poison('again');
  assert.equal((await run(0)).dead, 0);
  const [, , ...later] = await letters();
  assert.deepEqual(
    later.map(([, of]) => of),
    ['shop.sales', 'shop.sales', 'shop.sales'],
  );
});
