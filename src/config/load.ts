import {basename} from 'node:path';
import {withoutSecrets} from '../errors.ts';
import {useKeyPlaces} from '../invocation.ts';
import {Diagnostics, type Path} from './diagnostics.ts';
import {findRoot, type Layers, readLayers} from './files.ts';
import {merge} from './merge.ts';
import {type ConfigNode, child, type ListNode, type MapNode} from './nodes.ts';
import {loadPlugin, type Plugins} from './plugins.ts';
import {read} from './read.ts';
import type {ReadContext} from './read-leaf.ts';
import type {SecretKeeper} from './secrets/keeper.ts';
import {secretBackends} from './secrets/registry.ts';
import {askSecrets, type SecretAnswer, secretNames} from './secrets/resolve.ts';
import type {SecretBackendSpec} from './secrets/types.ts';
import {SourceFile} from './source.ts';
import {domainSpec} from './specs/domain.ts';
import {type BackendSpecs, defaultsSpec, platformSpec} from './specs/platform.ts';

export type LoadOptions<S extends BackendSpecs = BackendSpecs> = {
  /** Where the search for `config/` begins; upward from here. */
  from: string;
  /** Name of the environment; default: MILLRACE_ENV of `variables`, then dev. */
  env?: string;
  /** Sink backends that exist, by name; those of plugins are added. */
  sinkSpecs: S;
  /** Environment variables, for MILLRACE_ENV and the secret backend `env`; default process.env. */
  variables?: Record<string, string | undefined>;
  /** Of a process that runs a platform: holds the secret backend open. Absent: it is closed once the secrets are read. */
  keeper?: SecretKeeper;
};

/** A configuration that was read: values in the units of the specifications, and the trees that know their places. */
export type LoadedConfig = {
  root: string;
  env: string;
  /** Merged platform and environment; values of mistaken keys are missing. */
  platform: {node: ConfigNode; values: Record<string, unknown>};
  /** False when platform.yaml or the environment was not readable: what they would say is unknown. */
  platformKnown: boolean;
  domains: LoadedDomain[];
  sinkSpecs: BackendSpecs;
  secretSpecs: Record<string, SecretBackendSpec>;
  diagnostics: Diagnostics;
};

export type LoadedDomain = {
  file: SourceFile;
  node: ConfigNode;
  values: Record<string, unknown>;
  /** The platform's defaults with the domain's on top. */
  defaults: {node: ConfigNode; values: Record<string, unknown>};
};

/**
 * Finds, reads, merges and checks the configuration as far as its form goes; what it means is the model's business. Nothing
 * connects, but plugins are loaded and secrets are read. Mistakes are collected, never thrown. Undefined without a `config/`.
 */
export async function loadConfig(
  options: LoadOptions,
): Promise<LoadedConfig | {diagnostics: Diagnostics; root: undefined}> {
  const diagnostics = new Diagnostics();
  const variables = options.variables ?? process.env;
  const env = options.env ?? (variables.MILLRACE_ENV || 'dev');
  const root = findRoot(options.from);
  if (root === undefined) {
    diagnostics.file(
      options.from,
      'CONFIG_NOT_FOUND',
      'there is no config/ with platform.yaml or domains/, here or above',
      'npx millrace init makes one; --config names another directory',
    );
    return {diagnostics, root: undefined};
  }
  const layers = readLayers(root, env, diagnostics);
  const node = platformNode(root, layers);
  useKeyPlaces(placesOfServers(node));
  const plugins = await loadPlugins(node, options.sinkSpecs, {diagnostics, root, secrets: 'none'});
  const spec = platformSpec(plugins.sinks, plugins.secrets);
  const secrets = await resolveSecrets(
    node,
    spec,
    plugins.secrets,
    {diagnostics, root, secrets: 'none'},
    {variables, keeper: options.keeper},
  );
  const values = (read(node, spec, [], {
    diagnostics,
    root,
    secrets,
    elsewhere: elsewhere(domainSpec, 'config/domains/<name>.yaml'),
  }) ?? {}) as Record<string, unknown>;
  const domains = layers.domains.flatMap(({file, node: domain}) =>
    domain
      ? [
          readDomain(file, domain, node, {
            diagnostics,
            root,
            secrets: 'none',
            elsewhere: elsewhere(spec, 'config/platform.yaml'),
          }),
        ]
      : [],
  );
  for (const {file, node: domain} of layers.domains)
    if (domain && child(domain, 'event_types') === undefined)
      diagnostics.warnFile(
        file.shown,
        'DOMAIN_EMPTY',
        domain.kind === 'map' && domain.entries.size === 0
          ? 'the file is empty: nothing will run in this domain'
          : 'the domain has no event types: nothing will run in it',
        'add `event_types:`, or remove the file',
      );
  if (layers.domains.length === 0)
    diagnostics.warnFile(
      'config/domains',
      'DOMAINS_EMPTY',
      'there is no domain: nothing will run',
      'write config/domains/<name>.yaml',
    );
  return {
    root,
    env,
    platform: {node, values},
    platformKnown: [layers.platform, layers.environment].every(
      (layer) => layer === undefined || layer.node !== undefined,
    ),
    domains,
    sinkSpecs: plugins.sinks,
    secretSpecs: plugins.secrets,
    diagnostics,
  };
}

/** Keys that say where servers are, which are told with their place when one does not answer. */
const serverKeys = [
  'log.kafka.brokers',
  'registry.confluent.url',
  'secrets.vault.url',
  'engine.embedded.s3.endpoint',
  'engine.embedded.checkpoints',
];

function placesOfServers(node: ConfigNode): Map<string, string> {
  const found = new Map<string, string>();
  for (const key of serverKeys) {
    const value = key
      .split('.')
      .reduce<ConfigNode | undefined>((at, name) => (at?.kind === 'map' ? child(at, name) : undefined), node);
    if (!value) continue;
    const {line, column} = value.place.file.position(value.place.start);
    found.set(key, `${value.place.file.shown}:${line}:${column}`);
  }
  return found;
}

/** A hint for keys that another kind of file has. */
const elsewhere =
  (spec: {fields: Record<string, unknown>}, file: string) =>
  (key: string): string | undefined =>
    Object.hasOwn(spec.fields, key) ? `it belongs in ${file}` : undefined;

/** Platform and environment merged; an empty map when neither exists. */
function platformNode(root: string, {platform, environment}: Layers): ConfigNode {
  const file = new SourceFile(root, 'config/platform.yaml', '');
  const empty: ConfigNode = {kind: 'map', entries: new Map(), place: {file, start: 0, end: 0}};
  return platform?.node || environment?.node ? merge(platform?.node, environment?.node) : empty;
}

function readDomain(
  file: SourceFile,
  node: ConfigNode,
  platform: ConfigNode,
  context: ReadContext,
): LoadedDomain {
  const values = (read(node, domainSpec, [], context) ?? {}) as Record<string, unknown>;
  values.domain ??= child(node, 'domain') ? undefined : basename(file.path).replace(/\.yaml$/, '');
  const own = child(node, 'defaults');
  const common = child(platform, 'defaults');
  const none: MapNode = {kind: 'map', entries: new Map(), place: node.place};
  const defaults = own?.kind === 'map' || common?.kind === 'map' ? merge(common, own) : none;
  const isMap = defaults.kind === 'map';
  return {
    file,
    node,
    values,
    defaults: {
      node: defaults,
      values: read(isMap ? defaults : none, defaultsSpec, ['defaults'], context) as Record<string, unknown>,
    },
  };
}

/** Backends of Millrace and of the plugins together. A plugin cannot replace one that exists. */
async function loadPlugins(node: ConfigNode, sinks: BackendSpecs, context: ReadContext): Promise<Plugins> {
  const all: Plugins = {sinks: {...sinks}, secrets: {...secretBackends}};
  const list = child(node, 'plugins') as ListNode | undefined;
  const paths =
    list?.kind === 'list'
      ? (read(list, platformSpec({}, {}).fields.plugins!, ['plugins'], context) as (string | undefined)[])
      : [];
  for (const [index, path] of paths.entries()) {
    if (path === undefined) continue;
    const {place} = list!.items[index]!;
    const path_: Path = ['plugins', index];
    try {
      const plugin = await loadPlugin(path);
      for (const kind of ['sinks', 'secrets'] as const)
        for (const [name, spec] of Object.entries(plugin[kind])) {
          if (Object.hasOwn(all[kind], name))
            context.diagnostics.error(place, 'PLUGIN_INVALID', `the backend ${name} exists already`, {
              path: path_,
            });
          else Object.assign(all[kind], {[name]: spec});
        }
    } catch (error) {
      context.diagnostics.error(place, 'PLUGIN_INVALID', (error as Error).message, {path: path_});
    }
  }
  return all;
}

/** Opens the chosen secret backend and asks it for every name that the platform's values refer to. */
async function resolveSecrets(
  node: ConfigNode,
  spec: ReturnType<typeof platformSpec>,
  backends: Record<string, SecretBackendSpec>,
  context: ReadContext,
  {variables, keeper}: {variables: Record<string, string | undefined>; keeper: SecretKeeper | undefined},
): Promise<Map<string, SecretAnswer>> {
  const names = secretNames(node);
  if (names.size === 0) return new Map();
  const section = child(node, 'secrets') ?? ({kind: 'map', entries: new Map(), place: node.place} as MapNode);
  // Its mistakes are told when the whole platform is read.
  const silent: ReadContext = {...context, diagnostics: new Diagnostics()};
  const chosen = read(section, spec.fields.secrets!, ['secrets'], silent) as
    | Record<string, unknown>
    | undefined;
  const name = chosen?.backend as string | undefined;
  const backend = name !== undefined && Object.hasOwn(backends, name) ? backends[name] : undefined;
  const failed = (message: string) =>
    new Map([...names].map((key): [string, SecretAnswer] => [key, {kind: 'failed', message}]));
  if (!backend || silent.diagnostics.hasErrors) return failed('the section `secrets:` has mistakes');
  try {
    const options = (chosen![backend.name] ?? {}) as Record<string, unknown>;
    const where = {root: context.root, env: variables};
    if (keeper) return await askSecrets(names, await keeper.open(backend, options, where));
    const opened = await backend.open(options, where);
    try {
      return await askSecrets(names, opened);
    } finally {
      await opened.close?.();
    }
  } catch (error) {
    return failed(withoutSecrets(error instanceof Error ? error.message : 'unknown failure'));
  }
}
