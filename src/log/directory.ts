import {closeSync, fsyncSync, openSync} from 'node:fs';
import {dirname, resolve} from 'node:path';

/** Makes the names in `dir`, and its own name, durable: a file that was synced is lost with its name. Throws what the system says. */
export function syncNames(dir: string): void {
  for (const each of [dir, dirname(resolve(dir))]) {
    const descriptor = openSync(each, 'r');
    fsyncSync(descriptor);
    closeSync(descriptor);
  }
}
