import {hostname, userInfo} from 'node:os';
import {text} from 'node:stream/consumers';
import {PlatformError} from '../errors.ts';
import {type ForgetReport, type ForgetRequest, forgetValue} from '../platform/forget.ts';
import {startPlatform} from '../platform/runtime.ts';
import {counted} from '../quantity.ts';
import {agrees} from './apply.ts';
import type {CommandBody, CommandCall} from './command.ts';
import {type Opened, openPlatform} from './context.ts';
import {printJson} from './output.ts';

export const run: CommandBody = async (call) => {
  const {args, options, io} = call;
  const request = {
    attribute: args[0]!,
    value: await givenValue(call),
    actor: `${userInfo().username}@${hostname()}`,
  };
  const opened = await openPlatform(call);
  if (!opened.platform.pii)
    throw new PlatformError('USAGE', 'nothing is protected as personal data here', {
      hint: 'give attributes pii: hash, mask or drop',
    });
  if (options.dryRun !== true && options.yes !== true) {
    const planned = await ask(opened, {...request, dryRun: true});
    if (!options.json) io.stderr.write(textOf(planned));
    if (!(await agrees(io, 'forget it for good?'))) {
      if (options.json) printJson(io, planned);
      else io.stderr.write('nothing was forgotten; to agree: --yes\n');
      return 3;
    }
  }
  const report = await ask(opened, {...request, dryRun: options.dryRun === true});
  if (options.json) printJson(io, report);
  else io.stderr.write(textOf(report));
  return report.dryRun || report.tables.every(({erased}) => erased) ? 0 : 3;
};

/** `-`: what comes on standard input, without the line's end. */
async function givenValue({args, io}: CommandCall): Promise<string> {
  if (args[1] !== '-') return args[1]!;
  if (!io.stdin) throw new PlatformError('USAGE', 'there is nothing on standard input');
  return (await text(io.stdin as NodeJS.ReadableStream & AsyncIterable<Uint8Array>)).replace(/\r?\n$/, '');
}

async function ask({platform, control}: Opened, request: ForgetRequest): Promise<ForgetReport> {
  if (control) return control.post<ForgetReport>('/v1/forget', request);
  const running = await startPlatform(platform, {
    inputs: false,
    port: 0,
    isPart: true,
    command: 'millrace forget',
  });
  try {
    return await forgetValue(running, request);
  } finally {
    await running.drain();
  }
}

function textOf(report: ForgetReport): string {
  const {attribute, dryRun, events, letters, tables, stays, plain, destroyed} = report;
  if (events + letters + destroyed + plain === 0)
    return `nothing holds it: no event${dryRun ? ' and no dead letter' : ', dead letter or key'} has this value of ${attribute}\n`;
  const lines = [
    dryRun
      ? `would forget the value of ${attribute}: ${counted(events, 'event')}, ${counted(letters, 'dead letter')}`
      : `forgot the value of ${attribute}: ${counted(events, 'event')}, ${counted(letters, 'dead letter')}; ${counted(destroyed, 'key')} destroyed`,
    ...tables.map(({sink, table, events: count, erased}) =>
      erased
        ? `  ${table} in ${sink}: NULL in ${counted(count, 'event')}`
        : dryRun
          ? `  ${table} in ${sink}: NULL in ${counted(count, 'event')}, where the sink can`
          : `  ${table} in ${sink}: the sink cannot change ${counted(count, 'event')}; delete what it wrote and let it be filled again`,
    ),
  ];
  if (stays.length > 0)
    lines.push(
      `  stays: rows of ${stays.join(', ')} that hold what stood for it, or count it; a rebuild reads NULL: npx millrace rebuild <query>`,
    );
  if (plain > 0)
    lines.push(
      `  stays: ${counted(plain, 'event')} of the log from before ${attribute} was protected ${plain === 1 ? 'holds' : 'hold'} the value itself`,
    );
  lines.push('  not reached: backups, and copies that others made');
  return `${lines.join('\n')}\n`;
}
