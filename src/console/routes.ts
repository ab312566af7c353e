/** What a console answers, and what it refuses. */
import {PlatformError} from '../errors.ts';
import {partsOfRoles} from '../model/roles.ts';
import type {Platform} from '../model/types.ts';
import type {Metrics} from '../observe/metrics.ts';
import {askOf, forJson} from '../platform/ask.ts';
import {type Control, connectControl, connectTo} from '../platform/control.ts';
import {wholeLedger} from '../platform/ledger-whole.ts';
import {accessText, type PlatformDirs, placesOf} from '../platform/places.ts';
import {type RouteKey, takesNoEvents, text} from '../platform/routes.ts';
import type {Mount, Route, ServerOptions} from '../platform/server.ts';
import type {QueryResult} from '../sinks/types.ts';
import {createLetters} from './letters.ts';
import {createTurns} from './turns.ts';
import type {ConsoleStatus} from './types.ts';

/** An answer is made whole, as one text. */
const rowsMax = 100_000;
/** Each has a thread and a connection of its own, of which a database has few. */
const queriesAtOnce = 4;

type Answered = 'GET /v1/ping' | 'GET /v1/status' | 'GET /v1/ledger' | 'POST /v1/query';

/** Every other route of a process changes something: whom to ask for it. */
const whose: Record<Exclude<RouteKey, Answered>, string> = {
  'POST /v1/resume': 'the process whose query, input or delivery stopped',
  'POST /v1/generate': 'the process that runs with --only ingest',
  'POST /v1/generate/verify': 'the process that runs with --only ingest',
  'POST /v1/ingest': 'the process that runs with --only ingest',
  'POST /v1/replay': 'a process of the role whose work it is: ingest, engine or sinks',
  'POST /v1/rebuild': 'the process that runs with --only engine',
  'POST /v1/backfill': 'the process that runs with --only engine',
  'POST /v1/apply': 'the process that runs with --only engine',
  'POST /v1/rollback': 'the process that runs with --only engine',
  'POST /v1/prune': 'the process that runs with --only engine',
  'POST /v1/forget': 'a platform that runs as one process',
};

export type ConsoleParts = {
  platform: Platform;
  dirs: PlatformDirs;
  metrics: Metrics;
  status(): Promise<ConsoleStatus>;
  registry: Mount;
  token: string;
};

/** Open, as of every process: health and metrics. Everything else wants the token. */
export const optionsOf = (parts: ConsoleParts): ServerOptions => ({
  token: parts.token,
  access: accessText(parts.platform),
  open: openOf(parts),
  routes: routesOf(parts),
  mounts: {'/v1/events': takesNoEvents, '/registry': parts.registry},
  limits: parts.platform.server,
});

function openOf({platform, metrics}: ConsoleParts): ServerOptions['open'] {
  const plain = (body: string) => ({contentType: 'text/plain; charset=utf-8', text: `${body}\n`});
  const open: ServerOptions['open'] = {
    'GET /': async () =>
      plain(
        `millrace ${platform.name}, console\n\n${Object.keys(open).join('\n')}\n\neverything else wants ${accessText(platform)}`,
      ),
    'GET /livez': async () => plain('ok'),
    // Also without Kafka: that it is away is what it is asked about then.
    'GET /readyz': async () => plain('ok'),
    'GET /metrics': async () => ({contentType: metrics.contentType, text: await metrics.render()}),
  };
  return open;
}

function routesOf({platform, dirs, status}: ConsoleParts): Record<string, Route> {
  const letters = createLetters(platform, dirs);
  const inTurn = createTurns(queriesAtOnce);
  const answered: Record<Answered | 'GET /v1/letters', Route> = {
    'GET /v1/ping': async () => ({name: platform.name, pid: process.pid}),
    'GET /v1/status': status,
    'GET /v1/ledger': async () => wholeLedger(platform, dirs, await connectControl(platform.root)),
    'POST /v1/query': async ({body, signal}) => {
      const [sink, sql] = [text(body, 'sink'), text(body, 'sql')];
      if (!Object.hasOwn(platform.sinks, sink))
        throw new PlatformError('NAME_UNKNOWN', `there is no sink "${sink}"`, {
          hint: `one of ${Object.keys(platform.sinks).join(', ')}`,
        });
      return inTurn(signal, async () => {
        const ask = askOf(platform, await deliversHere(platform.root));
        return forJson(fewEnough(await ask(sink, sql, signal)));
      });
    },
    'GET /v1/letters': async ({params, signal}) => letters(params, signal),
  };
  const refused = Object.entries(whose).map(([key, who]): [string, Route] => [
    key,
    async () => {
      throw new PlatformError('REQUEST_INVALID', `this process only answers questions: nothing was done`, {
        hint: `ask ${who}`,
      });
    },
  ]);
  return {...answered, ...Object.fromEntries(refused)};
}

function fewEnough(result: QueryResult): QueryResult {
  if (result.rows.length <= rowsMax) return result;
  throw new PlatformError(
    'SINK_QUERY',
    `the answer has ${result.rows.length} rows, and a console gives ${rowsMax} at most`,
    {
      hint: 'select less, or add LIMIT',
    },
  );
}

/** An embedded database has one owner: the process of this directory that delivers into it, if there is one. */
async function deliversHere(root: string): Promise<Control | undefined> {
  const delivering = [undefined, ...partsOfRoles.filter((roles) => roles.includes('sinks'))];
  for (const roles of delivering) {
    const control = await connectTo(placesOf({root, ...(roles ? {roles} : {})}).controlSocket);
    if (control) return control;
  }
  return undefined;
}
