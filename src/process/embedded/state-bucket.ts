/** Taking the lease of checkpoints in a bucket, and following them without it. */
import {randomUUID} from 'node:crypto';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {PlatformError} from '../../errors.ts';
import {acquireLock} from '../../log/lock.ts';
import {createS3Client, type S3Client} from '../../store/s3.ts';
import {StateCopy} from './state-copy.ts';
import type {OwnedState, TakeOptions} from './state-directory.ts';
import {type Head, leaseOf, type Patience, persist, probeConditions, RemoteHead} from './state-head.ts';
import {holderHere, isGone, type Lease, LeaseWatch, leaseHeld, renewalMs, watchMs} from './state-lease.ts';
import {fetchObject, RemoteState} from './state-remote.ts';
import type {RemotePlace} from './statestore.ts';

/** A start without a standby waits so long for a store that does not answer. */
const startMs = 3_000;

/** "s3://bucket/prefix". */
export const showRemote = ({s3, prefix}: RemotePlace): string =>
  `s3://${s3.bucket}/${prefix.replace(/\/$/, '')}`;

const emptyHead = (): Head => ({
  format: 1,
  history: randomUUID(),
  lease: 0,
  holder: null,
  stamp: 0,
  sequence: 0,
  snapshot: null,
  deltas: [],
});

/** @throws LOCKED, STORE_*, CHECKPOINT_* */
export async function takeBucket(
  remote: RemotePlace,
  options: TakeOptions & {onTrouble(message: string | null): void},
): Promise<OwnedState> {
  const {dir, isStandby, onTrouble} = options;
  const lock = acquireLock(join(dir, 'lock'), {command: options.command});
  const client = createS3Client(remote.s3);
  const place = showRemote(remote);
  // A renewal must be answered, or tried again, before the lease ends.
  const headClient = createS3Client({...remote.s3, timeoutMs: renewalMs(options.leaseMs)});
  const head = new RemoteHead(headClient, remote.prefix, place);
  const copy = new StateCopy(dir);
  const patience: Patience = {
    onTrouble,
    signal: new AbortController().signal,
    isPatient: false,
    forMs: isStandby ? Infinity : startMs,
  };
  try {
    // A look first: some stores make a bucket that is written to.
    await persist(patience, () => head.read());
    await persist(patience, () => probeConditions(client, remote.prefix, place));
    await becomeOwner(head, copy, client, {...options, patience});
    const fetch = (object: Parameters<typeof fetchObject>[1]) =>
      persist(patience, () => fetchObject(client, object, place));
    await copy.follow(head.head, fetch);
    await removeOrphans(client, remote.prefix, head.head);
    return new RemoteState({
      client,
      prefix: remote.prefix,
      head,
      copy,
      onTrouble,
      release: () => lock.release(),
    });
  } catch (error) {
    copy.close();
    client.close();
    headClient.close();
    lock.release();
    throw error;
  }
}

/** Waits for the lease and takes it; a standby follows the checkpoints meanwhile. */
async function becomeOwner(
  head: RemoteHead,
  copy: StateCopy,
  client: S3Client,
  options: TakeOptions & {patience: Patience},
): Promise<void> {
  const {holderId, command, leaseMs, isStandby, patience, onWaiting} = options;
  const watch = new LeaseWatch();
  let first: string | undefined;
  let told: string | undefined;
  for (;;) {
    const startedMs = performance.now();
    const seen = await persist({...patience, onTrouble: patience.onTrouble}, () => head.read());
    // While the store was away the holder could not renew.
    if (performance.now() - startedMs > leaseMs / 2) watch.interrupted();
    const holder = seen?.holder ?? null;
    const isFree = holder === null || holder.id === holderId || isGone(holder);
    if (isFree || watch.observe(leaseOf(seen!), performance.now())) {
      const mine = holderHere(holderId, {command, leaseMs, isLocked: false});
      const before = seen ?? emptyHead();
      const next = {...before, lease: before.lease + 1, holder: mine, stamp: before.stamp + 1};
      if (await head.replace(next, patience)) return;
      continue;
    }
    const stamp = `${seen!.lease}/${seen!.stamp}`;
    // Its end may not be known yet: one that renews lives.
    if (!isStandby && first !== undefined && first !== stamp) throw leaseHeld(head.place, holder);
    first ??= stamp;
    if (told !== holder.id) onWaiting(holder);
    told = holder.id;
    if (isStandby) await keepUp(copy, seen!, client, head.place);
    await sleep(watchMs(leaseMs));
  }
}

/** What is there already need not be fetched at the take-over. Objects that vanish meanwhile were replaced: the next look shows by what. */
async function keepUp(copy: StateCopy, head: Head, client: S3Client, place: string): Promise<void> {
  try {
    await copy.follow(head, (object) => fetchObject(client, object, place));
  } catch (error) {
    const {code} = error as PlatformError;
    if (code !== 'CHECKPOINT_CORRUPT' && code !== 'STORE_UNAVAILABLE') throw error;
  }
}

/** What owners before us left behind. They are fenced: nothing that the head does not name will be named. */
async function removeOrphans(client: S3Client, prefix: string, {snapshot, deltas}: Head): Promise<void> {
  const named = new Set([...(snapshot?.parts ?? []), ...deltas].map(({name}) => name));
  try {
    for (const folder of ['pieces/', 'snapshots/'])
      for (const key of await client.list(`${prefix}${folder}`))
        if (!named.has(key)) await client.delete(key);
  } catch (error) {
    // They cost space and nothing else; the next start tries again.
    if (!(error instanceof PlatformError)) throw error;
  }
}

/**
 * Brings this machine's copy up to what the bucket holds, for reading, without the lease. Nothing happens while a process of this
 * machine uses the copy, which then is as new as can be. @throws STORE_*, CHECKPOINT_*
 */
export async function followBucket(dir: string, remote: RemotePlace, command: string): Promise<void> {
  let lock: ReturnType<typeof acquireLock>;
  try {
    lock = acquireLock(join(dir, 'lock'), {command});
  } catch (error) {
    if (error instanceof PlatformError && error.code === 'LOCKED') return;
    throw error;
  }
  const client = createS3Client(remote.s3);
  const copy = new StateCopy(dir);
  const place = showRemote(remote);
  const patience: Patience = {
    onTrouble() {},
    signal: new AbortController().signal,
    isPatient: false,
    forMs: startMs,
  };
  try {
    const head = new RemoteHead(client, remote.prefix, place);
    // Twice: a snapshot may take the place of what the first look named.
    for (let attempt = 1; ; attempt++)
      try {
        const seen = await persist(patience, () => head.read());
        const fetch = (object: Parameters<typeof fetchObject>[1]) => fetchObject(client, object, place);
        if (seen) await copy.follow(seen, fetch);
        return;
      } catch (error) {
        if (attempt === 2 || (error as PlatformError).code !== 'CHECKPOINT_CORRUPT') throw error;
      }
  } finally {
    copy.close();
    client.close();
    lock.release();
  }
}

/** The lease of a bucket, for who looks on; undefined where nobody ever kept checkpoints. @throws STORE_*, CHECKPOINT_* */
export async function readRemoteLease(remote: RemotePlace): Promise<Lease | undefined> {
  const client = createS3Client(remote.s3);
  try {
    const head = await new RemoteHead(client, remote.prefix, showRemote(remote)).read();
    return head && leaseOf(head);
  } finally {
    client.close();
  }
}
