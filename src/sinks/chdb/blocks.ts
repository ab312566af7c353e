import {closeSync, mkdirSync, openSync, rmSync, unlinkSync, writevSync} from 'node:fs';
import {join} from 'node:path';

/** Files that live as long as the insert that reads them. */
export type Blocks = {
  /** Writes the pieces one behind the other and removes the file after `work`. @throws what the file system says, ENOSPC for one */
  with(pieces: Uint8Array[], work: (path: string) => Promise<void>): Promise<void>;
  close(): void;
};

/**
 * A directory beside the database, for its owner alone; what a killed process left in it is removed. The files are gone before the
 * kernel writes them to the disk.
 */
export function openBlocks(dir: string, readOnly: boolean): Blocks {
  const remove = () => rmSync(dir, {recursive: true, force: true});
  if (!readOnly) {
    remove();
    mkdirSync(dir, {recursive: true, mode: 0o700});
  }
  let count = 0;
  return {
    async with(pieces, work) {
      const path = join(dir, `${++count}.native`);
      const file = openSync(path, 'wx', 0o600);
      try {
        try {
          writeAll(file, pieces);
        } finally {
          closeSync(file);
        }
        await work(path);
      } finally {
        unlinkSync(path);
      }
    },
    close() {
      if (!readOnly) remove();
    },
  };
}

/** A write may take less than it was given, on a disk that is nearly full. */
function writeAll(file: number, pieces: Uint8Array[]): void {
  let rest = pieces.filter(({length}) => length > 0);
  while (rest.length > 0) {
    let written = writevSync(file, rest);
    while (rest.length > 0 && written >= rest[0]!.length) written -= rest.shift()!.length;
    if (written > 0) rest = [rest[0]!.subarray(written), ...rest.slice(1)];
  }
}
