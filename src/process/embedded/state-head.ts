/**
 * The head of a checkpoint store in a bucket: one small object that names everything else and is changed by conditional puts
 * alone. Whoever changes it has committed, renewed or taken the lease; whoever finds it changed by another owner is fenced. The
 * store's answer decides, not a clock: a put that was under way while its sender slept names a tag that is no longer there.
 *
 *   <prefix>head.json                              the head
 *   <prefix>pieces/<to>-<lease>-<random>           deltas: what the commits up to number `to` changed
 *   <prefix>snapshots/<to>-<lease>-<random>/<n>    parts of a snapshot as of commit `to`
 *   <prefix>probe                                  says whether the store keeps conditions
 */
import {setTimeout as sleep} from 'node:timers/promises';
import {crc32} from 'node:zlib';
import {PlatformError} from '../../errors.ts';
import type {PutCondition, S3Client} from '../../store/s3.ts';
import {fenced, type Holder, type Lease} from './state-lease.ts';

/** An object, as the head names it. */
export type ObjectName = {name: string; bytes: number; sha256: string};
/** What commits number `from` to `to` changed. */
export type Delta = ObjectName & {from: number; to: number};

export type Head = {
  format: 1;
  /** Of this store, since it was empty: a copy of another one is no copy of it. */
  history: string;
  lease: number;
  holder: Holder | null;
  /** Grows with every change of the head. */
  stamp: number;
  /** Commits so far. */
  sequence: number;
  /** Everything up to commit `to`; null: nothing was there before the deltas. */
  snapshot: {to: number; bytes: number; parts: ObjectName[]} | null;
  /** In order and without a gap, from behind the snapshot on. */
  deltas: Delta[];
};

/** What a head says of its lease. */
export const leaseOf = ({lease, holder, stamp}: Head): Lease => ({
  epoch: lease,
  holder,
  stamp: String(stamp),
});

const encodeHead = (head: Head): string => JSON.stringify({...head, crc: crc32(JSON.stringify(head))});

/** @throws CHECKPOINT_CORRUPT, CHECKPOINT_NEWER */
function decodeHead(text: string, place: string): Head {
  let head: Head | undefined;
  let crc: unknown;
  try {
    ({crc, ...head} = JSON.parse(text) as Head & {crc: number});
  } catch {}
  if (head && Number(head.format) > 1)
    throw new PlatformError(
      'CHECKPOINT_NEWER',
      `the checkpoints in ${place} have format ${head.format}, this release reads 1`,
      {
        hint: 'run the release of Millrace that wrote them',
        place,
      },
    );
  if (head && crc === crc32(JSON.stringify(head))) return head;
  throw new PlatformError('CHECKPOINT_CORRUPT', `the head of the checkpoints in ${place} is damaged`, {
    hint: 'restore an earlier version of head.json, or use another prefix: state is read again from the log',
    place,
  });
}

/** How requests are made again. */
export type Patience = {
  /** Told what is wrong, and `null` when it is over. */
  onTrouble(message: string | null): void;
  /** Ends the attempts: the next failure is thrown. */
  signal: AbortSignal;
  /** Also what is refused is tried again: rights can be mended while everything waits. */
  isPatient: boolean;
  /** Gives up after so long, ms. */
  forMs?: number;
};

const pauseMsMin = 100;
const pauseMsMax = 3_000;

/** Makes a request until it is answered. @throws STORE_UNAVAILABLE after its time, STORE_REFUSED, and what is no failure of the store */
export async function persist<T>(patience: Patience, request: () => Promise<T>): Promise<T> {
  const {signal, isPatient, forMs = Infinity, onTrouble} = patience;
  const untilMs = performance.now() + forMs;
  let isTroubled = false;
  for (let pauseMs = pauseMsMin; ; pauseMs = Math.min(pauseMsMax, pauseMs * 2)) {
    try {
      const result = await request();
      if (isTroubled) onTrouble(null);
      return result;
    } catch (error) {
      const {code, message, hint} = error as PlatformError;
      const passes = code === 'STORE_UNAVAILABLE' || (isPatient && code === 'STORE_REFUSED');
      if (!passes || signal.aborted || performance.now() > untilMs) throw error;
      isTroubled = true;
      // What passes by itself needs nobody; a refusal needs somebody who mends it.
      onTrouble(code === 'STORE_REFUSED' && hint ? `${message}: ${hint}` : message);
      // Not all at once, when many were cut off together.
      await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, {signal}).catch(() => {});
    }
  }
}

/** The head, as it was read or written last. */
export class RemoteHead {
  readonly place: string;
  readonly #client: S3Client;
  readonly #key: string;
  #head: Head | undefined;
  #etag = '';
  #lost: PlatformError | undefined;

  constructor(client: S3Client, prefix: string, place: string) {
    this.#client = client;
    this.#key = `${prefix}head.json`;
    this.place = place;
  }

  get head(): Head {
    if (!this.#head) throw new Error('the head was not read yet');
    return this.#head;
  }

  /** @returns undefined when there is none. @throws STORE_*, CHECKPOINT_CORRUPT, CHECKPOINT_NEWER */
  async read(): Promise<Head | undefined> {
    const object = await this.#client.get(this.#key);
    this.#head = object && decodeHead(object.bytes.toString(), this.place);
    this.#etag = object?.etag ?? '';
    return this.#head;
  }

  /** Writes the first one, or puts another in the place of the one that was read. @returns whether it is there now. @throws STORE_* */
  async replace(next: Head, patience: Patience): Promise<boolean> {
    const text = encodeHead(next);
    const condition: PutCondition = this.#head ? {kind: 'same', etag: this.#etag} : {kind: 'absent'};
    for (;;) {
      const etag = await persist(patience, () =>
        this.#client.put(this.#key, Buffer.from(text), condition),
      ).catch((error: Error) => error);
      if (typeof etag === 'string') return this.#become(next, etag);
      // Refused, or nobody knows: an attempt whose answer was lost may have been carried out.
      const object = await persist(patience, () => this.#client.get(this.#key));
      if (object?.bytes.toString() === text) return this.#become(next, object.etag);
      if (etag instanceof Error && (object?.etag ?? '') === this.#etag) throw etag;
      if ((object?.etag ?? '') !== this.#etag) return false;
    }
  }

  /** Changes it as its owner. @throws FENCED when it is another's, STORE_* when it was given up */
  async change(change: (head: Head) => Partial<Head>, patience: Patience): Promise<void> {
    if (this.#lost) throw this.#lost;
    const {head} = this;
    const next = {...head, ...change(head), stamp: head.stamp + 1};
    if (await this.replace(next, patience)) return;
    // What another owner wrote is never the base of a change of ours, also not of one that already waits.
    const object = await persist(patience, () => this.#client.get(this.#key));
    const now = object && decodeHead(object.bytes.toString(), this.place);
    this.#lost = fenced(this.place, now?.holder);
    throw this.#lost;
  }

  #become(head: Head, etag: string): true {
    this.#head = head;
    this.#etag = etag;
    return true;
  }
}

/** @throws STORE_REFUSED when the store does not keep conditions, so that two owners could write */
export async function probeConditions(client: S3Client, prefix: string, place: string): Promise<void> {
  const key = `${prefix}probe`;
  const body = Buffer.from('whether conditions are kept');
  await client.put(key, body);
  const absent = await client.put(key, body, {kind: 'absent'});
  const same = await client.put(key, body, {kind: 'same', etag: '"00000000000000000000000000000000"'});
  if (absent === undefined && same === undefined) return;
  throw new PlatformError(
    'STORE_REFUSED',
    `the object store ${place} does not keep the conditions of a put`,
    {
      hint: 'use a version that knows If-None-Match and If-Match, or another store: without them two owners could write',
      place,
    },
  );
}
