import {PlatformError} from '../errors.ts';
import {invocation} from '../invocation.ts';
import type {Platform} from '../model/types.ts';
import {moveSinkAside} from '../platform/aside.ts';
import {type RebuildLine, rebuildOffline} from '../platform/rebuild.ts';
import type {CommandBody, CommandCall} from './command.ts';
import {openPlatform, queryOf, unknownName} from './context.ts';
import {formatCount, printJson} from './output.ts';

export const run: CommandBody = async (call) => {
  const {platform, control} = await openPlatform(call);
  const {args, options, io} = call;
  if (options.sink !== undefined) return rebuildSink(call, platform, String(options.sink));
  if (args[0] === undefined)
    throw new PlatformError('USAGE', 'rebuild what?', {
      hint: 'npx millrace rebuild <domain>.<query>, or --sink <name>',
    });
  const query = queryOf(platform, args[0]);
  if (options.dryRun) {
    if (options.json) printJson(io, {query, dryRun: true});
    else
      io.stderr.write(
        `would fill a new revision of ${query} from the log and switch the view to it; the old table stays\n`,
      );
    return 0;
  }
  const lines: AsyncIterable<RebuildLine> = control
    ? control.lines<RebuildLine>('/v1/rebuild', {}, undefined, {query})
    : rebuildOffline(platform, query);
  let last: RebuildLine | undefined;
  for await (const line of lines) {
    last = line;
    if (options.json) continue;
    if ('switched' in line)
      io.stderr.write(`${query} now shows revision ${line.revision}; ${line.old} stays\n`);
    else io.stderr.write(`revision ${line.revision}: ${formatCount(line.lagEvents)} events to go\n`);
  }
  if (options.json) printJson(io, last);
  return 0;
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
