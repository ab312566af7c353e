/** Deletion of versions and subjects: softly at first, then for good. */
import {alive, versionIn} from './registry-lookup.ts';
import {refusals} from './registry-refusal.ts';
import {refuseReadOnly} from './registry-settings.ts';
import type {Store} from './registry-store.ts';

const hasReferrer = (store: Store, subject: string, version: number, withDeleted: boolean, except?: string) =>
  store
    .referrers(subject, version)
    .some((id) => store.ofId(id).some((each) => each.subject !== except && (withDeleted || !each.deleted)));

const ownFor = (subject: string) =>
  refusals.notPermitted(
    `Subject ${subject} belongs to the platform: events in its log are read with these schemas, they cannot be deleted permanently`,
  );

/**
 * Deletes a version: softly at first, then, asked again with `permanent`, for good.
 * @returns its number. @throws Refusal 40401, 40402, 40406, 40407, 42205, 42206.
 */
export function deleteVersion(store: Store, subject: string, asked: number, permanent: boolean): number {
  return store.transaction(() => {
    const found = versionIn(store, subject, asked, true);
    const {version, deleted} = found;
    if (deleted && !permanent) throw refusals.versionSoftDeleted(subject, version);
    refuseReadOnly(store, subject);
    if (hasReferrer(store, subject, version, permanent)) throw refusals.referenced(subject, version);
    if (permanent && !deleted) throw refusals.versionNotSoftDeleted(subject, version);
    if (!permanent) store.markDeleted(subject, version);
    else {
      if (store.isOwn(subject, found.id)) throw ownFor(subject);
      store.remove(subject, version);
      if (store.versions(subject).length === 0) store.putSettings(subject, {config: null, mode: null});
    }
    return version;
  });
}

/** Deletes all versions of a subject. @returns their numbers. @throws Refusal 40401, 40404, 40405, 42205, 42206. */
export function deleteSubject(store: Store, subject: string, permanent: boolean): number[] {
  return store.transaction(() => {
    const all = store.versions(subject);
    if (all.length === 0) throw refusals.subjectNotFound(subject);
    if (!permanent && alive(all).length === 0) throw refusals.subjectSoftDeleted(subject);
    refuseReadOnly(store, subject);
    const versions = permanent ? all : alive(all);
    for (const {version, deleted} of versions) {
      if (hasReferrer(store, subject, version, permanent, subject))
        throw refusals.referenced(subject, version);
      if (permanent && !deleted) throw refusals.subjectNotSoftDeleted(subject);
    }
    if (permanent && versions.some(({id}) => store.isOwn(subject, id))) throw ownFor(subject);
    for (const {version} of versions)
      if (permanent) store.remove(subject, version);
      else store.markDeleted(subject, version);
    if (permanent) store.putSettings(subject, {config: null, mode: null});
    return versions.map(({version}) => version);
  });
}
