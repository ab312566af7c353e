/**
 * Input files as streams of bytes: plain, gzip (`.gz`) or zip (`.zip`, one entry or the one named after the file). Memory is
 * bounded: chunks are pulled, never pushed.
 */

import {createHash} from 'node:crypto';
import {createReadStream} from 'node:fs';
import {basename} from 'node:path';
import type {Readable} from 'node:stream';
import {crc32, createGunzip, createInflateRaw} from 'node:zlib';
import {type Entry, openPromise, type ZipFile} from 'yauzl';
import {PlatformError} from '../errors.ts';
import {checkPlain} from '../plain-file.ts';

/** A packed file may grow by this factor; text packs to a tenth, a bomb to a thousandth. */
export const inflationRatioMax = 200;
/** The ratio counts from here on, bytes: small files of one repeated line pack better than any limit. */
export const inflationFreeBytes = 64 * 1024 * 1024;

/** Larger buffers are mapped and unmapped one by one by the allocator, which costs more than it saves. */
const chunkBytes = 64 * 1024;
/** Unpacking runs in a thread of its own: some chunks ahead keep it busy while rows are being written. */
const unpack = {chunkSize: chunkBytes, highWaterMark: 16 * chunkBytes};

export type OpenFile = {
  /** Size on disk, bytes. */
  bytesTotal: number;
  /** How much of it was read. */
  bytesRead(): number;
  chunks: AsyncIterable<Uint8Array>;
  /** Path of the file inside a zip file. */
  inner?: string;
};

const damagedHint =
  'it is damaged, cut short or packed in another way: fetch or pack it again, or ingest it unpacked';

type Packing = 'plain' | 'gzip' | 'zip';

const packingOf = (path: string): Packing =>
  /\.gz$/i.test(path) ? 'gzip' : /\.zip$/i.test(path) ? 'zip' : 'plain';

/** Whether what is in the file differs from the file itself. */
export const isPacked = (path: string): boolean => packingOf(path) !== 'plain';

/** Name of a file without path and packing: what its rows are known by. `data/flights.csv.zip` -> `flights.csv`. */
export const contentName = (path: string): string => basename(path).replace(/\.(gz|zip)$/i, '');

/** @throws PlatformError INPUT_MISSING when the path is no readable file. */
function sizeOf(path: string): number {
  try {
    return checkPlain(path).size;
  } catch (cause) {
    throw missing(path, cause);
  }
}

/** What the system says of a file, without its words for calls and without the path a second time. */
function missing(path: string, cause: unknown): PlatformError {
  const {code, message} = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return new PlatformError('INPUT_MISSING', `there is no file ${path}`, {cause});
  if (code === 'EACCES' || code === 'EPERM')
    return new PlatformError('INPUT_MISSING', `no permission to read ${path}`, {cause});
  return new PlatformError('INPUT_MISSING', `${path} cannot be read: ${message.split(',')[0]}`, {cause});
}

/**
 * Opens a file for one reading.
 * @throws PlatformError INPUT_MISSING or INPUT_FORMAT, here or while chunks are read.
 */
export async function openFile(path: string): Promise<OpenFile> {
  const bytesTotal = sizeOf(path);
  const packing = packingOf(path);
  if (packing === 'zip') return openZip(path, bytesTotal);
  const file = createReadStream(path, {highWaterMark: chunkBytes});
  const stream = packing === 'gzip' ? file.pipe(createGunzip(unpack)) : file;
  // `pipe` does not carry errors over, and an unheard one would end the process.
  if (stream !== file) file.on('error', (error) => stream.destroy(error));
  const guard = packing === 'gzip' ? bytesTotal : undefined;
  return {
    bytesTotal,
    bytesRead: () => file.bytesRead,
    chunks: readAll(stream, path, guard, () => file.destroy()),
  };
}

async function* readAll(
  stream: Readable,
  path: string,
  packedBytes: number | undefined,
  close: () => void,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (packedBytes !== undefined && bytes > inflationFreeBytes && bytes > packedBytes * inflationRatioMax)
        throw new PlatformError(
          'INPUT_FORMAT',
          `${path} inflates to more than ${inflationRatioMax} times its size`,
          {
            place: path,
            hint: 'unpack it, if you trust it, and ingest the unpacked file',
          },
        );
      yield chunk;
    }
  } catch (cause) {
    if (cause instanceof PlatformError) throw cause;
    const {code} = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR' || code === 'EIO')
      throw missing(path, cause);
    throw new PlatformError('INPUT_FORMAT', `${path} cannot be unpacked: ${(cause as Error).message}`, {
      place: path,
      hint: damagedHint,
      cause,
    });
  } finally {
    stream.destroy();
    close();
  }
}

async function openZip(path: string, bytesTotal: number): Promise<OpenFile> {
  let zip: ZipFile | undefined;
  try {
    zip = await openPromise(path, {autoClose: false});
    const entry = await pickEntry(zip, path);
    // Unpacked here and not by yauzl, which does it in small steps and does not look at the checksum.
    const packed = await zip.openReadStreamPromise(entry, {decodeFileData: false});
    const stream = entry.compressionMethod === 8 ? packed.pipe(createInflateRaw(unpack)) : packed;
    if (stream !== packed) packed.on('error', (error) => stream.destroy(error));
    const opened = zip;
    const progress = {bytes: 0};
    return {
      bytesTotal,
      inner: entry.fileName,
      // The stream does not tell how much of the packed entry it has used; the share that was unpacked is as good.
      bytesRead: () => Math.round(Math.min(1, progress.bytes / (entry.uncompressedSize || 1)) * bytesTotal),
      chunks: verified(
        readAll(stream, path, entry.compressedSize, () => opened.close()),
        entry,
        path,
        progress,
      ),
    };
  } catch (cause) {
    zip?.close();
    if (cause instanceof PlatformError) throw cause;
    throw new PlatformError(
      'INPUT_FORMAT',
      `${path} is not a zip file that can be read: ${(cause as Error).message}`,
      {
        place: path,
        hint: damagedHint,
        cause,
      },
    );
  }
}

/** Passes an entry's bytes on and compares their number and checksum with what the zip file says. */
async function* verified(
  chunks: AsyncIterable<Uint8Array>,
  entry: Entry,
  path: string,
  progress: {bytes: number},
): AsyncGenerator<Uint8Array> {
  let checksum = 0;
  for await (const chunk of chunks) {
    progress.bytes += chunk.length;
    checksum = crc32(chunk, checksum);
    yield chunk;
  }
  if (progress.bytes !== entry.uncompressedSize || checksum !== entry.crc32)
    throw new PlatformError('INPUT_FORMAT', `${path} is damaged: its content does not match its checksum`, {
      place: path,
      hint: damagedHint,
    });
}

const entriesMax = 1000;

async function pickEntry(zip: ZipFile, path: string): Promise<Entry> {
  const fail = (message: string) =>
    new PlatformError('INPUT_FORMAT', message, {
      place: path,
      hint: `pack one file, or name the one to read ${contentName(path)}`,
    });
  if (zip.entryCount > entriesMax) throw fail(`${path} holds more than ${entriesMax} files`);
  const files: Entry[] = [];
  // What macOS adds beside each file is none of the user's.
  for await (const entry of zip.eachEntry())
    if (!entry.fileName.endsWith('/') && !entry.fileName.startsWith('__MACOSX/')) files.push(entry);
  if (files.length === 0) throw fail(`${path} holds no file`);
  const named = files.filter(({fileName}) => basename(fileName) === contentName(path));
  const entry = files.length === 1 ? files[0] : named.length === 1 ? named[0] : undefined;
  if (entry === undefined)
    throw fail(
      `${path} holds ${files.length} files (${someNames(files)}) and not one named ${contentName(path)}`,
    );
  if (entry.compressionMethod !== 0 && entry.compressionMethod !== 8)
    throw fail(`${path} is packed with a method other than deflate`);
  if (entry.isEncrypted()) throw fail(`${path} is encrypted`);
  return entry;
}

const someNames = (files: readonly Entry[]): string =>
  [...files.slice(0, 5).map(({fileName}) => fileName), ...(files.length > 5 ? ['...'] : [])].join(', ');

/** Says which file of a zip file has the wrong columns. */
export function withInner(error: unknown, inner: string | undefined): unknown {
  if (inner === undefined || !(error instanceof PlatformError)) return error;
  if (error.code !== 'INPUT_COLUMNS' && error.code !== 'INPUT_HEADER') return error;
  const {code, message, hint, place} = error;
  return new PlatformError(code, `${inner} in the zip file: ${message}`, {
    ...(hint === undefined ? {} : {hint}),
    ...(place === undefined ? {} : {place}),
    cause: error,
  });
}

/**
 * Passes a file's bytes on, unless its first ones say that it is no text we read.
 * @throws PlatformError INPUT_FORMAT for UTF-16, and for what is packed without the name saying so.
 */
export async function* textOnly(chunks: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  let isFirst = true;
  for await (const chunk of chunks) {
    const problem = isFirst ? foreign(chunk) : undefined;
    if (problem !== undefined)
      throw new PlatformError('INPUT_FORMAT', `${path} ${problem[0]}`, {place: path, hint: problem[1]});
    isFirst = false;
    yield chunk;
  }
}

/** What the first bytes of a file are, if they are no text in UTF-8, and what to do. */
function foreign([a, b, c, d]: Uint8Array): [string, string] | undefined {
  const isUtf16 = (a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff);
  // Without a mark: every other byte of plain text is zero.
  if (isUtf16 || (a !== 0 && b === 0 && c !== 0 && d === 0) || (a === 0 && b !== 0 && c === 0 && d !== 0))
    return ['is UTF-16', 'save it as UTF-8: iconv -f UTF-16 -t UTF-8 <file> > <new file>'];
  if (a === 0x1f && b === 0x8b) return ['is packed with gzip', 'let its name end in .gz, or unpack it'];
  if (a === 0x50 && b === 0x4b && c === 3 && d === 4)
    return [
      'is a zip file or a spreadsheet',
      'let a zip file end in .zip; save a spreadsheet as CSV (UTF-8)',
    ];
  return undefined;
}

/** SHA-256 of a stream's bytes as they pass. @param onChunk called before each chunk is passed on. */
export function hashing(
  chunks: AsyncIterable<Uint8Array>,
  onChunk: () => void = () => {},
): {chunks: AsyncIterable<Uint8Array>; digest(): string} {
  const hash = createHash('sha256');
  async function* observed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      hash.update(chunk);
      onChunk();
      yield chunk;
    }
  }
  return {chunks: observed(), digest: () => hash.copy().digest('hex')};
}

/** SHA-256 of the file as it lies on disk, hex. @throws PlatformError INPUT_MISSING */
export async function fileHash(path: string): Promise<string> {
  sizeOf(path);
  const hash = createHash('sha256');
  const file = createReadStream(path, {highWaterMark: 1 << 20});
  for await (const chunk of readAll(file, path, undefined, () => {})) hash.update(chunk);
  return hash.digest('hex');
}

/** SHA-256 of what is in the file, unpacked, hex. @throws PlatformError INPUT_MISSING, INPUT_FORMAT */
export async function contentHash(path: string): Promise<string> {
  const {chunks} = await openFile(path);
  const hash = createHash('sha256');
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}
