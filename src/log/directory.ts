import {closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {dirname, resolve} from 'node:path';

/** Makes the names in `dir`, and its own name, durable: a file that was synced is lost with its name. Throws what the system says. */
export function syncNames(dir: string): void {
  for (const each of [dir, dirname(resolve(dir))]) {
    const descriptor = openSync(each, 'r');
    fsyncSync(descriptor);
    closeSync(descriptor);
  }
}

/**
 * Writes a file whole or not at all, durably: the new one is synced before it takes the name. Throws what the system says (a full
 * disk, for one); what stood there before is then untouched. @param steps called before and after the new file takes the name.
 */
export function replaceFile(
  path: string,
  data: string | Uint8Array,
  {before, after}: {before?(): void; after?(): void} = {},
): void {
  const dir = dirname(path);
  mkdirSync(dir, {recursive: true});
  const temporary = `${path}.tmp`;
  const descriptor = openSync(temporary, 'w');
  try {
    // Unlike a single write, which may take only a part where space runs out.
    writeFileSync(descriptor, data);
    fsyncSync(descriptor);
  } catch (error) {
    rmSync(temporary, {force: true});
    throw error;
  } finally {
    closeSync(descriptor);
  }
  before?.();
  renameSync(temporary, path);
  after?.();
  const directory = openSync(dir, 'r');
  fsyncSync(directory);
  closeSync(directory);
}
