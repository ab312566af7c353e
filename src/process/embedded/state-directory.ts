/** Checkpoints in a directory: the SQLite file is the store, its lease a part of it. */
import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {PlatformError} from '../../errors.ts';
import {syncNames} from '../../log/directory.ts';
import {acquireLock, type Lock} from '../../log/lock.ts';
import {acknowledgedCommits, openWitness, type Witness} from '../../log/witness.ts';
import {
  fenced,
  type Holder,
  holderHere,
  isGone,
  type Lease,
  LeaseWatch,
  leaseHeld,
  watchMs,
} from './state-lease.ts';
import {LocalState, leaseIn, type Outcome} from './state-local.ts';
import type {StateRequest} from './statestore.ts';
import {openStateForReading, openStateForWriting, stateError, stateWitness} from './statestore-file.ts';

/** How a store is opened for writing. */
export type TakeOptions = {
  dir: string;
  /** Of the holder that this process will be: one that has it already has the lease. */
  holderId: string;
  command: string;
  leaseMs: number;
  /** Wait until the lease can be had, however long that takes. */
  isStandby: boolean;
  /** Told who holds it, at first and when that changes. */
  onWaiting(holder: Holder | null): void;
};

/** A store that this process may write to, until somebody else takes its lease. */
export type OwnedState = {
  epoch: number;
  /** @returns an outcome for each request. @throws FENCED: none of it is in the store */
  write(group: StateRequest[]): Promise<Outcome[]>;
  /** Shows that the holder lives. @throws FENCED */
  renew(): Promise<void>;
  /** What waits for a store that does not answer is not waited for any more. */
  giveUp?(): void;
  /** @param isKept the lease stays with the same holder, who opens the store again at once */
  close(isKept: boolean): Promise<void>;
};

/** @throws LOCKED unless it stands by, CHECKPOINT_* */
export async function takeDirectory(options: TakeOptions): Promise<OwnedState> {
  const {dir} = options;
  mkdirSync(dir, {recursive: true});
  const watch = new LeaseWatch();
  let lock: Lock | undefined;
  let told: string | undefined;
  try {
    for (;;) {
      lock ??= tryLock(options);
      const seen = readLease(dir);
      if (mayTake(seen, lock !== undefined, watch, options)) {
        const state = claim(seen, lock !== undefined, options);
        if (state) return new DirectoryState(dir, state, lock);
        if (!lock && !options.isStandby) throw leaseHeld(dir, seen!.holder!);
      } else if (!options.isStandby) throw leaseHeld(dir, seen!.holder!);
      const who = seen?.holder?.id ?? '';
      if (who !== told) options.onWaiting(seen?.holder ?? null);
      told = who;
      await sleep(watchMs(options.leaseMs));
    }
  } catch (error) {
    lock?.release();
    throw error;
  }
}

/** The kernel's word for whether the one who took the lease with the lock still runs. @throws LOCKED unless it stands by */
function tryLock({dir, command, isStandby}: TakeOptions): Lock | undefined {
  try {
    return acquireLock(join(dir, 'lock'), {command});
  } catch (error) {
    if (isStandby && error instanceof PlatformError && error.code === 'LOCKED') return undefined;
    throw error;
  }
}

/** The lease of a directory, for who looks on; undefined where nobody ever kept checkpoints. @throws CHECKPOINT_* */
export function readLease(dir: string): Lease | undefined {
  const database = openStateForReading(dir);
  try {
    return database && leaseIn(database);
  } catch (error) {
    throw stateError(error, dir);
  } finally {
    database?.close();
  }
}

function mayTake(
  seen: Lease | undefined,
  hasLock: boolean,
  watch: LeaseWatch,
  options: TakeOptions,
): boolean {
  const holder = seen?.holder;
  // Somebody who is just starting, or of a release that knows no leases, has the lock alone.
  if (!seen || !holder) return hasLock;
  if (hasLock && (holder.isLocked || holder.id === options.holderId)) return true;
  if (isGone(holder)) return true;
  return watch.observe(seen, performance.now()) && options.isStandby;
}

const busy = 5;

/** @returns undefined when somebody else was faster, or the holder was stopped in the middle of a transaction */
function claim(
  seen: Lease | undefined,
  isLocked: boolean,
  {dir, holderId, command, leaseMs}: TakeOptions,
): LocalState | undefined {
  const {database, sequence} = openStateForWriting(dir, acknowledgedCommits(stateWitness(dir)));
  try {
    const state = new LocalState(database, sequence);
    if (state.claim(seen, holderHere(holderId, {command, leaseMs, isLocked}))) return state;
    database.close();
    return undefined;
  } catch (error) {
    database.close();
    const {errcode = 0} = ((error as Error).cause ?? {}) as {errcode?: number};
    if (errcode % 256 === busy && !isLocked) return undefined;
    throw error;
  }
}

class DirectoryState implements OwnedState {
  readonly epoch: number;
  #dir: string;
  #state: LocalState;
  #lock: Lock | undefined;
  #witness: Witness;

  constructor(dir: string, state: LocalState, lock: Lock | undefined) {
    this.#dir = dir;
    this.#state = state;
    this.#lock = lock;
    this.epoch = state.epoch;
    this.#witness = openWitness(stateWitness(dir), state.sequence);
    syncNames(dir);
  }

  async write(group: StateRequest[]): Promise<Outcome[]> {
    const outcomes = this.#state.write(group, (sequence) => this.#witness.acknowledged(sequence));
    if (outcomes === 'fenced') throw this.#fenced();
    return outcomes;
  }

  async renew(): Promise<void> {
    if (!this.#state.renew()) throw this.#fenced();
  }

  async close(isKept: boolean): Promise<void> {
    try {
      if (!isKept) this.#state.release();
    } catch {
      // A disk that fails: the lease ends by itself.
    }
    this.#witness.close();
    this.#state.database.close();
    this.#lock?.release();
  }

  #fenced(): PlatformError {
    return fenced(this.#dir, this.#state.lease().holder);
  }
}
