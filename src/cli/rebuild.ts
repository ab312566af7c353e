import {PlatformError} from '../errors.ts';
import {invocation} from '../invocation.ts';
import type {Platform} from '../model/types.ts';
import {moveSinkAside} from '../platform/aside.ts';
import {refill} from './backfill.ts';
import type {CommandBody, CommandCall} from './command.ts';
import {openPlatform, unknownName} from './context.ts';
import {printJson} from './output.ts';

export const run: CommandBody = async (call) => {
  const {args, options} = call;
  if (options.sink !== undefined) {
    const {platform} = await openPlatform(call);
    return rebuildSink(call, platform, String(options.sink));
  }
  if (args[0] === undefined)
    throw new PlatformError('USAGE', 'rebuild what?', {
      hint: 'npx millrace rebuild <domain>.<query>, or --sink <name>',
    });
  return refill(call, 'rebuild');
};

function rebuildSink({options, io}: CommandCall, platform: Platform, name: string): number {
  if (!Object.hasOwn(platform.sinks, name)) throw unknownName('sink', name, Object.keys(platform.sinks));
  if (options.dryRun) {
    io.stderr.write(
      `would move the database of sink ${name} aside; the next run would fill a new one from the log\n`,
    );
    return 0;
  }
  const {from, to} = moveSinkAside(platform, name);
  if (options.json) printJson(io, {sink: name, from, to});
  else
    io.stderr.write(
      `moved ${from} to ${to}; the next run fills a new one from the log: ${invocation(io.cwd)} run\n`,
    );
  return 0;
}
