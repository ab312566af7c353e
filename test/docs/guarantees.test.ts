/** The tables of guarantees: every choice of the configuration is there, and every row names a test that there is. */
import assert from 'node:assert/strict';
import {existsSync, readFileSync} from 'node:fs';
import {test} from 'node:test';
import {platformSpec} from '../../src/config/specs/platform.ts';
import {sinks} from '../../src/sinks/registry.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const page = read('docs/delivery-guarantees.md');

/** Cells of the rows of each table below "Each combination". */
function tables(): string[][][] {
  const [, part = ''] = /^## Each combination\n([\s\S]*?)^## /m.exec(page) ?? [];
  return part
    .split(/\n\n+/)
    .filter((block) => block.startsWith('|'))
    .map((block) =>
      block
        .trim()
        .split('\n')
        .slice(2)
        .map((line) =>
          line
            .split('|')
            .slice(1, -1)
            .map((cell) => cell.trim()),
        ),
    );
}

/** Whether a test of the file has that title, or one that it is a piece of: comments do not count. */
function isTestOf(path: string, title: string): boolean {
  if (!existsSync(new URL(path, root))) return false;
  const code = read(path)
    .replace(/^\s*\/\*[\s\S]*?\*\//gm, '')
    .replace(/^\s*\/\/.*$/gm, '');
  return code.split('\n').some((line) => line.includes(title) && /['"`]/.test(line));
}

test('what is named as a proof is the name of a test, not of a comment', () => {
  const proofs = [...page.matchAll(/`(test\/[^`]+)`: "([^"]+)"/g)];
  assert.ok(proofs.length > 100, `${proofs.length} proofs`);
  assert.deepEqual(
    proofs.filter(([, path, title]) => !isTestOf(path!, title!)).map(([text]) => text),
    [],
  );
});

test('every row of the tables ends with a test, by file and name', () => {
  const rows = tables().flat();
  assert.ok(rows.length >= 40, `${rows.length} rows`);
  assert.deepEqual(
    rows.filter((cells) => !/^`test\/[^`]+`: "[^"]+"$/.test(cells.at(-1)!)),
    [],
  );
});

test('every log, registry and sink that can be chosen has a row', () => {
  const choices = tables()[0]!.map(([choice]) => choice!);
  const fields = platformSpec(sinks, {}).fields;
  const backendsOf = (key: 'log' | 'registry'): readonly string[] => {
    const spec = fields[key];
    const backend = spec?.type === 'object' ? spec.fields.backend : undefined;
    assert.ok(backend?.type === 'enum', key);
    return backend.values;
  };
  const wanted = [
    ...backendsOf('log').map((name) => ['log', name]),
    ...backendsOf('registry').map((name) => ['registry', name]),
    ...Object.keys(sinks).map((name) => (name === 'kafka' ? ['rows through', 'agg.*'] : ['sink', name])),
  ] as [string, string][];
  const missing = wanted.filter(
    ([kind, name]) => !choices.some((choice) => choice.startsWith(kind) && choice.includes(`\`${name}\``)),
  );
  assert.deepEqual(missing, []);
});
