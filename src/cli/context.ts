import {type Diagnostic, formatDiagnostics} from '../config/diagnostics.ts';
import {nearest} from '../config/nearest.ts';
import type {SecretKeeper} from '../config/secrets/keeper.ts';
import type {ConsoleStatus} from '../console/types.ts';
import {PlatformError} from '../errors.ts';
import {asTyped} from '../invocation.ts';
import {lockOwner} from '../log/lock.ts';
import {hasLog, openLog} from '../log/open.ts';
import type {LogReader} from '../log/types.ts';
import {type DomainCheck, type LoadedPlatform, loadPlatform} from '../model/load.ts';
import {does, type Role, withRoles} from '../model/roles.ts';
import type {Domain, Platform} from '../model/types.ts';
import {type Control, connectConsole, connectControl, connectTo} from '../platform/control.ts';
import {followCheckpoints} from '../platform/ownership.ts';
import {dirsOf, type PlatformDirs, placesOf, privacyOf} from '../platform/places.ts';
import {setPrivacy} from '../privacy/opener.ts';
import {sinks} from '../sinks/registry.ts';
import type {SinkSpec} from '../sinks/types.ts';
import type {CommandCall} from './command.ts';
import {printJson, ReportedError} from './output.ts';

/** Reads the configuration that the common options name. @param more checks of what it speaks of, and what keeps its secrets */
export const load = (
  {options, io}: CommandCall,
  more: {checks?: DomainCheck[]; keeper?: SecretKeeper} = {},
): Promise<LoadedPlatform<SinkSpec>> =>
  loadPlatform({
    ...more,
    from: options.config ?? io.cwd,
    sinkSpecs: sinks as Record<string, SinkSpec>,
    variables: io.env,
    ...(options.env === undefined ? {} : {env: options.env}),
  });

/** The platform of a valid configuration; else its mistakes are printed and CONFIG_INVALID is thrown. */
export async function requirePlatform(
  call: CommandCall,
  more: {keeper?: SecretKeeper} = {},
): Promise<Platform> {
  const loaded = await load(call, more);
  if (loaded.ok) {
    // Other warnings are for who writes the files, and `validate` shows them; this one is about what a platform that runs will print.
    for (const {code, file, line, message} of more.keeper ? loaded.warnings : [])
      if (code === 'SECRET_WEAK') call.io.stderr.write(`warn: ${file}:${line} ${code} ${message}\n`);
    return loaded.platform;
  }
  printDiagnostics(call, loaded.diagnostics);
  throw new ReportedError();
}

export function printDiagnostics({options, io}: CommandCall, diagnostics: Diagnostic[]): void {
  const shown = diagnostics.map(({hint, ...rest}) => ({
    ...rest,
    ...(hint === undefined ? {} : {hint: asTyped(hint, io.cwd)}),
  }));
  if (options.json)
    printJson(io, {ok: diagnostics.every(({severity}) => severity !== 'error'), diagnostics: shown});
  else io.stderr.write(`${formatDiagnostics(shown)}\n`);
}

export type Opened = {platform: Platform; dirs: PlatformDirs; control: Control | undefined};

/** The platform, where it keeps things, and a connection to it if it runs. One that is just starting is waited for. */
export async function openPlatform(call: CommandCall, more: {keeper?: SecretKeeper} = {}): Promise<Opened> {
  const platform = await requirePlatform(call, more);
  const opened = await openAs(platform, () => connectControl(platform.root));
  if (!opened.control && platform.engine.bucket) await follow(call, opened);
  return opened;
}

/** What the console of a directory says, where no other process of the platform runs; undefined when there is none either. */
export async function askConsole(root: string): Promise<ConsoleStatus | undefined> {
  const control = await connectConsole(root);
  return control?.get<ConsoleStatus>('/v1/status');
}

/** What another machine has written is looked at as it is now; as it was, where the store cannot be asked. */
async function follow({io}: CommandCall, {platform, dirs}: Opened): Promise<void> {
  try {
    await followCheckpoints(platform, dirs);
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    io.stderr.write(`checkpoints as they were here last: ${error.message}\n`);
  }
}

/** The same for a process that has some of the roles: only another one of the same roles is in its way. */
export async function openWithRoles(
  call: CommandCall,
  chosen: readonly Role[],
  more: {keeper?: SecretKeeper},
): Promise<Opened & {configured: Platform}> {
  const configured = await requirePlatform(call, more);
  const platform = withRoles(configured, chosen);
  if (platform.roles && platform.log.backend === 'embedded')
    throw new PlatformError(
      'USAGE',
      '--only: processes of several roles meet in Kafka, and the log is embedded',
      {
        hint: 'set log.backend: kafka, or name an environment that does, as --env single; or run without --only',
      },
    );
  if (platform.roles && platform.pii)
    throw new PlatformError(
      'USAGE',
      '--only: each process would have keys of its own for protected values, and the others would read NULL',
      {hint: 'run a platform with pii: without --only: docs/personal-data.md says why'},
    );
  const unfilled = does(platform, 'sinks') ? undefined : firstFromArchive(platform);
  if (unfilled)
    throw new PlatformError(
      'USAGE',
      `--only: ${unfilled} has on_trimmed: archive, and a process without sinks cannot read raw events`,
      {
        hint: 'run both in one process: --only engine,sinks; or set on_trimmed: stop, for an environment in its `defaults:`',
      },
    );
  const {controlSocket} = placesOf(platform);
  const opened = await openAs(platform, () => connectTo(controlSocket));
  return {...opened, configured};
}

/** The first query that is to be filled from raw events when retention has passed it. */
const firstFromArchive = ({domains}: Platform): string | undefined =>
  domains.flatMap(({name, aggregations}) =>
    aggregations.filter(({onTrimmed}) => onTrimmed === 'archive').map((each) => `${name}.${each.name}`),
  )[0];

async function openAs(platform: Platform, connect: () => Promise<Control | undefined>): Promise<Opened> {
  const {lock} = placesOf(platform);
  const untilMs = performance.now() + startMsMax;
  let control = await connect();
  while (!control && lockOwner(lock) && performance.now() < untilMs) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    control = await connect();
  }
  const dirs = dirsOf(platform);
  setPrivacy(privacyOf(platform, dirs));
  return {platform, dirs, control};
}

/** How long a platform may take from its lock to its control socket, ms; beyond it the command goes on and meets the lock. */
const startMsMax = 15_000;

/** The log for reading. @throws NOT_RUNNING when nothing was ever ingested here. */
export async function existingLog({source}: PlatformDirs): Promise<LogReader> {
  if (!hasLog(source))
    throw new PlatformError('NOT_RUNNING', 'there is no log yet', {
      place: source.dir,
      hint: 'start the platform: npx millrace run',
    });
  return openLog(source);
}

/** The nearest names, for "did you mean". */
export function unknownName(kind: string, name: string, known: string[]): PlatformError {
  const near = known.filter(
    (other) =>
      other.toLowerCase().includes(name.toLowerCase()) || name.toLowerCase().includes(other.toLowerCase()),
  );
  // "purchse" is meant to be found among "shop.purchase".
  const ends = new Map(known.map((each) => [each.slice(each.lastIndexOf('.') + 1), each]));
  const close = nearest(name, known) ?? ends.get(nearest(name, ends.keys()) ?? '');
  const shown = near.length > 0 ? near : known;
  const list = `${shown.slice(0, 12).join(', ')}${shown.length > 12 ? `, and ${shown.length - 12} more` : ''}`;
  const hint =
    known.length === 0 ? `there is no ${kind} at all` : close ? `did you mean ${close}?` : `known: ${list}`;
  return new PlatformError('NAME_UNKNOWN', `there is no ${kind} "${name}"`, {hint});
}

/** `<domain>` or, when there is only one domain, nothing. */
export function domainOf(platform: Platform, name: string | undefined): Domain {
  const {domains} = platform;
  if (name === undefined && domains.length === 1) return domains[0]!;
  const found = domains.find((domain) => domain.name === name);
  if (found) return found;
  const known = domains.map((domain) => domain.name);
  if (name === undefined)
    throw new PlatformError('USAGE', 'which domain?', {hint: `name one of ${known.join(', ')}`});
  throw unknownName('domain', name, known);
}

/** `<domain>.<query>`, or the query's name alone when only one domain has it. */
export function queryOf(platform: Platform, name: string): string {
  const all = platform.domains.flatMap((domain) =>
    domain.aggregations.map((aggregation) => ({
      id: `${domain.name}.${aggregation.name}`,
      short: aggregation.name,
    })),
  );
  const found = all.filter(({id, short}) => id === name || short === name);
  if (found.length === 1) return found[0]!.id;
  throw unknownName(
    'query',
    name,
    all.map(({id}) => id),
  );
}
