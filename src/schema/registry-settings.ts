/** Configuration and modes of the registry: of a subject, or of all that have none of their own. */
import type {Metadata, RuleSet} from './registry-contract.ts';
import {refusals} from './registry-refusal.ts';
import type {Store} from './registry-store.ts';

export const levels = [
  'NONE',
  'BACKWARD',
  'BACKWARD_TRANSITIVE',
  'FORWARD',
  'FORWARD_TRANSITIVE',
  'FULL',
  'FULL_TRANSITIVE',
] as const;
export type Level = (typeof levels)[number];
export const modes = ['READWRITE', 'READONLY', 'READONLY_OVERRIDE', 'IMPORT'] as const;
export type Mode = (typeof modes)[number];

/** What is set; a key that is not there is inherited. */
export type Config = {
  alias?: string;
  /** Whether schemas are normalised without being asked to. */
  normalize?: boolean;
  /** Whether fields that metadata reserves (`confluent:reserved`) may be used. */
  validateFields?: boolean;
  /** Whether defaults of new schemas must fit their fields; true unless it is set. */
  validateNewSchemas?: boolean;
  compatibilityLevel?: Level;
  /** Name of a metadata property: only versions with the same value are compared. */
  compatibilityGroup?: string;
  defaultMetadata?: Metadata;
  overrideMetadata?: Metadata;
  defaultRuleSet?: RuleSet;
  overrideRuleSet?: RuleSet;
};
/** As a request has it: null takes a setting away. */
export type ConfigChange = {[Key in keyof Config]?: Config[Key] | null};

/** Names the settings of all subjects. */
export const globally = '';
const levelOfNew: Level = 'BACKWARD';

/** What is set for a subject itself, or globally, where there is always a level. */
export function configOf(store: Store, subject: string): Config | undefined {
  const {config} = store.settings(subject);
  const own = config === null ? undefined : (JSON.parse(config) as Config);
  return subject === globally ? {compatibilityLevel: levelOfNew, ...own} : own;
}

const inherited = [
  'normalize',
  'validateFields',
  'validateNewSchemas',
  'compatibilityLevel',
  'compatibilityGroup',
] as const;

/** What holds for a subject: its own settings, for the rest the global ones. */
export function configInScope(store: Store, subject: string): Config {
  const global = configOf(store, globally)!;
  const own = subject === globally ? undefined : configOf(store, subject);
  if (!own) return global;
  const rest = Object.fromEntries(
    inherited.filter((key) => global[key] !== undefined).map((key) => [key, global[key]]),
  );
  return {...rest, ...own};
}

/** Changes settings and leaves the others. @returns all that are set. @throws Refusal 42205 in read-only mode. */
export function putConfig(store: Store, subject: string, change: ConfigChange): Config {
  return store.transaction(() => {
    refuseReadOnly(store, subject);
    const before = store.settings(subject);
    const after: Record<string, unknown> =
      before.config === null ? {} : (JSON.parse(before.config) as Record<string, unknown>);
    for (const [key, value] of Object.entries(change)) {
      if (value === null) delete after[key];
      else if (value !== undefined) after[key] = value;
    }
    store.putSettings(subject, {...before, config: JSON.stringify(after)});
    return after as Config;
  });
}

/** @returns what was set. @throws Refusal 40401 when nothing is, 42205 in read-only mode. */
export function deleteConfig(store: Store, subject: string): Config {
  return store.transaction(() => {
    const config = configOf(store, subject);
    if (!config) throw refusals.subjectNotFound(subject);
    refuseReadOnly(store, subject);
    store.putSettings(subject, {...store.settings(subject), config: null});
    return config;
  });
}

/** The mode that is set for a subject itself, or globally, where there is always one. */
export function modeOf(store: Store, subject: string): Mode | undefined {
  const own = (store.settings(subject).mode as Mode | null) ?? undefined;
  return own ?? (subject === globally ? 'READWRITE' : undefined);
}

/** The mode that holds for a subject; a global READONLY_OVERRIDE holds before that of any subject. */
export function modeInScope(store: Store, subject: string): Mode {
  const global = modeOf(store, globally)!;
  return global === 'READONLY_OVERRIDE' ? global : (modeOf(store, subject) ?? global);
}

/** @throws Refusal 42205 when nothing may be changed. */
export function refuseReadOnly(store: Store, subject: string): void {
  if (modeInScope(store, subject).startsWith('READONLY'))
    throw refusals.notPermitted(`Subject ${subject} in context . is in read-only mode`);
}

/**
 * Sets a mode. IMPORT, where schemas come with their ids, needs a subject without versions unless `force`; versions
 * that are deleted already are then removed for good.
 * @throws Refusal 42205 when versions exist, 42206 when a deleted one is referenced.
 */
export function putMode(store: Store, subject: string, mode: Mode, force: boolean): void {
  store.transaction(() => {
    if (mode === 'IMPORT' && modeInScope(store, subject) !== 'IMPORT' && !force) {
      const versions = subject === globally ? store.all('') : store.versions(subject);
      if (versions.some(({deleted}) => !deleted))
        throw refusals.notPermitted('Cannot import since found existing subjects');
      for (const {subject: of, version} of versions)
        if (store.referrers(of, version).length > 0) throw refusals.referenced(of, version);
      for (const {subject: of, version, id} of versions) if (!store.isOwn(of, id)) store.remove(of, version);
    }
    store.putSettings(subject, {...store.settings(subject), mode});
  });
}

/** @param everywhere of all subjects too. @returns the mode that was set. @throws Refusal 40401 when none is. */
export function deleteMode(store: Store, subject: string, everywhere: boolean): Mode | undefined {
  return store.transaction(() => {
    const mode = modeOf(store, subject);
    if (!mode && !everywhere) throw refusals.subjectNotFound(subject);
    store.putSettings(subject, {...store.settings(subject), mode: null});
    if (everywhere && subject === globally)
      for (const {subject: of, config} of store.settingsOfAll()) store.putSettings(of, {config, mode: null});
    return mode;
  });
}
