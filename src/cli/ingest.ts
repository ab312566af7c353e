import {resolve} from 'node:path';
import {systemClock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {IngestProgress, IngestReport} from '../ingest/file.ts';
import {type Inspection, inspectFile} from '../ingest/inspect.ts';
import {hasLog, openLog} from '../log/open.ts';
import {newPartitionsOf} from '../model/log.ts';
import type {Input, Platform} from '../model/types.ts';
import {readMaxima} from '../platform/books.ts';
import {ingestOffline} from '../platform/offline.ts';
import type {PlatformDirs} from '../platform/places.ts';
import {counted} from '../quantity.ts';
import {noTelemetry} from '../telemetry.ts';
import {openTransforms} from '../transforms/open.ts';
import type {CommandBody, CommandIo} from './command.ts';
import {openPlatform, unknownName} from './context.ts';
import {escapeControls, formatCount, palette, printJson} from './output.ts';

export const run: CommandBody = async (call) => {
  const {args, options, io} = call;
  const {platform, dirs, control} = await openPlatform(call);
  const input = inputOf(platform, args[0]!);
  const path = args[1] === undefined ? input.from : resolve(io.cwd, args[1]);
  if (path === null)
    throw new PlatformError('USAGE', `input ${input.domain}.${input.name} names no file`, {
      hint: `npx millrace ingest ${input.name} <file>`,
    });
  const job = {
    domain: input.domain,
    input: input.name,
    path,
    as: options.as === undefined ? null : String(options.as),
    fast: options.fast === true,
    late: options.late === true,
    final: options.final === true,
  };
  if (options.dryRun) {
    const found = await inspect(platform, dirs, input, job);
    if (options.json) printJson(io, {...job, running: control !== undefined, ...found});
    else
      io.stderr.write(
        `${escapeControls(wouldDo(found, path, `${input.domain}.${input.name}`, job))}${control ? ', by the running platform' : ''}\n`,
      );
    return 0;
  }
  const bar = progressBar(io, `${input.domain}.${input.name}`);
  let report: IngestReport | undefined;
  if (control) {
    type Line = {progress: IngestProgress} | {report: IngestReport};
    for await (const line of control.lines<Line>('/v1/ingest', {}, undefined, job)) {
      if ('progress' in line) bar.show(line.progress);
      else report = line.report;
    }
  } else {
    io.stderr.write(
      'no platform runs here: the file is appended to the log, queries read it at the next start\n',
    );
    report = await ingestOffline(platform, dirs, job, bar.show);
  }
  bar.close();
  if (!report)
    throw new PlatformError('NOT_RUNNING', 'the platform ended while it ingested the file', {
      hint: 'start it again: it goes on where it was',
    });
  if (options.json) printJson(io, report);
  else io.stderr.write(`${escapeControls(summary(report))}\n`);
  return 0;
};

/** Reads the file and checks it against what the log knows. @throws what `inspectFile` throws */
async function inspect(
  platform: Platform,
  dirs: PlatformDirs,
  input: Input,
  {path, as, late}: {path: string; as: string | null; late: boolean},
): Promise<Inspection> {
  const domain = platform.domains.find(({name}) => name === input.domain)!;
  const eventType = domain.eventTypes.find(({name}) => name === input.eventType)!;
  const transforms = openTransforms([domain], {telemetry: noTelemetry, develop: false});
  const transform = transforms.of(eventType);
  const log = hasLog(dirs.source) ? await openLog(dirs.source) : undefined;
  try {
    return await inspectFile({
      domain,
      eventType,
      input,
      path,
      ...(as === null ? {} : {as}),
      clock: systemClock,
      partitions: log?.partitions(eventType.topic) || newPartitionsOf(platform),
      progress: (key) => log?.progress(key),
      maxima: (topic) => readMaxima(platform, dirs, topic),
      late,
      ...(transform && {transform}),
    });
  } finally {
    await transforms.close();
    log?.close();
  }
}

function wouldDo(
  {state, source, format, rows, done, rejected, reasons, events}: Inspection,
  path: string,
  input: string,
  {final}: {final: boolean},
): string {
  const facts = `${counted(rows, 'row')} of ${format}`;
  const moved = final ? '; --final would move time past the last window' : '';
  if (state === 'unchanged')
    return `would append nothing: ${path} (${facts}) was ingested before as ${source}${moved}`;
  const from = state === 'continues' ? `, of which ${formatCount(done)} are done` : '';
  return `would ingest ${path} as ${input}: ${facts}${from}, ${events === undefined ? '' : `its transform would make ${counted(events, 'event')} of them, `}${formatCount(rejected)} would be rejected${reasonsText(reasons)}${moved}`;
}

function inputOf({domains}: Platform, name: string): Input {
  const inputs = domains.flatMap((domain) => domain.inputs);
  const found = inputs.filter((input) => input.name === name || `${input.domain}.${input.name}` === name);
  if (found.length === 1) return found[0]!;
  throw unknownName(
    'input',
    name,
    inputs.map((input) => `${input.domain}.${input.name}`),
  );
}

function summary({
  state,
  source,
  received,
  appended,
  duplicate,
  rejected,
  reasons,
  resumedAt,
  seconds,
  final,
  transformed,
}: IngestReport): string {
  if (state === 'unchanged' && final)
    return `${source}: this content was ingested before; time was moved past its last window`;
  if (state === 'unchanged')
    return `${source}: this content was ingested before, nothing to do (--as NAME takes it as another file)`;
  const begin = state === 'stopped' ? 'stopped, goes on from here next time' : 'done';
  const made = transformed
    ? `, of ${counted(transformed.in, 'record')} its transform made ${counted(transformed.out, 'event')}`
    : '';
  return `${source}: ${begin}: ${counted(received, 'row')}${resumedAt > 0 ? ` (after ${formatCount(resumedAt)} of an earlier run)` : ''}, ${formatCount(appended)} appended, ${formatCount(duplicate)} duplicate, ${formatCount(rejected)} rejected${reasonsText(reasons)}${made}, in ${seconds.toFixed(1)} s`;
}

function reasonsText(reasons: Record<string, number>): string {
  const text = Object.entries(reasons)
    .map(([code, count]) => `${code} ${formatCount(count)}`)
    .join(', ');
  return text ? ` (${text})` : '';
}

/** A bar on a terminal, nothing elsewhere. */
export function progressBar(
  io: CommandIo,
  title: string,
): {show(progress: IngestProgress): void; close(): void} {
  const on = io.stderr.isTTY === true && !io.env.CI;
  const color = palette(io.stderr, io.env);
  let drawn = false;
  return {
    show({phase, bytesRead, bytesTotal, rows, rowsTotal}) {
      if (!on) return;
      const share = Math.min(1, rowsTotal ? rows / rowsTotal : bytesTotal > 0 ? bytesRead / bytesTotal : 0);
      const filled = Math.round(share * 30);
      io.stderr.write(
        `\r\x1b[2K${title} ${color.cyan('█'.repeat(filled))}${color.dim('░'.repeat(30 - filled))} ${Math.floor(share * 100)} % ${formatCount(rows)} rows${phase === 'sorting' ? ' (sorting)' : ''}`,
      );
      drawn = true;
    },
    close() {
      if (drawn) io.stderr.write('\r\x1b[2K');
    },
  };
}
