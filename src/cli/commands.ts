/** Long because it is a table: every command as help shows it. Bodies are one file a command, loaded when they run. */
import type {CommandSpec, OptionSpec} from './command.ts';

const dryRun: OptionSpec = {flags: '--dry-run', doc: 'say what would happen, change nothing'};

export const commands: CommandSpec[] = [
  {
    name: 'init',
    summary: 'Make a platform that runs: config/ with one domain',
    arguments: '[dir]',
    options: [
      {flags: '--domain <name>', doc: 'name of the first domain', default: 'shop'},
      {flags: '--force', doc: 'write into a directory that already has a config/'},
      dryRun,
    ],
    examples: [
      ['millrace init', 'a platform in this directory'],
      ['millrace init games --domain games', 'in a new directory, with a domain of that name'],
    ],
    load: () => import('./init.ts'),
  },
  {
    name: 'validate',
    summary: 'Check every file and report every mistake with its place',
    examples: [
      ['millrace validate', 'config/ of this directory'],
      ['millrace validate --env prod --json', 'as another environment, for machines'],
    ],
    load: () => import('./validate.ts'),
  },
  {
    name: 'run',
    summary: 'Run the platform: ingest, aggregate, write; Ctrl-C drains and ends it',
    options: [
      {flags: '--fast', doc: 'ignore `rate:` of inputs'},
      {flags: '--until-idle', doc: 'end when everything is read and written'},
      {flags: '--port <number>', doc: 'port of the HTTP server (default: server.port)'},
      {flags: '--no-inputs', doc: 'do not ingest the files of `inputs:`'},
    ],
    examples: [
      ['millrace run', 'until Ctrl-C'],
      ['millrace run --fast --until-idle', 'as fast as it goes, then end'],
    ],
    load: () => import('./run.ts'),
  },
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
    load: () => import('./ingest.ts'),
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
    load: () => import('./query.ts'),
  },
  {
    name: 'tap',
    summary: 'Watch events or rows as they come',
    arguments: '<topic>',
    options: [
      {flags: '--limit <n>', doc: 'stop after n'},
      {flags: '--from <where>', doc: '`start` or `end` of the topic', default: 'end'},
    ],
    examples: [
      ['millrace tap flights.departure', 'events of a topic, decoded'],
      ['millrace tap flights.departure --from start --limit 3 --json', 'the first three'],
    ],
    load: () => import('./tap.ts'),
  },
  {
    name: 'ledger',
    summary: 'Account for every event; exit 3 when something is missing',
    examples: [
      ['millrace ledger', 'ingest, queries, delivery'],
      ['millrace ledger --json', 'for machines'],
    ],
    load: () => import('./ledger.ts'),
  },
  {
    name: 'status',
    summary: 'What runs: queries, watermarks, lag, inputs, sinks',
    examples: [['millrace status', 'of the platform in this directory']],
    load: () => import('./status.ts'),
  },
  {
    name: 'schema',
    summary: 'Avro schemas of the event types',
    examples: [
      ['millrace schema list', 'subjects and versions'],
      ['millrace schema show flights.departure-value', 'the newest one'],
      ['millrace schema check', 'is the configuration compatible with what is registered?'],
    ],
    subcommands: [
      {
        name: 'list',
        summary: 'Subjects with their versions and ids',
        examples: [['millrace schema list', 'all subjects']],
        load: () => import('./schema.ts').then(({list}) => ({run: list})),
      },
      {
        name: 'show',
        summary: 'A schema as JSON',
        arguments: '<subject> [version]',
        examples: [['millrace schema show flights.departure-value 1', 'its first version']],
        load: () => import('./schema.ts').then(({show}) => ({run: show})),
      },
      {
        name: 'check',
        summary: 'Compatibility of the configuration with what is registered; exit 3 when it breaks',
        examples: [['millrace schema check', 'with reasons, field by field']],
        load: () => import('./schema.ts').then(({check}) => ({run: check})),
      },
    ],
  },
  {
    name: 'dlq',
    summary: 'Dead letters: what was refused, why, with its original bytes',
    examples: [
      ['millrace dlq list flights', 'the newest of a domain'],
      ['millrace dlq show flights 4f1c', 'one, whole'],
    ],
    subcommands: [
      {
        name: 'list',
        summary: 'Dead letters of a domain, newest last',
        arguments: '[domain]',
        options: [
          {flags: '--code <code>', doc: 'only with this reason code'},
          {flags: '--limit <n>', doc: 'at most n', default: '20'},
        ],
        examples: [['millrace dlq list flights --code TYPE', 'those with a value of a wrong type']],
        load: () => import('./dlq.ts').then(({list}) => ({run: list})),
      },
      {
        name: 'show',
        summary: 'One dead letter with its original bytes',
        arguments: '<domain> <id>',
        examples: [['millrace dlq show flights 4f1c', 'the beginning of the id is enough']],
        load: () => import('./dlq.ts').then(({show}) => ({run: show})),
      },
    ],
  },
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
    load: () => import('./rebuild.ts'),
  },
  {
    name: 'resume',
    summary: 'Start a query or an input again that stopped with an error',
    arguments: '<name>',
    examples: [['millrace resume flights.departures_per_day', 'after the cause is mended']],
    load: () => import('./resume.ts'),
  },
  {
    name: 'explain',
    summary: 'Where a value of the configuration comes from; what a query does',
    examples: [
      ['millrace explain plan flights.departures_per_day', 'step by step'],
      ['millrace explain config defaults', 'every value with file and line'],
    ],
    subcommands: [
      {
        name: 'config',
        summary: 'Every value with its origin and what it replaced',
        arguments: '[path]',
        examples: [['millrace explain config engine', 'one section']],
        load: () => import('./explain.ts').then(({config}) => ({run: config})),
      },
      {
        name: 'plan',
        summary: 'The plan of a query, or of all',
        arguments: '[query]',
        examples: [['millrace explain plan', 'all queries']],
        load: () => import('./explain.ts').then(({plan}) => ({run: plan})),
      },
    ],
  },
  {
    name: 'doctor',
    summary: 'Look for what is wrong on this machine and in this directory',
    examples: [['millrace doctor', 'Node, disk, databases, locks, log']],
    load: () => import('./doctor.ts'),
  },
  {
    name: 'components',
    summary: 'Sinks, logs, secret backends that can be named in the configuration',
    arguments: '[name]',
    examples: [
      ['millrace components', 'all of them'],
      ['millrace components file', 'options of one'],
    ],
    load: () => import('./components.ts'),
  },
  {
    name: 'export',
    summary: 'Files for other tools',
    examples: [['millrace export json-schema', 'for editors: completes and checks the YAML']],
    subcommands: [
      {
        name: 'json-schema',
        summary: 'JSON Schema of platform.yaml, of an environment or of a domain file',
        arguments: '[kind]',
        examples: [
          [
            'millrace export json-schema domain > domain.schema.json',
            'kind: platform (default), environment or domain',
          ],
        ],
        load: () => import('./export.ts').then(({jsonSchema}) => ({run: jsonSchema})),
      },
    ],
  },
];
