import type {CommandSpec} from '../command.ts';

/** Commands: servers on this machine, beside the platform. */
export const localCommands: CommandSpec[] = [
  {
    name: 'up',
    summary: 'Start real servers on this machine, without Docker: Kafka, PostgreSQL and others',
    arguments: '[server...]',
    options: [
      {flags: '--brokers <n>', doc: 'brokers of a new Kafka: 1 (default) or 3'},
      {flags: '--write-env', doc: 'write addresses and passwords into .env, where `secrets:` looks first'},
      {flags: '--fetch-only', doc: 'only fetch what they need; start nothing'},
    ],
    examples: [
      ['millrace up', 'what config/environments/single.yaml needs; without that file kafka and postgres'],
      [
        'millrace up kafka registry postgres',
        'these; of registry, clickhouse, vault, s3, prometheus as well',
      ],
      ['millrace up kafka --brokers 3', 'a cluster, to kill a broker of'],
    ],
    load: () => import('../up.ts'),
  },
  {
    name: 'down',
    summary: 'End servers that `up` started; what they keep stays for the next `up`',
    arguments: '[server...]',
    options: [{flags: '--wipe', doc: 'remove what they keep, too'}],
    examples: [
      ['millrace down', 'all of them'],
      ['millrace down kafka --wipe', 'Kafka, with all its topics'],
    ],
    load: () => import('../down.ts'),
  },
];
