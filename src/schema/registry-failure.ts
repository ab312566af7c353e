/** What can be wrong with the registry's file, as the operator is told. */
import {PlatformError} from '../errors.ts';

const notADatabase = 26;
const corrupt = 11;
const noSuchTable = 1;

/** SQLite's failure as the operator's; anything else is passed on. */
export function failure(path: string, cause: unknown): unknown {
  const {code, errcode, message} = cause as {code?: string; errcode?: number; message: string};
  if (code !== 'ERR_SQLITE_ERROR' || errcode === undefined) return cause;
  const primary = errcode & 255;
  // A reader can open the file between its creation and that of its tables.
  if (primary === noSuchTable) return missing(path);
  return primary === notADatabase || primary === corrupt
    ? damaged(path, message, cause)
    : new PlatformError('REGISTRY_UNAVAILABLE', `the schema registry cannot be used: ${message}`, {
        place: path,
        hint: 'see whether the disk is full or another process holds the file',
        cause,
      });
}

/** There is no file, or one of an older release that only the platform may bring up to date. */
export const missing = (path: string): PlatformError =>
  new PlatformError('REGISTRY_MISSING', 'there is no schema registry yet', {
    place: path,
    hint: 'start the platform once: it registers the schemas of its event types',
  });

/** The file is not what was written. */
export const damaged = (path: string, message: string, cause?: unknown): PlatformError =>
  new PlatformError('REGISTRY_CORRUPT', message, {
    place: path,
    hint: 'put the file back from a backup: without it the log cannot be decoded',
    cause,
  });
