/** Style that a machine can keep; each message names the way out. */
import assert from 'node:assert/strict';
import {readdirSync, readFileSync, statSync} from 'node:fs';
import {dirname, join, relative} from 'node:path';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function files(dir: string, ending: string): string[] {
  return readdirSync(join(root, dir)).flatMap((name) => {
    const path = join(dir, name);
    if (statSync(join(root, path)).isDirectory()) return name === 'node_modules' ? [] : files(path, ending);
    return name.endsWith(ending) ? [path] : [];
  });
}

/** Folder -> rank; imports point only to lower ranks or stay inside their folder. */
const ranks: Record<string, number> = {
  '': 0,
  config: 1,
  expr: 2,
  model: 3,
  schema: 4,
  log: 5,
  store: 5,
  cluster: 6,
  generate: 6,
  privacy: 6,
  transforms: 6,
  ingest: 7,
  sinks: 8,
  process: 9,
  observe: 10,
  platform: 11,
  console: 12,
  cli: 13,
};
const folderOf = (path: string) => {
  const parts = relative('src', path).split('/');
  return parts.length === 1 ? '' : parts[0]!;
};

test('imports point only to lower ranks', () => {
  const wrong: string[] = [];
  for (const file of files('src', '.ts')) {
    const text = readFileSync(join(root, file), 'utf8');
    const from = folderOf(file);
    assert.ok(
      from in ranks,
      `${file}: a new folder in src/ needs a rank in test/tidy.test.ts and in docs/architecture.md`,
    );
    for (const [, target] of text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)) {
      const to = folderOf(relative(root, join(root, dirname(file), target!)));
      if (to !== from && ranks[to]! >= ranks[from]!) wrong.push(`${file} -> ${target}`);
    }
  }
  assert.deepEqual(wrong, [], 'move the shared part to a lower rank, or pass it in as a parameter');
});

test('source files stay small enough to read', () => {
  const large = files('src', '.ts')
    .map((file) => ({
      file,
      lines: readFileSync(join(root, file), 'utf8').split('\n').length,
      text: readFileSync(join(root, file), 'utf8'),
    }))
    .filter(({lines, text}) => lines > 320 && !/^\/\*\* Long because /m.test(text));
  assert.deepEqual(
    large.map(({file, lines}) => `${file}: ${lines} lines`),
    [],
    'split it by responsibility, or begin it with "/** Long because ..." and the reason',
  );
});

test('folders are at most two deep and have no junk drawers', () => {
  const wrong = files('src', '.ts').filter(
    (file) => file.split('/').length > 4 || /(^|\/)(utils?|common|helpers?|misc|index)(\/|\.ts$)/.test(file),
  );
  assert.deepEqual(wrong, [], 'name the folder or file after what it does');
});

test('no TODO, no debugger, no path of a machine', () => {
  const wrong = [...files('src', '.ts'), ...files('test', '.ts'), ...files('docs', '.md')].filter((file) => {
    const text = readFileSync(join(root, file), 'utf8');
    return file !== 'test/tidy.test.ts' && /\bTODO\b|\bFIXME\b|^\s*debugger;|\/work\/|\/root\//m.test(text);
  });
  assert.deepEqual(wrong, [], 'finish it, or write an issue');
});
