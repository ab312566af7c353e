import {accessSync, constants, existsSync, readFileSync, statfsSync} from 'node:fs';
import {createServer} from 'node:net';
import {PlatformError} from '../errors.ts';
import {asTyped, withKeyPlaces} from '../invocation.ts';
import {lockOwner} from '../log/lock.ts';
import {hasLog, type LogSource, openLog} from '../log/open.ts';
import {batchesSeen} from '../log/scan.ts';
import {consoleRole, partsOfRoles} from '../model/roles.ts';
import type {Platform} from '../model/types.ts';
import {type Control, connectControl} from '../platform/control.ts';
import {dirsOf, placesOf} from '../platform/places.ts';
import type {PlatformStatus} from '../platform/status.ts';
import {openStateReader} from '../process/embedded/statestore.ts';
import {counted, formatBytes} from '../quantity.ts';
import {hasRegistry} from '../schema/registry-open.ts';
import type {CommandBody} from './command.ts';
import {load} from './context.ts';
import {checkRights, type Doer} from './doctor-rights.ts';
import {checkBucket, checkRegistry, checkSink, inTime, lookAtKafka} from './doctor-servers.ts';
import {escapeControls, palette, printJson} from './output.ts';
import {rolesOf} from './roles-option.ts';

type Finding = {
  check: string;
  state: 'ok' | 'warning' | 'failed';
  message: string;
  place?: string;
  hint?: string;
};
/** What a check says: a text when all is well, or all that is not. */
type Verdict = string | Omit<Finding, 'check'> | Omit<Finding, 'check'>[];

/** Every check runs, whatever the others found. */
export const run: CommandBody = async (call) => {
  const {io, options} = call;
  const doer = options.only === consoleRole ? consoleRole : rolesOf(options.only);
  const findings: Finding[] = [nodeVersion(), memory()];
  const loaded = await load(call);
  if (loaded.ok) {
    findings.push({
      check: 'configuration',
      state: 'ok',
      message: `${counted(loaded.platform.domains.length, 'domain')}, env ${loaded.platform.env}`,
    });
    if (options.only !== undefined && loaded.platform.log.backend === 'embedded')
      throw new PlatformError('USAGE', '--only asks for rights in Kafka, and the log is embedded', {
        hint: 'name an environment whose log is Kafka, as --env single; or leave --only out',
      });
    findings.push(...(await platformChecks(loaded.platform, doer)));
  } else
    findings.push({
      check: 'configuration',
      state: 'failed',
      message: `${counted(loaded.diagnostics.length, 'mistake')}, the first: ${loaded.diagnostics[0]?.code} ${loaded.diagnostics[0]?.message}`,
      hint: 'npx millrace validate shows all of them',
    });
  if (options.json) printJson(io, findings);
  else {
    const color = palette(io.stdout, io.env);
    const mark = {ok: color.green('ok     '), warning: color.yellow('warning'), failed: color.red('failed ')};
    for (const {check, state, message, place, hint} of findings) {
      io.stdout.write(`${mark[state]}  ${check.padEnd(14)} ${escapeControls(message)}\n`);
      if (place) io.stdout.write(`${' '.repeat(9)}at ${escapeControls(place)}\n`);
      if (hint)
        io.stdout.write(`${' '.repeat(9)}hint: ${escapeControls(withKeyPlaces(asTyped(hint, io.cwd)))}\n`);
    }
  }
  return findings.some(({state}) => state === 'failed') ? 1 : 0;
};

const nodeVersion = (): Finding => {
  const major = Number(process.versions.node.split('.')[0]);
  return major >= 26
    ? {
        check: 'node',
        state: 'ok',
        message: `${process.version}, SQLite ${process.versions.sqlite ?? 'unknown'}`,
      }
    : {
        check: 'node',
        state: 'failed',
        message: `${process.version} is too old`,
        hint: 'npm ci installs the pinned Node 26; start it through npx millrace',
      };
};

function memory(): Finding {
  const bytes = process.constrainedMemory() || 0;
  const available = process.availableMemory();
  const enough = available > 1.5 * 2 ** 30;
  return {
    check: 'memory',
    state: enough ? 'ok' : 'warning',
    message: `${formatBytes(available)} available${bytes > 0 && bytes < 2 ** 50 ? ` of ${formatBytes(bytes)}` : ''}`,
    ...(enough
      ? {}
      : {hint: 'both embedded databases together want about 1.4 GiB; use fewer sinks, or the file sink'}),
  };
}

async function platformChecks(platform: Platform, doer: Doer): Promise<Finding[]> {
  const findings: Finding[] = [];
  const attempt = async (check: string, work: () => Verdict | Promise<Verdict>) => {
    try {
      const verdict = await work();
      const all = typeof verdict === 'string' ? [{state: 'ok' as const, message: verdict}] : [verdict].flat();
      for (const each of all) findings.push({check, ...each});
    } catch (error) {
      const {hint, place} = error instanceof PlatformError ? error : {};
      const code = error instanceof PlatformError ? `${error.code} ` : '';
      findings.push({
        check,
        state: 'failed',
        message: `${code}${(error as Error).message}`,
        ...(place ? {place} : {}),
        ...(hint ? {hint} : {}),
      });
    }
  };
  const dirs = dirsOf(platform);
  const control = await connectControl(platform.root);
  await attempt('running', () => {
    if (!control) return 'no';
    const running = [undefined, ...partsOfRoles].flatMap((roles) => {
      const owner = lockOwner(placesOf({root: platform.root, ...(roles ? {roles} : {})}).lock);
      return owner ? [roles ? `${roles.join(', ')}: process ${owner.pid}` : `process ${owner.pid}`] : [];
    });
    return `yes, ${running.join('; ')}`;
  });
  await attempt('disk', () => {
    const {bavail, bsize} = statfsSync(platform.root);
    const free = bavail * bsize;
    if (free < 2 ** 30)
      throw new PlatformError('LOG_DISK_FULL', `only ${formatBytes(free)} free`, {
        hint: 'make room; the log stops accepting events when the disk is full',
      });
    return `${formatBytes(free)} free`;
  });
  await attempt('files', () => missingFiles(platform));
  await attempt('open files', () => openFiles());
  if (control) await attempt('queries', () => checkQueries(control));
  else await attempt('port', () => checkPort(platform));
  const {kafka} = dirs.source;
  if (kafka) {
    const topics = new Set(platform.domains.flatMap(({eventTypes}) => eventTypes.map(({topic}) => topic)));
    let newestMs = 0;
    let isReached = false;
    await attempt('brokers', async () => {
      const seen = await inTime(lookAtKafka(dirs.source, topics));
      ({newestMs} = seen);
      isReached = true;
      return seen.message;
    });
    if (isReached) await attempt('rights', () => inTime(checkRights(platform, kafka, doer)));
    await attempt('clock', () => clockVerdict(newestMs));
  } else if (hasLog(dirs.source)) {
    await attempt('clock', async () => clockVerdict(await newestOf(dirs.source)));
    await attempt(
      'log',
      async () => `${counted(await checkLog(dirs.source), 'record')}, every checksum right`,
    );
  }
  if (hasRegistry(dirs.registry)) await attempt('registry', () => inTime(checkRegistry(dirs)));
  if (platform.engine.bucket) await attempt('bucket', () => inTime(checkBucket(platform, dirs)));
  await attempt('checkpoints', () => {
    const states = openStateReader(dirs.state);
    const names = states.queries();
    for (const name of names) states.load(name);
    states.close();
    return counted(names.length, 'query', 'queries');
  });
  if (!control)
    for (const name of Object.keys(platform.sinks))
      await attempt(`sink ${name}`, () => checkSink(platform, name, doer.includes('sinks')));
  return findings;
}

/** Of the process, as the system grants it; a platform with many connections wants more than a thousand. */
function openFiles(): Verdict {
  let text: string;
  try {
    text = readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return 'not known on this system';
  }
  const limit = /^Max open files\s+(\d+|unlimited)/m.exec(text)?.[1] ?? 'unlimited';
  if (limit !== 'unlimited' && Number(limit) < openFilesMin)
    return {
      state: 'warning',
      message: `at most ${limit} open files`,
      hint: `ulimit -n 65536 before the start; every connection over HTTP takes one`,
    };
  return `at most ${limit}`;
}

const openFilesMin = 1_024;

/** Whether the server's port is free, so that a start would have it. */
async function checkPort({server: {host, port}}: Platform): Promise<string> {
  if (port === 0) return 'any free one';
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new PlatformError('PORT_BUSY', `port ${port} on ${host} cannot be had: ${cause.code}`, {
          hint: 'another program has it: end that, or write server: {port: ...} in platform.yaml',
          cause,
        }),
      ),
    );
    probe.listen({host, port}, () => resolve());
  });
  await new Promise((resolve) => probe.close(resolve));
  return `${port} on ${host} is free`;
}

/** What runs now and does not run well. */
async function checkQueries(control: Control): Promise<Verdict> {
  const {queries, deliveries, inputs, totals} = await control.get<PlatformStatus>('/v1/status');
  const trouble = [
    ...queries.filter(({state}) => state !== 'running').map(({query, state}) => `query ${query} is ${state}`),
    ...deliveries
      .filter(({state}) => state !== 'running')
      .map(({sink, table, state}) => `${table} in ${sink} is ${state}`),
    ...inputs
      .filter(({state}) => state === 'stopped')
      .map(({domain, name}) => `input ${domain}.${name} stopped`),
    ...(totals.ledgerBalanced ? [] : ['the ledger does not balance']),
  ];
  if (trouble.length > 0)
    return {
      state: 'failed',
      message: trouble.join(', '),
      hint: 'npx millrace status says why; npx millrace resume <name> starts what stopped again',
    };
  return `${queries.length} run, the ledger balances`;
}

/** When the newest record of the log was appended, epoch ms; 0: there is none. */
async function newestOf(source: LogSource): Promise<number> {
  const log = await openLog(source);
  let newestMs = 0;
  try {
    for (const topic of log.topics())
      for (let partition = 0; partition < log.partitions(topic); partition++) {
        const end = log.endOffset(topic, partition);
        if (end === log.startOffset(topic, partition)) continue;
        const [batch] = await log.read(topic, partition, end - 1, 1);
        newestMs = Math.max(newestMs, batch?.appendTimeMs ?? 0);
      }
    return newestMs;
  } finally {
    log.close();
  }
}

/** The clock went back when the newest record of the log is from after now: new events would be judged by an old time. */
function clockVerdict(newestMs: number): Verdict {
  const aheadMs = newestMs - Date.now();
  if (aheadMs > clockSlackMs)
    return {
      state: 'failed',
      message: `the log's newest record is ${Math.round(aheadMs / 1000)} s ahead of this machine's clock`,
      hint: 'set the clock; until then new events carry the time of that record',
    };
  return new Date().toISOString();
}

const clockSlackMs = 5_000;

function missingFiles({domains}: Platform): string {
  const paths = domains.flatMap(({lookups, inputs}) => [
    ...lookups.flatMap(({csv}) => csv ?? []),
    ...inputs.flatMap(({from}) => from ?? []),
  ]);
  const missing = paths.filter((path) => !existsSync(path));
  if (missing.length > 0)
    throw new PlatformError(
      'INPUT_MISSING',
      `${missing.length} of ${paths.length} files are missing: ${missing.join(', ')}`,
      {
        hint: 'put them there, or change `from:` of the inputs and lookups',
      },
    );
  for (const path of paths) accessSync(path, constants.R_OK);
  return `${paths.length} inputs and lookups are there`;
}

/** Reads the whole log, which verifies every checksum. */
async function checkLog(source: LogSource): Promise<number> {
  const log = await openLog(source);
  let records = 0;
  try {
    // Of all topics at once: of what nobody tells now it would seem that there is nothing.
    const topics = log.topics();
    await log.refresh(topics);
    for (const topic of topics) for await (const {count} of batchesSeen(log, topic)) records += count;
    return records;
  } finally {
    log.close();
  }
}
