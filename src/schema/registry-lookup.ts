/** What the versions of a subject are asked: which one, is it there, may this schema follow. */
import {contractOf, withoutVersion} from './registry-contract.ts';
import {documentOf, type SchemaRequest} from './registry-document.ts';
import {parseJson, sortedText} from './registry-json.ts';
import {objections} from './registry-objections.ts';
import {refusals} from './registry-refusal.ts';
import {type Config, configInScope} from './registry-settings.ts';
import type {Document, Registration, Store} from './registry-store.ts';

/**
 * Whether a subject may have this name: no control characters, none of the names that Confluent's registry keeps for
 * itself, and no context but the default one, which this registry has alone.
 */
export const isSubjectName = (name: string): boolean => !/\p{Cc}|^__GLOBAL$|^__EMPTY$|^:[.*]/u.test(name);

/** A reference of any registered version, deleted or not; -1 is the newest that is not. */
export const finder = (store: Store, withDeleted: boolean) => (subject: string, version: number) => {
  if (version === -1) return newest(store.versions(subject));
  const found = store.version(subject, version);
  return found && (withDeleted || !found.deleted) ? found : undefined;
};

/** Those that are not deleted. */
export const alive = (versions: Registration[]): Registration[] => versions.filter(({deleted}) => !deleted);
/** The newest that is not deleted. */
export const newest = (versions: Registration[]): Registration | undefined => alive(versions).at(-1);

/** Makes the document of a request by the settings that hold for its subject. */
export function document(
  store: Store,
  config: Config,
  request: SchemaRequest,
  {fresh, normal}: {fresh: boolean; normal: boolean},
): Document {
  return documentOf(request, finder(store, !fresh), {
    checkDefaults: fresh && config.validateNewSchemas !== false,
    normal: normal || config.normalize === true,
  });
}

/** Whether one is the other, with its references resolved or with the version that clients note in metadata. */
export function isSame(one: Document, other: Registration): boolean {
  if (withoutVersion(one) !== withoutVersion(other)) return false;
  if (JSON.stringify(one.references) === JSON.stringify(other.references))
    return sortedText(parseJson(one.text)) === sortedText(parseJson(other.text));
  return (
    one.references.length === 0 && sortedText(parseJson(one.whole)) === sortedText(parseJson(other.whole))
  );
}

/**
 * Finds a schema in its subject. @param withDeleted also among deleted versions.
 * @throws Refusal 40401 when there is no such subject, 40403 no such schema, 42201 when it is none.
 */
export function lookUp(
  store: Store,
  subject: string,
  request: SchemaRequest,
  {normalize = false, withDeleted = false}: {normalize?: boolean; withDeleted?: boolean} = {},
): Registration {
  const all = store.versions(subject);
  const versions = withDeleted ? all : alive(all);
  const config = configInScope(store, subject);
  const find = (asked: SchemaRequest) => {
    const made = document(store, config, asked, {fresh: false, normal: normalize});
    return (
      versions.findLast((each) => each.identity === made.identity) ??
      versions.findLast((each) => isSame(made, each))
    );
  };
  if (request.text.trim() !== '') {
    const own = {metadata: request.metadata ?? null, ruleSet: request.ruleSet ?? null};
    // Registered, the schema would carry the metadata and rules of the version before.
    const found = find(request) ?? find({...request, ...contractOf(config, own, newest(all), undefined)});
    if (found) return found;
  }
  throw versions.length === 0 ? refusals.subjectNotFound(subject) : refusals.schemaNotFound();
}

/** What `register` would object to, against these versions. @throws Refusal 42201 when it is no schema. */
export function compare(
  store: Store,
  subject: string,
  request: SchemaRequest,
  {normalize = false, against}: {normalize?: boolean; against: Registration[]},
): string[] {
  if (request.text.trim() === '') throw refusals.invalidSchema('Empty schema');
  const config = configInScope(store, subject);
  const made = document(store, config, request, {fresh: true, normal: normalize});
  return objections(config, made, against);
}

/** A version by its number; -1 is the newest that is not deleted. @throws Refusal 40401, 40402. */
export function versionIn(
  store: Store,
  subject: string,
  version: number,
  withDeleted: boolean,
): Registration {
  const found = finder(store, withDeleted)(subject, version);
  if (found) return found;
  const versions = store.versions(subject);
  throw (withDeleted ? versions : alive(versions)).length === 0
    ? refusals.subjectNotFound(subject)
    : refusals.versionNotFound(version);
}

/** Ids of the schemas that reference a version. */
export const referencedBy = (
  store: Store,
  {subject, version}: Registration,
  withDeleted: boolean,
): number[] =>
  store
    .referrers(subject, version)
    .filter((id) => store.ofId(id).some(({deleted}) => withDeleted || !deleted));
