import type {ConsoleStatus} from '../console/types.ts';
import {PlatformError} from '../errors.ts';
import {connectConsole} from '../platform/control.ts';
import type {PlatformStatus} from '../platform/status.ts';
import type {CommandBody} from './command.ts';
import {consolePicture} from './console-picture.ts';
import {openPlatform} from './context.ts';
import {palette} from './output.ts';
import {listenForStop} from './signals.ts';
import {createView} from './view.ts';

const showMs = 500;

/** The live picture of a platform that runs elsewhere; ends with it, or by Ctrl-C. */
export const run: CommandBody = async (call) => {
  const {platform, control: running} = await openPlatform(call);
  const control = running ?? (await connectConsole(platform.root));
  if (!control)
    throw new PlatformError('NOT_RUNNING', `no platform runs in ${platform.root}`, {
      hint: 'npx millrace run shows the same of the one that it starts',
    });
  const {io, options} = call;
  const stop = listenForStop();
  // What is looked at is data: it goes where a command's data go.
  const view = createView({...io, stderr: io.stdout}, [], false);
  try {
    while (!stop.signal()) {
      const status = await control.get<PlatformStatus | ConsoleStatus>('/v1/status');
      if (options.json) io.stdout.write(`${JSON.stringify(status)}\n`);
      else if (status.phase === 'console') view.lines(consolePicture(status, palette(io.stdout, io.env)));
      else view.show(status);
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([stop.first, new Promise((resolve) => (timer = setTimeout(resolve, showMs)))]);
      clearTimeout(timer);
    }
  } catch (error) {
    if (!(error instanceof PlatformError && error.code === 'NOT_RUNNING')) throw error;
    io.stderr.write('the platform ended\n');
  } finally {
    view.close();
    stop.release();
  }
  return 0;
};
