import {basename} from 'node:path';
import type {LoadedConfig} from '../config/load.ts';
import {defaultOf} from '../config/read.ts';
import type {Secret} from '../config/secrets/secret.ts';
import {buildDomain} from './domain.ts';
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
  const engine = (values.engine?.embedded ?? {}) as {
    workers: number | 'auto';
    flush: number;
    checkpoint_interval: number;
    checkpoints: string;
  };
  return {
    name: (values.platform as unknown as string | undefined) ?? (basename(root) || 'platform'),
    env,
    root,
    domains,
    log: choiceOf(values.log),
    registry: choiceOf(values.registry),
    engine: {
      workers: engine.workers,
      flushMs: engine.flush,
      checkpointIntervalMs: engine.checkpoint_interval,
      checkpointsDir: engine.checkpoints,
    },
    sinks: sinks.choices((backend) => defaultOptions(specs[backend]!.fields, config)),
    server: serverOf(values.server as unknown as ServerSection),
    plugins: (values.plugins as unknown as string[] | undefined) ?? [],
  };
}

/** `server:` with its defaults filled in. */
type ServerSection = {
  host: string;
  port: number;
  token?: Secret;
  connections: number;
  request_timeout: number;
  events: {body: number; inflated: number; records: number; in_flight: number};
};

function serverOf({host, port, token, connections, request_timeout, events}: ServerSection): ServerConfig {
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
