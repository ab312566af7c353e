import type {CommandSpec} from '../../src/cli/command.ts';
import {commands} from '../../src/cli/commands.ts';
import {exitCodes} from './errors.ts';
import {code, generatedNote, page, prose, table} from './markdown.ts';

const argumentText = (text: string): string =>
  text.startsWith('<') ? `\`${text}\` is required` : `\`${text}\` may be left out`;

function describeCommand(spec: CommandSpec, path: string[], level: string): string[] {
  const name = [...path, spec.name].join(' ');
  const examples = spec.examples.map(([line, effect]) => `npx ${line}   # ${effect}`);
  const parts = [`${level} ${name}`, `${spec.summary}.`, `\`\`\`sh\n${examples.join('\n')}\n\`\`\``];
  const args = spec.arguments?.split(' ') ?? [];
  if (args.length > 0) parts.push(`Arguments: ${args.map(argumentText).join(', ')}.`);
  const options = spec.options ?? [];
  if (options.length > 0)
    parts.push(
      table(
        ['option', 'meaning', 'default'],
        options.map(({flags, doc, default: value}) => [
          code(flags),
          prose(doc),
          value === undefined ? '' : code(String(value)),
        ]),
      ),
    );
  for (const child of spec.subcommands ?? [])
    parts.push(...describeCommand(child, [...path, spec.name], `${level}#`));
  return parts;
}

/** The text of docs/reference/commands.md. */
export const commandReference = (): string =>
  page([
    '# Commands',
    generatedNote('src/cli/commands.ts'),
    `\`npx millrace\` works in a clone of the repository, \`node <clone>/bin/millrace.js\` from anywhere. \`millrace help <command>\`
shows what stands here. Data goes to standard output, messages to standard error.`,
    'Every command takes:',
    table(
      ['option', 'meaning', 'default'],
      [
        ['`--json`', 'print data, and failures, as JSON', ''],
        ['`--config <dir>`', 'the directory that holds `config/`', 'searched upward from the current one'],
        ['`--env <name>`', 'environment: `config/environments/<name>.yaml`', '`$MILLRACE_ENV`, else `dev`'],
      ],
    ),
    exitCodes,
    ...commands.flatMap((spec) => describeCommand(spec, [], '##')),
  ]);
