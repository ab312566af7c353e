import {existsSync, realpathSync} from 'node:fs';
import {sep} from 'node:path';
import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {AppendResult, AppendTransaction, LogReader} from '../log/types.ts';
import {type Role, roles} from '../model/roles.ts';
import type {Domain, EventType, Platform} from '../model/types.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {ReplayOutcome} from '../schema/replay.ts';
import type {RegisteredSchema} from '../schema/types.ts';
import type {Telemetry} from '../telemetry.ts';
import type {SchemaLearner} from './learn-schemas.ts';
import {isUnread, type Letter, type LetterSelection} from './letters.ts';
import type {PlatformDirs} from './places.ts';
import type {SinkReplay} from './replay-sink.ts';

export type ReplayRequest = {
  selection: LetterSelection;
  /** Says what would become of each, and changes nothing. */
  dryRun: boolean;
  /** Field -> expression. */
  sets: Record<string, string>;
  /** Absolute path of a module whose function records pass instead of their transform; null: none. */
  transform: string | null;
  /** Letters a second; null: no limit. */
  ratePerSecond: number | null;
  /** At most so many, the oldest first; null: all. */
  limit: number | null;
  /** Who asks, `user@host`. */
  actor: string;
  /** Roles that no running process of the platform has: their letters are answered for with a refusal. */
  absent?: readonly Role[];
};

/** Whose work it is to replay a letter: into the log, to its query, or to the sink that had refused it. */
export const replayerOf = (letter: Pick<Letter, 'stage' | 'query' | 'position'>): Role =>
  letter.stage === 'sink' || isUnread(letter) ? 'sinks' : letter.query !== null ? 'engine' : 'ingest';

export const isAbsent = ({absent}: ReplayRequest, letter: Letter): boolean =>
  absent?.includes(replayerOf(letter)) === true;

/** What became of one letter. `was`: the code that it had. */
export type ReplayedLetter = {
  letter: string;
  domain: string;
  event_type: string | null;
  query: string | null;
  was: string;
  outcome: ReplayOutcome;
  code: string | null;
  message: string | null;
};

/** What became of all of them. */
export type ReplayTotals = {
  run: string | null;
  dry_run: boolean;
  selected: number;
  outcomes: Partial<Record<ReplayOutcome, number>>;
};

/** A line for each letter, and the totals at the end. */
export type ReplayLine = ReplayedLetter | ReplayTotals;

export type ReplayContext = {
  platform: Platform;
  dirs: PlatformDirs;
  log: LogReader;
  schemas: RegisteredSchema[];
  /** Adds the schema that a letter's record names. */
  learn: SchemaLearner['learn'];
  /** Topic -> id of its newest schema. */
  schemaIds: Record<string, number>;
  append(transaction: AppendTransaction): Promise<AppendResult>;
  planOf(query: string): QueryPlan | undefined;
  sinks: SinkReplay;
  /** Whether queries run, so that what they say of their events can be waited for. */
  isRunning: boolean;
  telemetry: Telemetry;
  clock?: Clock;
};

/** Event types that the selected letters can be of. */
export const eventTypesOf = ({domains}: Platform, selection: LetterSelection): EventType[] =>
  domains
    .filter(({name}) => selection.domains.includes(name))
    .flatMap(({eventTypes}) => eventTypes)
    .filter(({name}) => selection.eventType === undefined || name === selection.eventType);

/** What the journal keeps of a request. */
export function describe({selection, sets, transform, ratePerSecond, limit}: ReplayRequest): object {
  const {sinceMs, untilMs, ...rest} = selection;
  const time = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString());
  return {
    ...rest,
    since: time(sinceMs),
    until: time(untilMs),
    set: sets,
    transform,
    rate: ratePerSecond,
    limit,
  };
}

/** A letter and what becomes of it. */
export type Judged = {letter: Letter; outcome: ReplayOutcome; code: string | null; message: string | null};

/** A letter whose process does not run. Nothing is on record of it: it is as open as before. */
export function withoutProcess(letter: Letter): Judged {
  const role = replayerOf(letter);
  const message = `a process with the role ${role} replays it, and none runs: npx millrace run --only ${role}`;
  return {letter, outcome: 'refused', code: null, message};
}

/** One batch for each partition. */
export function packed(appends: (AppendTransaction['appends'][number] & {ids: string[]})[]) {
  const byPartition = new Map<number, typeof appends>();
  for (const append of appends) {
    const list = byPartition.get(append.partition);
    if (list) list.push(append);
    else byPartition.set(append.partition, [append]);
  }
  return [...byPartition].map(([partition, list]) => ({
    topic: list[0]!.topic,
    partition,
    count: list.length,
    bytes: new Uint8Array(Buffer.concat(list.map(({bytes}) => bytes))),
    ids: list.flatMap(({ids}) => ids),
  }));
}

/** The request that came over the control socket. @throws REQUEST_INVALID */
export function replayRequestOf(body: Record<string, unknown>): ReplayRequest {
  const {selection, dryRun, sets, transform, ratePerSecond, limit, actor, absent} =
    body as Partial<ReplayRequest>;
  const isKind = selection?.kind === 'dead' || selection?.kind === 'late';
  if (!isKind || !Array.isArray(selection.domains))
    throw new PlatformError('REQUEST_INVALID', '"selection" is missing', {
      hint: 'use npx millrace dlq replay or npx millrace late replay',
    });
  const count = (value: unknown) => (typeof value === 'number' && value > 0 ? value : null);
  return {
    selection,
    // Whoever does not say that it is meant to happen only wants to see.
    dryRun: dryRun !== false,
    sets: sets ?? {},
    transform: transform ?? null,
    ratePerSecond: count(ratePerSecond),
    limit: count(limit),
    actor: String(actor ?? 'unknown'),
    absent: Array.isArray(absent) ? roles.filter((role) => absent.includes(role)) : [],
  };
}

/**
 * The domains with another transform for the event types that can be selected. A module outside the platform's directory is not
 * loaded: whoever may ask for a replay over HTTP must not choose what runs here. @throws USAGE
 */
export function withTransform(platform: Platform, {selection, transform, sets}: ReplayRequest): Domain[] {
  if (transform === null) return platform.domains;
  const problem = (message: string, hint: string) =>
    new PlatformError('USAGE', `--transform: ${message}`, {hint});
  if (Object.keys(sets).length > 0)
    throw problem('--set and a function cannot mend together', 'give one of the two');
  const path = existsSync(transform) ? realpathSync(transform) : undefined;
  if (!path) throw problem(`there is no file ${transform}`, 'give the path of a module');
  if (!path.startsWith(`${realpathSync(platform.root)}${sep}`))
    throw problem(`${path} is outside the platform`, `put it below ${platform.root}`);
  const chosen = new Set(eventTypesOf(platform, selection).map(({topic}) => topic));
  const spec = {path, timeoutMs: transformTimeoutMs, outputsMax: transformOutputsMax};
  return platform.domains.map((domain) => ({
    ...domain,
    eventTypes: domain.eventTypes.map((eventType) =>
      chosen.has(eventType.topic) ? {...eventType, transform: spec} : eventType,
    ),
  }));
}

/** As those of a transform in the configuration by default. */
const transformTimeoutMs = 1_000;
const transformOutputsMax = 1_000;
