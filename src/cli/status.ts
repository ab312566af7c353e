import {listServers} from '../cluster/local.ts';
import {PlatformError} from '../errors.ts';
import {asTyped} from '../invocation.ts';
import type {PlatformStatus} from '../platform/status.ts';
import type {CommandBody} from './command.ts';
import {consolePicture} from './console-picture.ts';
import {askConsole, openPlatform} from './context.ts';
import {localHome, localJson, localTable} from './local.ts';
import {palette, printJson, reportFailure} from './output.ts';
import {picture} from './picture.ts';

/** A standby says what it waits for, and nothing else. */
type Standing = {phase: 'standby'; text: string};

export const run: CommandBody = async (call) => {
  const {platform, control} = await openPlatform(call);
  const {io} = call;
  const servers = listServers(localHome(platform.root));
  const seen = control ? undefined : await askConsole(platform.root);
  if (seen) {
    if (call.options.json)
      printJson(io, servers.length === 0 ? seen : {...seen, servers: localJson(servers)});
    else {
      io.stdout.write(`${consolePicture(seen, palette(io.stdout, io.env)).join('\n')}\n`);
      if (servers.length > 0) io.stdout.write(`\n${localTable(servers)}`);
    }
    return 0;
  }
  if (!control) {
    const failure = new PlatformError('NOT_RUNNING', `no platform runs in ${platform.root}`, {
      hint: 'npx millrace run; "npx millrace ledger" works without it',
    });
    if (servers.length === 0) throw failure;
    const {code, message} = failure;
    if (call.options.json) printJson(io, {error: {code, message}, servers: localJson(servers)});
    else io.stdout.write(localTable(servers));
    return reportFailure(failure, io, false);
  }
  const status = await control.get<PlatformStatus | Standing>('/v1/status');
  if (call.options.json) {
    printJson(io, servers.length === 0 ? status : {...status, servers: localJson(servers)});
    return 0;
  }
  if (status.phase === 'standby') {
    io.stdout.write(`${status.text}\n`);
    return 0;
  }
  // Rates need two looks.
  const startMs = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const later = await control.get<PlatformStatus>('/v1/status');
  const seconds = (performance.now() - startMs) / 1000;
  const rates = {
    events: (later.totals.appended - status.totals.appended) / seconds,
    rows: (later.totals.rowsWritten - status.totals.rowsWritten) / seconds,
  };
  const lines = picture(later, rates, Date.now(), [], palette(io.stdout, io.env), {
    columns: io.stdout.columns ?? Number.POSITIVE_INFINITY,
    rows: Number.POSITIVE_INFINITY,
  });
  io.stdout.write(`${asTyped(lines.join('\n'), io.cwd)}\n`);
  if (servers.length > 0) io.stdout.write(`\n${localTable(servers)}`);
  return 0;
};
