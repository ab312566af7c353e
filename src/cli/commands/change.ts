import type {CommandSpec} from '../command.ts';
import {dryRun} from './options.ts';

const yes = {flags: '--yes', doc: 'do it without asking'};
const lagMax = {
  flags: '--lag-max <duration>',
  doc: 'queries that run may lag so much while a revision is filled (default: 2s)',
};

/** Commands: what changes a running platform. */
export const changeCommands: CommandSpec[] = [
  {
    name: 'plan',
    summary:
      'Compare the configuration with what runs: what each change does, costs and breaks; exit 3 when there are changes',
    examples: [
      ['millrace plan', 'every change with its class and its place in the files'],
      ['millrace plan --json', 'for machines'],
    ],
    load: () => import('../plan.ts'),
  },
  {
    name: 'apply',
    summary:
      'Carry out what `plan` says: fill new revisions beside the running ones, compare, switch; or take it back',
    arguments: '[query...]',
    options: [
      yes,
      {
        flags: '--rollback',
        doc: 'switch back to the revision before: these queries, or all of the last apply',
      },
      lagMax,
      dryRun,
    ],
    examples: [
      ['millrace apply', 'shows the plan and asks'],
      ['millrace apply --yes --lag-max 500ms', 'without asking, gently'],
      ['millrace apply --rollback', 'take the last one back'],
    ],
    load: () => import('../apply.ts'),
  },
  {
    name: 'backfill',
    summary: 'Fill a new revision of a query that counts every event there is, however late, and compare',
    arguments: '<query>',
    options: [
      {flags: '--from <place>', doc: '`archive`: what the log no longer has comes from the raw table'},
      yes,
      lagMax,
      dryRun,
    ],
    examples: [
      ['millrace backfill flights.departures_per_day', 'shows which windows differ; asks before it switches'],
      ['millrace backfill flights.departures_per_day --yes', 'switches whatever differs'],
      ['millrace backfill flights.departures_per_day --from archive', 'after the log was trimmed'],
    ],
    load: () => import('../backfill.ts'),
  },
  {
    name: 'rebuild',
    summary:
      'Fill a new revision of a query from the log and switch the view to it; or a whole embedded database',
    arguments: '[query]',
    options: [
      {flags: '--sink <name>', doc: 'move the database of this sink aside; the next run fills a new one'},
      yes,
      lagMax,
      dryRun,
    ],
    examples: [
      ['millrace rebuild flights.departures_per_day', 'the old table stays'],
      ['millrace rebuild --sink analytics', 'when the database is damaged'],
    ],
    load: () => import('../rebuild.ts'),
  },
  {
    name: 'prune',
    summary: 'Drop old revisions of queries, with their tables and state, and those of queries that are gone',
    options: [
      {flags: '--keep <n>', doc: 'revisions before the current one that stay, for a rollback', default: '1'},
      dryRun,
    ],
    examples: [
      ['millrace prune --dry-run', 'what would go'],
      ['millrace prune --keep 0', 'everything but what runs'],
    ],
    load: () => import('../prune.ts'),
  },
  {
    name: 'forget',
    summary: 'Forget a value of an attribute that is personal data, for good',
    arguments: '<attribute> <value>',
    options: [yes, dryRun],
    examples: [
      ['millrace forget shop.email - --dry-run', 'what would go; the value comes on standard input'],
      ['millrace forget shop.email - --yes', 'nothing of it stays in the history of the shell'],
    ],
    load: () => import('../forget.ts'),
  },
  {
    name: 'resume',
    summary: 'Start queries, raw tables and inputs again that stopped with an error',
    arguments: '[name]',
    examples: [
      ['millrace resume', 'all that stopped, after the cause is mended'],
      ['millrace resume flights.departures_per_day', 'one of them'],
    ],
    load: () => import('../resume.ts'),
  },
];
