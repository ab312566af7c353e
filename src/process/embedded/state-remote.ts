/** Checkpoints in a bucket, as their owner writes them; state-head.ts says what is kept there. */
import {randomBytes} from 'node:crypto';
import {setTimeout as sleep} from 'node:timers/promises';
import {PlatformError} from '../../errors.ts';
import {failpoint} from '../../failpoint.ts';
import type {S3Client} from '../../store/s3.ts';
import type {StateCopy} from './state-copy.ts';
import type {OwnedState} from './state-directory.ts';
import {FilesBeside, hashOf} from './state-files.ts';
import {
  type Delta,
  type Head,
  type ObjectName,
  type Patience,
  persist,
  type RemoteHead,
} from './state-head.ts';
import type {Outcome} from './state-local.ts';
import {encodePiece, joinPieces, type PieceWork} from './state-pieces.ts';
import {snapshotOf} from './state-snapshot.ts';
import type {StateRequest} from './statestore.ts';

/** After so many deltas they are joined, or a snapshot takes their place. */
export const deltasMax = 64;
/** A snapshot is made when the deltas behind the last one have as many bytes as it has, but at least so many. */
const snapshotBytesMin = 1 << 20;
/** Deltas of this many commits at least are not joined with others again. */
const joinedCommits = deltasMax / 2;
const releaseMs = 2_000;

export type RemoteOptions = {
  client: S3Client;
  prefix: string;
  head: RemoteHead;
  copy: StateCopy;
  /** Told what is wrong with the store, and `null` when it is over. */
  onTrouble(message: string | null): void;
  release(): void;
};

/** Name, size and checksum of an object. */
export const objectOf = (name: string, bytes: Uint8Array): ObjectName => ({
  name,
  bytes: bytes.length,
  sha256: hashOf(bytes),
});

export class RemoteState implements OwnedState {
  readonly epoch: number;
  readonly #options: RemoteOptions;
  readonly #files: FilesBeside;
  readonly #ending = new AbortController();
  readonly #patience: Patience;
  /** Changes of the head, one after another. */
  #turns: Promise<unknown> = Promise.resolve();
  #compacting: Promise<void> | undefined;
  #failure: unknown;

  constructor(options: RemoteOptions) {
    this.#options = options;
    this.#files = new FilesBeside(options.copy.dir);
    this.epoch = options.head.head.lease;
    const {onTrouble} = options;
    this.#patience = {onTrouble, signal: this.#ending.signal, isPatient: true};
  }

  async write(group: StateRequest[]): Promise<Outcome[]> {
    if (this.#failure) throw this.#failure;
    const {works, outcomes, files} = this.#worksOf(group);
    if (works.length === 0) {
      await this.renew();
      return outcomes;
    }
    const to = await this.#append(encodePiece(works));
    await this.#applyToCopy(works, to, files);
    this.#compact();
    return outcomes;
  }

  renew(): Promise<void> {
    return this.#change(() => ({}));
  }

  giveUp(): void {
    this.#ending.abort();
  }

  async close(isKept: boolean): Promise<void> {
    const {head, copy, client, release} = this.#options;
    this.#ending.abort();
    const patience = {...this.#patience, isPatient: false};
    const given = isKept ? undefined : this.#turns.then(() => head.change(() => ({holder: null}), patience));
    // A lease that cannot be given back ends by itself.
    await Promise.race([given?.catch(() => {}), sleep(releaseMs, undefined, {ref: false})]);
    client.close();
    await this.#compacting;
    copy.close();
    release();
  }

  /** What the group changes, and the files that changed before it. */
  #worksOf(group: StateRequest[]): {
    works: PieceWork[];
    outcomes: Outcome[];
    files: {path: string; hash: string | null}[];
  } {
    const {copy} = this.#options;
    const {state} = copy;
    const changed = this.#files.changes(copy.files());
    const works: PieceWork[] = changed.map(({work}) => work);
    const epochs = new Map<string, number>();
    const journalled = new Map<string, number>();
    const outcomes = group.map((request): Outcome => {
      const failure = state.problemOf(
        request,
        (query) => epochs.get(query) ?? state.statements.epochOf(query),
      );
      if (failure) return {failure};
      if (request.kind === 'drop') {
        epochs.set(request.query, -1);
        works.push({kind: 'drop', query: request.query});
      } else if (request.kind === 'commit') {
        const {query, epoch, journal = []} = request.commit;
        epochs.set(query, epoch);
        const from = journalled.get(query) ?? state.statements.journalled(query);
        journalled.set(query, from + journal.length);
        works.push({kind: 'commit', commit: request.commit, from});
      }
      return {};
    });
    return {works, outcomes, files: changed.map(({work, hash}) => ({path: work.path, hash}))};
  }

  /** Durable in the bucket when it resolves. @returns the number of the commit. @throws FENCED, STORE_* when it was given up */
  async #append(bytes: Buffer): Promise<number> {
    const {head} = this.#options;
    const to = head.head.sequence + 1;
    failpoint('state.before-piece');
    const object = await this.#put(`pieces/${this.#label(to)}`, bytes);
    failpoint('state.before-head');
    await this.#change(({deltas}) => ({sequence: to, deltas: [...deltas, {...object, from: to, to}]}));
    failpoint('state.after-head');
    return to;
  }

  async #applyToCopy(
    works: PieceWork[],
    to: number,
    files: {path: string; hash: string | null}[],
  ): Promise<void> {
    const {copy, head, onTrouble} = this.#options;
    const rows = works.filter(({kind}) => kind !== 'file');
    for (let isTroubled = false; ; isTroubled = true)
      try {
        copy.apply(rows, to, head.head.history);
        copy.noteFiles(files);
        if (isTroubled) onTrouble(null);
        return;
      } catch (error) {
        // It is in the bucket: what is committed cannot be refused any more, only waited for.
        const isFull = error instanceof PlatformError && error.code === 'CHECKPOINT_DISK_FULL';
        if (!isFull || this.#ending.signal.aborted) throw (this.#failure = error);
        onTrouble(error.message);
        await sleep(1_000);
      }
  }

  #change(change: (head: Head) => Partial<Head>): Promise<void> {
    const turn = this.#turns.then(() => this.#options.head.change(change, this.#patience));
    this.#turns = turn.catch(() => {});
    return turn;
  }

  async #put(label: string, bytes: Buffer): Promise<ObjectName> {
    const {client, prefix} = this.#options;
    const name = `${prefix}${label}`;
    await persist(this.#patience, () => client.put(name, bytes));
    return objectOf(name, bytes);
  }

  /** Names are never used twice: what one owner deletes no other one can mean. */
  #label(to: number): string {
    return `${String(to).padStart(12, '0')}-${this.epoch}-${randomBytes(6).toString('hex')}`;
  }

  /** Keeps the number of objects bounded, beside the commits. */
  #compact(): void {
    const {deltas, snapshot} = this.#options.head.head;
    if (this.#compacting || this.#ending.signal.aborted) return;
    const bytes = deltas.reduce((sum, delta) => sum + delta.bytes, 0);
    const wantsSnapshot = bytes >= Math.max(snapshotBytesMin, snapshot?.bytes ?? 0);
    if (!wantsSnapshot && deltas.length < deltasMax) return;
    const isSmall = (snapshot?.bytes ?? 0) <= snapshotBytesMin;
    const work =
      wantsSnapshot || isSmall || !joinable(deltas) ? this.#snapshot() : this.#join(joinable(deltas)!);
    this.#compacting = work
      // Commits go on without it, and say themselves what is wrong.
      .catch(() => {})
      .finally(() => {
        this.#compacting = undefined;
      });
  }

  async #snapshot(): Promise<void> {
    const {to, parts: works} = snapshotOf(this.#options.copy.dir);
    const label = this.#label(to);
    const parts: ObjectName[] = [];
    for (const part of works)
      parts.push(await this.#put(`snapshots/${label}/${parts.length}`, encodePiece(part)));
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
    let obsolete: ObjectName[] = [];
    failpoint('state.before-snapshot');
    await this.#change(({snapshot, deltas}) => {
      obsolete = [...(snapshot?.parts ?? []), ...deltas.filter((delta) => delta.to <= to)];
      return {snapshot: {to, bytes, parts}, deltas: deltas.filter((delta) => delta.to > to)};
    });
    failpoint('state.after-snapshot');
    await this.#remove(obsolete);
  }

  async #join(deltas: Delta[]): Promise<void> {
    const {client, head} = this.#options;
    const pieces: Buffer[] = [];
    for (const delta of deltas)
      pieces.push(await persist(this.#patience, () => fetchObject(client, delta, head.place)));
    const [{from}, {to}] = [deltas[0]!, deltas.at(-1)!];
    const joined = {...(await this.#put(`pieces/${this.#label(to)}`, joinPieces(pieces))), from, to};
    await this.#change((now) => ({
      deltas: now.deltas.flatMap((delta) =>
        delta.to === to ? [joined] : delta.from >= from && delta.to < to ? [] : [delta],
      ),
    }));
    await this.#remove(deltas);
  }

  async #remove(objects: ObjectName[]): Promise<void> {
    const {client} = this.#options;
    for (const {name} of objects) await client.delete(name);
  }
}

/** A run of deltas that are worth being one; undefined when they were joined before. */
function joinable(deltas: Delta[]): Delta[] | undefined {
  const first = deltas.findIndex(({from, to}) => to - from + 1 < joinedCommits);
  const run = first < 0 ? [] : deltas.slice(first);
  return run.length > deltasMax / 2 ? run : undefined;
}

/** An object as the head names it. @throws CHECKPOINT_CORRUPT when it is missing or another, STORE_* */
export async function fetchObject(
  client: S3Client,
  {name, sha256}: ObjectName,
  place: string,
): Promise<Buffer> {
  const object = await client.get(name);
  if (object && hashOf(object.bytes) === sha256) return object.bytes;
  throw new PlatformError(
    'CHECKPOINT_CORRUPT',
    `${name} of the checkpoints in ${place} is ${object ? 'damaged' : 'missing'}`,
    {
      hint: 'restore the bucket, or use another prefix: state is read again from the log',
      place,
    },
  );
}
