import type {CommandSpec} from '../command.ts';

/** Commands: what tells how it is. */
export const inspectCommands: CommandSpec[] = [
  {
    name: 'status',
    summary: 'What runs: queries, watermarks, lag, inputs, sinks, local servers',
    examples: [['millrace status', 'of the platform in this directory']],
    load: () => import('../status.ts'),
  },
  {
    name: 'top',
    summary: 'The live picture of a running platform',
    examples: [
      ['millrace top', 'rates, lag, watermarks, sinks, as `run` shows them'],
      ['millrace top --json', 'the whole status twice a second, an object a line'],
    ],
    load: () => import('../top.ts'),
  },
  {
    name: 'ledger',
    summary: 'Account for every event; exit 3 when something is missing',
    examples: [
      ['millrace ledger', 'ingest, queries, delivery'],
      ['millrace ledger --json', 'for machines'],
    ],
    load: () => import('../ledger.ts'),
  },
  {
    name: 'schema',
    summary: 'Avro schemas of the event types',
    examples: [
      ['millrace schema list', 'subjects and versions'],
      ['millrace schema show flights.departure-value', 'the newest one'],
      ['millrace schema check', 'is the configuration compatible with what is registered?'],
      ['millrace schema diff flights.departure-value 1 2', 'what changed between two versions'],
    ],
    subcommands: [
      {
        name: 'list',
        summary: 'Subjects with their versions and ids',
        examples: [['millrace schema list', 'all subjects']],
        load: () => import('../schema.ts').then(({list}) => ({run: list})),
      },
      {
        name: 'show',
        summary: 'A schema as JSON',
        arguments: '<subject> [version]',
        examples: [['millrace schema show flights.departure-value 1', 'its first version']],
        load: () => import('../schema.ts').then(({show}) => ({run: show})),
      },
      {
        name: 'check',
        summary: 'Compatibility of the configuration with what is registered; exit 3 when it breaks',
        examples: [['millrace schema check', 'with reasons, field by field']],
        load: () => import('../schema.ts').then(({check}) => ({run: check})),
      },
      {
        name: 'diff',
        summary: 'What changed between two versions, and which reads data of which; exit 3 when they differ',
        arguments: '<subject> <before> [after]',
        examples: [
          ['millrace schema diff flights.departure-value 1', 'from the first version to the newest'],
        ],
        load: () => import('../schema-diff.ts').then(({diff}) => ({run: diff})),
      },
    ],
  },
  {
    name: 'explain',
    summary: 'Where a value of the configuration comes from; what a query does',
    examples: [
      ['millrace explain plan flights.departures_per_day', 'step by step'],
      ['millrace explain config defaults', 'every value with file and line'],
      ['millrace explain window shop.revenue_per_hour 2026-01-05T10:00', 'why its rows are as they are'],
    ],
    subcommands: [
      {
        name: 'config',
        summary: 'Every value with its origin and what it replaced',
        arguments: '[path]',
        examples: [['millrace explain config engine', 'one section']],
        load: () => import('../explain.ts').then(({config}) => ({run: config})),
      },
      {
        name: 'plan',
        summary: 'The plan of a query, or of all',
        arguments: '[query]',
        examples: [['millrace explain plan', 'all queries']],
        load: () => import('../explain.ts').then(({plan}) => ({run: plan})),
      },
      {
        name: 'window',
        summary: 'Why a window is not there, not closed, or can still change',
        arguments: '<query> <start> [dimension...]',
        examples: [
          [
            'millrace explain window flights.departures_per_day 2013-07-01T04:00 carrier=AA',
            'its row, the watermarks, what came too late',
          ],
        ],
        load: () => import('../explain-trace.ts').then(({window}) => ({run: window})),
      },
      {
        name: 'event',
        summary: "One record's way: log, every query, raw table, dead letters",
        arguments: '<id>',
        examples: [['millrace explain event 0190b0a0-1111-7222-8333-444455556666', 'found by an index']],
        load: () => import('../explain-trace.ts').then(({event}) => ({run: event})),
      },
    ],
  },
  {
    name: 'doctor',
    summary: 'Look for what is wrong on this machine and in this directory',
    options: [
      {
        flags: '--only <roles>',
        doc: 'of the rights of the user in Kafka, those that a process of these roles needs: ingest, engine, sinks, or some of them with commas; or console',
      },
    ],
    examples: [
      ['millrace doctor', 'Node, disk, databases, locks, log'],
      [
        'millrace doctor --env single --only engine',
        'what the engine may not do in Kafka, and the commands that give it the rights',
      ],
    ],
    load: () => import('../doctor.ts'),
  },
  {
    name: 'components',
    summary: 'Sinks, logs, secret backends that can be named in the configuration',
    arguments: '[name]',
    examples: [
      ['millrace components', 'all of them'],
      ['millrace components file', 'options of one'],
    ],
    load: () => import('../components.ts'),
  },
  {
    name: 'completion',
    summary: 'Completion of commands, options and names in your shell',
    arguments: '<shell> [kind]',
    examples: [
      ['millrace completion bash', 'a script: source <(npx millrace completion bash), in ~/.bashrc'],
      [
        'millrace completion names query',
        'what the shell asks: names of queries, topics, inputs, domains, ...',
      ],
    ],
    load: () => import('../completion.ts'),
  },
];
