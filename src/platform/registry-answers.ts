/** Answers of the registry as Confluent's registry gives them. */
import type {Config} from '../schema/registry-settings.ts';
import type {Registration} from '../schema/registry-store.ts';

const parsed = (json: string | null): unknown => (json === null ? undefined : JSON.parse(json));

/** What a schema says, without where it is registered. */
export const contentOf = (registration: Registration) => ({
  guid: registration.guid,
  schemaType: 'AVRO',
  schema: registration.text,
  ...(registration.references.length === 0 ? {} : {references: registration.references}),
  metadata: parsed(registration.metadata),
  ruleSet: parsed(registration.ruleSet),
  ts: registration.timestampMs,
  deleted: registration.deleted,
});

/** A version of a subject. */
export const versionOf = (registration: Registration) => ({
  subject: registration.subject,
  version: registration.version,
  id: registration.id,
  ...contentOf(registration),
});

/** What registration answers. */
export const registeredOf = ({id, version, ...rest}: Registration) => ({
  id,
  version,
  ...contentOf({id, version, ...rest}),
});

/** Settings as a change of them answers: the level under the name that requests have for it. */
export const changedOf = ({compatibilityLevel, ...rest}: Config) => ({
  ...(compatibilityLevel === undefined ? {} : {compatibility: compatibilityLevel}),
  ...rest,
});
