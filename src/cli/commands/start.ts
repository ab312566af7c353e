import type {CommandSpec} from '../command.ts';
import {listenForStop} from '../signals.ts';
import {dryRun} from './options.ts';

/** Commands: how a platform begins and runs. */
export const startCommands: CommandSpec[] = [
  {
    name: 'init',
    summary: 'Make a platform that runs: config/ with one domain',
    arguments: '[dir]',
    options: [
      {flags: '--domain <name>', doc: 'name of the first domain (default: one that suits what it is like)'},
      {
        flags: '--from <source>',
        doc: 'where events come from: sample (default), generator, http, or a CSV file of yours',
      },
      {flags: '--like <example>', doc: 'purchases (default), player_actions or readings'},
      {flags: '--yes', doc: 'ask nothing: the defaults for what is not said'},
      {flags: '--force', doc: 'write into a directory that already has a config/'},
      dryRun,
    ],
    examples: [
      ['millrace init', 'a platform in this directory; on a terminal three questions are asked'],
      [
        'millrace init games --like player_actions --from generator',
        'in a new directory, with made-up events',
      ],
      [
        'millrace init --domain sales --from export.csv.gz',
        'from a file of yours: types are guessed from its rows',
      ],
    ],
    load: () => import('../init.ts'),
  },
  {
    name: 'validate',
    summary: 'Check every file and report every mistake with its place',
    examples: [
      ['millrace validate', 'config/ of this directory'],
      ['millrace validate --env prod --json', 'as another environment, for machines'],
    ],
    load: () => import('../validate.ts'),
  },
  {
    name: 'run',
    summary: 'Run the platform: ingest, aggregate, write; Ctrl-C drains and ends it',
    options: [
      {flags: '--fast', doc: 'ignore `rate:` of inputs'},
      {flags: '--until-idle', doc: 'end when everything is read and written'},
      {flags: '--port <number>', doc: 'port of the HTTP server (default: server.port)'},
      {
        flags: '--only <roles>',
        doc: 'be one process of several, which meet in Kafka: ingest, engine, sinks, or some of them with commas; or console, which only answers questions about the others',
      },
      {
        flags: '--standby',
        doc: 'wait while another process holds the checkpoints, and take over when it has ended or does not renew its lease',
      },
      {
        flags: '--revise <from>',
        doc: 'queries that changed begin anew at once: `from-log` or `from-now`; for development',
      },
      {flags: '--no-inputs', doc: 'do not ingest the files of `inputs:`'},
      {flags: '--no-generate', doc: 'do not start generators (`--until-idle` never does)'},
    ],
    examples: [
      ['millrace run', 'until Ctrl-C'],
      ['millrace run --fast --until-idle', 'as fast as it goes, then end'],
      ['millrace run --standby', 'on a second machine: ready when the first one is gone'],
      [
        'millrace run --env single --only engine',
        'aggregate only: rows go to topics, another process delivers them',
      ],
      [
        'millrace run --env single --only console --port 4003',
        'work nothing: show how far the others are, here or on other machines',
      ],
    ],
    load: () => {
      // A signal that comes while the program is still loaded must not end it as a crash would.
      listenForStop();
      return import('../run.ts');
    },
  },
  {
    name: 'dev',
    summary:
      'Run while you edit: safe changes are applied at once, a broken edit changes nothing and says why',
    options: [
      {
        flags: '--revise',
        doc: 'apply changes that want a new revision of a query, too: filled beside it, then switched',
      },
      {flags: '--fast', doc: 'ignore `rate:` of inputs'},
      {flags: '--port <number>', doc: 'port of the HTTP server (default: server.port)'},
      {flags: '--no-inputs', doc: 'do not ingest the files of `inputs:`'},
      {flags: '--no-generate', doc: 'do not make the events of `generate:`'},
    ],
    examples: [
      ['millrace dev', 'in one terminal; edit config/ in another'],
      ['millrace dev --revise', 'measures and windows change while it runs'],
    ],
    load: () => import('../dev.ts'),
  },
  {
    name: 'test',
    summary: 'Run the tests of your domains, config/tests/*.yaml, on the real engine without databases',
    arguments: '[name]',
    options: [
      {flags: '--update', doc: 'accept the results of tests with `expect: snapshot`; refused in CI'},
      {flags: '--watch', doc: 'run again whenever something below config/ changes'},
    ],
    examples: [
      ['millrace test', 'all of them; exit 3 when one fails'],
      ['millrace test "late purchase"', 'those with this in their name or file'],
      ['millrace test --watch', 'while you edit'],
    ],
    load: () => import('../test.ts'),
  },
];
