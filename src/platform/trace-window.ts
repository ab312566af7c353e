import {PlatformError} from '../errors.ts';
import {hasLog, openLog} from '../log/open.ts';
import {decodedRecords} from '../log/scan.ts';
import type {LogReader} from '../log/types.ts';
import type {Platform} from '../model/types.ts';
import {type CheckpointHeader, stateName} from '../process/embedded/checkpoint.ts';
import {openStateReader} from '../process/embedded/statestore.ts';
import {windowsOf} from '../process/naive.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {counted} from '../quantity.ts';
import {compileDecoder} from '../schema/decode.ts';
import {lateOf, lateSchema} from '../schema/side.ts';
import {type Ask, dialectOf, type Row, recordsOf} from './ask.ts';
import type {PlatformDirs} from './places.ts';
import type {PlatformStatus} from './status.ts';

export type PartitionTrace = {
  topic: string;
  partition: number;
  /** Records of the log that the query has read, and how many there are. */
  read: number;
  end: number;
  /** ISO; null before the first event. */
  maximum: string | null;
  watermark: string | null;
};

export type WindowTrace = {
  query: string;
  revision: number;
  start: string;
  end: string;
  /** Rows of the window in the sink, those of the group that was asked for; null when the sink cannot be asked. */
  rows: Row[] | null;
  sink: string;
  /** By the highest and lowest watermark of the partitions, as of the last checkpoint. */
  state: 'open' | 'closed' | 'beyond corrections' | 'not begun';
  /** Sentences: why it is not there, not closed, or can still change. */
  reasons: string[];
  partitions: PartitionTrace[];
  /** Events that missed this window, newest last; at most `lateShown` of them. */
  late: {topic: string; partition: number; offset: number; watermark: string}[];
  lateCount: number;
};

const lateShown = 10;
const rowsMax = 1000;

export type WindowQuestion = {
  /** As it runs, which is not always as the files have it. */
  plan: QueryPlan;
  startMs: number;
  /** Column -> text of the value; a part of the group is enough. */
  group: Map<string, string>;
};

/** @throws USAGE for a start at which no window of the query begins, naming those around it; SINK_QUERY. */
export async function traceWindow(
  question: WindowQuestion,
  given: {platform: Platform; dirs: PlatformDirs; ask: Ask; status: PlatformStatus | undefined},
): Promise<WindowTrace> {
  const {plan, startMs, group} = question;
  const {id, revision} = plan;
  const {platform, dirs, ask, status} = given;
  const header = headerOf(dirs, id, revision);
  const [sink = ''] = plan.sinks;
  const rows = await rowsOf(platform, ask, sink, id, startMs);
  if (plan.window.type === 'session' && rows?.length === 0)
    throw await noSession(platform, ask, plan, sink, startMs);
  const endMs = endOf(plan, startMs, rows);
  const fits = (row: Row) => [...group].every(([name, text]) => String(row[name] ?? 'NULL') === text);
  const log = hasLog(dirs.source) ? await openLog(dirs.source) : undefined;
  try {
    const partitions = partitionsOf(plan, header, log);
    const late = log ? await missedBy(log, `late.${id}`, startMs) : [];
    const shown = rows === null ? null : rows.filter(fits);
    const state = stateOf(plan, endMs, partitions);
    return {
      query: id,
      revision,
      start: new Date(startMs).toISOString(),
      end: new Date(endMs).toISOString(),
      rows: shown,
      sink,
      state,
      reasons: reasonsOf({question, endMs, state, rows, shown, partitions, late: late.length, status, id}),
      partitions,
      late: late.slice(-lateShown),
      lateCount: late.length,
    };
  } finally {
    log?.close();
  }
}

function headerOf(dirs: PlatformDirs, id: string, revision: number): CheckpointHeader | undefined {
  const states = openStateReader(dirs.state);
  try {
    const loaded = states.load(stateName({id, revision}));
    return loaded && (JSON.parse(loaded.meta) as CheckpointHeader);
  } finally {
    states.close();
  }
}

/** Sessions begin with an event, so that most instants are no start of one. */
async function noSession(
  platform: Platform,
  ask: Ask,
  {id, query}: QueryPlan,
  sink: string,
  startMs: number,
): Promise<PlatformError> {
  const dialect = dialectOf(platform, sink)!;
  const where = `${dialect.millis('window_start')} <= ${startMs} AND ${dialect.millis('window_end')} > ${startMs}`;
  const sql = `SELECT DISTINCT ${dialect.millis('window_start')} AS start FROM ${tableOf(id)} WHERE ${where} ORDER BY start DESC LIMIT 5`;
  const starts = recordsOf(await ask(sink, sql)).map(({start}) => new Date(Number(start)).toISOString());
  const hint =
    starts.length > 0
      ? `sessions that hold this instant begin at ${starts.join(', ')}`
      : 'no session holds this instant';
  return new PlatformError('USAGE', `no session of ${query} begins at ${new Date(startMs).toISOString()}`, {
    hint,
  });
}

/** A query's view as both dialects quote it. */
const tableOf = (id: string): string =>
  id
    .split('.')
    .map((part) => `"${part}"`)
    .join('.');

async function rowsOf(
  platform: Platform,
  ask: Ask,
  sink: string,
  id: string,
  startMs: number,
): Promise<Row[] | null> {
  const dialect = dialectOf(platform, sink);
  if (!dialect) return null;
  const where = `${dialect.millis('window_start')} = ${Math.trunc(startMs)}`;
  return recordsOf(await ask(sink, `SELECT * FROM ${tableOf(id)} WHERE ${where} LIMIT ${rowsMax}`));
}

/** @throws USAGE when no window begins there */
function endOf({window, query: name}: QueryPlan, startMs: number, rows: Row[] | null): number {
  if (window.type === 'session') {
    const ends = (rows ?? [])
      .map((row) => Date.parse(String(row.window_end)))
      .filter((ms) => !Number.isNaN(ms));
    return ends.length > 0 ? Math.max(...ends) : startMs + window.gapMs;
  }
  const around = windowsOf(window, startMs);
  const found = around.find((each) => each.startMs === startMs);
  if (found) return found.endMs;
  const before = around.at(-1)!;
  const next = windowsOf(window, before.endMs).find((each) => each.startMs > startMs);
  const iso = (ms: number) => new Date(ms).toISOString();
  throw new PlatformError('USAGE', `no window of ${name} begins at ${iso(startMs)}`, {
    hint: `it is in the window of ${iso(before.startMs)}${next ? `; the next one is ${iso(next.startMs)}` : ''}`,
  });
}

function partitionsOf(
  {sources, watermarkMs}: QueryPlan,
  header: CheckpointHeader | undefined,
  log: LogReader | undefined,
): PartitionTrace[] {
  const iso = (ms: number) => (Number.isFinite(ms) ? new Date(ms).toISOString() : null);
  return sources.flatMap(({topic}) =>
    Array.from({length: log?.partitions(topic) ?? 0}, (_, partition) => {
      const cut = header?.cuts.find((each) => each.topic === topic && each.partition === partition);
      const maxMs = Number(cut?.maxTimeMs ?? Number.NaN);
      return {
        topic,
        partition,
        read: cut?.offset ?? 0,
        end: log!.endOffset(topic, partition),
        maximum: iso(maxMs),
        watermark: iso(maxMs - watermarkMs),
      };
    }),
  );
}

const watermarksOf = (partitions: PartitionTrace[]): number[] =>
  partitions.flatMap(({watermark}) => (watermark === null ? [] : [Date.parse(watermark)]));

function stateOf(
  {late, correctForMs}: QueryPlan,
  endMs: number,
  partitions: PartitionTrace[],
): WindowTrace['state'] {
  const watermarks = watermarksOf(partitions);
  if (watermarks.length === 0) return 'not begun';
  const horizonMs = late === 'correct' ? correctForMs : 0;
  const lowest = watermarks.length < partitions.length ? -Infinity : Math.min(...watermarks);
  if (lowest >= endMs + horizonMs && horizonMs > 0) return 'beyond corrections';
  return Math.min(...watermarks) >= endMs ? 'closed' : 'open';
}

type Facts = {
  question: WindowQuestion;
  endMs: number;
  state: WindowTrace['state'];
  rows: Row[] | null;
  shown: Row[] | null;
  partitions: PartitionTrace[];
  late: number;
  status: PlatformStatus | undefined;
  id: string;
};

function reasonsOf(facts: Facts): string[] {
  const {shown, rows, question, status, id} = facts;
  const reasons = [...troubleOf(status, id), ...unreadOf(facts)];
  if (shown !== null && shown.length === 0) {
    if (rows!.length > 0) {
      const {plan} = question;
      reasons.push(
        `the window has ${counted(rows!.length, 'row')}, none of this group: look at the values of ${plan.groupBy.map(({name}) => name).join(', ')}`,
      );
    } else reasons.push(...whyEmpty(facts));
  }
  reasons.push(...whyState(facts));
  if (facts.late > 0)
    reasons.push(
      `${counted(facts.late, 'event')} came too late for it and ${facts.late === 1 ? 'lies' : 'lie'} in late.${id}: npx millrace late list ${id}; npx millrace backfill ${id} counts ${facts.late === 1 ? 'it' : 'them'}`,
    );
  return reasons;
}

function troubleOf(status: PlatformStatus | undefined, id: string): string[] {
  if (!status) return ['no platform runs here: this is as the last run left it'];
  const query = status.queries.find((each) => each.query === id);
  const reasons: string[] = [];
  if (query && query.state !== 'running')
    reasons.push(
      `the query is ${query.state}: ${query.reason?.code ?? ''} ${query.reason?.message ?? ''}`.trim(),
    );
  for (const {sink, table, state, pending, message} of status.deliveries)
    if (table.replace(/__r\d+$/, '') === id && (state !== 'running' || pending > 0))
      reasons.push(
        `${counted(pending, 'row is', 'rows are')} not in ${sink} yet${state === 'running' ? '' : `, it is ${state}: ${message ?? ''}`}`,
      );
  return reasons;
}

function unreadOf({partitions}: Facts): string[] {
  const unread = partitions.reduce((sum, {read, end}) => sum + Math.max(0, end - read), 0);
  return unread === 0
    ? []
    : [
        `${counted(unread, 'record of the log is', 'records of the log are')} not in the query's last checkpoint yet`,
      ];
}

function whyEmpty({question, partitions, state}: Facts): string[] {
  const {plan, startMs} = question;
  const maxima = partitions.flatMap(({maximum}) => (maximum === null ? [] : [Date.parse(maximum)]));
  if (maxima.length === 0) return ['no event has arrived yet'];
  const latest = Math.max(...maxima);
  if (latest < startMs)
    return [`no event of this time has arrived: the latest one is of ${new Date(latest).toISOString()}`];
  if (plan.emit === 'close' && state === 'open') return ['its rows come when it closes: `emit: close`'];
  return [
    `no event counts in it${plan.where ? ': none of this time arrived in time, or `where` was true for none' : ': none of this time arrived in time'}`,
  ];
}

function whyState({question, endMs, state, partitions}: Facts): string[] {
  const {late, correctForMs, idleMs} = question.plan;
  const end = new Date(endMs).toISOString();
  if (state === 'not begun') return [];
  if (state === 'open') {
    const behind = partitions
      .filter(({watermark}) => watermark !== null && Date.parse(watermark) < endMs)
      .map(({topic, partition, watermark}) => `${topic}/${partition} at ${watermark}`);
    return [
      `it closes when every watermark has passed ${end}; ${behind.length} of ${partitions.length} partitions have not: ${behind.slice(0, 4).join(', ')}${behind.length > 4 ? ', ...' : ''}`,
      `a partition that is read to its end and silent for ${idleMs / 1000} s holds nothing back; the rows below say whether it is closed already`,
    ];
  }
  if (state === 'beyond corrections') return ['no event can change it any more'];
  return late === 'correct'
    ? [
        `late events correct it until their partition's watermark reaches ${new Date(endMs + correctForMs).toISOString()}`,
      ]
    : [`late events do not change it: \`late: ${late}\``];
}

/** Late events that missed the window which begins at `startMs`, oldest first. */
async function missedBy(log: LogReader, topic: string, startMs: number): Promise<WindowTrace['late']> {
  const found: WindowTrace['late'] = [];
  for await (const {values} of decodedRecords(log, topic, compileDecoder(lateSchema))) {
    const late = lateOf(values);
    if (!late.missed.includes(startMs)) continue;
    const {partition, offset, watermarkMs} = late;
    found.push({topic: late.topic, partition, offset, watermark: new Date(watermarkMs).toISOString()});
  }
  return found;
}
