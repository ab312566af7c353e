/** Confluent's Schema Registry REST API, as a table: method and path -> what is done. */
import type {Clock} from '../clock.ts';
import {deleteSubject, deleteVersion} from '../schema/registry-delete.ts';
import {
  alive,
  compare,
  isSubjectName,
  lookUp,
  newest,
  referencedBy,
  versionIn,
} from '../schema/registry-lookup.ts';
import {Refusal, refusals} from '../schema/registry-refusal.ts';
import {register} from '../schema/registry-register.ts';
import {
  configInScope,
  configOf,
  deleteConfig,
  deleteMode,
  globally,
  modeInScope,
  modeOf,
  putConfig,
  putMode,
} from '../schema/registry-settings.ts';
import type {Registration, Store} from '../schema/registry-store.ts';
import {changedOf, contentOf, registeredOf, versionOf} from './registry-answers.ts';
import {flag, integer, malformed, page} from './registry-http.ts';
import {configChange, modeRequest, schemaRequest} from './registry-requests.ts';

/** A request that has found its route. */
export type RegistryCall = {
  store: Store;
  clock: Clock;
  /** What stands for the `{}` of the route, decoded. */
  path: string[];
  params: URLSearchParams;
  /** Of POST and PUT. */
  body: Record<string, unknown>;
};
/** A text is sent as it is, anything else as JSON. */
export type RegistryRoute = (call: RegistryCall) => unknown;

/** Name and release of this program, as `/v1/metadata/version` tells. */
export type Release = {version: string};

const schemasMax = 1000;

/** ":.:name" names the default context, which is the only one. */
const plain = (subject: string): string => subject.replace(/^:\.:/, '');

/** The subject of a call under `/subjects` and `/compatibility`: an alias stands for its subject. */
function subjectOf({store, path}: RegistryCall): string {
  const subject = plain(path[0]!);
  const alias = configOf(store, subject)?.alias;
  return subject !== globally && alias !== undefined ? alias : subject;
}

/** The subject whose settings a call means; without one, or with the default context, the global ones. */
const scopeOf = ({path}: RegistryCall): string => plain(path[0] ?? globally);

/** A version as paths have it. @throws Refusal 42202. */
function versionNumber(text: string): number {
  const trimmed = text.trim();
  if (trimmed.toLowerCase() === 'latest') return -1;
  const number = /^[+-]?\d{1,10}$/.test(trimmed) ? Number(trimmed) : Number.NaN;
  if (number === -1 || (number > 0 && number < 2 ** 31)) return number;
  throw refusals.invalidVersion(text);
}

/** `?format=resolved`: with the referenced types in it. */
const formatted = (found: Registration, params: URLSearchParams): Registration =>
  params.get('format')?.toLowerCase() === 'resolved' ? {...found, text: found.whole} : found;

function versionAt(call: RegistryCall, withDeleted = flag(call.params, 'deleted')): Registration {
  const {store, path} = call;
  return versionIn(store, subjectOf(call), versionNumber(path[1]!), withDeleted);
}

/** Prefix that a list is asked for; ":*:" is any context. */
const prefixOf = (params: URLSearchParams): string =>
  (params.get('subjectPrefix') ?? '').replace(/^:\*:/, '').replace(/^:\.:/, '');

/** A schema by its id: as it is in the subject that is asked for, else as in any. @throws Refusal 40403. */
function byId({store, path, params}: RegistryCall): Registration {
  const id = integer(path[0]!);
  const subject = plain(params.get('subject') ?? '');
  const registrations = store.ofId(id);
  const found = registrations.findLast((each) => each.subject === subject) ?? registrations[0];
  if (!found) throw refusals.schemaNotFound(id);
  return formatted(found, params);
}

/** Where an id is registered. @throws Refusal 40403. */
function placesOf({store, path, params}: RegistryCall): Registration[] {
  const registrations = store.ofId(integer(path[0]!));
  if (registrations.length === 0) throw refusals.schemaNotFound();
  const chosen = flag(params, 'deleted') ? registrations : alive(registrations);
  const subject = params.get('subject');
  return subject ? chosen.filter((each) => each.subject === plain(subject)) : chosen;
}

const unique = <T>(list: T[]): T[] => [...new Set(list)];

const subjects: Record<string, RegistryRoute> = {
  'GET /subjects': ({store, params}) => {
    const all = store.subjects(prefixOf(params));
    const withDeleted = flag(params, 'deleted');
    const chosen = flag(params, 'deletedOnly')
      ? all.filter(({deleted}) => deleted)
      : all.filter(({deleted}) => !deleted || withDeleted);
    return page(
      chosen.map(({subject}) => subject),
      params,
    );
  },
  'POST /subjects/{}': (call) => {
    const {store, params, body} = call;
    const found = lookUp(store, subjectOf(call), schemaRequest(body), {
      normalize: flag(params, 'normalize'),
      withDeleted: flag(params, 'deleted'),
    });
    return versionOf(formatted(found, params));
  },
  'DELETE /subjects/{}': (call) => deleteSubject(call.store, subjectOf(call), flag(call.params, 'permanent')),
  'GET /subjects/{}/metadata': (call) => {
    const {store, params} = call;
    const subject = subjectOf(call);
    const values = params.getAll('value');
    const wanted = params
      .getAll('key')
      .slice(0, values.length)
      .map((key, index) => [key, values[index]] as const);
    const all = store.versions(subject);
    const versions = flag(params, 'deleted') ? all : alive(all);
    const found = versions.findLast(({metadata}) => {
      const {properties} = JSON.parse(metadata ?? '{}') as {properties?: Record<string, string>};
      return properties !== undefined && wanted.every(([key, value]) => properties[key] === value);
    });
    if (found) return versionOf(formatted(found, params));
    throw versions.length === 0 ? refusals.subjectNotFound(subject) : refusals.schemaNotFound();
  },
  'GET /subjects/{}/versions': (call) => {
    const {store, params} = call;
    const subject = subjectOf(call);
    const all = store.versions(subject);
    const only = flag(params, 'deletedOnly');
    const withDeleted = flag(params, 'deleted');
    if ((only || withDeleted ? all : alive(all)).length === 0) throw refusals.subjectNotFound(subject);
    const negative = flag(params, 'deletedAsNegative');
    const chosen = all.filter(({deleted}) => (negative ? true : only ? deleted : !deleted || withDeleted));
    return page(
      chosen.map(({version, deleted}) => (negative && deleted ? -version : version)),
      params,
    );
  },
  'POST /subjects/{}/versions': (call) => {
    const {store, clock, params, body} = call;
    const wish = {normalize: flag(params, 'normalize'), force: flag(params, 'force')};
    return registeredOf(
      formatted(register(store, clock, subjectOf(call), schemaRequest(body), wish), params),
    );
  },
  'GET /subjects/{}/versions/{}': (call) => versionOf(formatted(versionAt(call), call.params)),
  'GET /subjects/{}/versions/{}/schema': (call) => formatted(versionAt(call), call.params).text,
  'GET /subjects/{}/versions/{}/referencedby': (call) =>
    page(
      referencedBy(call.store, versionAt(call, true), flag(call.params, 'deleted')),
      call.params,
      schemasMax,
    ),
  'DELETE /subjects/{}/versions/{}': (call) =>
    deleteVersion(call.store, subjectOf(call), versionNumber(call.path[1]!), flag(call.params, 'permanent')),
};

const schemas: Record<string, RegistryRoute> = {
  'GET /schemas': ({store, params}) => {
    for (const key of ['resourceType', 'associationType', 'lifecycle'])
      if (params.has(key)) throw malformed(`"${key}" is not supported: this registry has no associations`);
    const all = store.all(prefixOf(params));
    const chosen = flag(params, 'deleted') ? all : alive(all);
    const last = new Map(chosen.map((each) => [each.subject, each]));
    const list = flag(params, 'latestOnly') ? [...last.values()] : chosen;
    const ruleType = params.get('ruleType');
    const ruled = ruleType
      ? list.filter(({ruleSet}) => ruleSet?.includes(`"type":${JSON.stringify(ruleType)}`))
      : list;
    return page(ruled, params, schemasMax).map(versionOf);
  },
  'GET /schemas/types': () => ['AVRO'],
  'GET /schemas/ids/{}': (call) => {
    const {store, params} = call;
    const found = byId(call);
    const {subject, version} = found;
    return {
      ...(params.get('subject') ? {subject, version} : {}),
      ...contentOf(found),
      ...(flag(params, 'fetchMaxId') ? {maxId: store.idMax()} : {}),
    };
  },
  'GET /schemas/ids/{}/schema': (call) => byId(call).text,
  'GET /schemas/ids/{}/subjects': (call) =>
    page(unique(placesOf(call).map(({subject}) => subject)), call.params),
  'GET /schemas/ids/{}/versions': (call) =>
    page(
      placesOf(call).map(({subject, version}) => ({subject, version})),
      call.params,
    ),
  'GET /schemas/guids/{}': ({store, path, params}) => {
    const [id] = store.idsOf('guid', path[0]!.toLowerCase());
    if (id === undefined) throw refusals.schemaNotFound(path[0]!);
    return contentOf(formatted(store.ofId(id)[0]!, params));
  },
  'GET /schemas/guids/{}/ids': ({store, path}) =>
    store.idsOf('guid', path[0]!.toLowerCase()).map((id) => ({context: '.', id})),
};

/** The answer of a comparison; an unparsable schema is incompatible for those who asked for reasons. */
function compatibility(call: RegistryCall, against: Registration[]): unknown {
  const {store, params, body} = call;
  const verbose = flag(params, 'verbose');
  let messages: string[];
  try {
    const normalize = flag(params, 'normalize');
    messages = compare(store, subjectOf(call), schemaRequest(body), {normalize, against});
  } catch (error) {
    if (!(verbose && error instanceof Refusal && error.errorCode === 42201)) throw error;
    messages = [error.message];
  }
  return {is_compatible: messages.length === 0, ...(verbose ? {messages} : {})};
}

const compatibilities: Record<string, RegistryRoute> = {
  'POST /compatibility/subjects/{}/versions': (call) =>
    compatibility(call, alive(call.store.versions(subjectOf(call)))),
  'POST /compatibility/subjects/{}/versions/{}': (call) => {
    const {store, path} = call;
    const number = versionNumber(path[1]!);
    const versions = store.versions(subjectOf(call));
    const found = number === -1 ? newest(versions) : alive(versions).find(({version}) => version === number);
    // A subject without versions takes any first one.
    if (!found && number !== -1) throw refusals.versionNotFound(number);
    return compatibility(call, found ? [found] : []);
  },
};

/** A subject that can have settings. @throws Refusal 42208. */
function settable(call: RegistryCall): string {
  const scope = scopeOf(call);
  if (!isSubjectName(scope)) throw refusals.invalidSubject(scope);
  return scope;
}

const getConfig: RegistryRoute = (call) => {
  const {store, params} = call;
  const scope = scopeOf(call);
  const config = flag(params, 'defaultToGlobal') ? configInScope(store, scope) : configOf(store, scope);
  if (!config) throw refusals.configNotSet(scope);
  return config;
};
const changeConfig: RegistryRoute = (call) =>
  changedOf(putConfig(call.store, settable(call), configChange(call.body)));
const removeConfig: RegistryRoute = (call) => deleteConfig(call.store, scopeOf(call));

const getMode: RegistryRoute = (call) => {
  const {store, params} = call;
  const scope = scopeOf(call);
  const mode = flag(params, 'defaultToGlobal') ? modeInScope(store, scope) : modeOf(store, scope);
  if (!mode) throw refusals.modeNotSet(scope);
  return {mode};
};
const changeMode: RegistryRoute = (call) => {
  const mode = modeRequest(call.body);
  putMode(call.store, settable(call), mode, flag(call.params, 'force'));
  return {mode};
};
const removeMode: RegistryRoute = (call) => ({
  mode: deleteMode(call.store, scopeOf(call), flag(call.params, 'recursive')),
});

const settings: Record<string, RegistryRoute> = {
  'GET /config': getConfig,
  'PUT /config': changeConfig,
  'DELETE /config': removeConfig,
  'GET /config/{}': getConfig,
  'PUT /config/{}': changeConfig,
  'DELETE /config/{}': removeConfig,
  'GET /mode': getMode,
  'PUT /mode': changeMode,
  'DELETE /mode': removeMode,
  'GET /mode/{}': getMode,
  'PUT /mode/{}': changeMode,
  'DELETE /mode/{}': removeMode,
};

/** Every route. @param release what this program calls itself. */
export const registryRoutes = (release: Release): Record<string, RegistryRoute> => ({
  'GET /': () => ({}),
  'POST /': ({body}) => {
    for (const [key, value] of Object.entries(body))
      if (typeof value === 'object') throw malformed(`"${key}" is no text`);
    return {};
  },
  ...subjects,
  ...schemas,
  ...compatibilities,
  ...settings,
  'GET /contexts': ({params}) => page('.'.startsWith(params.get('contextPrefix') ?? '') ? ['.'] : [], params),
  'GET /v1/metadata/id': () => ({
    id: '',
    scope: {path: [], clusters: {'kafka-cluster': 'millrace', 'schema-registry-cluster': 'schema-registry'}},
  }),
  'GET /v1/metadata/version': () => ({version: release.version, commitId: 'millrace'}),
});
