import assert from 'node:assert/strict';
import {existsSync, readFileSync} from 'node:fs';
import {test} from 'node:test';

const root = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');

type Row = {name: string; reason: string; size: string; licence: string; instead: string};

/** The rows of the table below a heading of docs/dependencies.md. */
function rowsUnder(heading: string): Row[] {
  const section = read('docs/dependencies.md')
    .split(/^## /m)
    .find((part) => part.startsWith(heading));
  assert.ok(section, `there is no heading ${heading}`);
  return [...section.matchAll(/^\| `([^`]+)` \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$/gm)].map(
    ([, name, reason, size, licence, instead]) => ({
      name: name!,
      reason: reason!,
      size: size!,
      licence: licence!,
      instead: instead!,
    }),
  );
}

const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;

for (const [heading, key] of [
  ['At run time', 'dependencies'],
  ['Node', 'optionalDependencies'],
  ['For development', 'devDependencies'],
] as const)
  test(`docs/dependencies.md lists the ${key} of package.json`, () => {
    const rows = rowsUnder(heading);
    assert.deepEqual(rows.map(({name}) => name).sort(), Object.keys(manifest[key] ?? {}).sort());
    for (const {name, size, licence} of rows) {
      assert.match(size, /^(S|M|L|XL)$/, name);
      const installed = new URL(`node_modules/${name}/package.json`, root);
      // Packages of other platforms are not installed.
      if (key === 'optionalDependencies' && !existsSync(installed)) continue;
      const {license} = JSON.parse(readFileSync(installed, 'utf8')) as {license?: string};
      // A package that does not name its licence has its text beside it, which begins with the name.
      const named = license ?? readFileSync(new URL('LICENSE', installed), 'utf8').split(/ License\s/)[0];
      assert.equal(licence, named, name);
    }
  });
