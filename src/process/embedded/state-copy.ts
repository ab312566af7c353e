import {mkdirSync} from 'node:fs';
import {PlatformError} from '../../errors.ts';
import {clearCopy, FilesBeside, hashOf, placeFile} from './state-files.ts';
import type {Head, ObjectName} from './state-head.ts';
import {LocalState} from './state-local.ts';
import {decodePiece, type PieceWork} from './state-pieces.ts';
import {openStateForReading, openStateForWriting, stateCrc} from './statestore-file.ts';
import {SqliteStateReader} from './statestore-sqlite.ts';

/** Reads an object that a head names. @throws CHECKPOINT_CORRUPT, STORE_* */
export type Fetch = (object: ObjectName) => Promise<Buffer>;

/** Objects that are fetched ahead of the one that is applied. */
const aheadMax = 4;

/**
 * This machine's copy of a store that is in a bucket: what is read is read here. It follows the head, from where it stands or from
 * the snapshot on. Nothing in it is the only one of its kind: a power cut may take its last commits, and damage makes it anew.
 */
export class StateCopy {
  readonly dir: string;
  #state: LocalState | undefined;

  constructor(dir: string) {
    this.dir = dir;
    mkdirSync(dir, {recursive: true});
  }

  get state(): LocalState {
    if (!this.#state) throw new Error('the copy was not brought up to a head yet');
    return this.#state;
  }

  /** Hash by path of the files beside the checkpoints that the bucket has. */
  files(): Map<string, string> {
    const rows = this.state.database.prepare('SELECT path, hash FROM files').all();
    return new Map((rows as {path: string; hash: string}[]).map(({path, hash}) => [path, hash]));
  }

  /**
   * Makes it what the head says. Where it was not opened yet, every row of what is there is looked at first.
   * @throws CHECKPOINT_CORRUPT when the bucket's objects are not what the head says, CHECKPOINT_IO, CHECKPOINT_DISK_FULL, STORE_*
   */
  async follow(head: Head, fetch: Fetch): Promise<void> {
    const isFirst = this.#state === undefined;
    this.#state ??= this.#open();
    const {history = '', sequence = 0} = this.#state ? this.#where() : {};
    const reaches =
      history === head.history && sequence <= head.sequence && sequence >= (head.snapshot?.to ?? 0);
    // Files that were changed here and not committed count only while nobody else went on.
    const isOurs = sequence === head.sequence || !isFirst || this.#hasKnownFiles();
    if (!reaches || !isOurs) await this.#restore(head, fetch);
    const missing = head.deltas.filter(({to}) => to > this.state.sequence);
    for await (const {object, bytes} of inOrder(missing, fetch))
      this.apply(decodePiece(bytes), object.to, head.history);
  }

  /** In one transaction, with what it makes of the copy. @throws CHECKPOINT_* */
  apply(works: Iterable<PieceWork>, sequence: number, history: string): void {
    this.state.apply(() => this.#carryOut(works), sequence, history);
  }

  /** What the bucket has of the files now. */
  noteFiles(files: Iterable<{path: string; hash: string | null}>): void {
    const {database} = this.state;
    const put = database.prepare('INSERT OR REPLACE INTO files VALUES (?, ?)');
    const remove = database.prepare('DELETE FROM files WHERE path = ?');
    for (const {path, hash} of files)
      if (hash === null) remove.run(path);
      else put.run(path, hash);
  }

  close(): void {
    this.#state?.database.close();
    this.#state = undefined;
  }

  #where(): {history: string; sequence: number} {
    return {history: this.state.history(), sequence: this.state.sequence};
  }

  #hasKnownFiles(): boolean {
    return this.#state !== undefined && new FilesBeside(this.dir).changes(this.files()).length === 0;
  }

  #carryOut(works: Iterable<PieceWork>): void {
    const {statements} = this.state;
    for (const work of works)
      switch (work.kind) {
        case 'commit': {
          const {commit, from} = work;
          statements.commit(commit);
          if (commit.journal?.length) statements.journal(commit.query, commit.journal, from);
          break;
        }
        case 'journal':
          statements.journal(work.query, work.journal, work.from);
          break;
        case 'drop':
          statements.drop(work.query);
          break;
        case 'file':
          placeFile(this.dir, work.path, work.bytes);
          this.noteFiles([{path: work.path, hash: work.bytes && hashOf(work.bytes)}]);
      }
  }

  /** What is there, if it is sound. */
  #open(): LocalState | undefined {
    try {
      checkRows(this.dir);
      const {database, sequence} = openStateForWriting(this.dir, 0);
      // What a power cut takes from it comes again from the bucket.
      database.exec('PRAGMA synchronous = NORMAL');
      return new LocalState(database, sequence);
    } catch (error) {
      if (error instanceof PlatformError && error.code === 'CHECKPOINT_CORRUPT') return undefined;
      throw error;
    }
  }

  /** From nothing. Until it is whole it is a copy of no history. */
  async #restore(head: Head, fetch: Fetch): Promise<void> {
    this.close();
    clearCopy(this.dir);
    this.#state = this.#open();
    for await (const {bytes} of inOrder(head.snapshot?.parts ?? [], fetch))
      this.apply(decodePiece(bytes), 0, '');
    this.apply([], head.snapshot?.to ?? 0, head.history);
  }
}

/** Objects in their order, some of them on their way while one is used. */
async function* inOrder<T extends ObjectName>(
  objects: T[],
  fetch: Fetch,
): AsyncGenerator<{object: T; bytes: Buffer}> {
  const ahead: Promise<Buffer>[] = [];
  for (const [index, object] of objects.entries()) {
    while (ahead.length <= Math.min(index + aheadMax, objects.length - 1)) {
      const next = fetch(objects[ahead.length]!);
      next.catch(() => {});
      ahead.push(next);
    }
    yield {object, bytes: await ahead[index]!};
    ahead[index] = Promise.resolve(Buffer.alloc(0));
  }
}

/** Every row against its checksum: a copy is not read for years, and is all that this process reads. @throws CHECKPOINT_* */
function checkRows(dir: string): void {
  const database = openStateForReading(dir);
  if (!database) return;
  const reader = new SqliteStateReader(dir);
  try {
    for (const query of reader.queries()) {
      reader.load(query);
      reader.journal(query);
    }
    const rows = database
      .prepare('SELECT c.query, s.key, s.crc, s.bytes FROM state s JOIN checkpoints c ON c.id = s.query')
      .iterate() as Iterable<{query: string; key: string; crc: number; bytes: Uint8Array}>;
    for (const {query, key, crc, bytes} of rows)
      if (stateCrc(query, key, bytes) !== crc)
        throw new PlatformError('CHECKPOINT_CORRUPT', `the copy of ${query} in ${dir} is damaged`);
  } finally {
    reader.close();
    database.close();
  }
}
