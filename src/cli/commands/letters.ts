import type {CommandSpec, OptionSpec} from '../command.ts';

const common: OptionSpec[] = [
  {flags: '--type <event-type>', doc: 'only of this event type'},
  {flags: '--query <name>', doc: 'only what this query, or its sink, set aside'},
  {flags: '--id <prefix...>', doc: 'only those whose id begins so; several may be given'},
  {flags: '--since <time>', doc: 'set aside since then: 2h, 3d, or a time'},
  {flags: '--until <time>', doc: 'set aside before then'},
  {flags: '--status <status>', doc: 'open, queued, replayed or failed'},
  {
    flags: '--where <expression>',
    doc: 'only where this is true of the letter and the fields of its event, as "country = \'DE\' and row > 10"',
  },
];

const deadOnly: OptionSpec[] = [
  {flags: '--code <code>', doc: 'only with this reason code; CHECK finds every failed check'},
  {
    flags: '--stage <stage>',
    doc: 'only of this stage: parse, validate, check, transform, decode, expression, emit, sink',
  },
  {flags: '--source <source>', doc: 'only from this source, as dlq list --json names it'},
];

const listing: OptionSpec[] = [
  {flags: '--limit <n>', doc: 'at most n', default: '20'},
  {flags: '--summary', doc: 'groups by reason with their counts'},
];

const replaying: OptionSpec[] = [
  {flags: '--all', doc: 'everything that is open or failed'},
  {flags: '--dry-run', doc: 'say what would become of each, and change nothing'},
  {
    flags: '--set <field=expression...>',
    doc: 'mend a field on the way, by an expression over the event; "text.<field>" is what was sent',
  },
  {flags: '--rate <n/s>', doc: 'at most so many a second'},
  {flags: '--limit <n>', doc: 'at most n, the oldest first'},
];

/** Commands: what was set aside. */
export const lettersCommands: CommandSpec[] = [
  {
    name: 'dlq',
    summary: 'Dead letters: what was refused, why, with its original bytes; replay what was mended',
    examples: [
      ['millrace dlq list flights', 'the newest of a domain'],
      ['millrace dlq show flights 4f1c', 'one, whole'],
      ['millrace dlq replay flights --code TYPE --dry-run', 'what a replay would do'],
    ],
    subcommands: [
      {
        name: 'list',
        summary: 'Dead letters of a domain, newest last',
        arguments: '[domain]',
        options: [...deadOnly, ...common, ...listing],
        examples: [
          ['millrace dlq list flights --code TYPE', 'those with a value of a wrong type'],
          ['millrace dlq list flights --summary', 'how many of each kind, and how they stand'],
        ],
        load: () => import('../dlq.ts').then(({list}) => ({run: list})),
      },
      {
        name: 'show',
        summary: 'One dead letter with its original bytes and its replays',
        arguments: '<domain> <id>',
        examples: [['millrace dlq show flights 4f1c', 'the beginning of the id is enough']],
        load: () => import('../dlq.ts').then(({show}) => ({run: show})),
      },
      {
        name: 'replay',
        summary: 'Send dead letters on their way again; a second replay does nothing',
        arguments: '[domain]',
        options: [
          ...deadOnly,
          ...common,
          ...replaying,
          {
            flags: '--transform <file.ts>',
            doc: 'let records that never reached the log pass this function instead of their transform',
          },
        ],
        examples: [
          ['millrace dlq replay shop --all --dry-run', 'what would become of each'],
          ['millrace dlq replay shop --code TYPE --set "quantity=1"', 'with a field mended'],
          ['millrace dlq replay shop --code TYPE --transform fixes/amount.ts --dry-run', 'with a function'],
          ['millrace dlq replay shop --id 4f1c', 'one of them'],
        ],
        load: () => import('../dlq.ts').then(({replay}) => ({run: replay})),
      },
    ],
  },
  {
    name: 'late',
    summary: 'Late events: what came too late for a query; count it while its windows are there',
    examples: [
      ['millrace late list shop.revenue_per_hour', 'the newest of a query'],
      ['millrace late replay shop.revenue_per_hour --all --dry-run', 'what a replay would do'],
    ],
    subcommands: [
      {
        name: 'list',
        summary: 'Late events of a domain or a query, newest last',
        arguments: '[domain-or-query]',
        options: [...common, ...listing],
        examples: [['millrace late list shop.revenue_per_hour --since 1d', 'those of the last day']],
        load: () => import('../late.ts').then(({list}) => ({run: list})),
      },
      {
        name: 'show',
        summary: 'One late event with its original bytes and its replays',
        arguments: '<domain-or-query> <id>',
        examples: [['millrace late show shop.revenue_per_hour 4f1c', 'the beginning of the id is enough']],
        load: () => import('../late.ts').then(({show}) => ({run: show})),
      },
      {
        name: 'replay',
        summary:
          'Count late events after all, whatever their lateness, while the state of their windows exists',
        arguments: '[domain-or-query]',
        options: [...common, ...replaying],
        examples: [['millrace late replay shop.revenue_per_hour --all', 'all of a query']],
        load: () => import('../late.ts').then(({replay}) => ({run: replay})),
      },
    ],
  },
];
