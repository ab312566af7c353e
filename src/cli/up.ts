import {chmodSync, existsSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {parseEnv} from 'node:util';
import {cacheDir} from '../cluster/cache.ts';
import {type LocalServer, listServers, shareSecrets, upServer, variablesOf} from '../cluster/local.ts';
import {type LocalName, localKinds} from '../cluster/local-kinds.ts';
import {requireFree} from '../cluster/single.ts';
import {PlatformError} from '../errors.ts';
import {invocation} from '../invocation.ts';
import {readPlain} from '../plain-file.ts';
import type {CommandBody, CommandCall, CommandIo} from './command.ts';
import {localJson, localNamesOf, localPlace, localTable, neededServers} from './local.ts';
import {palette, printJson, reportFailure} from './output.ts';

const defaultEnvironment = 'single';

export const run: CommandBody = async (call) => {
  const {options, io, args} = call;
  const {root, home} = localPlace(call);
  const brokers = brokersOf(options.brokers);
  const needed = neededServers(root, environmentOf(call));
  const say = (name: string, text: string) => io.stderr.write(`${name}: ${text}\n`);
  if (args.length === 0)
    for (const {name, elsewhere} of needed)
      if (elsewhere)
        say(name, `the configuration names ${elsewhere}, which is not this machine: not started`);
  const names =
    args.length > 0
      ? localNamesOf(args)
      : needed.filter(({elsewhere}) => elsewhere === undefined).map(({name}) => name);
  if (names.length === 0) {
    if (options.json) printJson(io, {servers: [], variables: {}, settings: {}});
    io.stderr.write(
      `the environment ${environmentOf(call) ?? defaultEnvironment} needs no servers of this machine beside the platform\n`,
    );
    return 0;
  }
  if (options.fetchOnly) return fetchOnly(call, names, say);
  await checkPorts(home, names, needed);
  const envFile = join(root, '.env');
  const secrets = [secretsIn(readEnvironment(envFile)), secretsIn(io.env)];
  const outcomes = await Promise.allSettled(
    names.map(async (name) => {
      const {server, isNew, entrance} = await upServer(home, name, {
        progress: say,
        secrets,
        wanted: needed.find((each) => each.name === name)?.wanted,
        ...(name === 'kafka' && brokers !== undefined ? {brokers} : {}),
      });
      say(name, isNew ? `${server.title} runs` : `${server.title} runs already`);
      if (entrance !== 'kept') say(name, entrances[entrance]);
      return server;
    }),
  );
  const servers = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const failures = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []));
  const vault = servers.find(({name}) => name === 'vault');
  if (vault)
    await shareSecrets(
      vault,
      servers.filter((each) => each !== vault),
    );
  const variables = variablesOf(servers);
  if (options.writeEnv && servers.length > 0) writeEnvironment(envFile, variables, io);
  const known = {...io.env, ...readEnvironment(envFile)};
  const isKnown = Object.entries(variables).every(([name, value]) => known[name] === value);
  const named = new Set(needed.flatMap(({name, wanted}) => (wanted ? [name] : [])));
  await show(call, {home, started: servers, named, isKnown, failures});
  return failures.reduce<number>((code, failure) => reportFailure(failure, io, false) || code, 0);
};

/** Said of a server whose secrets are not those that it was started with. */
const entrances = {
  found:
    'its password was changed in the server since; the one of .env or of the environment lets in, and is kept',
  unknown:
    'its password was changed in the server since, and none that is known lets in: .env and Vault keep what they have; write the new one into .env as POSTGRES_PASSWORD',
};

/** Variables as secrets, by their names in small letters. */
const secretsIn = (variables: NodeJS.ProcessEnv): Record<string, string> =>
  Object.fromEntries(
    Object.entries(variables).flatMap(([name, value]) =>
      value === undefined ? [] : [[name.toLowerCase(), value]],
    ),
  );

const readEnvironment = (path: string): NodeJS.ProcessEnv =>
  existsSync(path) ? parseEnv(readPlain(path)) : {};

/** Before anything is started: one that cannot be had where the configuration names it leaves no others behind. @throws SERVER_FAILED */
async function checkPorts(
  home: string,
  names: LocalName[],
  needed: ReturnType<typeof neededServers>,
): Promise<void> {
  const own = new Set(listServers(home).flatMap(({name, phase}) => (phase === 'stopped' ? [] : [name])));
  for (const {name, wanted} of needed)
    if (wanted && names.includes(name) && !own.has(name))
      await requireFree(wanted.ports, wanted.place, {wanted, otherwise: 'name another port'});
}

const environmentOf = ({options, io}: CommandCall): string | undefined =>
  options.env ?? (io.env.MILLRACE_ENV || undefined);

/** One after the other: each has the whole line, and what is told stays readable. */
async function fetchOnly(
  {options, io}: CommandCall,
  names: LocalName[],
  say: (name: string, text: string) => void,
): Promise<number> {
  for (const name of names) {
    await localKinds[name].fetch?.((text) => say(name, text));
    say(name, 'everything is there');
  }
  if (options.json) printJson(io, {fetched: names, cache: cacheDir(io.env)});
  return 0;
}

function brokersOf(text: unknown): 1 | 3 | undefined {
  if (text === undefined) return undefined;
  if (text === '1') return 1;
  if (text === '3') return 3;
  throw new PlatformError('USAGE', `--brokers ${String(text)}: one broker or three`, {
    hint: 'npx millrace up kafka --brokers 3',
  });
}

type Shown = {
  home: string;
  started: LocalServer[];
  /** Those whose address the environment says already. */
  named: ReadonlySet<LocalName>;
  /** Whether their variables stand in `.env` or in the environment. */
  isKnown: boolean;
  failures: unknown[];
};

async function show(call: CommandCall, {home, started, named, isKnown, failures}: Shown): Promise<void> {
  const {options, io} = call;
  const names = new Set(started.map(({name}) => name));
  const shown = listServers(home).filter(({name}) => names.has(name));
  const settings = settingsOf(started);
  if (options.json) {
    const errors = failures.map((each) =>
      each instanceof PlatformError
        ? {code: each.code, message: each.message, hint: each.hint, place: each.place}
        : {code: 'BUG', message: String(each)},
    );
    printJson(io, {
      servers: localJson(shown),
      variables: variablesOf(started),
      settings,
      ...(errors.length > 0 ? {errors} : {}),
    });
    return;
  }
  if (shown.length === 0) return;
  const {bold, dim} = palette(io.stdout, io.env);
  io.stdout.write(`${localTable(shown)}\n`);
  io.stdout.write(`${bold('Try')}\n${shown.map(({tryIt}) => `  ${tryIt}\n`).join('')}\n`);
  io.stdout.write(
    `${bold('Logs')}\n${shown.flatMap(({logs}) => logs.map((log) => `  ${dim(log)}\n`)).join('')}`,
  );
  if (Object.keys(settings).length === 0) return;
  const {stringify} = await import('yaml');
  const environment = environmentOf(call) ?? defaultEnvironment;
  const where = `config/environments/${environment}.yaml`;
  const unnamed = started.filter(({name}) => !named.has(name));
  const lines = stringify(settingsOf(unnamed), {lineWidth: 0}).trimEnd().split('\n');
  io.stdout.write(
    unnamed.length === 0
      ? `\n${bold(`Where they are is in ${where} already`)}\n  ${invocation(io.cwd)} run --env ${environment}\n`
      : `\n${bold(`A configuration that uses them (${where})`)}\n${lines.map((line) => `  ${line}\n`).join('')}`,
  );
  if (names.has('vault')) io.stdout.write('\nTheir passwords are in Vault, at secret/millrace\n');
  else if (stringify(settings).includes('${secret:') && !isKnown)
    io.stdout.write(`\nTheir passwords: ${invocation(io.cwd)} up --write-env puts them into .env\n`);
}

/** What the servers' parts of a configuration are together. */
function settingsOf(servers: LocalServer[]): Record<string, unknown> {
  const all: Record<string, unknown> = {};
  for (const {settings} of servers)
    for (const [section, value] of Object.entries(settings))
      all[section] = {...(all[section] as object | undefined), ...(value as object)};
  return all;
}

/** Sets variables in a `.env` file and leaves its other lines as they are, also those that say the same. It holds passwords. */
function writeEnvironment(path: string, variables: Record<string, string>, io: CommandIo): void {
  const lines = existsSync(path) ? readPlain(path).replace(/\n$/, '').split('\n') : [];
  const before = readEnvironment(path);
  for (const [name, value] of Object.entries(variables)) {
    if (before[name] === value) continue;
    const at = lines.findIndex((line) => line.startsWith(`${name}=`));
    const line = `${name}=${quotedForEnvironment(value)}`;
    if (at >= 0) lines[at] = line;
    else lines.push(line);
  }
  writeFileSync(path, `${lines.join('\n')}\n`, {mode: 0o600});
  chmodSync(path, 0o600);
  io.stderr.write(`${path}: ${Object.keys(variables).join(', ')}\n`);
}

/** A value that holds a blank, a quote or a `#` is another one without quotes. */
function quotedForEnvironment(value: string): string {
  if (/^[\w.:/@,~+=-]*$/.test(value)) return value;
  const quote = ["'", '"', '`'].find((each) => !value.includes(each)) ?? "'";
  return `${quote}${value}${quote}`;
}
