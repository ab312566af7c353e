/** A transform that was moved, edited or limited otherwise is a change, and a safe one. */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {writeApplied} from '../../src/platform/apply-record.ts';
import {planChanges} from '../../src/platform/plan.ts';
import {edit, loadWorld, writeWorld} from './change-world.ts';

test('a changed transform is told, with what it imports, and holds for events from now on', async () => {
  const root = mkdtempSync(join(tmpdir(), 'millrace-plan-'));
  const yaml = 'config/domains/shop.yaml';
  const planned = async () => {
    const {platform, dirs} = await loadWorld(root);
    const {changes} = await planChanges(platform, dirs);
    for (const {kind, name, class: level} of changes)
      assert.deepEqual([kind, name, level], ['event type', 'shop.view', 'safe']);
    return changes.flatMap(({details}) => details);
  };
  const apply = async () => {
    const {platform, dirs} = await loadWorld(root);
    writeApplied(platform, dirs, () => undefined, 0);
  };
  const whats = async () => (await planned()).map(({what, before, after}) => [what, before, after]);
  try {
    writeWorld(root, {
      'config/one.ts':
        "import {country} from './names.ts';\nexport default (event) => ({...event, country});\n",
      'config/two.ts': 'export default (event) => event;\n',
      'config/names.ts': "export const country = 'DE';\n",
    });
    await apply();
    edit(root, '  - name: view\n', '  - name: view\n    transform: ../one.ts\n', yaml);
    assert.deepEqual(await whats(), [['transform', null, './config/one.ts']]);
    await apply();
    assert.deepEqual(await whats(), []);
    edit(root, "'DE'", "'FR'", 'config/names.ts');
    assert.deepEqual(await whats(), [['transform', './config/one.ts', './config/one.ts, edited']]);
    assert.match((await planned())[0]!.effect!, /events from now on/);
    await apply();
    edit(root, 'transform: ../one.ts', 'transform: {module: ../two.ts, timeout: 2s}', yaml);
    assert.deepEqual(await whats(), [
      ['transform', './config/one.ts', './config/two.ts'],
      ['transform.timeout', '1000 ms', '2000 ms'],
    ]);
    await apply();
    edit(root, '    transform: {module: ../two.ts, timeout: 2s}\n', '', yaml);
    assert.deepEqual(await whats(), [['transform', './config/two.ts', null]]);
  } finally {
    rmSync(root, {recursive: true, force: true});
  }
});
