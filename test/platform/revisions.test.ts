/** The list of revisions: whole or not at all, and what is not its shape is damage. */
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {type Revisions, readRevisions, writeRevisions} from '../../src/platform/revisions.ts';
import {scratchDir} from '../support/scratch.ts';

const entry = {definition: null, why: 'run', createdMs: 1} as const;

test('what was written is read; what was never made, or is no list of revisions, is damage', (t) => {
  const dir = scratchDir('revisions');
  t.after(() => rmSync(dir, {recursive: true}));
  const path = join(dir, 'revisions.json');
  assert.deepEqual(readRevisions(path), {});
  const revisions: Revisions = {
    'shop.a': {current: 1, filling: null},
    'shop.b': {current: 3, filling: 4, previous: 1, highest: 4, entries: {3: entry, 4: entry}},
  };
  writeRevisions(path, revisions);
  assert.deepEqual(readRevisions(path), revisions);
  for (const text of [
    '[]',
    'null',
    '{"shop.a": 5}',
    '{"shop.a": {"current": "x", "filling": null}}',
    '{"shop.a": {"current": 3, "filling": null}}',
    '{"shop.a": {"current": 1, "filling": 2}}',
    '{"shop.a": {"current": 0, "filling": null}}',
    '{"shop.a": {"current": 1}}',
    '{"shop.a": {"current": 1, "filling": null, "entries": []}}',
    '{"shop.a": {"curr',
  ]) {
    writeFileSync(path, text);
    assert.throws(() => readRevisions(path), {code: 'CHECKPOINT_CORRUPT'}, text);
  }
});

const canMount = process.platform === 'linux' && process.getuid?.() === 0;

test('a disk that fills in the middle leaves the list as it was', {
  skip: canMount ? false : 'needs root on Linux to mount',
}, (t) => {
  const dir = scratchDir('revisions');
  t.after(() => {
    spawnSync('umount', [dir]);
    rmSync(dir, {recursive: true});
  });
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', dir]).status, 0);
  const path = join(dir, 'state/revisions.json');
  const list = (count: number): Revisions =>
    Object.fromEntries(
      Array.from({length: count}, (_, n) => [`shop.query_${n}`, {current: 1, filling: null}]),
    );
  writeRevisions(path, list(20));
  mkdirSync(join(dir, 'full'));
  // All but a page.
  for (let n = 0; n < 20; n++)
    try {
      writeFileSync(join(dir, 'full', String(n)), new Uint8Array(4096));
    } catch {
      rmSync(join(dir, 'full', String(n)), {force: true});
      rmSync(join(dir, 'full', String(n - 1)), {force: true});
      break;
    }
  assert.throws(() => writeRevisions(path, list(400)), {code: 'ENOSPC'});
  assert.deepEqual(readRevisions(path), list(20));
  assert.match(readFileSync(path, 'utf8'), /query_19/);
});
