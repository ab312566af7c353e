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
    name: 'generate',
    summary: 'Make synthetic events, the same ones for the same seed',
    arguments: '[domain]',
    options: [
      {flags: '--count <n>', doc: 'so many more events, then end'},
      {flags: '--to <n>', doc: 'until there are so many in all: typed again after a crash it makes the rest'},
      {flags: '--for <duration>', doc: 'so much event time, then end'},
      {flags: '--rate <rate>', doc: 'events per second from now on, also while it runs: 1000/s'},
      {
        flags: '--faults <faults>',
        doc: 'off, on (as configured) or shares, also while it runs: late=5%,duplicate=1%',
      },
      {flags: '--seed <n>', doc: 'another seed than that of `generate:`'},
      {flags: '--start <time>', doc: 'event time of the first event (--fast and --out: 2025-01-01)'},
      {flags: '--fast', doc: 'do not wait for the time of events'},
      {flags: '--pause', doc: 'hold the generator of the running platform'},
      {flags: '--resume', doc: 'let it go on'},
      {flags: '--stop', doc: 'end it'},
      {flags: '--out <file>', doc: 'JSON lines into a file (- for stdout) instead of the log'},
      {
        flags: '--verify',
        doc: 'compute the expected rows, dead letters and ledger in the obvious way and compare; exit code 3 when they differ',
      },
      dryRun,
    ],
    examples: [
      ['millrace generate ecommerce --count 5 --out -', 'five events to look at'],
      ['millrace generate ecommerce --rate 1000/s --faults late=5%', 'change what a running platform makes'],
      ['millrace generate ecommerce --count 20000 --fast --verify', 'make events and prove the rows right'],
    ],
    load: () => import('../generate.ts'),
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
