/**
 * A disk that keeps for sure only what was synced. It takes the steps of a traced process and makes images of what a power
 * failure may leave: contents of a file are durable after a sync of the file, names after a sync of their directory. What is
 * not durable may be there, wholly, in part, or not at all, and later writes without earlier ones. Names change in their order.
 */
import {mkdirSync, writeFileSync} from 'node:fs';
import {dirname, join, relative} from 'node:path';
import type {DiskStep} from './trace.ts';

type Change = {at: number; bytes: Buffer} | {length: number};
type Inode = {durable: Buffer; changes: Change[]};
type Naming = {path: string; inode: Inode | 'directory' | null};

/** What becomes of writes that were not synced. */
export type Loss =
  /** None of them is there. */
  | {kind: 'dropped'}
  /** All are. */
  | {kind: 'kept'}
  /** Each by chance. */
  | {kind: 'reordered'}
  /** Each by chance, and of those that are there each sector by chance. */
  | {kind: 'torn'; sectorBytes: number};

export class Disk {
  #root: string;
  #names = new Map<string, Inode | 'directory'>();
  #durableNames = new Map<string, Inode | 'directory'>();
  /** By directory: what changed since its last sync. */
  #namings = new Map<string, Naming[]>();

  constructor(root: string) {
    this.#root = root;
  }

  take(step: DiskStep): void {
    switch (step.kind) {
      case 'open': {
        const known = this.#names.get(step.path);
        if (!known) this.#name(step.path, {durable: Buffer.alloc(0), changes: []});
        else if (step.truncate) this.#inode(step.path).changes.push({length: 0});
        return;
      }
      case 'write':
        this.#inode(step.path).changes.push({at: step.at, bytes: step.bytes});
        return;
      case 'truncate':
        this.#inode(step.path).changes.push({length: step.length});
        return;
      case 'sync':
        this.#sync(step.path);
        return;
      case 'rename': {
        const inode = this.#names.get(step.path)!;
        this.#name(step.to, inode);
        this.#name(step.path, null);
        return;
      }
      case 'unlink':
        this.#name(step.path, null);
        return;
      case 'mkdir':
        this.#name(step.path, 'directory');
        return;
      case 'told':
    }
  }

  /** Bytes that were written and not synced. */
  get unsynced(): number {
    let bytes = 0;
    for (const inode of this.#names.values())
      if (inode !== 'directory')
        for (const change of inode.changes) bytes += 'bytes' in change ? change.bytes.length : 1;
    return bytes;
  }

  /**
   * Writes what is left after a power failure now into `dir`. @param keep which files belong to an image, by name
   */
  image(dir: string, loss: Loss, below: (bound: number) => number, keep: (path: string) => boolean): void {
    const names = new Map(this.#durableNames);
    for (const namings of this.#namings.values()) {
      const count =
        loss.kind === 'dropped' ? 0 : loss.kind === 'kept' ? namings.length : below(namings.length + 1);
      for (const {path, inode} of namings.slice(0, count))
        if (inode === null) names.delete(path);
        else names.set(path, inode);
    }
    const isThere = (path: string): boolean =>
      path === this.#root || (names.get(path) === 'directory' && isThere(dirname(path)));
    for (const [path, inode] of names) {
      // A file whose directory is gone is gone with it.
      if (inode === 'directory' || !keep(path) || !isThere(dirname(path))) continue;
      const to = join(dir, relative(this.#root, path));
      mkdirSync(dirname(to), {recursive: true});
      writeFileSync(to, contents(inode, loss, below));
    }
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (!inode || inode === 'directory') throw new Error(`no file ${path}`);
    return inode;
  }

  #name(path: string, inode: Naming['inode']): void {
    if (inode === null) this.#names.delete(path);
    else this.#names.set(path, inode);
    const dir = dirname(path);
    this.#namings.set(dir, [...(this.#namings.get(dir) ?? []), {path, inode}]);
  }

  #sync(path: string): void {
    const inode = this.#names.get(path);
    if (inode && inode !== 'directory') {
      inode.durable = inode.changes.reduce(applied, inode.durable);
      inode.changes = [];
      return;
    }
    for (const {path: name, inode: named} of this.#namings.get(path) ?? [])
      if (named === null) this.#durableNames.delete(name);
      else this.#durableNames.set(name, named);
    this.#namings.delete(path);
  }
}

function contents({durable, changes}: Inode, loss: Loss, below: (bound: number) => number): Buffer {
  if (loss.kind === 'dropped') return durable;
  if (loss.kind === 'kept') return changes.reduce(applied, durable);
  let content = durable;
  for (const change of changes) {
    if (below(2) === 0) continue;
    if (loss.kind === 'reordered' || !('bytes' in change)) {
      content = applied(content, change);
      continue;
    }
    const {at, bytes} = change;
    // Sectors are those of the disk, not of the write.
    for (let from = 0; from < bytes.length; ) {
      const to = Math.min(bytes.length, from + loss.sectorBytes - ((at + from) % loss.sectorBytes));
      if (below(2) === 1) content = applied(content, {at: at + from, bytes: bytes.subarray(from, to)});
      from = to;
    }
  }
  return content;
}

function applied(content: Buffer, change: Change): Buffer {
  if (!('bytes' in change)) {
    const cut = Buffer.alloc(change.length);
    content.copy(cut, 0, 0, change.length);
    return cut;
  }
  const {at, bytes} = change;
  const next = Buffer.alloc(Math.max(content.length, at + bytes.length));
  content.copy(next);
  bytes.copy(next, at);
  return next;
}
