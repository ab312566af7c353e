import {readFileSync} from 'node:fs';
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {Platform} from '../model/types.ts';
import {type Holder, type Lease, newHolderId} from '../process/embedded/state-lease.ts';
import {
  type CheckpointPlace,
  type CheckpointWriter,
  startCheckpointWriter,
} from '../process/embedded/statestore.ts';
import type {Telemetry} from '../telemetry.ts';
import type {PlatformDirs} from './places.ts';

/** The platform's hold on its checkpoints, from the moment it has the lease. */
export type Ownership = {
  /** The writer; the same until it was closed. The lease is kept in between. @throws as `startCheckpointWriter` */
  open(): Promise<CheckpointWriter>;
  /** @param isKept the lease stays: `open` comes next */
  close(options: {isKept: boolean}): Promise<void>;
  /**
   * Resolves when the lease is certain to be ours, at once unless it ends without a renewal just now; never once it was lost.
   * For what another owner would do in another way.
   */
  held(): Promise<void> | undefined;
  /** Resolves when another process took the lease. */
  fenced: Promise<Error>;
  /** As the platform's status has it. */
  shown(): {checkpointsWait?: string};
};

export type OwnershipOptions = {
  command: string;
  telemetry: Telemetry;
  clock: Clock;
  /** Wait for the lease, however long that takes. */
  isStandby: boolean;
  /** While it waits. */
  onWaiting(holder: Holder | null): void;
  /** Ends the waiting. */
  signal?: AbortSignal | undefined;
};

/** Where a platform keeps its checkpoints, with what opens it. @throws FILE_ACCESS */
export function checkpointsOf(
  {engine}: Pick<Platform, 'engine'>,
  {state: dir}: PlatformDirs,
): CheckpointPlace {
  const {bucket} = engine;
  if (!bucket) return {dir};
  const {name, prefix, endpoint, region, accessKey, secretKey, pathStyle, ca} = bucket;
  const s3 = {
    endpoint,
    region,
    bucket: name,
    accessKey: accessKey.reveal(),
    secretKey: secretKey.reveal(),
    pathStyle,
  };
  return {dir, remote: {s3: {...s3, ...(ca === undefined ? {} : {ca: readCertificate(ca)})}, prefix}};
}

function readCertificate(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new PlatformError(
      'FILE_ACCESS',
      `the certificate of s3.ca cannot be read: ${(cause as Error).message}`,
      {
        place: path,
        cause,
      },
    );
  }
}

/** "s3://bucket/prefix", or the directory. */
export const showCheckpoints = ({engine}: Pick<Platform, 'engine'>, {state}: PlatformDirs): string =>
  engine.bucket ? `s3://${engine.bucket.name}/${engine.bucket.prefix.replace(/\/$/, '')}` : state;

/**
 * Brings this machine's copy of checkpoints in a bucket up to date, for reading; nothing to do for a directory, or where a platform
 * runs here. @throws STORE_*, CHECKPOINT_*, FILE_ACCESS
 */
export async function followCheckpoints(platform: Platform, dirs: PlatformDirs): Promise<void> {
  const {dir, remote} = checkpointsOf(platform, dirs);
  if (!remote) return;
  const {followBucket} = await import('../process/embedded/state-bucket.ts');
  await followBucket(dir, remote, 'millrace');
}

/**
 * Who has the lease on the checkpoints, for who looks on; undefined where nobody ever kept any, or they are on another machine.
 * @throws STORE_*, CHECKPOINT_*, FILE_ACCESS
 */
export async function lookAtLease(platform: Platform, dirs: PlatformDirs): Promise<Lease | undefined> {
  const {dir, remote} = checkpointsOf(platform, dirs);
  if (remote) return (await import('../process/embedded/state-bucket.ts')).readRemoteLease(remote);
  return (await import('../process/embedded/state-directory.ts')).readLease(dir);
}

/**
 * Takes the lease on the checkpoints. @throws LOCKED, when somebody else has it and this is no standby, STORE_*, CHECKPOINT_*, and
 * the reason of `signal`
 */
export async function takeOwnership(
  platform: Platform,
  dirs: PlatformDirs,
  options: OwnershipOptions,
): Promise<Ownership> {
  const {command, telemetry, clock} = options;
  const {promise: fenced, resolve: fence} = Promise.withResolvers<Error>();
  const place = showCheckpoints(platform, dirs);
  const holderId = newHolderId();
  let isLost = false;
  let trouble: string | null = null;
  const start = async (isStandby: boolean): Promise<CheckpointWriter> => {
    const writer = await startCheckpointWriter(checkpointsOf(platform, dirs), {
      command,
      holderId,
      leaseMs: platform.engine.leaseMs,
      isStandby,
      onWaiting: options.onWaiting,
      onFenced(error) {
        isLost = true;
        telemetry.emit('LeaseLost', {place});
        fence(error);
      },
      onTrouble(message) {
        trouble = message;
        telemetry.emit('CheckpointStoreTroubled', {place, message});
        tellTrouble(telemetry, place, message);
      },
      ...(options.signal ? {signal: options.signal} : {}),
    });
    telemetry.emit('LeaseTaken', {place, epoch: writer.epoch});
    return writer;
  };
  let writer: CheckpointWriter | undefined = await start(options.isStandby);
  const untilHeld = async () => {
    while (isLost || !writer || writer.heldForMs() <= 0) await clock.sleep(50);
  };
  return {
    fenced,
    shown: () => (trouble === null ? {} : {checkpointsWait: trouble}),
    async open() {
      writer ??= await start(false);
      return writer;
    },
    async close(how) {
      const closing = writer;
      writer = undefined;
      await closing?.close(how);
    },
    held: () => (!isLost && writer && writer.heldForMs() > 0 ? undefined : untilHeld()),
  };
}

/** The first time, and when it is over: a metric says the rest. */
const troubled = new WeakMap<Telemetry, string>();

function tellTrouble(telemetry: Telemetry, place: string, message: string | null): void {
  const before = troubled.get(telemetry);
  if (message === null) troubled.delete(telemetry);
  else troubled.set(telemetry, message);
  if (message === before) return;
  if (message === null)
    telemetry.emit('Log', {level: 'info', message: `checkpoints are kept again in ${place}`});
  else if (before === undefined)
    telemetry.emit('Log', {
      level: 'warn',
      message: `checkpoints wait: ${message}; queries go on while their memory lasts`,
    });
}
