import {PlatformError} from '../errors.ts';
import type {Platform} from '../model/types.ts';
import type {Ledger} from '../observe/ledger.ts';
import {readEnded} from '../platform/books.ts';
import {ledgerOfAll} from '../platform/control-roles.ts';
import type {PlatformDirs} from '../platform/places.ts';
import type {CommandBody, CommandIo} from './command.ts';
import {openPlatform} from './context.ts';
import {type Cell, formatTable, palette, printJson} from './output.ts';

export const run: CommandBody = async (call) => {
  const {platform, dirs, control} = await openPlatform(call);
  const told = control && (await control.get<Ledger>('/v1/ledger'));
  // Of several processes some may have ended.
  const kept = readEnded(platform, dirs, told !== undefined);
  const found = [told, kept].filter((each) => each !== undefined);
  if (found.length === 0) throw nothingKept(platform, dirs);
  const ledger = ledgerOfAll(found);
  if (call.options.json) printJson(call.io, ledger);
  else print(ledger, call.io);
  return ledger.balanced ? 0 : 3;
};

/** Books belong to the process that counted. */
const nothingKept = ({log}: Platform, {source}: PlatformDirs): PlatformError =>
  log.backend === 'embedded'
    ? new PlatformError('NOT_RUNNING', 'there is no log yet', {
        place: source.dir,
        hint: 'start the platform: npx millrace run',
      })
    : new PlatformError('NOT_RUNNING', 'no process of this platform has counted anything here', {
        place: source.dir,
        hint: 'ask where its processes run, or ran: npx millrace ledger there',
      });

function print({ingest, transform, query, delivery, balanced}: Ledger, io: CommandIo): void {
  const parts: [string, object[]][] = [
    ['INGEST', ingest],
    ['TRANSFORM', transform],
    ['QUERY', query],
    ['DELIVERY', delivery],
  ];
  for (const [title, lines] of parts) {
    if (lines.length === 0) continue;
    const rows = lines.map((line) => Object.values(line) as Cell[]);
    io.stdout.write(`${title}\n${formatTable(Object.keys(lines[0]!), rows)}\n`);
  }
  const color = palette(io.stderr, io.env);
  io.stderr.write(
    balanced
      ? `${color.green('balanced')}: every event is accounted for\n`
      : `${color.red('NOT balanced')}: see the differences above\n`,
  );
}
