import {asTyped} from '../invocation.ts';
import {dirsOf} from '../platform/places.ts';
import {planChanges} from '../platform/plan.ts';
import {
  type Change,
  type ChangeClass,
  type ChangeDetail,
  type ChangePlan,
  changeClasses,
} from '../platform/plan-types.ts';
import {counted, formatBytes} from '../quantity.ts';
import type {CommandBody, CommandCall} from './command.ts';
import {load, printDiagnostics} from './context.ts';
import {formatCount, palette, printJson, ReportedError} from './output.ts';

export const run: CommandBody = async (call) => {
  const {io, options} = call;
  const {plan} = await readPlan(call);
  if (options.json) printJson(io, plan);
  else io.stdout.write(asTyped(formatPlan(plan, palette(io.stdout, io.env)), io.cwd));
  return plan.changes.length > 0 ? 3 : 0;
};

/** The configuration of a call, compared with what runs. @throws CONFIG_INVALID after its mistakes were printed */
export async function readPlan(call: CommandCall) {
  const loaded = await load(call);
  if (!loaded.ok) {
    printDiagnostics(call, loaded.diagnostics);
    throw new ReportedError();
  }
  const plan = await planChanges(loaded.platform, dirsOf(loaded.platform), loaded.config);
  return {plan, platform: loaded.platform};
}

const classNames: Record<ChangeClass, string> = {
  safe: 'safe',
  revision: 'new revision',
  breaking: 'breaking',
  destructive: 'destructive',
};
const signs: Record<Change['action'], string> = {add: '+', remove: '-', change: '~', rename: '>'};

/**
 * The plan as people read it: a paragraph a change, with its class and its place in the files.
 * @param withWay says how it is applied; not to somebody who does that just now
 */
export function formatPlan(
  {appliedMs, changes}: ChangePlan,
  paint: ReturnType<typeof palette>,
  withWay = true,
): string {
  const since =
    appliedMs === null
      ? 'nothing has run here yet'
      : `against what was applied ${new Date(appliedMs).toISOString().slice(0, 16)}Z`;
  if (changes.length === 0) return `no changes ${since}\n`;
  const counts = changeClasses
    .map((each) => ({each, count: changes.filter((change) => change.class === each).length}))
    .filter(({count}) => count > 0)
    .map(({each, count}) => `${count} ${classNames[each]}`);
  const paragraphs = changes.map((change) => formatChange(change, paint));
  const refused = changes.some((change) => change.refused);
  const closing = refused
    ? 'it cannot be applied as it is\n'
    : `${restartText(changes)}${withWay ? 'apply it: npx millrace apply\n' : ''}`;
  return `${changes.length} ${changes.length === 1 ? 'change' : 'changes'} (${counts.join(', ')}), ${since}\n\n${paragraphs.join('\n')}\n${closing}`;
}

const restartText = (changes: Change[]): string =>
  changes.some(({restart}) => restart)
    ? 'a platform that runs takes it over by starting anew within its process: a few seconds without ingestion\n'
    : '';

function formatChange(change: Change, paint: ReturnType<typeof palette>): string {
  const {kind, action, name, from, place, details, consumers, lost, refill, refused} = change;
  const color =
    change.class === 'safe' ? paint.green : change.class === 'revision' ? paint.yellow : paint.red;
  const where = place ? `  ${paint.dim(`${place.file}:${place.line}`)}` : '';
  const lines = [
    `${signs[action]} ${kind} ${name}${from ? ` (was ${from})` : ''}  ${color(refused ? 'refused' : classNames[change.class])}${where}`,
  ];
  for (const detail of details) lines.push(`    ${formatDetail(detail)}`);
  for (const reason of refused?.reasons ?? []) lines.push(`    refused: ${reason}`);
  if (refused) lines.push(`    way out: ${refused.hint}`);
  for (const consumer of consumers) lines.push(`    breaks: ${consumer}`);
  for (const each of lost) lines.push(`    lost: ${each}`);
  if (refill) lines.push(`    fill: ${formatRefill(refill, name)}`);
  return `${lines.join('\n')}\n`;
}

function formatDetail({what, before, after, effect}: ChangeDetail): string {
  const value =
    before === null
      ? after === null
        ? ''
        : `+ ${after}`
      : after === null
        ? `- ${before}`
        : `${before} -> ${after}`;
  return `${what}: ${value}${effect ? ` (${effect})` : ''}`;
}

function formatRefill(
  {events, bytes, seconds, eventsPerSecond, measured, trimmed}: NonNullable<Change['refill']>,
  query: string,
): string {
  const missing =
    trimmed > 0
      ? `; the log no longer has the first ${formatCount(trimmed)}; afterwards, npx millrace backfill ${query} --from archive adds what raw tables keep`
      : '';
  if (events === 0) return `nothing in the log yet${missing}`;
  const rate =
    measured === 'none'
      ? 'its rate cannot be measured here'
      : `about ${secondsText(seconds)} at ${formatCount(eventsPerSecond)} events/s, ${measured === 'refill' ? 'as it was filled last' : 'measured on a sample now'}`;
  return `${counted(events, 'event')}, ${formatBytes(bytes)}, ${rate}${missing}`;
}

const secondsText = (seconds: number): string =>
  seconds < 1 ? 'a second' : seconds < 120 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
