import type {CommandSpec} from '../command.ts';

/** Commands: files for other tools. */
export const exportCommands: CommandSpec[] = [
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
        load: () => import('../export.ts').then(({jsonSchema}) => ({run: jsonSchema})),
      },
    ],
  },
];
