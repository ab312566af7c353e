import {createInterface} from 'node:readline/promises';
import {PlatformError} from '../errors.ts';
import {asTyped} from '../invocation.ts';
import {type ApplyLine, applyOffline, lastSwitched, rollBack} from '../platform/apply.ts';
import {lagMaxDefaultMs} from '../platform/change.ts';
import type {ArchiveLine} from '../platform/change-archive.ts';
import type {Comparison} from '../platform/change-compare.ts';
import {differs} from '../platform/change-compare.ts';
import {connectControl} from '../platform/control.ts';
import {readRevisions} from '../platform/revisions.ts';
import {startPlatform} from '../platform/runtime.ts';
import type {PlatformStatus} from '../platform/status.ts';
import {counted, parseDuration} from '../quantity.ts';
import type {CommandBody, CommandCall, CommandIo} from './command.ts';
import {type Opened, openPlatform, queryOf, requirePlatform} from './context.ts';
import {formatCount, palette, printJson} from './output.ts';
import {formatPlan, readPlan} from './plan.ts';

export const run: CommandBody = async (call) => {
  const {options, io} = call;
  if (options.rollback === true) return rollback(call);
  const settings = changeSettings(options);
  const {plan} = await readPlan(call);
  const opened = await openPlatform(call);
  if (!options.json)
    io.stdout.write(asTyped(formatPlan(plan, palette(io.stdout, io.env), options.dryRun === true), io.cwd));
  if (plan.changes.length === 0 || options.dryRun) {
    if (options.json) printJson(io, {plan, applied: 0});
    return 0;
  }
  const isHarmless = plan.changes.every((change) => change.class === 'safe');
  if (options.yes !== true && !isHarmless && !(await agrees(io, 'apply it?'))) {
    if (options.json) printJson(io, {plan, applied: 0});
    else io.stderr.write('nothing was changed; to agree: --yes\n');
    return 3;
  }
  const code = await follow(
    call,
    linesOf(opened, '/v1/apply', settings, (more) => applyOffline(opened.platform, {...more, plan})),
  );
  return code;
};

async function rollback(call: CommandCall): Promise<number> {
  const {args, options, io} = call;
  const opened = await openPlatform(call);
  const queries = args.map((name) => queryOf(opened.platform, name));
  if (options.dryRun) {
    const found = queries.length > 0 ? queries : lastSwitched(readRevisions(opened.dirs.revisions));
    if (options.json) printJson(io, {rollback: found, dryRun: true});
    else io.stderr.write(`would switch back: ${found.join(', ') || 'nothing'}\n`);
    return 0;
  }
  const settings = changeSettings(options);
  return follow(
    call,
    linesOf(opened, '/v1/rollback', {...settings, queries}, async function* (more) {
      const command = 'millrace apply --rollback';
      const running = await startPlatform(opened.platform, {inputs: false, port: 0, command});
      try {
        yield* rollBack(running, queries, more);
      } finally {
        await running.drain();
      }
    }),
  );
}

/** `--yes` and `--lag-max`. @throws USAGE */
export function changeSettings(options: CommandCall['options']): {yes: boolean; lagMaxMs: number} {
  const text = options.lagMax;
  const lagMaxMs = text === undefined ? lagMaxDefaultMs : parseDuration(String(text));
  if (lagMaxMs === undefined)
    throw new PlatformError('USAGE', `"${text}" is not a duration`, {hint: 'for example --lag-max 5s'});
  return {yes: options.yes === true, lagMaxMs};
}

type Settings = {yes: boolean; lagMaxMs: number; [key: string]: unknown};

/** What a running platform says of a change, or one that runs for it. */
export async function* linesOf(
  {control}: Opened,
  path: string,
  settings: Settings,
  offline: (options: {yes: boolean; lagMaxMs: number; signal: AbortSignal}) => AsyncGenerator<ApplyLine>,
): AsyncGenerator<ApplyLine> {
  const stopping = new AbortController();
  const stop = () =>
    stopping.abort(
      new PlatformError('CHANGE_STOPPED', 'stopped: nothing was switched', {
        hint: 'the same command goes on where it was',
      }),
    );
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    if (control) yield* control.lines<ApplyLine>(path, {}, stopping.signal, settings);
    else yield* offline({...settings, signal: stopping.signal});
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

/** Shows a change as it goes on. @returns 3 when it waits for somebody to agree */
export async function follow(call: CommandCall, lines: AsyncIterable<ApplyLine>): Promise<number> {
  const {options, io} = call;
  const told: ApplyLine[] = [];
  let code = 0;
  const sinceMs = await startedMs(call);
  for await (const line of lines) {
    if ('waits' in line) code = 3;
    if (!('lagEvents' in line)) told.push(line);
    if (!options.json) io.stderr.write(asTyped(lineText(line), io.cwd));
    if ('restarting' in line && (await restarted(call, sinceMs)) > 0) {
      code = 1;
      if (!options.json)
        io.stderr.write(
          'the new configuration does not start, the one before runs on: see what the platform says\n',
        );
    }
  }
  if (options.json) printJson(io, {applied: code === 0, lines: told.filter((line) => !('plan' in line))});
  return code;
}

/** A line of a change as people read it; '' for what is shown elsewhere. */
export function lineText(line: ApplyLine): string {
  if ('plan' in line) return '';
  if ('comparison' in line) return comparisonText(line.comparison);
  if ('archive' in line) return archiveText(line);
  if ('restarting' in line) return 'the platform starts anew with the new configuration\n';
  if ('applied' in line) return `applied: ${line.applied} ${line.applied === 1 ? 'change' : 'changes'}\n`;
  if ('waits' in line)
    return `nothing was switched: ${line.reason}\nto switch all the same: --yes; what was filled is kept until then\n`;
  if ('switched' in line) return `${line.query} now shows revision ${line.revision}; ${line.old} stays\n`;
  const {query, revision, lagEvents, events, eventsPerSecond, secondsLeft, isThrottled, standsFor} = line;
  if (standsFor !== undefined) return `${query} revision ${revision} waits: ${standsFor}\n`;
  const share = events > 0 ? Math.floor(((events - lagEvents) / events) * 100) : 100;
  return `${query} revision ${revision}: ${share} %, ${counted(lagEvents, 'event')} to go, ${formatCount(eventsPerSecond)} events/s${secondsLeft === null ? '' : `, ${secondsLeft} s left`}${isThrottled ? ', waiting for what runs' : ''}\n`;
}

function archiveText({archive, events, offsets, duplicates}: ArchiveLine): string {
  const twice = duplicates > 0 ? `; ${formatCount(duplicates)} in the log are counted there` : '';
  return `${archive}: ${counted(events, 'event')} from the raw table for ${counted(offsets, 'offset')} that the log no longer has${twice}\n`;
}

/** Counts and samples of rows that differ. */
export function comparisonText(comparison: Comparison): string {
  const {query, sink, skipped, before, after, rowsAfter, same, different, onlyBefore, onlyAfter, windows} =
    comparison;
  if (skipped) return `${query} in ${sink}: not compared: ${skipped}\n`;
  if (!differs(comparison))
    return `${query} in ${sink}: ${rowsAfter === 1 ? 'the one row is' : `all ${formatCount(rowsAfter)} rows are`} the same in ${before} and ${after}\n`;
  const lines = [
    `${query} in ${sink}: ${counted(same, 'row is', 'rows are')} the same, ${counted(different, 'differs', 'differ')}, ${formatCount(onlyBefore)} only in ${before}, ${formatCount(onlyAfter)} only in ${after}; ${counted(windows, 'window')}${comparison.isPart ? ' (of the newest rows)' : ''}`,
  ];
  for (const sample of comparison.samples)
    lines.push(
      `    ${JSON.stringify(sample.key)}: ${sample.before ? JSON.stringify(sample.before) : 'no row'} -> ${sample.after ? JSON.stringify(sample.after) : 'no row'}`,
    );
  return `${lines.join('\n')}\n`;
}

/** How long a platform may take to drain and to start, ms. */
const restartMsMax = 60_000;

/** When the platform that runs here was started, epoch ms; undefined when none does. */
async function startedMs({options, io}: CommandCall): Promise<number | undefined> {
  const {root} = await requirePlatform({args: [], options, io});
  try {
    const control = await connectControl(root);
    const status = await control?.get<PlatformStatus>('/v1/status');
    return status?.phase === 'running' ? status.startedMs : undefined;
  } catch (error) {
    if (error instanceof PlatformError && error.code === 'NOT_RUNNING') return undefined;
    throw error;
  }
}

/** Waits until the platform has started anew. @returns how many changes it has not taken over */
async function restarted(call: CommandCall, sinceMs: number | undefined): Promise<number> {
  const untilMs = performance.now() + restartMsMax;
  while (performance.now() < untilMs) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const nowMs = await startedMs(call);
    if (nowMs !== undefined && nowMs !== sinceMs) break;
  }
  return (await readPlan(call)).plan.changes.length;
}

/** Asks on a terminal; elsewhere the answer is no. */
export async function agrees(io: CommandIo, question: string): Promise<boolean> {
  if (!io.stdout.isTTY || !process.stdin.isTTY) return false;
  const terminal = createInterface({input: process.stdin, output: io.stderr});
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
