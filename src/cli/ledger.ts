import type {Ledger} from '../observe/ledger.ts';
import {wholeLedger} from '../platform/ledger-whole.ts';
import type {CommandBody, CommandIo} from './command.ts';
import {openPlatform} from './context.ts';
import {type Cell, formatTable, palette, printJson} from './output.ts';

export const run: CommandBody = async (call) => {
  const {platform, dirs, control} = await openPlatform(call);
  const ledger = await wholeLedger(platform, dirs, control);
  if (call.options.json) printJson(call.io, ledger);
  else print(ledger, call.io);
  return ledger.balanced ? 0 : 3;
};

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
