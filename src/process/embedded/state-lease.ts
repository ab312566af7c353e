/**
 * Who may write checkpoints. A lease has an epoch that grows with every owner: a commit names it and is refused once a higher one
 * was given out, by the store itself and not by a clock. Clocks decide only when somebody else may try: a lease whose stamp did
 * not change for as long as it lasts, measured by the one who waits, may be taken.
 */
import {randomUUID} from 'node:crypto';
import {readFileSync, readlinkSync} from 'node:fs';
import {hostname} from 'node:os';
import {PlatformError} from '../../errors.ts';
import {alive, processStart} from '../../log/lock.ts';

/** Who holds a lease. */
export type Holder = {
  /** Of one engine in one process. */
  id: string;
  host: string;
  /** Machine and process namespace: where it is ours, `pid` says whether the holder still runs. */
  place: string;
  pid: number;
  processStart: string | null;
  /** ISO 8601. */
  since: string;
  command: string;
  /** How long the lease lasts without a renewal, ms. */
  leaseMs: number;
  /** A directory's: it also holds the lock, which the kernel releases with the process. */
  isLocked: boolean;
};

/** What a store says of its lease. */
export type Lease = {
  epoch: number;
  /** Null: released. */
  holder: Holder | null;
  /** Changes with every renewal and commit. */
  stamp: string;
};

/** Shortest and longest lease that can be configured, ms. */
export const leaseMsMin = 1_000;
export const leaseMsDefault = 10_000;

/** Renewed three times before it would end. */
export const renewalMs = (leaseMs: number): number => leaseMs / 3;
/** How often a standby looks: it takes over at most this much after the lease has ended. */
export const watchMs = (leaseMs: number): number => Math.max(50, leaseMs / 10);

/** A name for the holder that this process will be. */
export const newHolderId = (): string => randomUUID();

/** This process as a holder. */
export const holderHere = (
  id: string,
  {command, leaseMs, isLocked}: Pick<Holder, 'command' | 'leaseMs' | 'isLocked'>,
): Holder => ({
  id,
  host: hostname(),
  place: placeHere(),
  pid: process.pid,
  processStart: processStart(process.pid),
  since: new Date().toISOString(),
  command,
  leaseMs,
  isLocked,
});

/** Containers may share a boot and a host's name, but not the namespace of their processes. */
function placeHere(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot}/${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return `host:${hostname()}`;
  }
}

/** Whether it is certain that the holder has ended: it was a process of this machine. */
export const isGone = (holder: Holder): boolean => holder.place === placeHere() && !alive(holder);

/** "process 42 on host a since 2026-01-01T00:00:00.000Z (millrace run)". */
export const describeHolder = ({pid, host, since, command}: Holder): string =>
  `process ${pid} on ${host} since ${since} (${command})`;

/** The lease is another's. */
export const leaseHeld = (place: string, holder: Holder): PlatformError =>
  new PlatformError('LOCKED', `the checkpoints in ${place} are held by ${describeHolder(holder)}`, {
    hint: 'stop it, or wait for its end with: npx millrace run --standby',
    place,
  });

/** A higher epoch was given out. @param holder who has it, as far as that is known */
export const fenced = (place: string, holder: Holder | null | undefined): PlatformError =>
  new PlatformError(
    'FENCED',
    `${holder ? describeHolder(holder) : 'another process'} has taken the checkpoints in ${place} over`,
    {
      hint: 'it goes on from the last checkpoint; to be ready to take over from it: npx millrace run --standby',
      place,
    },
  );

/** Whether a lease that others hold may be taken, by what was seen of it. */
export class LeaseWatch {
  #stamp: string | undefined;
  #sinceMs = 0;

  /** @param nowMs of a clock that never goes back @returns whether it stood still for as long as it lasts */
  observe({stamp, epoch, holder}: Lease, nowMs: number): boolean {
    const seen = `${epoch}/${stamp}`;
    if (seen !== this.#stamp) {
      this.#stamp = seen;
      this.#sinceMs = nowMs;
    }
    return holder !== null && nowMs - this.#sinceMs >= holder.leaseMs;
  }

  /** The store could not be asked, nor perhaps by the holder: the time begins anew. */
  interrupted(): void {
    this.#stamp = undefined;
  }
}
