import assert from 'node:assert/strict';
import type {DatabaseSync} from 'node:sqlite';
import {PlatformError} from '../../errors.ts';
import {failpoint} from '../../failpoint.ts';
import type {Holder, Lease} from './state-lease.ts';
import {type StateStatements, stateStatements} from './state-statements.ts';
import type {StateRequest} from './statestore.ts';
import {stateError} from './statestore-file.ts';

/** What one request of a group came to; nothing: it is durable. */
export type Outcome = {failure?: unknown};

/** What of the lease a store's file says. */
type LeaseRow = {lease: number; holder: string | null; stamp: number; sequence: number};

/** @returns undefined for a file of a release that knew no leases */
export function leaseIn(database: DatabaseSync): Lease | undefined {
  const {user_version} = database.prepare('PRAGMA user_version').get() as {user_version: number};
  if (user_version < 2) return undefined;
  const row = database.prepare('SELECT lease, holder, stamp, sequence FROM meta').get() as LeaseRow;
  const holder = row.holder === null ? null : (JSON.parse(row.holder) as Holder);
  return {epoch: row.lease, holder, stamp: `${row.stamp}.${row.sequence}`};
}

/** The file of a store as its writer has it: transactions, the lease, the number of commits. */
export class LocalState {
  readonly statements: StateStatements;
  readonly database: DatabaseSync;
  /** Epoch of the lease that this process holds. */
  #epoch = 0;
  #sequence: number;
  #failure: PlatformError | undefined;
  readonly #count;
  readonly #renew;

  constructor(database: DatabaseSync, sequence: number) {
    this.database = database;
    this.#sequence = sequence;
    this.statements = stateStatements(database);
    this.#count = database.prepare('UPDATE meta SET sequence = ? WHERE lease = ?');
    this.#renew = database.prepare('UPDATE meta SET stamp = stamp + 1 WHERE lease = ?');
  }

  /** Commits so far. */
  get sequence(): number {
    return this.#sequence;
  }

  get epoch(): number {
    return this.#epoch;
  }

  lease(): Lease {
    return leaseIn(this.database)!;
  }

  /**
   * Takes the lease if it is still as `seen`. @returns whether it is ours now
   */
  claim(seen: Lease | undefined, holder: Holder): boolean {
    return this.#transaction(() => {
      const now = this.lease();
      if (seen && (now.epoch !== seen.epoch || now.stamp !== seen.stamp)) return false;
      this.database
        .prepare('UPDATE meta SET lease = ?, holder = ?, stamp = stamp + 1')
        .run(now.epoch + 1, JSON.stringify(holder));
      const {sequence} = this.database.prepare('SELECT sequence FROM meta').get() as {sequence: number};
      this.#epoch = now.epoch + 1;
      this.#sequence = sequence;
      return true;
    });
  }

  /** @returns whether the lease is still ours. @throws CHECKPOINT_IO, CHECKPOINT_DISK_FULL */
  renew(): boolean {
    // Nothing of it has to survive a power cut, which ends its holder.
    this.database.exec('PRAGMA synchronous = NORMAL');
    try {
      return this.#transaction(() => this.#renew.run(this.#epoch).changes === 1);
    } finally {
      this.database.exec('PRAGMA synchronous = FULL');
    }
  }

  /** Gives the lease back, if it is ours. */
  release(): void {
    this.#transaction(() =>
      this.database.prepare('UPDATE meta SET holder = NULL WHERE lease = ?').run(this.#epoch),
    );
  }

  /**
   * Commits a group together. @param onCommitted told the number of the commit before anybody else
   * @returns an outcome for each request; 'fenced', and nothing of it is there, when the lease is another's
   */
  write(group: StateRequest[], onCommitted: (sequence: number) => void): Outcome[] | 'fenced' {
    const outcomes: Outcome[] = [];
    try {
      if (this.#failure) throw this.#failure;
      this.database.exec('BEGIN IMMEDIATE');
      for (const request of group) outcomes.push(this.#carryOut(request));
      if (this.#count.run(this.#sequence + 1, this.#epoch).changes !== 1) {
        this.database.exec('ROLLBACK');
        return 'fenced';
      }
      failpoint('state.before-commit');
      this.database.exec('COMMIT');
      failpoint('state.after-commit');
      onCommitted(++this.#sequence);
      return outcomes;
    } catch (error) {
      const failure = this.#rollBack(error);
      return group.map(() => ({failure}));
    }
  }

  /** Whether a request may be carried out. @returns what is wrong with it */
  problemOf(request: StateRequest, epochOf = this.statements.epochOf): Error | undefined {
    if (request.kind !== 'commit') return undefined;
    const {query, epoch} = request.commit;
    if (epoch > (epochOf(query) ?? -1)) return undefined;
    return new assert.AssertionError({message: `the epoch of ${query} grows`});
  }

  #carryOut(request: StateRequest): Outcome {
    const failure = this.problemOf(request);
    if (failure) return {failure};
    if (request.kind === 'drop') this.statements.drop(request.query);
    else if (request.kind === 'commit') {
      const {commit} = request;
      this.statements.commit(commit);
      if (commit.journal?.length) this.statements.journal(commit.query, commit.journal);
    }
    return {};
  }

  /** In one transaction. @throws what SQLite says, explained */
  apply(body: () => void, sequence: number, history: string): void {
    this.#transaction(() => {
      body();
      this.database.prepare('UPDATE meta SET sequence = ?, history = ?').run(sequence, history);
    });
    this.#sequence = sequence;
  }

  /** Which history this is a copy of; empty: of none. */
  history(): string {
    return (this.database.prepare('SELECT history FROM meta').get() as {history: string}).history;
  }

  #transaction<T>(body: () => T): T {
    try {
      this.database.exec('BEGIN IMMEDIATE');
      const result = body();
      this.database.exec('COMMIT');
      return result;
    } catch (error) {
      throw this.#rollBack(error);
    }
  }

  #rollBack(error: unknown): unknown {
    const failure = stateError(error, 'state.db');
    try {
      if (this.database.isTransaction) this.database.exec('ROLLBACK');
    } catch (cause) {
      this.#failure = new PlatformError('CHECKPOINT_IO', 'a failed checkpoint could not be taken back', {
        cause,
      });
    }
    // After a failed write nobody knows what is on disk: only a fresh open may go on.
    if (failure instanceof PlatformError && failure.code !== 'CHECKPOINT_DISK_FULL') this.#failure = failure;
    return failure;
  }
}
