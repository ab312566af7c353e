import {diagnosticCodes} from '../../src/config/codes.ts';
import {type ErrorSpec, errors} from '../../src/errors.ts';
import {reasons} from '../../src/ingest/reasons.ts';
import {queryReasons} from '../../src/process/reasons.ts';
import {code, generatedNote, page, prose, table} from './markdown.ts';

const actors: Record<ErrorSpec['actor'], string> = {
  user: 'whoever wrote the configuration or the command',
  operator: 'whoever runs the machine',
  sender: 'whoever sends the events or the request',
};

const failures = (): string =>
  table(
    ['code', 'meaning', 'who acts', 'retry', 'exit'],
    Object.entries<ErrorSpec>(errors).map(([name, {summary, actor, retry, exit}]) => [
      code(name),
      prose(summary),
      actor,
      retry ? 'yes' : 'no',
      String(exit),
    ]),
  );

const meanings = (codes: Record<string, string>): string =>
  table(
    ['code', 'meaning'],
    Object.entries(codes).map(([name, meaning]) => [code(name), prose(meaning)]),
  );

/** The text of docs/reference/errors.md. */
export const errorReference = (): string =>
  page([
    '# Errors',
    generatedNote('src/errors.ts, src/config/codes.ts, src/ingest/reasons.ts and src/process/reasons.ts'),
    `Every failure has a stable code, a message, and where there is one a place and a hint. Codes do not change between
releases; messages may. With \`--json\` a command that fails prints \`{"error": {"code", "message", "hint", "place"}}\`. A
failure without a code is a bug of Millrace: please report it with the text that it prints.`,
    '## Failures',
    `Who acts: ${Object.entries(actors)
      .map(([actor, who]) => `**${actor}**: ${who}`)
      .join('; ')}. Retry: whether the same attempt can succeed later without a change.`,
    failures(),
    exitCodes,
    '## Mistakes in the configuration',
    `\`millrace validate\` lists all of them, each with file, line and column, and exits with 2. Every command that reads the
configuration does the same before it does anything else.`,
    meanings(diagnosticCodes),
    '## Reasons of dead letters',
    `A record that cannot be used is kept in the topic \`dlq.<domain>\` with one of these codes; \`millrace dlq list --code CODE\`
finds them. A check that fails has the code \`CHECK:<name of the check>\`. \`row 1\` of a
CSV file is the first record behind the header; in JSON lines it is the first line.`,
    '### Of ingestion',
    meanings(reasons),
    '### Of queries',
    'The event itself is in the log; only this query leaves it out.',
    meanings(queryReasons),
  ]);

/** Exit codes of every command; errors.md and commands.md show the same. */
export const exitCodes = `## Exit codes

${table(
  ['code', 'meaning'],
  [
    ['0', 'done'],
    ['1', 'it failed'],
    ['2', 'the command line or the configuration is wrong'],
    ['3', 'a check found differences: the ledger does not balance, a schema is incompatible'],
    ['4', 'something that it depends on is not available: a sink, a lock, a port, the running platform'],
    ['129, 130, 143', 'a second SIGHUP, SIGINT or SIGTERM, or the time limit, cut a drain short'],
  ],
)}`;
