import {constants, open, realpath} from 'node:fs/promises';
import {join, sep} from 'node:path';
import {defineSecretBackend} from './types.ts';

const bytesMax = 64 * 1024;

/** Secrets as files of a directory, as Docker and Kubernetes mount them. A link that leads out of the directory is refused. */
export const file = defineSecretBackend({
  name: 'file',
  summary: 'Reads each secret from a file of its name in one directory.',
  fields: {
    dir: {type: 'dir', doc: 'The directory, relative to the root.', required: true},
  },
  async open(options) {
    const dir = await realpath(options.dir as string);
    return {read: (name) => readSecretFile(dir, name)};
  },
});

async function readSecretFile(dir: string, name: string): Promise<string | undefined> {
  let path: string;
  try {
    path = await realpath(join(dir, name));
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
  if (!path.startsWith(dir.endsWith(sep) ? dir : dir + sep))
    throw new Error('the file lies outside the secrets directory');
  // Opened, a pipe would wait for somebody who writes.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Error('it is not a regular file');
    if (stat.size > bytesMax) throw new Error(`the file is larger than ${bytesMax} bytes`);
    // Editors end a file with a line break that is not part of the secret.
    return (await handle.readFile('utf8')).replace(/\r?\n$/, '');
  } finally {
    await handle.close();
  }
}
