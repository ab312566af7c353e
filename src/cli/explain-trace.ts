import {PlatformError} from '../errors.ts';
import {formatDate, formatTimestamp, parseTimestamp} from '../expr/calendar.ts';
import type {Value, ValueType} from '../expr/types.ts';
import {formatCents} from '../expr/values.ts';
import {asTyped} from '../invocation.ts';
import type {Platform} from '../model/types.ts';
import {plansToRun} from '../platform/apply-plans.ts';
import {askOf} from '../platform/ask.ts';
import {readRevisions} from '../platform/revisions.ts';
import type {PlatformStatus} from '../platform/status.ts';
import {type EventTrace, type QueryTrace, traceEvent} from '../platform/trace-event.ts';
import {traceWindow, type WindowTrace} from '../platform/trace-window.ts';
import type {CommandBody} from './command.ts';
import {openPlatform, queryOf, unknownName} from './context.ts';
import {escapeControls, formatTable, palette, printJson} from './output.ts';

/** One record's way, from the log to every query and the raw table. */
export const event: CommandBody = async (call) => {
  const {platform, dirs, control} = await openPlatform(call);
  const {args, options, io} = call;
  const id = args[0]!;
  const {events, deadLetters} = await traceEvent(id, {
    platform,
    dirs,
    ask: askOf(platform, control),
    onSearch: (topic) => void io.stderr.write(`no index has it: ${topic} is searched\n`),
  });
  if (options.json) {
    const letters = deadLetters.map(({original, timeMs, ...letter}) => ({
      ...letter,
      time: new Date(timeMs).toISOString(),
      original: Buffer.from(original).toString('base64'),
    }));
    printJson(io, {events, deadLetters: letters});
    return events.length + letters.length > 0 ? 0 : 1;
  }
  if (events.length + deadLetters.length === 0)
    throw new PlatformError('NAME_UNKNOWN', `no event and no dead letter has the id "${id}"`, {
      hint: 'npx millrace tap <topic> --json shows ids; ids of files come from file and row',
    });
  for (const each of events) io.stdout.write(asTyped(eventText(platform, each), io.cwd));
  for (const {domain, id: letter, code, message, stage, source} of deadLetters)
    io.stdout.write(
      asTyped(
        `dead letter ${letter.slice(0, 8)} of ${domain}, stage ${stage}, from ${escapeControls(source)}: ${code} ${escapeControls(message)}\n  whole: npx millrace dlq show ${domain} ${letter.slice(0, 8)}\n`,
        io.cwd,
      ),
    );
  return 0;
};

function eventText(platform: Platform, trace: EventTrace): string {
  const {topic, partition, offset, appended, schema, foundBy, raw, queries} = trace;
  const fields = platform.domains
    .flatMap(({eventTypes}) => eventTypes)
    .find((each) => each.topic === topic)!.fields;
  const values = fields.map(
    ({name, column, type}) => `  ${name}: ${shown(trace.event[column] ?? null, type)}`,
  );
  const written = raw?.written ? 'is written' : 'is not written yet';
  return `${topic}, partition ${partition}, offset ${offset}; appended ${appended}${schema ? `; schema ${schema.subject} version ${schema.version} (id ${schema.id})` : ''}; found by ${foundBy}
${values.join('\n')}
${raw ? `raw table ${raw.table} in ${raw.sink}: ${written}\n` : ''}${queries.map(queryText).join('')}`;
}

function queryText({query, class: kind, reason, group, windows}: QueryTrace): string {
  const key = Object.entries(group).map(([name, value]) => `${name}=${shown(value, 'string')}`);
  const lines = windows.map(
    ({start, end}) => `    ${start} to ${end}${key.length > 0 ? `  ${key.join(' ')}` : ''}`,
  );
  return `query ${query}: ${kind}; ${escapeControls(reason)}\n${lines.map((line) => `${line}\n`).join('')}`;
}

function shown(value: Value, type: ValueType): string {
  if (value === null) return 'NULL';
  if (type === 'money') return formatCents(value as number | bigint);
  if (type === 'timestamp') return formatTimestamp(Number(value));
  if (type === 'date') return formatDate(Number(value));
  return escapeControls(String(value));
}

/** Why a window is not there, not closed, or was corrected. */
export const window: CommandBody = async (call) => {
  const {platform, dirs, control} = await openPlatform(call);
  const {args, options, io} = call;
  const [name = '', start = '', ...rest] = args;
  const id = queryOf(platform, name);
  const plan = plansToRun(platform.domains, readRevisions(dirs.revisions), dirs).find(
    (each) => each.id === id,
  )!;
  const startMs =
    parseTimestamp(start) ??
    parseTimestamp(`${start}Z`) ??
    parseTimestamp(`${start}:00Z`) ??
    parseTimestamp(`${start}T00:00:00Z`);
  if (startMs === undefined)
    throw new PlatformError('USAGE', `"${start}" is no time`, {
      hint: 'the start of a window, in UTC unless it says otherwise: 2026-01-05T10:00 or 2026-01-05T10:00:00Z',
    });
  const group = groupOf(rest, plan.groupBy);
  const status = await control?.get<PlatformStatus>('/v1/status');
  const trace = await traceWindow(
    {plan, startMs, group},
    {platform, dirs, ask: askOf(platform, control), status},
  );
  if (options.json) printJson(io, trace);
  else io.stdout.write(asTyped(windowText(trace, palette(io.stdout, io.env)), io.cwd));
  return 0;
};

/** `carrier=AA`: a dimension's value as a row shows it. */
function groupOf(args: string[], dimensions: {name: string; column: string}[]): Map<string, string> {
  return new Map(
    args.map((arg) => {
      const at = arg.indexOf('=');
      if (at < 1)
        throw new PlatformError('USAGE', `"${arg}" names no dimension and value`, {
          hint: 'for example country=DE',
        });
      const name = arg.slice(0, at);
      const dimension = dimensions.find((each) => each.name === name || each.column === name);
      if (!dimension)
        throw unknownName(
          'dimension',
          name,
          dimensions.map((each) => each.name),
        );
      return [dimension.column, arg.slice(at + 1)];
    }),
  );
}

const rowsShown = 20;

function windowText(trace: WindowTrace, color: ReturnType<typeof palette>): string {
  const {query, revision, start, end, rows, sink, state, reasons, partitions, late, lateCount} = trace;
  const parts = [`${color.bold(`${query}, ${start} to ${end}`)}: ${state} (revision ${revision})\n`];
  parts.push(reasons.map((reason) => `  - ${escapeControls(reason)}\n`).join(''));
  if (rows === null) parts.push(`rows: sink ${sink} cannot be asked with SQL\n`);
  else if (rows.length > 0) {
    const columns = Object.keys(rows[0]!).filter((name) => name !== 'window_start' && name !== 'window_end');
    parts.push(
      formatTable(
        columns,
        rows.slice(0, rowsShown).map((row) => columns.map((name) => row[name])),
      ),
    );
    if (rows.length > rowsShown) parts.push(`... and ${rows.length - rowsShown} rows more\n`);
  }
  if (partitions.length > 0)
    parts.push(
      formatTable(
        ['partition', 'read', 'of', 'latest event', 'watermark'],
        partitions.map(({topic, partition, read, end: of, maximum, watermark}) => [
          `${topic}/${partition}`,
          read,
          of,
          maximum ?? '-',
          watermark ?? '-',
        ]),
      ),
    );
  if (lateCount > 0)
    parts.push(
      `late:\n${late.map(({topic, partition, offset, watermark}) => `  ${topic}/${partition}@${offset}, the watermark was ${watermark}\n`).join('')}`,
    );
  return parts.join('');
}
