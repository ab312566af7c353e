import {PlatformError} from '../errors.ts';
import {refillOffline} from '../platform/rebuild.ts';
import {agrees, changeSettings, follow, linesOf} from './apply.ts';
import type {CommandBody, CommandCall} from './command.ts';
import {openPlatform, queryOf} from './context.ts';
import {printJson} from './output.ts';

export const run: CommandBody = (call) => refill(call, 'backfill');

/** `--from archive`, which only `backfill` knows. @throws USAGE */
function isFromArchive(from: unknown): boolean {
  if (from !== undefined && from !== 'archive')
    throw new PlatformError('USAGE', `"${from}" is not "archive"`, {
      hint: 'npx millrace backfill <domain>.<query> --from archive; without it, from the log',
    });
  return from === 'archive';
}

/** `backfill` and `rebuild` of a query: filled, compared, and switched when the rows agree or somebody does. */
export async function refill(call: CommandCall, why: 'backfill' | 'rebuild'): Promise<number> {
  const {args, options, io} = call;
  if (args[0] === undefined)
    throw new PlatformError('USAGE', `${why} what?`, {hint: `npx millrace ${why} <domain>.<query>`});
  const opened = await openPlatform(call);
  const query = queryOf(opened.platform, args[0]);
  const archive = isFromArchive(options.from);
  if (options.dryRun) {
    const rule =
      why === 'backfill'
        ? 'with every event of now, however late, and compare its rows'
        : 'and switch the view to it; the old table stays';
    if (options.json) printJson(io, {query, dryRun: true});
    else
      io.stderr.write(
        `would fill a new revision of ${query} from ${archive ? 'raw events where the log no longer has them, then from the log,' : 'the log'} ${rule}\n`,
      );
    return 0;
  }
  const settings = {...changeSettings(options), archive};
  const attempt = (yes: boolean) =>
    follow(
      call,
      linesOf(opened, `/v1/${why}`, {...settings, yes, query}, (more) =>
        refillOffline(opened.platform, {query, why, archive}, more),
      ),
    );
  const code = await attempt(settings.yes);
  if (code !== 3 || options.json || !(await agrees(io, 'switch all the same?'))) return code;
  return attempt(true);
}
