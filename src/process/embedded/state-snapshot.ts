import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {PieceWork} from './state-pieces.ts';
import {openStateForReading} from './statestore-file.ts';

/** Rows of one part of a snapshot have about so many bytes. */
const partBytes = 8 << 20;
/** Journal entries of one piece of work. */
const entriesMax = 10_000;

/**
 * All that a copy holds as of one commit, while later ones go on: by a connection and a transaction of its own. Files are as they
 * are now; the deltas that follow say what became of them since.
 * @returns the commit, and the parts one after another, to be used before the next is asked for
 */
export function snapshotOf(dir: string): {to: number; parts: Generator<PieceWork[]>} {
  const database = openStateForReading(dir)!;
  database.exec('BEGIN');
  const {sequence} = database.prepare('SELECT sequence FROM meta').get() as {sequence: number};
  return {to: sequence, parts: partsOf(dir, database)};
}

function* partsOf(
  dir: string,
  database: NonNullable<ReturnType<typeof openStateForReading>>,
): Generator<PieceWork[]> {
  let part: PieceWork[] = [];
  let bytes = 0;
  const isFull = (more: number): boolean => (bytes += more) >= partBytes;
  const take = (): PieceWork[] => {
    const taken = part;
    part = [];
    bytes = 0;
    return taken;
  };
  try {
    for (const path of database
      .prepare('SELECT path FROM files ORDER BY path')
      .all()
      .map((row) => String(row.path))) {
      const content = readIfThere(join(dir, path));
      if (!content) continue;
      part.push({kind: 'file', path, bytes: content});
      if (isFull(content.length)) yield take();
    }
    const journal = database
      .prepare('SELECT query, number, entry FROM journal ORDER BY query, number')
      .iterate();
    for (const row of journal as Iterable<{query: string; number: number; entry: string}>) {
      const {query, number, entry} = row;
      const last = part.at(-1);
      if (last?.kind === 'journal' && last.query === query && last.journal.length < entriesMax)
        last.journal.push(entry);
      else part.push({kind: 'journal', query, journal: [entry], from: number});
      if (isFull(entry.length)) yield take();
    }
    const checkpoints = database.prepare('SELECT id, query, epoch, meta FROM checkpoints ORDER BY id').all();
    for (const row of checkpoints as {id: number; query: string; epoch: number; meta: string}[]) {
      const {id, query, epoch, meta} = row;
      let puts: {key: string; bytes: Uint8Array}[] = [];
      const close = () => {
        part.push({kind: 'commit', commit: {query, epoch, meta, puts, deletes: []}, from: 0});
        puts = [];
      };
      const rows = database.prepare('SELECT key, bytes FROM state WHERE query = ? ORDER BY id').iterate(id);
      for (const put of rows as Iterable<{key: string; bytes: Uint8Array}>) {
        puts.push(put);
        if (!isFull(put.bytes.length)) continue;
        close();
        yield take();
      }
      close();
    }
    if (part.length > 0) yield take();
  } finally {
    database.close();
  }
}

function readIfThere(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
