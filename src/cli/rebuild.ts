import {rebuildOffline} from '../platform/rebuild.ts';
import type {CommandBody} from './command.ts';
import {openPlatform, queryOf} from './context.ts';
import {formatCount, printJson} from './output.ts';

type Line =
  | {query: string; revision: number; lagEvents: number}
  | {query: string; revision: number; switched: true; old: string};

export const run: CommandBody = async (call) => {
  const {platform, control} = await openPlatform(call);
  const {options, io} = call;
  const query = queryOf(platform, call.args[0]!);
  if (options.dryRun) {
    if (options.json) printJson(io, {query, dryRun: true});
    else
      io.stderr.write(
        `would fill a new revision of ${query} from the log and switch the view to it; the old table stays\n`,
      );
    return 0;
  }
  const lines: AsyncIterable<Line> = control
    ? control.lines<Line>('/v1/rebuild', {}, undefined, {query})
    : rebuildOffline(platform, query);
  let last: Line | undefined;
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
