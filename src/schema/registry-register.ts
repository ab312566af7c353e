/** Registration, as clients of Confluent's registry expect it. */
import type {Clock} from '../clock.ts';
import {type Contract, contractOf} from './registry-contract.ts';
import type {SchemaRequest} from './registry-document.ts';
import {alive, document, isSame, isSubjectName, newest} from './registry-lookup.ts';
import {objections} from './registry-objections.ts';
import {refusals} from './registry-refusal.ts';
import {configInScope, modeInScope, refuseReadOnly} from './registry-settings.ts';
import type {Document, Registration, Store} from './registry-store.ts';

/** A request with what only registration looks at. */
export type RegisterRequest = Omit<SchemaRequest, 'text'> & {
  /** Left out or blank: that of the newest version, with the metadata and rules of this request. */
  text?: string;
  /** IMPORT mode only. */
  id?: number;
  /** The number that the version must get; -1: the next, noted in the metadata. */
  version?: number;
};
export type Wish = {normalize?: boolean; force?: boolean};

const numberMax = 2 ** 31 - 1;

/**
 * Registers a schema, or finds it: the same schema has one id in all subjects, ids are never given twice.
 * @throws Refusal 409 with the reasons, 42201, 42202, 42205, 42208, 42209.
 */
export function register(
  store: Store,
  clock: Clock,
  subject: string,
  request: RegisterRequest,
  wish: Wish = {},
): Registration {
  if (!isSubjectName(subject)) throw refusals.invalidSubject(subject);
  return store.transaction(() => {
    const importing = checkMode(store, subject, request);
    const versions = store.versions(subject);
    const config = configInScope(store, subject);
    const next = Math.max(0, ...versions.map(({version}) => version)) + 1;
    const given = importing
      ? filled(request, undefined)
      : filled(request, newest(versions), (contract) =>
          contractOf(config, contract, newest(versions), {next, asked: (request.version ?? 0) !== 0}),
        );
    const made = document(store, config, given, {fresh: !importing, normal: wish.normalize === true});
    const found = foundBefore(store, versions, made, request);
    if (found) return found;
    if (!importing && wish.force !== true) {
      const reasons = objections(config, made, alive(versions));
      if (reasons.length > 0) throw refusals.incompatible(subject, `[${reasons.join(', ')}]`);
    }
    const version = versionOf(request, next, importing);
    return insert(store, clock, {subject, version, made, id: request.id, versions});
  });
}

/** @returns whether schemas come with their ids. */
function checkMode(store: Store, subject: string, {id}: RegisterRequest): boolean {
  refuseReadOnly(store, subject);
  const importing = modeInScope(store, subject) === 'IMPORT';
  if (id !== undefined && !importing)
    throw refusals.notPermitted(`Subject ${subject} in context . is not in import mode`);
  if (id === undefined && importing)
    throw refusals.notPermitted(`Subject ${subject} in context . is not in read-write mode`);
  return importing;
}

/** The request with a text, a type and references, from the version before where it has none. */
function filled(
  request: RegisterRequest,
  previous: Registration | undefined,
  contract: (own: Contract) => Contract = (own) => own,
): SchemaRequest {
  const {metadata, ruleSet} = contract({
    metadata: request.metadata ?? null,
    ruleSet: request.ruleSet ?? null,
  });
  const {text = '', schemaType, references} = request;
  if (text.trim() === '') {
    if (!previous) throw refusals.invalidSchema('Empty schema');
    return {text: previous.text, references: previous.references, metadata, ruleSet};
  }
  return {
    text,
    ...(schemaType === undefined ? {} : {schemaType}),
    ...(references === undefined ? {} : {references}),
    metadata,
    ruleSet,
  };
}

/** The version that the subject has already, if a request without a version of its own means one. */
function foundBefore(
  store: Store,
  versions: Registration[],
  made: Document,
  {id, version = 0}: RegisterRequest,
): Registration | undefined {
  const candidates = alive(versions).filter((each) => id === undefined || each.id === id);
  if (version !== 0) {
    // The same import twice changes nothing.
    return id === undefined
      ? undefined
      : candidates.find((each) => each.version === version && each.identity === made.identity);
  }
  const ids = store.idsOf('identity', made.identity);
  return (
    candidates.findLast((each) => ids.includes(each.id)) ?? candidates.findLast((each) => isSame(made, each))
  );
}

function versionOf({version = 0}: RegisterRequest, next: number, importing: boolean): number {
  if (version > 0 && version !== next && !importing)
    throw refusals.invalidSchema('Version is not one more than previous version');
  const chosen = version > 0 ? version : next;
  if (chosen > numberMax) throw refusals.notPermitted(`there is no version after ${numberMax}`);
  return chosen;
}

function insert(
  store: Store,
  clock: Clock,
  {
    subject,
    version,
    made,
    id: wanted,
    versions,
  }: {
    subject: string;
    version: number;
    made: Document;
    id: number | undefined;
    versions: Registration[];
  },
): Registration {
  const taken = versions.find((each) => each.version === version);
  if (taken && (!taken.deleted || store.isOwn(subject, taken.id)))
    throw refusals.notPermitted(`Version ${version} of subject ${subject} is another schema already`);
  if (taken) store.remove(subject, version);
  const id =
    wanted === undefined
      ? freshId(store, made, {subject, version})
      : importId(store, made, wanted, {subject, version});
  store.addVersion({subject, version, id, timestampMs: clock.now()});
  // A deleted version of the same schema makes way for the new one, unless something refers to its number.
  for (const old of versions)
    if (
      old.deleted &&
      old.id === id &&
      old.version < version &&
      store.referrers(subject, old.version).length === 0
    )
      store.remove(subject, old.version);
  return store.version(subject, version)!;
}

type Place = {subject: string; version: number};

function freshId(store: Store, made: Document, place: Place): number {
  const [same] = store.idsOf('identity', made.identity);
  if (same !== undefined) return same;
  const id = store.addDocument(made, place);
  if (id > numberMax) throw refusals.notPermitted(`there is no id after ${numberMax}`);
  return id;
}

function importId(store: Store, made: Document, id: number, place: Place): number {
  const before = store.document(id);
  if (!before) return store.addDocument(made, place, id);
  if (before.identity !== made.identity)
    throw refusals.notPermitted(`Overwrite new schema with id ${id} in context . is not permitted.`);
  return id;
}
