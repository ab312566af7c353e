/**
 * What runs, as it was applied: in the state directory, so that an edit can be compared with it and an old revision can run on.
 *   applied.json           which contents are in force; replaced whole
 *   applied/<hash>.json    contents by their SHA-256: the model, definitions of queries, schemas; never changed
 */
import {createHash} from 'node:crypto';
import {existsSync, readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {PlatformError} from '../errors.ts';
import {failpoint} from '../failpoint.ts';
import {replaceFile} from '../log/directory.ts';
import type {Aggregation, EventType, Platform} from '../model/types.ts';
import {buildPlan} from '../process/plan/build.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {avroSchema} from '../schema/avro.ts';
import type {AvroSchema} from '../schema/types.ts';
import {moduleDigest} from '../transforms/digest.ts';
import type {PlatformDirs} from './places.ts';
import {sameMeaning} from './plan-meaning.ts';
import {readRevisions, revisionOf, writeRevisions} from './revisions.ts';

/** A query as it was defined: the plan, with the aggregation that it was made of. */
export type Definition = {aggregation: Aggregation; plan: QueryPlan};

/** The model without secrets, its paths relative to the root: what `plan` compares. */
export type AppliedModel = Platform;

type Record_ = {format: 1; appliedMs: number; model: string; schemas: Record<string, string>};

/** What was applied last. */
export type Applied = {
  appliedMs: number;
  model: AppliedModel;
  /** Topic -> schema of its events. */
  schemas: Record<string, AvroSchema>;
  /** Query id -> what runs under its name. */
  definitions: Record<string, Definition>;
};

const recordPath = ({state}: PlatformDirs): string => join(state, 'applied.json');
const contentPath = ({state}: PlatformDirs, hash: string): string => join(state, 'applied', `${hash}.json`);

/** Keeps a value by its content, durably. @returns its name */
export function storeContent(dirs: PlatformDirs, value: unknown): string {
  const text = JSON.stringify(value);
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 40);
  const path = contentPath(dirs, hash);
  if (!existsSync(path)) replaceFile(path, text);
  return hash;
}

/** @throws CHECKPOINT_CORRUPT when the content is missing or is not what its name says */
export function loadContent<T>(dirs: PlatformDirs, hash: string): T {
  const path = contentPath(dirs, hash);
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  if (createHash('sha256').update(text).digest('hex').slice(0, 40) === hash) return JSON.parse(text) as T;
  throw new PlatformError('CHECKPOINT_CORRUPT', 'a part of the applied configuration is missing or damaged', {
    place: path,
    hint: `put it back from a backup, or remove ${dirname(path)} and applied.json: the next run records what it finds`,
  });
}

/** A transform in the applied model: `digest` says what its module was; a record of before has none. */
export type AppliedTransform = NonNullable<EventType['transform']> & {digest?: string};

/** The model as plain data: secrets are `***`, paths below the root are relative to it, transforms have the digest of their modules. */
export function normalModel(platform: Platform): AppliedModel {
  const {root} = platform;
  const digests = new Map<unknown, string>();
  for (const {eventTypes} of platform.domains)
    for (const {transform} of eventTypes) if (transform) digests.set(transform, moduleDigest(transform.path));
  const digested = (_: string, value: unknown): unknown =>
    digests.has(value) ? {...(value as AppliedTransform), digest: digests.get(value)} : value;
  return JSON.parse(JSON.stringify(platform, digested), (key, value: unknown) => {
    if (typeof value !== 'string' || !value.startsWith(root)) return value;
    return key === 'root' ? '.' : `.${value.slice(root.length)}`;
  }) as AppliedModel;
}

/** What a query means now, under the revision that it has. */
export const definitionOf = (platform: Platform, domain: string, query: string, revision = 1): Definition => {
  const found = platform.domains.find(({name}) => name === domain)!;
  const aggregation = found.aggregations.find(({name}) => name === query)!;
  return {aggregation, plan: buildPlan(found, aggregation, revision)};
};

/** @returns undefined when nothing was recorded here. @throws CHECKPOINT_CORRUPT */
export function readApplied(dirs: PlatformDirs): Applied | undefined {
  if (!existsSync(recordPath(dirs))) return undefined;
  let record: Record_;
  try {
    record = JSON.parse(readFileSync(recordPath(dirs), 'utf8')) as Record_;
  } catch (cause) {
    throw new PlatformError('CHECKPOINT_CORRUPT', 'the record of what was applied is damaged', {
      place: recordPath(dirs),
      hint: 'put it back from a backup, or remove it: the next run records what it finds',
      cause,
    });
  }
  const revisions = readRevisions(dirs.revisions);
  const model = loadContent<AppliedModel>(dirs, record.model);
  const definitions: Record<string, Definition> = {};
  for (const {name, aggregations} of model.domains)
    for (const aggregation of aggregations) {
      const id = `${name}.${aggregation.name}`;
      const entry = revisions[id]?.entries?.[revisionOf(revisions, id)];
      if (entry?.definition) definitions[id] = loadContent<Definition>(dirs, entry.definition);
    }
  const schemas = Object.fromEntries(
    Object.entries(record.schemas).map(([topic, hash]) => [topic, loadContent<AvroSchema>(dirs, hash)]),
  );
  return {appliedMs: record.appliedMs, model, schemas, definitions};
}

/**
 * Records that this configuration is in force. Queries have the definition that runs: today's, or for one that was changed and
 * not applied the one before. Contents first, then the list of revisions, then the record: whatever is named is there.
 * @param platform with all its sinks and queries, whatever this process has of them
 * @param runs the plan that runs under a query's name; undefined for one that stopped because it was changed
 */
export function writeApplied(
  platform: Platform,
  dirs: PlatformDirs,
  runs: (query: string) => QueryPlan | undefined,
  nowMs: number,
): void {
  const revisions = readRevisions(dirs.revisions);
  const before = JSON.stringify(revisions);
  for (const {name, aggregations} of platform.domains)
    for (const aggregation of aggregations) {
      const id = `${name}.${aggregation.name}`;
      const known = (revisions[id] ??= {current: 1, filling: null});
      const current = String(revisionOf(revisions, id));
      const plan = runs(id);
      const written = definitionOf(platform, name, aggregation.name, Number(current));
      if (!plan || !sameMeaning(plan, written.plan)) continue;
      // As it is configured: an engine whose sinks are in other processes has one of its own for all of them.
      const {sinks} = written.plan;
      const definition = storeContent(dirs, {aggregation, plan: {...plan, sinks}});
      const entry = {why: 'run' as const, createdMs: nowMs, ...known.entries?.[current], definition};
      known.entries = {...known.entries, [current]: entry};
    }
  const schemas: Record<string, string> = {};
  for (const {eventTypes} of platform.domains)
    for (const eventType of eventTypes) schemas[eventType.topic] = storeContent(dirs, avroSchema(eventType));
  const model = storeContent(dirs, normalModel(platform));
  const record: Record_ = {format: 1, appliedMs: nowMs, model, schemas};
  if (JSON.stringify(revisions) !== before) writeRevisions(dirs.revisions, revisions);
  failpoint('applied.before-write');
  replaceFile(recordPath(dirs), `${JSON.stringify(record, null, 2)}\n`);
  failpoint('applied.after-write');
}
