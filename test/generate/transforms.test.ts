/** Generated events pass the transform of their type: killed with -9 on the way, all of them exactly once, and verified. */
import assert from 'node:assert/strict';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import type {Ledger} from '../../src/observe/ledger.ts';
import type {Verification} from '../../src/platform/generate-verify.ts';
import {start} from '../faults/process.ts';
import {cli} from '../support/cli.ts';
import {makeShopPlatform} from './world.ts';

/** Several events of one, another key, none, a rejection, an event that fails a check. */
const transform = `export default (event, {reject}) => {
  if (event.country === 'BR') return [];
  if (event.quantity === 7) return reject('SEVEN', 'of seven there are none');
  if (typeof event.amount !== 'string') throw new TypeError('money is exact text');
  const half = Number(event.quantity) >> 1;
  if (half < 2) return {...event, note: 'as it was', amount: event.country === 'FR' ? '-1.00' : event.amount};
  return [half, Number(event.quantity) - half].map((quantity, n) => ({...event, quantity, user_id: event.user_id + '/' + n}));
};
`;
const events = 800;
const args = ['generate', 'shop', '--to', String(events), '--fast'];

function makePlatform(module: string): string {
  const root = mkdtempSync(join(tmpdir(), 'millrace-generate-'));
  makeShopPlatform(root, 5, 'files');
  const path = join(root, 'config/domains/shop.yaml');
  const yaml = readFileSync(path, 'utf8');
  writeFileSync(path, yaml.replace('  - name: order\n', '  - name: order\n    transform: ../order.mjs\n'));
  writeFileSync(join(root, 'config/order.mjs'), module);
  return root;
}

test('generated events pass the transform of their type, exactly once over kill -9, and are verified', async () => {
  const root = makePlatform(transform);
  try {
    for (const [failpoint, count] of [
      ['generate.after-append', 1],
      ['log.before-commit', 1],
    ] as const) {
      const {killed, stderr} = await start(root, args, {failpoint, count}).ended;
      assert.ok(killed, `${failpoint}: ${stderr}`);
    }
    const {code, stdout, stderr} = await start(root, [...args, '--verify', '--json']).ended;
    assert.equal(code, 0, stdout + stderr);
    const verification = JSON.parse(stdout) as Verification;
    assert.equal(verification.events, events);
    assert.deepEqual(
      verification.checks.flatMap(({differences}) => differences),
      [],
    );
    const ledger = JSON.parse((await cli(root, 'ledger', '--json')).stdout) as Ledger;
    assert.ok(ledger.balanced);
    const [line, ...others] = ledger.transform;
    assert.deepEqual([line!.event_type, line!.source, others.length], ['order', 'generator', 0]);
    const ingest = ledger.ingest.find(({event_type}) => event_type === 'order')!;
    assert.equal(ingest.appended + ingest.duplicate, line!.out);
    assert.ok(ingest.duplicate > 0 && line!.rejected > 0 && line!.out !== line!.in, JSON.stringify(line));
    const codes = JSON.parse((await cli(root, 'dlq', 'list', '--summary', '--json')).stdout) as unknown;
    for (const wanted of ['REJECTED:SEVEN', 'CHECK:amount_is_positive', 'DECODE'])
      assert.match(JSON.stringify(codes), new RegExp(wanted));
    // Another function makes something else of the same events, and the comparison says so.
    writeFileSync(join(root, 'config/order.mjs'), transform.replace("'BR'", "'DE'"));
    const other = await cli(root, ...args, '--verify');
    assert.equal(other.code, 3, other.stderr);
    assert.match(other.stdout, /transform of order: out is \d+, expected \d+/);
  } finally {
    rmSync(root, {recursive: true, force: true});
  }
});

test('a transform that cannot be loaded stops the generator, and says where', async () => {
  const root = makePlatform('throw new Error("no lookup");\n');
  try {
    const {code, stdout, stderr} = await cli(root, ...args, '--json');
    assert.equal(code, 1, stderr);
    const status = JSON.parse(stdout) as {code: string; message: string; state: string};
    assert.deepEqual([status.state, status.code], ['stopped', 'TRANSFORM_LOAD']);
    assert.match(status.message, /order.mjs:1: Error: no lookup/);
  } finally {
    rmSync(root, {recursive: true, force: true});
  }
});
