/** Where the ingestion of a file stands: stored in the log with every transaction, so that no row is lost or taken twice. */

import {PlatformError} from '../errors.ts';
import type {Input} from '../model/types.ts';
import {contentHash, fileHash, isPacked} from './open.ts';

export type FilePosition = {
  version: 1;
  /** SHA-256 of the file on disk, hex. */
  file: string;
  /** SHA-256 of what is in it, unpacked; null until a stream (`order_by: none`) has been read to its end. */
  content: string | null;
  /** The order that `rows` counts in. */
  orderBy: Input['orderBy'];
  /** Records that are done, good and bad. */
  rows: number;
  /** Latest event time among the appended ones, epoch ms. */
  lastMs: number | null;
  done: boolean;
  /** Whether the end mark was written. */
  final: boolean;
  /** Columns of a CSV file, in order: what a row that was set aside is read with when it is replayed. */
  columns?: string[];
};

/** What a file is called in ledger, dead letters and progress: `<input>/<file>`. */
export const sourceName = (input: Input, file: string): string => `${input.name}/${file}`;

/** Key of a source's progress in the log. */
export const progressKey = (input: Input, file: string): string =>
  `file:${input.domain}/${sourceName(input, file)}`;

/**
 * Compares a file with what is known under its name.
 * @param content of the file, unpacked; only called for a known name when the file on disk is not the known one.
 * @throws PlatformError INPUT_CHANGED when the name is known with other content or another order. A stream that was not
 * finished has no known content: it goes on with the very file on disk only.
 */
export async function identify(
  path: string,
  input: Input,
  name: string,
  prior: FilePosition | undefined,
  content: () => Promise<string> = () => contentHash(path),
): Promise<FilePosition> {
  const file = await fileHash(path);
  if (prior === undefined)
    return {
      version: 1,
      file,
      content: null,
      orderBy: input.orderBy,
      rows: 0,
      lastMs: null,
      done: false,
      final: false,
    };
  const same = async () =>
    prior.content !== null && prior.content === (isPacked(path) ? await content() : file);
  if (prior.file !== file && !(await same()))
    throw new PlatformError('INPUT_CHANGED', `${name} was ingested before with other content`, {
      place: path,
      hint: `if these are other events, give them a name of their own: --as ${suggestion(name)}`,
    });
  if (!prior.done && prior.orderBy !== input.orderBy)
    throw new PlatformError(
      'INPUT_CHANGED',
      `${name} was begun with order_by: ${prior.orderBy} and is not finished`,
      {
        place: path,
        hint: `set order_by: ${prior.orderBy} until it is`,
      },
    );
  return {...prior, file};
}

const suggestion = (name: string): string => name.replace(/(\.[^.]*)?$/, (extension) => `-2${extension}`);
