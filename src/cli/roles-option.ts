/** The option `--only`. */
import {PlatformError} from '../errors.ts';
import {consoleRole, type Role, roles} from '../model/roles.ts';

/** @returns all of them without the option @throws USAGE for a role that there is not, and for `console`, which is none */
export function rolesOf(text: unknown): Role[] {
  if (text === undefined) return [...roles];
  const chosen = String(text).split(',');
  if (chosen.includes(consoleRole))
    throw new PlatformError('USAGE', `${consoleRole} is a process of its own`, {
      hint: `--only ${consoleRole} in one process, --only ${chosen.filter((name) => name !== consoleRole).join(',') || 'engine'} in another`,
    });
  const wrong = chosen.find((name) => !(roles as readonly string[]).includes(name));
  if (wrong !== undefined)
    throw new PlatformError('USAGE', `"${wrong}" is no role`, {
      hint: `some of ${roles.join(', ')}: --only engine, or --only ingest,engine; or ${consoleRole} alone`,
    });
  return chosen as Role[];
}
