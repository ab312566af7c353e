/** What local servers need of this machine. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';

const has = (program: string): boolean =>
  (process.env.PATH ?? '').split(':').some((dir) => existsSync(join(dir, program)));

/** Options of a test that needs programs: it is skipped by name where one is missing, and fails there in CI. */
export function skipWithout(...programs: string[]): {skip: string | false} {
  const missing = programs.filter((each) => !has(each));
  return {skip: missing.length > 0 && !process.env.CI ? `needs ${missing.join(', ')}` : false};
}
