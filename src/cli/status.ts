import {PlatformError} from '../errors.ts';
import {asTyped} from '../invocation.ts';
import type {PlatformStatus} from '../platform/status.ts';
import type {CommandBody} from './command.ts';
import {openPlatform} from './context.ts';
import {palette, printJson} from './output.ts';
import {picture} from './picture.ts';

/** A standby says what it waits for, and nothing else. */
type Standing = {phase: 'standby'; text: string};

export const run: CommandBody = async (call) => {
  const {platform, control} = await openPlatform(call);
  if (!control)
    throw new PlatformError('NOT_RUNNING', `no platform runs in ${platform.root}`, {
      hint: 'npx millrace run; "npx millrace ledger" works without it',
    });
  const status = await control.get<PlatformStatus | Standing>('/v1/status');
  if (call.options.json) {
    printJson(call.io, status);
    return 0;
  }
  const {io} = call;
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
  return 0;
};
