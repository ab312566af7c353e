import {readFileSync} from 'node:fs';
import {Command, CommanderError} from 'commander';
import {useEnvironment, withKeyPlaces} from '../invocation.ts';
import {tellBrokersAway} from '../log/brokers-away.ts';
import type {CommandCall, CommandIo, CommandSpec} from './command.ts';
import {commands} from './commands.ts';
import {printJson, reportFailure} from './output.ts';
import {endWithLauncher} from './signals.ts';

const overview: [string, string][] = [
  ['millrace init', 'make a platform in this directory'],
  ['millrace validate', 'check every file, report every mistake'],
  ['millrace run', 'run it: ingest, aggregate, write'],
  ['millrace query "select * from shop.revenue_per_hour limit 10"', 'look at the rows'],
  ['millrace ledger', 'prove that every event is accounted for'],
];

/** Runs one command line. @returns the exit code. */
export async function main(argv: string[], io: CommandIo): Promise<number> {
  let exitCode = 0;
  const program = new Command('millrace')
    .description('Config-driven streaming: YAML in, exactly-once rows out.')
    .version(version(), '-V, --version', 'print the version')
    .helpCommand('help [command]', 'help for a command')
    .showSuggestionAfterError(true);
  prepare(program, io);
  program.addHelpText('before', examplesText(overview));
  for (const spec of commands) program.addCommand(build(spec, io, (code) => (exitCode = code)));
  try {
    if (argv.length === 0) {
      program.outputHelp();
      return 0;
    }
    await program.parseAsync(helpOf(argv), {from: 'user'});
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      const message = error.message.replace(/^error: /, '');
      if (argv.includes('--json')) printJson(io, {error: {code: 'USAGE', message}});
      return 2;
    }
    return reportFailure(error, io, argv.includes('--json'));
  }
}

/** `help schema list` -> `schema list --help`; an unknown name keeps its place, so that it is refused like any other. */
function helpOf(argv: string[]): string[] {
  const [first, ...names] = argv;
  if (first !== 'help' || names.length === 0) return argv;
  return commands.some(({name}) => name === names[0]) ? [...names, '--help'] : names;
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as {version: string}).version;
}

function prepare(command: Command, io: CommandIo): void {
  command
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => Math.min(io.stdout.columns ?? 100, 110),
      getErrHelpWidth: () => Math.min(io.stderr.columns ?? 100, 110),
    })
    .showHelpAfterError('hint: run it with --help to see what it takes');
}

function build(spec: CommandSpec, io: CommandIo, done: (code: number) => void): Command {
  const command = new Command(spec.name).description(spec.summary);
  prepare(command, io);
  command.addHelpText('before', examplesText(spec.examples));
  for (const child of spec.subcommands ?? []) command.addCommand(build(child, io, done));
  const {load} = spec;
  if (!load) return command;
  if (spec.arguments) command.arguments(spec.arguments);
  for (const {flags, doc, default: value} of spec.options ?? []) command.option(flags, doc, value);
  command
    .option('--json', 'print data as JSON')
    .option('--config <dir>', 'the directory that holds config/ (default: searched upward from here)')
    .option('--env <name>', 'environment: config/environments/<name>.yaml (default: $MILLRACE_ENV or dev)')
    .action(async (...received: unknown[]) => {
      const options = command.opts() as CommandCall['options'];
      // A name that is none is refused by whoever reads the configuration.
      useEnvironment(/^[\w.-]+$/.test(options.env ?? '') ? options.env : undefined);
      const args = received
        .slice(0, -2)
        .flat()
        .filter((arg): arg is string => arg !== undefined) as string[];
      tellBrokersAway((text) => io.stderr.write(`warn: ${withKeyPlaces(text)}\n`));
      const {run} = await load();
      done(await run({args, options, io}));
    });
  return command;
}

const examplesText = (examples: [string, string][]): string => {
  const width = Math.max(...examples.map(([line]) => line.length));
  return `Examples:\n${examples.map(([line, effect]) => `  ${line.padEnd(width)}   ${effect}`).join('\n')}\n`;
};

/** The process itself as the outside world; sets its exit code. */
export async function start(): Promise<void> {
  endWithLauncher();
  const {stdout, stderr} = process;
  // A reader that went away (`| head`) ends the command, it is no failure of ours.
  stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  // Messages that nobody can read any more must not end a platform that drains.
  stderr.on('error', () => {});
  const argv = process.argv.slice(2);
  process.exitCode = await main(argv, {
    stdin: process.stdin,
    stdout,
    stderr,
    env: process.env,
    cwd: process.cwd(),
  });
  // A server that did not answer a check in time, or a sink that did not close, may still hold a connection.
  const waitMs = argv.includes('doctor') ? leaveMs : leaveMsMax;
  setTimeout(() => stdout.write('', () => process.exit()), waitMs).unref();
}

const leaveMs = 500;
/** The command has ended: what is left has nothing more to do. */
const leaveMsMax = 5_000;

if (import.meta.main) await start();
