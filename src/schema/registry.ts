/** The schema registry: ids for schemas, versions for subjects. The embedded one is a SQLite file beside the log. */
import {type Clock, systemClock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {Compatibility, Platform} from '../model/types.ts';
import {avroSchema} from './avro.ts';
import {type CompatibilityReason, checkCompatibility} from './compatibility.ts';
import {documentOf} from './registry-document.ts';
import {failure} from './registry-failure.ts';
import type {Config, Level} from './registry-settings.ts';
import {openStore, type Registration, type Store} from './registry-store.ts';
import {replayEntrySchema, replayEventSchema, replayJournalTopic, replayTopic} from './replay.ts';
import {deadLetterSchema, lateSchema} from './side.ts';
import type {AvroSchema, RegisteredSchema} from './types.ts';

export type SchemaRegistry = {
  /**
   * Registers a schema under a subject, or finds it there. The same schema has one id in all subjects.
   * @param mode the rule towards the subject's earlier versions, backward by default.
   * @param options.enforce set the rule in a registry that is a server, for others; the embedded one always has it
   * @throws PlatformError SCHEMA_INCOMPATIBLE with every reason; of a server REGISTRY_UNAVAILABLE unless it is remembered,
   *   REGISTRY_REFUSED, REGISTRY_OTHER.
   */
  register(
    subject: string,
    schema: AvroSchema,
    mode?: Compatibility,
    options?: {enforce?: boolean},
  ): Promise<RegisteredSchema>;
  /** The schema of an id, with the first subject and version that it was registered as; undefined when there is none. */
  byId(id: number): Promise<RegisteredSchema | undefined>;
  latest(subject: string): Promise<RegisteredSchema | undefined>;
  /** Of a subject, oldest first. */
  versions(subject: string): Promise<RegisteredSchema[]>;
  /** In alphabetical order. */
  subjects(): Promise<string[]>;
  /** Every schema that was ever registered with `register`: what records of the log can name, also when a client deleted it since. */
  own(): Promise<RegisteredSchema[]>;
  /** What `register` would object to; an empty list: nothing. */
  check(subject: string, schema: AvroSchema, mode?: Compatibility): Promise<CompatibilityReason[]>;
  /** Subjects that `register` answered from memory, since the server did not; registering them again asks it again. */
  pending(): string[];
  close(): void;
};

/**
 * Opens `<dir>/registry.db`. One thread or process writes at a time (SQLite's lock, 5 s); any number read.
 * @throws PlatformError REGISTRY_MISSING when it is to be read only and is not there; REGISTRY_CORRUPT when it is damaged, REGISTRY_UNAVAILABLE when SQLite cannot open it.
 */
export function openEmbeddedRegistry(
  dir: string,
  options: {readOnly?: boolean; clock?: Clock} = {},
): SchemaRegistry {
  const {readOnly = false, clock = systemClock} = options;
  const {store, path} = openStore(dir, readOnly);
  // What an id means never changes, so it is read and checked once.
  const known = new Map<number, RegisteredSchema>();
  const guarded = async <T>(work: () => T): Promise<T> => {
    try {
      return work();
    } catch (cause) {
      throw failure(path, cause);
    }
  };
  const versions = (subject: string) => store.versions(subject).filter(({deleted}) => !deleted);
  return {
    // The versions that the check saw are the ones that the insert follows, also with another writer about.
    register: (subject, schema, mode = 'backward') =>
      guarded(() => store.transaction(() => registerOwn(store, clock, {subject, schema, mode}))),
    byId: (id) =>
      guarded(() => {
        const before = known.get(id);
        if (before) return before;
        const document = store.document(id);
        if (!document) return undefined;
        known.set(id, schemaOf(document));
        return known.get(id);
      }),
    latest: (subject) => guarded(() => versions(subject).map(schemaOf).at(-1)),
    versions: (subject) => guarded(() => versions(subject).map(schemaOf)),
    subjects: () =>
      guarded(() =>
        store
          .subjects('')
          .filter(({deleted}) => !deleted)
          .map(({subject}) => subject),
      ),
    own: () =>
      guarded(() =>
        store.ownIds().flatMap((id) => [store.document(id)].filter((each) => !!each).map(schemaOf)),
      ),
    check: (subject, schema, mode = 'backward') =>
      guarded(() => reasonsAgainst(schema, mode, versions(subject))),
    pending: () => [],
    close: () => store.close(),
  };
}

const schemaOf = ({id, subject, version, whole}: Registration): RegisteredSchema => ({
  id,
  subject,
  version,
  schema: JSON.parse(whole) as AvroSchema,
});

const reasonsAgainst = (schema: AvroSchema, mode: Compatibility, earlier: Registration[]) =>
  checkCompatibility(
    mode,
    schema,
    earlier.map((version) => schemaOf(version).schema),
  );

/** Registers what the platform writes. Modes of the registry hold for its clients, not for the platform itself. */
function registerOwn(
  store: Store,
  clock: Clock,
  {subject, schema, mode}: {subject: string; schema: AvroSchema; mode: Compatibility},
): RegisteredSchema {
  // Clients are held to the rule that the configuration gives this subject.
  const settings = store.settings(subject);
  const config = settings.config === null ? {} : (JSON.parse(settings.config) as Config);
  const compatibilityLevel = mode.toUpperCase() as Level;
  if (config.compatibilityLevel !== compatibilityLevel)
    store.putSettings(subject, {...settings, config: JSON.stringify({...config, compatibilityLevel})});

  const all = store.versions(subject);
  const earlier = all.filter(({deleted}) => !deleted);
  const made = documentOf({text: JSON.stringify(schema)}, () => undefined, {
    checkDefaults: true,
    normal: false,
  });
  const same = earlier.find(({identity}) => identity === made.identity);
  if (same) {
    store.claim(subject, same.id);
    return schemaOf(same);
  }
  const wrong = reasonsAgainst(schema, mode, earlier);
  if (wrong.length > 0) throw incompatible(subject, mode, earlier, wrong);
  const version = (all.at(-1)?.version ?? 0) + 1;
  const id = store.idsOf('identity', made.identity)[0] ?? store.addDocument(made, {subject, version});
  store.addVersion({subject, version, id, timestampMs: clock.now()});
  store.claim(subject, id);
  return {id, subject, version, schema};
}

/** SCHEMA_INCOMPATIBLE with every reason, by field. @param earlier what the reasons speak of, oldest first */
export function incompatible(
  subject: string,
  mode: Compatibility,
  earlier: {version: number}[],
  reasons: CompatibilityReason[],
): PlatformError {
  const lines = reasons.map(({code, path, message, previous, reader}) => {
    const version = earlier[previous]!.version;
    const which = reader === 'next' ? `data of version ${version}` : `new data with version ${version}`;
    return `  ${path}: ${code} reading ${which}: ${message}`;
  });
  return new PlatformError(
    'SCHEMA_INCOMPATIBLE',
    `the schema of ${subject} cannot follow its earlier versions (${mode})\n${lines.join('\n')}`,
    {
      place: subject,
      hint: 'make a new field optional (required: false), name renamed fields in aliases, or set defaults.compatibility',
    },
  );
}

/** Subject of a topic's values. */
export const subjectOf = (topic: string): string => `${topic}-value`;

/**
 * Registers the schemas of everything that the platform writes to its log: event types, dead letters, late events, replays.
 * @returns topic -> its schema. @throws PlatformError SCHEMA_INCOMPATIBLE, SCHEMA_NAME_INVALID.
 */
export async function ensureSubjects(
  registry: SchemaRegistry,
  platform: Platform,
): Promise<Map<string, RegisteredSchema>> {
  const registered = new Map<string, RegisteredSchema>();
  for (const domain of platform.domains) {
    const {compatibility: mode, compatibilityIsSet: enforce = false} = domain.defaults;
    for (const eventType of domain.eventTypes)
      registered.set(
        eventType.topic,
        await registry.register(subjectOf(eventType.topic), avroSchema(eventType), mode, {enforce}),
      );
    const sides: [string, AvroSchema][] = [
      [`dlq.${domain.name}`, deadLetterSchema],
      [replayJournalTopic(domain.name), replayEntrySchema],
    ];
    for (const {name} of domain.aggregations) {
      sides.push([`late.${domain.name}.${name}`, lateSchema]);
      sides.push([replayTopic(`${domain.name}.${name}`), replayEventSchema]);
    }
    for (const [topic, schema] of sides)
      registered.set(topic, await registry.register(subjectOf(topic), schema, 'backward'));
  }
  return registered;
}
