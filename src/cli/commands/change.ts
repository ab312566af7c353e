import type {CommandSpec} from '../command.ts';
import {dryRun} from './options.ts';

/** Commands: what changes a running platform. */
export const changeCommands: CommandSpec[] = [
  {
    name: 'rebuild',
    summary:
      'Fill a new revision of a query from the log and switch the view to it; or a whole embedded database',
    arguments: '[query]',
    options: [
      {flags: '--sink <name>', doc: 'move the database of this sink aside; the next run fills a new one'},
      dryRun,
    ],
    examples: [
      ['millrace rebuild flights.departures_per_day', 'the old table stays'],
      ['millrace rebuild --sink analytics', 'when the database is damaged'],
    ],
    load: () => import('../rebuild.ts'),
  },
  {
    name: 'resume',
    summary: 'Start a query or an input again that stopped with an error',
    arguments: '<name>',
    examples: [['millrace resume flights.departures_per_day', 'after the cause is mended']],
    load: () => import('../resume.ts'),
  },
];
