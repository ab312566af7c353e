import type {ConsoleStatus, SeenGroup} from '../console/types.ts';
import {escapeControls, formatCount, formatTable, type palette} from './output.ts';

type Colors = ReturnType<typeof palette>;

/** What a console says, as lines. */
export function consolePicture(status: ConsoleStatus, color: Colors): string[] {
  const {name, env, url, pid, kafka, leases, here, hereMessage} = status;
  const groups = [
    ...kafka.queries.map((group) => lineOf('query', group)),
    ...kafka.sinks.map((group) => lineOf('sink', group)),
  ];
  const topics = kafka.topics.map(({topic, partitions, records, message}) => [
    topic,
    message !== undefined ? 'may not be seen' : partitions === 0 ? 'not there' : partitions,
    records === null ? 'unknown' : formatCount(records),
  ]);
  const troubles = [...kafka.queries, ...kafka.sinks].flatMap(({name: whose, message}) =>
    message === undefined ? [] : [`  ${color.yellow(`${whose}:`)} ${escapeControls(message)}`],
  );
  return [
    `${color.bold(`millrace ${escapeControls(name)}`)} ${color.dim(`${env} · console, process ${pid} · ${url}`)}`,
    `  ${kafkaText(kafka, color)}`,
    ...table(['', 'name', 'lag', 'delay', 'of'], groups),
    ...table(['topic', 'partitions', 'records'], topics),
    '',
    ...leases.map(({what, place, holder, message}) => {
      const who = holder ?? (message === undefined ? 'nobody' : 'unknown');
      const more = message === undefined ? '' : `: ${message}`;
      return `  ${color.dim(`${what}, ${place}:`)} ${escapeControls(who + more)}`;
    }),
    ...troubles,
    ...(hereMessage === undefined
      ? []
      : [`  ${color.yellow('the processes of this directory:')} ${escapeControls(hereMessage)}`]),
    ...(here === null && hereMessage === undefined
      ? [
          color.dim(
            '  no other process of the platform runs in this directory: its books are asked where they are',
          ),
        ]
      : []),
  ];
}

function kafkaText({state, message, asOfMs, cluster}: ConsoleStatus['kafka'], color: Colors): string {
  const asOf = asOfMs === null ? undefined : `as of ${new Date(asOfMs).toISOString()}`;
  if (state === 'answering') return `${color.green('Kafka answers')}: cluster ${cluster}, ${asOf}`;
  if (state === 'starting') return 'Kafka was not asked yet';
  const more = asOf === undefined ? '' : `; what follows is ${asOf}`;
  return `${color.yellow('Kafka cannot be asked')}: ${escapeControls(message ?? '')}${more}`;
}

const lineOf = (kind: string, {name, state, lag, lagMs, topics}: SeenGroup) => [
  kind,
  name,
  lag === null ? (state === 'unpublished' ? 'nothing published' : 'unknown') : formatCount(lag),
  lagMs === null ? '-' : secondsOf(lagMs),
  topics.map(({topic}) => topic).join(', '),
];

/** A table with an empty line before it. */
const table = (columns: string[], rows: (string | number)[][]): string[] =>
  rows.length === 0
    ? []
    : [
        '',
        ...formatTable(columns, rows)
          .trimEnd()
          .split('\n')
          .map((line) => `  ${line}`),
      ];

const secondsOf = (ms: number): string =>
  ms < 100_000 ? `${(Math.max(0, ms) / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} m`;
