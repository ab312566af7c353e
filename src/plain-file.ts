/** Files that a user names: a reading must come to their end. */
import {readFileSync, type Stats, statfsSync, statSync} from 'node:fs';

/** File systems of the kernel, whose files may wait for something or never end: proc, sysfs, debugfs, tracefs. */
const ofKernel = new Set([0x9fa0, 0x62656572, 0x64626720, 0x74726163]);
/** Of a text that is read whole, bytes. */
const bytesMax = 16 * 2 ** 20;

/** @throws Error in plain words when the path is a pipe, a device, a directory or a file of the kernel; what the system says when it is not there */
export function checkPlain(path: string): Stats {
  const stats = statSync(path);
  if (!stats.isFile())
    throw new Error(stats.isDirectory() ? 'it is a directory' : 'it is a pipe or a device and may never end');
  if (ofKernel.has(statfsSync(path).type)) throw new Error('it is a file of the kernel and may never end');
  return stats;
}

/** A small file, whole. @throws as `checkPlain`, and when it is larger than 16 MiB */
export function readPlain(path: string): string {
  const {size} = checkPlain(path);
  if (size > bytesMax) throw new Error(`it has more than ${bytesMax / 2 ** 20} MiB`);
  return readFileSync(path, 'utf8');
}
