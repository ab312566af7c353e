import {basename} from 'node:path';
import type {LoadedConfig} from '../config/load.ts';
import {child, nodeAt, quote} from '../config/nodes.ts';
import {defaultOf} from '../config/read.ts';
import type {Secret} from '../config/secrets/secret.ts';
import {buildDomain} from './domain.ts';
import {type EngineSection, engineOf} from './engine.ts';
import {checkKafka} from './log.ts';
import {Reporter} from './reporter.ts';
import {SinkNames, type SinkSpecs} from './sinks.ts';
import type {BackendChoice, Domain, Platform, ServerConfig} from './types.ts';

type Section = {backend?: string} & Record<string, unknown>;

/**
 * The model of a configuration: everything that is written is checked, every default is filled in. Mistakes go to
 * `config.diagnostics`; the result is only right when there are no errors.
 */
export function buildPlatform(config: LoadedConfig): Platform {
  const {root, env, diagnostics} = config;
  const values = config.platform.values as Record<string, Section | undefined>;
  const specs = config.sinkSpecs as SinkSpecs;
  const sinks = new SinkNames(
    (values.sinks ?? {}) as Record<string, Section>,
    config.platform.node,
    specs,
    config.platformKnown,
    diagnostics,
  );
  const domains = config.domains.map((domain) => buildDomain(domain, sinks, diagnostics));
  checkDomainNames(config, domains);
  const log = choiceOf(values.log);
  checkKafka(log, new Reporter(config.platform.node, diagnostics));
  return {
    name: (values.platform as unknown as string | undefined) ?? (basename(root) || 'platform'),
    env,
    root,
    domains,
    log,
    registry: choiceOf(values.registry),
    engine: engineOf(config, values.engine?.embedded as EngineSection | undefined),
    sinks: sinks.choices((backend) => defaultOptions(specs[backend]!.fields, config)),
    server: serverOf(
      values.server as unknown as ServerSection,
      new Reporter(config.platform.node, diagnostics),
    ),
    plugins: (values.plugins as unknown as string[] | undefined) ?? [],
    ...piiOf(config, domains),
  };
}

/** Shorter ones can be guessed. */
const piiKeyLengthMin = 32;

/** `pii:`; reports what is protected without a key. */
function piiOf(config: LoadedConfig, domains: Domain[]): Pick<Platform, 'pii'> {
  const {platform, platformKnown, diagnostics} = config;
  const {key} = ((platform.values.pii as {key?: Secret} | undefined) ?? {}) as {key?: Secret};
  const howTo = 'a key: openssl rand -base64 32; put it as pii_key=... into .env';
  const reporter = new Reporter(platform.node, diagnostics);
  if (key !== undefined) {
    if (key.reveal().length >= piiKeyLengthMin) return {pii: {key}};
    const message = `the key has ${key.reveal().length} characters, ${piiKeyLengthMin} are needed`;
    reporter.error(['pii', 'key'], 'PII_KEY', message, {hint: howTo});
    return {};
  }
  if (!platformKnown || reporter.has(['pii', 'key'])) return {};
  for (const [index, {eventTypes}] of domains.entries())
    for (const [at, {fields}] of eventTypes.entries()) {
      const field = fields.find(({pii}) => pii !== undefined);
      if (!field) continue;
      const {node} = config.domains[index]!;
      const message = `${quote(field.name)} is personal data, and platform.yaml has no key for it`;
      const hint = `add to platform.yaml: pii: {key: "\${secret:pii_key}"}; ${howTo}`;
      const attributes = ['event_types', at, 'attributes'];
      const list = nodeAt(node, attributes).node;
      const items = list.kind === 'list' ? list.items : [list];
      const place = items.findIndex((item) => {
        const name = child(item, 'name');
        return name?.kind === 'scalar' && name.value === field.name;
      });
      new Reporter(node, diagnostics).error([...attributes, Math.max(0, place)], 'PII_KEY', message, {hint});
      return {};
    }
  return {};
}

/** `server:` with its defaults filled in. */
type ServerSection = {
  host: string;
  port: number;
  token?: Secret;
  connections: number;
  request_timeout: number;
  events: {body: number; inflated: number; records: number; in_flight: number};
  rate?: {events: number; burst?: number};
};

/** What a header can carry. An empty one, as of a variable that is not set, would let in whoever shows none. */
const tokenPattern = /^[\x21-\x7e]{8,}$/;

function serverOf(section: ServerSection, reporter: Reporter): ServerConfig {
  const {host, port, token, connections, request_timeout, rate} = section;
  if (token !== undefined && !tokenPattern.test(token.reveal()))
    reporter.error(
      ['server', 'token'],
      'VALUE_INVALID',
      'a token has 8 characters at least, no space and nothing beyond ASCII',
      {hint: 'make one: openssl rand -hex 24; or leave it out, then every start makes one'},
    );
  // Absent when it has mistakes, which were told.
  const events = section.events ?? ({} as ServerSection['events']);
  return {
    host,
    port,
    ...(token === undefined ? {} : {token}),
    connectionsMax: connections,
    requestTimeoutMs: request_timeout,
    events: {
      bodyBytesMax: events.body,
      inflatedBytesMax: events.inflated,
      recordsMax: events.records,
      inFlightBytesMax: events.in_flight,
    },
    ...(rate ? {rate: {perSecond: rate.events, burst: rate.burst ?? rate.events}} : {}),
  };
}

function choiceOf(section: Section | undefined): BackendChoice {
  const backend = section?.backend ?? 'embedded';
  return {backend, options: (section?.[backend] ?? {}) as Record<string, unknown>};
}

function defaultOptions(
  fields: SinkSpecs[string]['fields'],
  {diagnostics, root}: LoadedConfig,
): Record<string, unknown> {
  return (defaultOf({type: 'object', doc: '', fields}, {diagnostics, root, secrets: 'none'}) ?? {}) as Record<
    string,
    unknown
  >;
}

function checkDomainNames(config: LoadedConfig, domains: Domain[]): void {
  const taken = new Map<string, string>();
  for (const [index, {name}] of domains.entries()) {
    const {node, file} = config.domains[index]!;
    if (name !== '')
      new Reporter(node, config.diagnostics).claim(taken, name, `the domain of ${file.shown}`, ['domain']);
  }
}
