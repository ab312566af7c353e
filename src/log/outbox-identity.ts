/**
 * Who an outbox is: what its batches in Kafka say of it, and its producer there. A directory that is found in another place than
 * before may be a copy of one that is still used. It is another outbox from then on, with a producer of its own, and keeps the
 * names that it had: batches that name one of them are its own as far as they say what it says (kafka/own.ts).
 *
 *   outbox_place  one row: where the directory was when it was opened last, and the names before, as JSON
 */
import {randomUUID} from 'node:crypto';
import {statSync} from 'node:fs';
import {hostname} from 'node:os';
import {resolve} from 'node:path';
import type {DatabaseSync} from 'node:sqlite';
import {corrupt, rowCrc} from './chain.ts';
import {type OutboxHead, readHead} from './outbox-tables.ts';

const schema = `CREATE TABLE IF NOT EXISTS outbox_place (id INTEGER PRIMARY KEY CHECK (id = 1), place TEXT NOT NULL,
  called TEXT NOT NULL, former TEXT NOT NULL, crc INTEGER NOT NULL) STRICT;`;

/** A name that an outbox had, and where its directory was then, for people. */
export type FormerName = {name: string; where: string};

/** More of them are of no use: what arrived under an old one was looked up since. */
const formerMax = 16;

/** The place of a directory: a copy of it has another one, on this machine as well as elsewhere. */
export function placeOf(dir: string): string {
  const {dev, ino} = statSync(dir, {bigint: true});
  return `${hostname()} ${dev} ${ino}`;
}

export class OutboxIdentity {
  readonly #statements;
  readonly #place: string;
  /** This directory, for people. */
  readonly where: string;
  /** The newest first. */
  readonly former: readonly FormerName[];
  /** It was in another place when it was opened before. */
  readonly isMoved: boolean;
  #head: OutboxHead;
  #isHeadChanged: boolean;
  #isPlaceChanged: boolean;

  /** @param owner begins a new name. Throws LOG_CORRUPT. */
  constructor(database: DatabaseSync, dir: string, owner: string) {
    database.exec(schema);
    this.#statements = {
      setHead: database.prepare('INSERT OR REPLACE INTO outbox VALUES (1, ?, ?, ?, ?, ?, ?)'),
      setPlace: database.prepare('INSERT OR REPLACE INTO outbox_place VALUES (1, ?, ?, ?, ?)'),
    };
    const head = readHead(database);
    const before = readPlace(database);
    this.#place = placeOf(dir);
    this.where = `${resolve(dir)} on ${hostname()}`;
    this.isMoved = head !== undefined && before !== undefined && before.place !== this.#place;
    const name = () => `${owner}/${randomUUID()}`;
    const fresh = {producerId: -1, epoch: -1};
    if (!head) this.#head = {name: name(), cluster: '', rebuilt: false, ...fresh};
    else this.#head = this.isMoved ? {...head, name: name(), ...fresh} : head;
    const former = before?.former ?? [];
    this.former = this.isMoved
      ? [{name: head!.name, where: before!.called}, ...former].slice(0, formerMax)
      : former;
    this.#isHeadChanged = head === undefined || this.isMoved;
    this.#isPlaceChanged = before?.place !== this.#place || before.called !== this.where;
  }

  get head(): OutboxHead {
    return this.#head;
  }

  set(change: Partial<OutboxHead>): void {
    this.#head = {...this.#head, ...change};
    this.#isHeadChanged = true;
  }

  /** Whether batches of that name may be of this outbox. */
  isName(name: string | undefined): boolean {
    return name === this.#head.name || this.former.some((each) => each.name === name);
  }

  get isChanged(): boolean {
    return this.#isHeadChanged || this.#isPlaceChanged;
  }

  /** Inside a commit. */
  write(): void {
    const {name, cluster, producerId, epoch, rebuilt} = this.#head;
    const flag = rebuilt ? 1 : 0;
    const crc = rowCrc(name, cluster, producerId, epoch, flag);
    if (this.#isHeadChanged) this.#statements.setHead.run(name, cluster, producerId, epoch, flag, crc);
    if (!this.#isPlaceChanged) return;
    const former = JSON.stringify(this.former);
    this.#statements.setPlace.run(this.#place, this.where, former, rowCrc(this.#place, this.where, former));
  }

  /** What `write` wrote is durable. */
  written(): void {
    this.#isHeadChanged = false;
    this.#isPlaceChanged = false;
  }
}

type Place = {place: string; called: string; former: FormerName[]};

/** Undefined before it is written, as by releases that did not. Throws LOG_CORRUPT. */
function readPlace(database: DatabaseSync): Place | undefined {
  const row = database.prepare('SELECT place, called, former, crc FROM outbox_place').get() as
    | {place: string; called: string; former: string; crc: number}
    | undefined;
  if (!row) return undefined;
  const {place, called, former, crc} = row;
  if (rowCrc(place, called, former) !== crc)
    throw corrupt('outbox', 0, 0, 'the checksum of its place differs');
  return {place, called, former: JSON.parse(former) as FormerName[]};
}
