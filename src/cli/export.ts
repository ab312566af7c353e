import {isAbsolute, relative} from 'node:path';
import {jsonSchema as schemaOf} from '../config/json-schema.ts';
import {secretBackends} from '../config/secrets/registry.ts';
import {PlatformError} from '../errors.ts';
import type {EventType, Platform} from '../model/types.ts';
import {connectControl} from '../platform/control.ts';
import {exampleEvent} from '../platform/events-example.ts';
import {openApiOf} from '../platform/events-openapi.ts';
import {placesOf} from '../platform/places.ts';
import type {PlatformStatus} from '../platform/status.ts';
import {sinks} from '../sinks/registry.ts';
import type {CommandBody, CommandCall} from './command.ts';
import {load, requirePlatform, unknownName} from './context.ts';
import {printJson} from './output.ts';

export const jsonSchema: CommandBody = async (call) => {
  const kind = call.args[0] ?? 'platform';
  if (kind !== 'platform' && kind !== 'environment' && kind !== 'domain')
    throw new PlatformError('USAGE', `there is no schema of "${kind}"`, {
      hint: 'platform, environment or domain',
    });
  const loaded = await load(call);
  const backends = loaded.ok
    ? {sinks: loaded.sinkSpecs, secrets: loaded.secretSpecs}
    : {sinks, secrets: secretBackends};
  printJson(call.io, schemaOf(kind, backends));
  return 0;
};

export const openapi: CommandBody = async (call) => {
  const platform = await requirePlatform(call);
  printJson(call.io, openApiOf(platform, await urlOf(platform)));
  return 0;
};

export const curl: CommandBody = async (call) => {
  const platform = await requirePlatform(call);
  const eventTypes = chosen(platform, call.args[0]);
  const url = await urlOf(platform);
  const lines = eventTypes.map((eventType) => ({
    event_type: `${eventType.domain}.${eventType.name}`,
    command: curlLine(eventType, url, tokenText(platform, call)),
  }));
  if (call.options.json) printJson(call.io, lines);
  else for (const {command} of lines) call.io.stdout.write(`${command}\n`);
  return 0;
};

/** Where the platform is served: as it runs, else as it is configured. */
async function urlOf({root, server: {host, port}}: Platform): Promise<string> {
  const control = await connectControl(root);
  if (control) return (await control.get<PlatformStatus>('/v1/status')).url;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function chosen({domains}: Platform, name: string | undefined): EventType[] {
  const all = domains.flatMap((domain) => domain.eventTypes);
  if (name === undefined) return all;
  const found = all.filter((each) => each.topic === name || each.name === name || each.domain === name);
  if (found.length > 0) return found;
  throw unknownName(
    'event type',
    name,
    all.map(({topic}) => topic),
  );
}

/** Text of the token for a shell: of the file that the platform writes, or of a variable when the configuration has one. */
function tokenText(platform: Platform, {io}: CommandCall): string {
  if (platform.server.token !== undefined) return '$MILLRACE_TOKEN';
  const path = relative(io.cwd, placesOf(platform).token);
  const shown = path.startsWith('..') || isAbsolute(path) ? placesOf(platform).token : path;
  return `$(cat ${/^[\w./-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", "'\\''")}'`})`;
}

function curlLine(eventType: EventType, url: string, token: string): string {
  const body = JSON.stringify(exampleEvent(eventType)).replaceAll("'", "'\\''");
  return `curl -sS ${url}/v1/events/${eventType.domain}/${eventType.name} -H "Authorization: Bearer ${token}" -H 'Content-Type: application/json' -d '${body}'`;
}
