import {existsSync, realpathSync} from 'node:fs';
import type {Server} from 'node:http';
import {dirname, isAbsolute, relative, sep} from 'node:path';
import {PlatformError} from '../errors.ts';
import type {IngestProgress, IngestReport} from '../ingest/file.ts';
import {does} from '../model/roles.ts';
import type {Input} from '../model/types.ts';
import {registryPlace} from '../schema/registry-open.ts';
import {applyRunning, rollBack} from './apply.ts';
import {forJson} from './ask.ts';
import {lagMaxDefaultMs} from './change.ts';
import {prune} from './change-prune.ts';
import {forgetValue} from './forget.ts';
import {orderGenerator, verifyRunning} from './generate-order.ts';
import type {IngestJob} from './ingest-types.ts';
import {accessText, type Places} from './places.ts';
import {whyNotReady} from './readiness.ts';
import {refillRunning} from './rebuild.ts';
import {mountElsewhere, mountRegistry} from './registry-mount.ts';
import {replayRunning} from './replay-run.ts';
import {replayRequestOf} from './replay-types.ts';
import type {RunningPlatform} from './runtime.ts';
import {listenControl, listenTcp, type Mount, type Route, type ServerOptions} from './server.ts';

/** What the command line and other programs may ask of a running platform. */
export async function startServers(
  running: RunningPlatform,
  {places, token, host, port}: {places: Places; token: string; host: string; port: number},
): Promise<Server[]> {
  const {registry: source} = running.dirs;
  const registry = source.server
    ? {mount: mountElsewhere(registryPlace(source)), close() {}}
    : mountRegistry(source.dir, running.metrics);
  const options: ServerOptions = {
    token,
    access: accessText(running.platform),
    open: openRoutes(running),
    routes: routesOf(running),
    mounts: mountsOf(running, registry.mount),
    limits: running.platform.server,
  };
  const tcp = await listenTcp(options, host, port).catch((error) => {
    registry.close();
    throw error;
  });
  tcp.once('close', () => registry.close());
  try {
    return [tcp, await listenControl(options, places.controlSocket)];
  } catch (error) {
    tcp.close();
    throw error;
  }
}

function openRoutes(running: RunningPlatform): ServerOptions['open'] {
  const plain = (text: string, status = 200) => ({
    contentType: 'text/plain; charset=utf-8',
    text: `${text}\n`,
    status,
  });
  const open: ServerOptions['open'] = {
    'GET /': async () =>
      plain(
        `millrace ${running.platform.name}\n\n${Object.keys(open).join('\n')}\n\neverything else wants ${accessText(running.platform)}`,
      ),
    'GET /livez': async () => plain('ok'),
    'GET /readyz': async () => {
      const why = whyNotReady(running.status(), running.platform.roles);
      return why === undefined ? plain('ok') : plain(why, 503);
    },
    'GET /metrics': async () => ({
      contentType: running.metrics.contentType,
      text: await running.metrics.render(),
    }),
  };
  return open;
}

function routesOf(running: RunningPlatform) {
  const {platform, outputs, engine, inputs} = running;
  return {
    'GET /v1/ping': async () => ({name: platform.name, pid: process.pid}),
    'GET /v1/status': async () => running.status(),
    'GET /v1/ledger': async () => running.ledger(),
    'POST /v1/query': async ({body}) => {
      const sink = text(body, 'sink');
      const sql = text(body, 'sql');
      // A raw sink opens beside everything else; its tables are there when it has.
      await outputs.raw.started(sink);
      return forJson(await outputs.sql(sink, sql));
    },
    'POST /v1/resume': async ({body}) => {
      const name = text(body, 'name');
      const query = engine.status().find(({query: id}) => id === name || id.endsWith(`.${name}`));
      const target = query?.query ?? name;
      const waits = outputs
        .deliveries()
        .some(({table, state}) => state !== 'running' && table.replace(/__r\d+$/, '') === target);
      if (query?.state === 'running' && !waits) return {resumed: target, ran: true};
      const delivered = (await outputs.resume(target)) || running.rows?.resume(target) === true;
      if (query && query.state !== 'running') await engine.resume(query.query);
      if (!delivered && !query && !inputs.resume(name)) throw unknownTarget(name);
      return {resumed: target};
    },
    'POST /v1/generate': async ({body}) => orderGenerator(running, body),
    'POST /v1/generate/verify': async ({body, signal}) =>
      verifyRunning(running, text(body, 'domain'), signal),
    'POST /v1/ingest': async ({body, isOwner}) => ingestLines(running, jobOf(running, body, isOwner)),
    'POST /v1/replay': async ({body}) => replayRunning(running, replayRequestOf(body)),
    'POST /v1/rebuild': async ({body, signal}) =>
      refillRunning(running, {query: text(body, 'query'), why: 'rebuild'}, changeOptions(body, signal)),
    'POST /v1/backfill': async ({body, signal}) =>
      refillRunning(
        running,
        {query: text(body, 'query'), why: 'backfill', archive: body.archive === true},
        changeOptions(body, signal),
      ),
    'POST /v1/apply': async ({body, signal}) => applyRunning(running, changeOptions(body, signal)),
    'POST /v1/rollback': async ({body, signal}) =>
      rollBack(running, names(body, 'queries'), changeOptions(body, signal)),
    'POST /v1/forget': async ({body}) =>
      forgetValue(running, {
        attribute: text(body, 'attribute'),
        value: typeof body.value === 'string' ? body.value : text(body, 'value'),
        dryRun: body.dryRun === true,
        actor: text(body, 'actor'),
      }),
    'POST /v1/prune': async ({body}) => prune(running, whole(body, 'keep', 1)),
  } satisfies Record<string, Route>;
}

/** "GET /v1/status" and so on: what a process that does a part of the work can be asked. */
export type RouteKey = keyof ReturnType<typeof routesOf>;

/** In the place of ingestion, in a process that takes no events. */
export const takesNoEvents: Mount = {
  async answer() {
    throw new PlatformError('REQUEST_INVALID', 'this process takes no events', {
      hint: 'send them to the process that runs with --only ingest',
    });
  },
};

/** Programs of their own under a path: ingestion, the schema registry. */
function mountsOf({platform, events}: RunningPlatform, registry: Mount): Record<string, Mount> {
  return {'/v1/events': does(platform, 'ingest') ? events.mount : takesNoEvents, '/registry': registry};
}

function changeOptions(body: Record<string, unknown>, signal: AbortSignal) {
  const {yes = false} = body;
  if (typeof yes !== 'boolean') throw wrong('yes', 'true or false');
  return {yes, lagMaxMs: whole(body, 'lagMaxMs', lagMaxDefaultMs), signal};
}

const wrong = (name: string, wanted: string) =>
  new PlatformError('REQUEST_INVALID', `"${name}" is not ${wanted}`, {hint: 'nothing was done'});

/** A whole number from 0 on. What is said wrongly is refused: the default could do more than was meant. */
function whole(body: Record<string, unknown>, name: string, absent: number): number {
  const value = body[name];
  if (value === undefined) return absent;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw wrong(name, 'a whole number from 0 on');
}

/** A list of names; none when it is absent. */
function names(body: Record<string, unknown>, name: string): string[] {
  const value = body[name] ?? [];
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value;
  throw wrong(name, 'a list of names');
}

/** A text of a request's body that must be there. @throws REQUEST_INVALID */
export function text(body: Record<string, unknown>, name: string): string {
  const value = body[name];
  if (typeof value === 'string' && value !== '') return value;
  throw new PlatformError('REQUEST_INVALID', `"${name}" is missing`, {hint: `send {"${name}": "..."}`});
}

function jobOf(
  {platform}: RunningPlatform,
  body: Record<string, unknown>,
  isOwner: boolean,
): Omit<IngestJob, 'maxima'> {
  const domain = text(body, 'domain');
  const input = text(body, 'input');
  const known = platform.domains
    .find(({name}) => name === domain)
    ?.inputs.find((each) => each.name === input);
  if (!known) throw new PlatformError('NAME_UNKNOWN', `there is no input ${domain}.${input}`);
  const path = text(body, 'path');
  if (!isOwner) checkBeside(known, path);
  return {
    domain,
    input,
    path,
    as: typeof body.as === 'string' ? body.as : null,
    fast: body.fast === true,
    late: body.late === true,
    final: body.final === true,
  };
}

/**
 * Who has the token and not this machine brings files in from where the input's own file lies, nothing hidden among them: of any
 * other file the answer, or a dead letter, would show what is in it. @throws REQUEST_INVALID, also for what is not there
 */
function checkBeside({domain, name, from}: Input, path: string): void {
  const home = from !== null && existsSync(dirname(from)) ? realpathSync(dirname(from)) : undefined;
  const inner = home && existsSync(path) ? relative(home, realpathSync(path)) : undefined;
  if (inner && !isAbsolute(inner) && inner.split(sep).every((part) => !part.startsWith('.'))) return;
  throw new PlatformError('REQUEST_INVALID', `no file of that path is read for ${domain}.${name} over HTTP`, {
    hint: `${from === null ? 'the input names no file' : 'only files below the directory of the input'}: on the machine itself: npx millrace ingest ${name} <file>; or send the events to /v1/events`,
  });
}

type IngestLine =
  | {progress: IngestProgress}
  | {report: IngestReport}
  | {error: {code: string; message: string; hint?: string | undefined}};

/** Progress while a file is ingested, then its report or its error. */
async function* ingestLines(
  {inputs}: RunningPlatform,
  job: Omit<IngestJob, 'maxima'>,
): AsyncGenerator<IngestLine> {
  const lines: IngestLine[] = [];
  let wake = () => {};
  const push = (line: IngestLine) => {
    lines.push(line);
    wake();
  };
  let done = false;
  void inputs
    .ingest(job, (progress) => push({progress}))
    .then(
      (report) => push({report}),
      (error) =>
        push({
          error:
            error instanceof PlatformError
              ? {code: error.code, message: error.message, hint: error.hint}
              : {code: 'INTERNAL', message: String(error)},
        }),
    )
    .finally(() => {
      done = true;
      wake();
    });
  for (;;) {
    const line = lines.shift();
    if (line) yield line;
    else if (done) return;
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
}

function unknownTarget(name: string): PlatformError {
  return new PlatformError('NAME_UNKNOWN', `nothing named "${name}" has stopped`, {
    hint: 'npx millrace status shows what runs and what stopped',
  });
}
