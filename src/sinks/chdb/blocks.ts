import {closeSync, ftruncateSync, mkdirSync, openSync, rmSync, writevSync} from 'node:fs';
import {join} from 'node:path';

/** Files that hold something as long as the insert that reads them. */
export type Blocks = {
  /** Writes the pieces one behind the other, and empties the file after `work`. @throws what the file system says, ENOSPC for one */
  with(pieces: Uint8Array[], work: (path: string) => Promise<void>): Promise<void>;
  close(): void;
};

type Slot = {path: string; file: number};

/**
 * A directory beside the database, for its owner alone; what a killed process left in it is removed. Files are used again: ext4
 * takes long to find a place for a new one where many were just deleted. They are empty before the kernel writes them to the disk.
 */
export function openBlocks(dir: string, readOnly: boolean): Blocks {
  const remove = () => rmSync(dir, {recursive: true, force: true});
  if (!readOnly) {
    remove();
    mkdirSync(dir, {recursive: true, mode: 0o700});
  }
  const slots: Slot[] = [];
  const free: Slot[] = [];
  const open = (): Slot => {
    const path = join(dir, `${slots.length}.native`);
    const slot = {path, file: openSync(path, 'wx', 0o600)};
    slots.push(slot);
    return slot;
  };
  return {
    async with(pieces, work) {
      const slot = free.pop() ?? open();
      try {
        writeAll(slot.file, pieces);
        await work(slot.path);
      } finally {
        ftruncateSync(slot.file, 0);
        free.push(slot);
      }
    },
    close() {
      for (const {file} of slots) closeSync(file);
      if (!readOnly) remove();
    },
  };
}

/** A write may take less than it was given, on a disk that is nearly full. */
function writeAll(file: number, pieces: Uint8Array[]): void {
  let rest = pieces.filter(({length}) => length > 0);
  let at = 0;
  while (rest.length > 0) {
    let written = writevSync(file, rest, at);
    at += written;
    while (rest.length > 0 && written >= rest[0]!.length) written -= rest.shift()!.length;
    if (written > 0) rest = [rest[0]!.subarray(written), ...rest.slice(1)];
  }
}
