import type {CommandSpec} from '../command.ts';

/** Commands: files for other tools. */
export const exportCommands: CommandSpec[] = [
  {
    name: 'export',
    summary: 'Files for other tools',
    examples: [
      ['millrace export json-schema', 'for editors: completes and checks the YAML'],
      ['millrace export openapi > openapi.json', 'for clients that send events over HTTP'],
      ['millrace export curl', 'a line for each event type that sends one'],
    ],
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
        load: () => import('../export.ts').then(({jsonSchema}) => ({run: jsonSchema})),
      },
      {
        name: 'openapi',
        summary: 'OpenAPI 3.1 document of the paths that take events',
        examples: [
          ['millrace export openapi > openapi.json', 'schemas, examples and answers of every event type'],
        ],
        load: () => import('../export.ts').then(({openapi}) => ({run: openapi})),
      },
      {
        name: 'curl',
        summary: 'A line for each event type that sends an example with curl',
        arguments: '[event_type]',
        examples: [
          ['millrace export curl', 'of every event type'],
          ['millrace export curl shop.purchase | sh', 'send one example'],
        ],
        load: () => import('../export.ts').then(({curl}) => ({run: curl})),
      },
      {
        name: 'types',
        summary: 'TypeScript types of the events of a domain, for its transforms',
        arguments: '[domain]',
        options: [
          {flags: '--write', doc: 'Write <domain>.d.ts beside every transform instead of printing it'},
          {flags: '--dry-run', doc: 'With --write: only say what would be written'},
        ],
        examples: [
          ['millrace export types shop > shop.d.ts', 'one domain needs no name if it is the only one'],
          [
            'millrace export types --write',
            'every domain that has transforms; development does it by itself',
          ],
        ],
        load: () => import('../export-types.ts'),
      },
    ],
  },
];
