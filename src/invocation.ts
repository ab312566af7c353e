import {existsSync} from 'node:fs';
import {dirname, join, relative, sep} from 'node:path';
import {fileURLToPath} from 'node:url';

const home = fileURLToPath(new URL('..', import.meta.url));

/**
 * What to type in directory `cwd` to start this program: `npx millrace` where npx finds it there or above, else its path.
 * Elsewhere npx would ask a registry, whose package of that name is not this program.
 */
export function invocation(cwd: string): string {
  if (`${cwd}${sep}`.startsWith(home) || isInstalled(cwd)) return 'npx millrace';
  const path = join(home, 'bin', 'millrace.js');
  const fromHere = relative(cwd, path);
  const shorter = fromHere.length < path.length ? fromHere : path;
  return `node ${/[^\w./\\:@+-]/.test(shorter) ? JSON.stringify(shorter) : shorter}`;
}

function isInstalled(cwd: string): boolean {
  for (let dir = cwd; ; dir = dirname(dir)) {
    if (existsSync(join(dir, 'node_modules', '.bin', 'millrace'))) return true;
    if (dirname(dir) === dir) return false;
  }
}

let environment: string | undefined;

/** Commands that hints name are for the environment of the command that was given, not for the default one. */
export function useEnvironment(name: string | undefined): void {
  environment = name;
}

let keyPlaces: ReadonlyMap<string, string> = new Map();

/** Where keys of the configuration that was read last stand, `<file>:<line>:<column>`, by the path of the key. */
export function useKeyPlaces(places: ReadonlyMap<string, string>): void {
  keyPlaces = places;
}

/** What an error says of a key that has the address of a server, with the place of that key. */
export function withKeyPlaces(text: string): string {
  let shown = text;
  for (const [key, place] of keyPlaces)
    if (shown.includes(key) && !shown.includes(place)) shown = shown.replace(key, () => `${key} (${place})`);
  return shown;
}

/** Hints are written with `npx millrace`; shown, they are what works in directory `cwd`. */
export const asTyped = (text: string, cwd: string): string =>
  text.includes('npx millrace') ? text.replaceAll('npx millrace', typed(cwd)) : text;

const typed = (cwd: string): string =>
  environment === undefined ? invocation(cwd) : `MILLRACE_ENV=${environment} ${invocation(cwd)}`;
