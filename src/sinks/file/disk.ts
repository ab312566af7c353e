import {constants} from 'node:fs';
import {type FileHandle, mkdir, open, readFile, rename} from 'node:fs/promises';
import {dirname} from 'node:path';
import {PlatformError} from '../../errors.ts';
import {failpoint} from '../../failpoint.ts';
import {damageHint} from '../damage.ts';

/** Makes entries of a directory (created, renamed, removed files) durable. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Creates a directory and its parents, durably. */
export async function makeDirectory(dir: string): Promise<void> {
  const created = await mkdir(dir, {recursive: true});
  if (created !== undefined) await syncDirectory(dirname(created));
}

/** Replaces a small file as a whole: temporary file, fsync, rename, fsync of the directory. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const handle = await open(`${path}.tmp`, 'w');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  failpoint('file.before-rename');
  await rename(`${path}.tmp`, path);
  failpoint('file.after-rename');
  await syncDirectory(dirname(path));
}

/** Parsed JSON of a small file; undefined when there is none. */
export async function readJson<T>(path: string): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new PlatformError('SINK_DAMAGED', `${path} is not JSON`, {
      cause,
      hint: damageHint,
    });
  }
}

/**
 * A file that only grows by whole lines. Opening cuts off a torn last line; after a failed append the file is opened anew, so
 * that nothing is ever written behind a torn line and nothing relies on a handle whose fsync failed.
 */
export type Appender = {
  /** Length in bytes of what is durable. */
  length(): number;
  /** Resolves when durable. */
  append(text: string): Promise<void>;
  close(): Promise<void>;
};

/** @param path created, durably, when it does not exist. */
export async function openAppender(path: string): Promise<Appender> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  let length: number;
  try {
    const size = (await handle.stat()).size;
    length = await endOfLastLine(handle, size);
    if (length < size) await handle.truncate(length);
    await handle.sync();
    if (size === 0) await syncDirectory(dirname(path));
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    length: () => length,
    async append(text) {
      const bytes = Buffer.from(text);
      let written = 0;
      while (written < bytes.length) {
        const result = await handle.write(bytes, written, bytes.length - written, length + written);
        written += result.bytesWritten;
      }
      failpoint('file.before-sync');
      await handle.datasync();
      failpoint('file.after-sync');
      length += bytes.length;
    },
    close: () => handle.close(),
  };
}

async function endOfLastLine(handle: FileHandle, size: number): Promise<number> {
  const chunk = Buffer.alloc(64 * 1024);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - chunk.length);
    const {bytesRead} = await handle.read(chunk, 0, end - start, start);
    const newline = chunk.subarray(0, bytesRead).lastIndexOf(0x0a);
    if (newline >= 0) return start + newline + 1;
    end = start;
  }
  return 0;
}

/** Whole lines of a file from a byte position on; a torn last line is left out. */
export async function* readLines(path: string, fromByte = 0): AsyncGenerator<string> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    const decoder = new TextDecoder();
    let rest = '';
    const chunk = Buffer.alloc(1024 * 1024);
    for (let position = fromByte; ; ) {
      const {bytesRead} = await handle.read(chunk, 0, chunk.length, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      const lines = (rest + decoder.decode(chunk.subarray(0, bytesRead), {stream: true})).split('\n');
      rest = lines.pop()!;
      yield* lines;
    }
  } finally {
    await handle.close();
  }
}
