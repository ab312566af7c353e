/**
 * Objects of a checkpoint store: what commits changed, in the order of the commits. The same form serves one commit, many of them
 * and a snapshot, so that pieces are joined by putting one behind the other.
 *
 *   object := zstd(work*)
 *   work   := head length:u32 little-endian, body length:u32, head (JSON), body
 *   head   := {"kind": "commit", query, epoch, meta, keys: [[key, bytes]...], deletes, journal, from}    body: the rows
 *           | {"kind": "journal", query, journal, from}
 *           | {"kind": "drop", query}
 *           | {"kind": "file", path, gone}                                                              body: the file
 *
 * Work can be done again: journal entries say their numbers (`from` is that of the first), everything else says what is.
 */
import {constants, zstdCompressSync, zstdDecompressSync} from 'node:zlib';
import {PlatformError} from '../../errors.ts';
import type {StateCommit} from './statestore.ts';

/** One change of a store, as its objects say it. */
export type PieceWork =
  | {kind: 'commit'; commit: StateCommit; from: number}
  | {kind: 'journal'; query: string; journal: string[]; from: number}
  | {kind: 'drop'; query: string}
  /** A file beside the checkpoints, its path relative to their directory; null: it is gone. */
  | {kind: 'file'; path: string; bytes: Uint8Array | null};

type WorkHead =
  | (Pick<StateCommit, 'query' | 'epoch' | 'meta' | 'deletes'> & {
      kind: 'commit';
      keys: [key: string, bytes: number][];
      journal: string[];
      from: number;
    })
  | {kind: 'journal'; query: string; journal: string[]; from: number}
  | {kind: 'drop'; query: string}
  | {kind: 'file'; path: string; gone: boolean};

/** An object of more bytes than this once it is unpacked is none of ours. */
const unpackedBytesMax = 1 << 30;

function headAndBody(work: PieceWork): [WorkHead, Uint8Array[]] {
  switch (work.kind) {
    case 'commit': {
      const {query, epoch, meta, puts, deletes, journal = []} = work.commit;
      const keys = puts.map(({key, bytes}): [string, number] => [key, bytes.length]);
      const head = {kind: work.kind, query, epoch, meta, keys, deletes, journal, from: work.from};
      return [head, puts.map(({bytes}) => bytes)];
    }
    case 'file':
      return [{kind: work.kind, path: work.path, gone: work.bytes === null}, work.bytes ? [work.bytes] : []];
    default:
      return [work, []];
  }
}

/** An object that says this. */
export function encodePiece(works: Iterable<PieceWork>): Buffer {
  const parts: Uint8Array[] = [];
  for (const work of works) {
    const [head, body] = headAndBody(work);
    const text = Buffer.from(JSON.stringify(head));
    const lengths = Buffer.alloc(8);
    lengths.writeUInt32LE(text.length, 0);
    lengths.writeUInt32LE(
      body.reduce((sum, {length}) => sum + length, 0),
      4,
    );
    parts.push(lengths, text, ...body);
  }
  return pack(Buffer.concat(parts));
}

/** One object that says what several say, one after the other. @throws CHECKPOINT_CORRUPT */
export const joinPieces = (pieces: Uint8Array[]): Buffer => pack(Buffer.concat(pieces.map(unpack)));

const pack = (bytes: Uint8Array): Buffer =>
  zstdCompressSync(bytes, {params: {[constants.ZSTD_c_compressionLevel]: 1}});

function unpack(piece: Uint8Array): Buffer {
  try {
    return zstdDecompressSync(piece, {maxOutputLength: unpackedBytesMax});
  } catch (cause) {
    throw corruptPiece(cause);
  }
}

const corruptPiece = (cause?: unknown): PlatformError =>
  new PlatformError('CHECKPOINT_CORRUPT', 'an object of the checkpoint store cannot be read', {
    hint: 'restore the bucket, or use another prefix: state is read again from the log',
    cause,
  });

/** What an object says, in order. @throws CHECKPOINT_CORRUPT */
export function* decodePiece(piece: Uint8Array): Generator<PieceWork> {
  const bytes = unpack(piece);
  for (let at = 0; at < bytes.length; ) {
    if (at + 8 > bytes.length) throw corruptPiece();
    const bodyAt = at + 8 + bytes.readUInt32LE(at);
    const end = bodyAt + bytes.readUInt32LE(at + 4);
    if (end > bytes.length) throw corruptPiece();
    yield workOf(JSON.parse(bytes.toString('utf8', at + 8, bodyAt)) as WorkHead, bytes.subarray(bodyAt, end));
    at = end;
  }
}

function workOf(head: WorkHead, body: Buffer): PieceWork {
  switch (head.kind) {
    case 'commit': {
      const {query, epoch, meta, keys, deletes, journal, from} = head;
      let at = 0;
      const puts = keys.map(([key, length]) => ({key, bytes: body.subarray(at, (at += length))}));
      return {kind: 'commit', commit: {query, epoch, meta, puts, deletes, journal}, from};
    }
    case 'file':
      return {kind: 'file', path: head.path, bytes: head.gone ? null : body};
    default:
      return head;
  }
}
