/** The lines of the picture that say what does not run as it should. */
import type {PlatformStatus, ProcessStatus} from '../platform/status.ts';
import {formatBytes} from '../quantity.ts';
import {escapeControls, formatCount, type palette} from './output.ts';

export type Colors = ReturnType<typeof palette>;

/** As seconds, or as minutes where there are many. */
export const seconds = (ms: number): string =>
  ms < 100_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} m`;

/** A sink that is further behind is named, ms. */
export const slowMs = 10_000;

/** What does not run as it should, and why. */
export const troubleLines = (status: PlatformStatus, color: Colors): string[] => [
  ...(status.processes ?? [status]).flatMap((process) => processLines(process, color)),
  ...queryTroubleLines(status, color),
];

/** What stands in the way of a process; of one of several with its roles in front. */
function processLines(
  {
    roles,
    registry,
    spool,
    standby,
    sinkLeases = [],
    checkpointsWait,
  }: Omit<ProcessStatus, 'roles'> & {roles?: readonly string[]},
  color: Colors,
): string[] {
  const who = roles ? `${roles.join(', ')}: ` : '';
  const line = (what: string, why = '') =>
    `  ${color.yellow(`${who}${what}`)}${why && ` ${escapeControls(why)}`}`;
  const lines: string[] = [];
  if (standby !== undefined) lines.push(line('takes no events and stands by:', standby));
  for (const {sink, state, holder, message} of sinkLeases) {
    if (state === 'standby')
      lines.push(line(`stands by for sink ${sink}:`, holder ? `${holder} writes into it` : message));
    else if (message !== undefined) lines.push(line(`sink ${sink} waits:`, message));
  }
  if (spool?.isSpooling) {
    const {records, bytes, limitBytes, message} = spool;
    const room = `${formatBytes(bytes)} of ${formatBytes(limitBytes)}`;
    const what = `Kafka is away or slow: ${formatCount(records)} records (${room}) wait in the outbox`;
    lines.push(message ? line(`${what}:`, message) : line(what));
  }
  if (checkpointsWait !== undefined) lines.push(line('checkpoints wait, queries go on:', checkpointsWait));
  if (registry && registry.state !== 'running')
    lines.push(line(`schema registry ${registry.place}: ${registry.state}`, registry.message));
  return lines;
}

const queryTroubleLines = ({deliveries, queries, events}: PlatformStatus, color: Colors): string[] => [
  ...queries.flatMap(({query, held = []}) =>
    held.map(
      ({topic, partition, offset, schemaId, message}) =>
        `  ${color.yellow(`query ${query} waits at ${topic}/${partition}, offset ${offset}, for schema ${schemaId}`)}${message ? `: ${escapeControls(message)}` : ''}`,
    ),
  ),
  ...[...new Set(queries.flatMap(({logAway}) => logAway ?? []))].map(
    (message) => `  ${color.yellow('the log cannot be read:')} ${escapeControls(message)}`,
  ),
  ...deliveries
    .filter(({state}) => state !== 'running')
    .map(
      ({sink, table, state, message, place}) =>
        `  ${color.yellow(`sink ${sink}, ${table}: ${state}`)} ${escapeControls(message ?? '')}${atPlace(place)}`,
    ),
  ...reasonLines(queries, deliveries, color),
  ...deliveries
    .filter(({state, lagMs}) => state === 'running' && lagMs > slowMs)
    .map(
      ({sink, table, lagEvents, lagMs}) =>
        `  ${color.yellow(`sink ${sink}, ${table}: slow`)}, ${formatCount(lagEvents)} events behind for ${seconds(lagMs)}`,
    ),
  ...events
    .filter(({isOver}) => isOver)
    .map(
      ({domain, eventType, received, rejected}) =>
        `  ${color.yellow(`over HTTP, ${domain}.${eventType}: ${formatCount(rejected)} of the last ${formatCount(received)} records were rejected`)} npx millrace dlq list ${domain}`,
    ),
];

/** Why queries do not run, where the line of no delivery says so; of those that wait for the same thing once. */
function reasonLines(
  queries: PlatformStatus['queries'],
  deliveries: PlatformStatus['deliveries'],
  color: Colors,
): string[] {
  const told = new Set(
    deliveries.filter(({state}) => state !== 'running').map(({table}) => table.replace(/__r\d+$/, '')),
  );
  const byReason = new Map<string, string[]>();
  for (const {query, state, reason} of queries) {
    if (state === 'running' || !reason || told.has(query) || reason.code === 'SINK_SLOW') continue;
    const text = `${state}\0 ${escapeControls(`${reason.code} ${reason.message}`)}${atPlace(reason.place?.replace(revision, ''))}`;
    byReason.set(text, [...(byReason.get(text) ?? []), query]);
  }
  return [...byReason].map(([text, names]) => {
    const [state, why] = text.split('\0');
    return `  ${color.yellow(`query ${names.join(', ')}: ${state}`)}${why}`;
  });
}

/** The table behind the sink: the line begins with its query. */
const revision = /, [^, ]+__r\d+$/;
/** Where something stands, behind what is told of it. */
export const atPlace = (place: string | undefined): string => (place ? `, at ${escapeControls(place)}` : '');
