import {PlatformError} from '../errors.ts';
import type {CommandBody} from './command.ts';
import {openPlatform} from './context.ts';
import {printJson} from './output.ts';

export const run: CommandBody = async (call) => {
  const {platform, control} = await openPlatform(call);
  if (!control)
    throw new PlatformError('NOT_RUNNING', `no platform runs in ${platform.root}`, {
      hint: 'what stopped starts again with it: npx millrace run',
    });
  const result = await control.post<{resumed: string; ran?: true}>('/v1/resume', {name: call.args[0]!});
  if (call.options.json) printJson(call.io, result);
  else call.io.stderr.write(result.ran ? `${result.resumed} runs already\n` : `resumed ${result.resumed}\n`);
  return 0;
};
