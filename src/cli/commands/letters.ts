import type {CommandSpec} from '../command.ts';

/** Commands: what was set aside. */
export const lettersCommands: CommandSpec[] = [
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
        load: () => import('../dlq.ts').then(({list}) => ({run: list})),
      },
      {
        name: 'show',
        summary: 'One dead letter with its original bytes',
        arguments: '<domain> <id>',
        examples: [['millrace dlq show flights 4f1c', 'the beginning of the id is enough']],
        load: () => import('../dlq.ts').then(({show}) => ({run: show})),
      },
    ],
  },
];
