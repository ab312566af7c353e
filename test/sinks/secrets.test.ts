import assert from 'node:assert/strict';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {Secret} from '../../src/config/secrets/secret.ts';
import {openSink} from '../../src/sinks/host.ts';

for (const isolation of ['inline', 'worker', 'process'])
  test(`a secret option reaches a sink that runs ${isolation}`, async (t) => {
    const root = mkdtempSync(join(tmpdir(), 'millrace-secret-'));
    t.after(() => rmSync(root, {recursive: true, force: true}));
    const module = join(root, 'locked.mjs');
    writeFileSync(
      module,
      `export const sinks = [{name: 'locked', summary: 's', fields: {}, capabilities: {isolation: '${isolation}'},
        open: async ({password, more: [also]}) => ({
          async ensure() {}, async write() {}, async mark() {}, async close() {},
          async marked() { return password === 'open sesame' && also === 'x' ? 7 : 0; },
        })}];`,
    );
    const sink = await openSink({
      name: 'l',
      choice: {backend: 'locked', options: {password: new Secret('open sesame'), more: [new Secret('x')]}},
      root,
      plugins: [module],
    });
    t.after(() => sink.close());
    assert.equal(await sink.marked('t'), 7);
  });
