import type {CommandSpec} from '../command.ts';
import {dryRun} from './options.ts';

/** Commands: what brings data in and shows it. */
export const dataCommands: CommandSpec[] = [
  {
    name: 'ingest',
    summary: 'Bring a file into the log, once per content',
    arguments: '<input> [file]',
    options: [
      {flags: '--as <name>', doc: 'take it as another file: new event ids'},
      {flags: '--late', doc: 'accept rows that are beyond every horizon'},
      {flags: '--final', doc: 'afterwards move time past the last window, so that all windows close'},
      {flags: '--fast', doc: 'ignore the rate of the input'},
      dryRun,
    ],
    examples: [
      ['millrace ingest departures', 'the file that the input names'],
      ['millrace ingest departures other.csv.gz', 'another file, mapped in the same way'],
    ],
    load: () => import('../ingest.ts'),
  },
  {
    name: 'query',
    summary: 'Run read-only SQL and print a table',
    arguments: '<sql>',
    options: [{flags: '--sink <name>', doc: 'which sink (default: defaults.aggregates)'}],
    examples: [
      [
        'millrace query "select * from flights.departures_per_day order by window_start limit 5"',
        'rows of a query',
      ],
      ['millrace query --sink records "select count(*) from flights.departure"', 'raw events'],
    ],
    load: () => import('../query.ts'),
  },
  {
    name: 'tap',
    summary: 'Watch events or rows as they come',
    arguments: '<topic>',
    options: [
      {flags: '--limit <n>', doc: 'stop after n'},
      {flags: '--from <where>', doc: '`start` or `end` of the topic', default: 'end'},
      {flags: '--where <expression>', doc: 'only those for which this is true, in the language of `where:`'},
      {flags: '--fields <names>', doc: 'only these columns, separated by commas'},
    ],
    examples: [
      ['millrace tap flights.departure', 'events of a topic, decoded'],
      [
        `millrace tap flights.departure --where "delay_min > 60 and carrier in ('AA', 'UA')" --fields tail,delay_min`,
        'some of them, and less of each',
      ],
      ['millrace tap flights.departure --from start --limit 3 --json', 'the first three'],
    ],
    load: () => import('../tap.ts'),
  },
];
