/** The ledger of a platform whose processes may have ended, some or all of them. */
import {PlatformError} from '../errors.ts';
import type {Platform} from '../model/types.ts';
import type {Ledger} from '../observe/ledger.ts';
import {readEnded} from './books.ts';
import type {Control} from './control.ts';
import {ledgerOfAll} from './control-roles.ts';
import type {PlatformDirs} from './places.ts';

/**
 * What the processes of this directory say, with what those kept that ended.
 * @param control to those that run; undefined: none does @throws NOT_RUNNING when nothing was ever counted here
 */
export async function wholeLedger(
  platform: Platform,
  dirs: PlatformDirs,
  control: Control | undefined,
): Promise<Ledger> {
  const told = control && (await control.get<Ledger>('/v1/ledger'));
  // Of several processes some may have ended.
  const kept = readEnded(platform, dirs, told !== undefined);
  const found = [told, kept].filter((each) => each !== undefined);
  if (found.length === 0) throw nothingKept(platform, dirs);
  return ledgerOfAll(found);
}

/** Books belong to the process that counted. */
const nothingKept = ({log}: Platform, dirs: PlatformDirs): PlatformError =>
  log.backend === 'embedded'
    ? new PlatformError('NOT_RUNNING', 'there is no log yet', {
        place: dirs.log,
        hint: 'start the platform: npx millrace run',
      })
    : new PlatformError('NOT_RUNNING', 'no process of this platform has counted anything here', {
        place: dirs.log,
        hint: 'ask where its processes run, or ran: npx millrace ledger there',
      });
