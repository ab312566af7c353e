/** What a module says, with what it imports, so that a change of it is seen. */
import {createHash} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {dirname, relative, resolve} from 'node:path';
import {checkPlain} from '../plain-file.ts';

/** `from './x.ts'`, `import './x.ts'`, `import('./x.ts')`, `require('./x.cjs')`; one in a comment too many does no harm. */
const imports = /\b(?:from|import|require)\s*\(?\s*(['"])(\.{1,2}\/[^'"\n]+)\1/g;

/** SHA-256 of a module and of the files that it imports by relative paths, hex; a file that is missing, or may never end, counts as empty. */
export function moduleDigest(path: string): string {
  const found = new Map<string, string>();
  const open = [path];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (found.has(file)) continue;
    const text = read(file);
    found.set(file, text);
    for (const [, , name] of text.matchAll(imports)) open.push(resolve(dirname(file), name!));
  }
  const hash = createHash('sha256');
  for (const file of [...found.keys()].sort())
    hash.update(JSON.stringify([relative(dirname(path), file), found.get(file)]));
  return hash.digest('hex');
}

function read(file: string): string {
  try {
    checkPlain(file);
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
