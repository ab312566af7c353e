import {statSync} from 'node:fs';
import {PlatformError} from '../errors.ts';

/** Tells when the file at `path` is no longer the one that it is now. */
export function watchFile(path: string): {removed: Promise<PlatformError>; look(): void} {
  const inodeOf = () => statSync(path, {throwIfNoEntry: false})?.ino;
  const inode = inodeOf();
  let tell: (error: PlatformError) => void = () => {};
  const removed = new Promise<PlatformError>((resolve) => {
    tell = resolve;
  });
  const look = () => {
    if (inodeOf() === inode) return;
    tell(
      new PlatformError('LOG_REMOVED', 'the log was removed or replaced while the platform ran', {
        place: path,
        hint: 'put it back from a backup, or start again with an empty one: npx millrace run',
      }),
    );
  };
  return {removed, look};
}
