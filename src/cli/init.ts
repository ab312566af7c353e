import {existsSync, mkdirSync, writeFileSync} from 'node:fs';
import {dirname, join, relative, resolve} from 'node:path';
import {createInterface} from 'node:readline/promises';
import {isReservedDomain, nameProblem} from '../config/names.ts';
import {nearest} from '../config/nearest.ts';
import {PlatformError} from '../errors.ts';
import {asTyped, invocation} from '../invocation.ts';
import type {CommandBody, CommandIo} from './command.ts';
import {domainOfCsv} from './init-csv.ts';
import {domainText, type Like, type Source, sampleText, templates} from './init-templates.ts';
import {palette, printJson} from './output.ts';

/** What the three questions ask. */
type Answers = {
  domain: string;
  like: Like;
  /** A word, or the path of a CSV file. */
  from: string;
};

const sources: Record<Source, string> = {
  sample: 'a sample file',
  generator: 'made up, as time goes by',
  http: 'sent over HTTP',
};

/** Writes a platform that runs: one domain with its queries, and where its events come from. */
export const run: CommandBody = async ({args, options, io}) => {
  const root = resolve(io.cwd, args[0] ?? '.');
  const given = {
    ...(options.domain === undefined ? {} : {domain: domainName(String(options.domain))}),
    ...(options.like === undefined ? {} : {like: likeOf(String(options.like))}),
    ...(options.from === undefined ? {} : {from: sourceOf(String(options.from), io.cwd)}),
  };
  if (existsSync(join(root, 'config')) && !options.force)
    throw new PlatformError('USAGE', `${join(root, 'config')} is there already`, {
      hint: 'choose another directory, or --force to write into it (files of the same name are replaced)',
    });
  const asked = io.stdin?.isTTY === true && io.stderr.isTTY === true && !options.json && !options.yes;
  const answers = asked ? await ask(io, given) : defaults(given);
  const files = await filesOf(answers, root, io.cwd);
  const written = Object.keys(files);
  if (!options.dryRun)
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), {recursive: true});
      writeFileSync(join(root, path), text);
    }
  if (options.json) {
    printJson(io, {root, files: written, dryRun: options.dryRun === true});
    return 0;
  }
  const cd = relative(io.cwd, root);
  io.stderr.write(
    `${options.dryRun ? 'would write' : 'wrote'} in ${root}:\n${written.map((path) => `  ${path}\n`).join('')}`,
  );
  if (!asked && !options.yes) tellDefaults(io, given, answers);
  const start = invocation(root);
  const send = answers.from === 'http' ? `  ${start} export curl     # lines that send an event each\n` : '';
  io.stderr.write(`next:\n${cd ? `  cd ${cd}\n` : ''}  ${start} validate\n  ${start} run\n${send}`);
  return 0;
};

/** Without a terminal nobody is asked, whatever is piped in. */
function tellDefaults(io: CommandIo, given: Partial<Answers>, answers: Answers): void {
  const taken = (['from', 'like', 'domain'] as const)
    .filter((key) => given[key] === undefined)
    .filter((key) => key !== 'like' || Object.hasOwn(sources, answers.from))
    .map((key) => `--${key} ${answers[key]}`);
  if (taken.length > 0)
    io.stderr.write(`no terminal, so nothing was asked (nor read): taken was ${taken.join(' ')}\n`);
}

function domainName(name: string): string {
  if (nameProblem(name) === undefined && !isReservedDomain(name)) return name;
  throw new PlatformError('USAGE', `"${name}" cannot name a domain`, {
    hint: 'letters, digits and single underscores, beginning with a letter; agg, dlq, late and replay are reserved',
  });
}

function likeOf(word: string): Like {
  if (Object.hasOwn(templates, word)) return word as Like;
  const names = Object.keys(templates);
  const close = nearest(word, names);
  throw new PlatformError('USAGE', `there is no example like "${word}"`, {
    hint: close ? `did you mean ${close}?` : names.join(', '),
  });
}

function sourceOf(word: string, cwd: string): string {
  if (Object.hasOwn(sources, word)) return word;
  const path = resolve(cwd, word);
  if (existsSync(path)) return path;
  throw new PlatformError('USAGE', `"${word}" is no file here`, {
    hint: `--from sample, generator, http, or a CSV file (plain, .gz or .zip)`,
  });
}

function defaults({like, domain, from}: Partial<Answers>): Answers {
  const chosen = like ?? 'purchases';
  return {like: chosen, domain: domain ?? templates[chosen].domain, from: from ?? 'sample'};
}

/** Asks what was not said on the command line; an empty answer takes what stands in brackets. */
async function ask(io: CommandIo, given: Partial<Answers>): Promise<Answers> {
  const terminal = createInterface({input: io.stdin!, output: io.stderr});
  const {bold, dim} = palette(io.stderr, io.env);
  const closed = new Promise<never>((_, reject) =>
    terminal.once('close', () =>
      reject(new PlatformError('USAGE', 'nothing was written: the questions were left', {})),
    ),
  );
  closed.catch(() => {});
  /** Asks until the answer can be used. */
  const question = async <T>(text: string, fallback: string, use: (answer: string) => T): Promise<T> => {
    for (;;) {
      const answer = await Promise.race([
        terminal.question(`${bold(text)} ${dim(`[${fallback}]`)} `),
        closed,
      ]);
      try {
        return use(answer.trim() || fallback);
      } catch (error) {
        if (!(error instanceof PlatformError)) throw error;
        io.stderr.write(`  ${asTyped(error.message, io.cwd)}${error.hint ? `; ${error.hint}` : ''}\n`);
      }
    }
  };
  const choice = (list: [string, string][], answer: string) => list[Number(answer) - 1]?.[0] ?? answer;
  const menu = (list: [string, string][]) =>
    list.map(([, says], index) => `  ${index + 1}  ${says}\n`).join('');
  try {
    const ways: [string, string][] = [...Object.entries(sources), ['', 'a CSV file of mine: write its path']];
    if (given.from === undefined) io.stderr.write(`Where do the events come from?\n${menu(ways)}`);
    const from =
      given.from ??
      (await question('A number or a path', '1', (answer) => sourceOf(choice(ways, answer), io.cwd)));
    const isFile = !Object.hasOwn(sources, from);
    const likes = Object.entries(templates).map(([name, {says}]): [string, string] => [name, says]);
    if (given.like === undefined && !isFile) io.stderr.write(`What are they like?\n${menu(likes)}`);
    const like =
      given.like ??
      (isFile ? 'purchases' : await question('A number', '1', (answer) => likeOf(choice(likes, answer))));
    const domain =
      given.domain ??
      (await question(
        'What is the domain called?',
        isFile ? 'events_of_mine' : templates[like].domain,
        domainName,
      ));
    return {from, like, domain};
  } finally {
    terminal.close();
  }
}

async function filesOf(
  {domain, like, from}: Answers,
  root: string,
  cwd: string,
): Promise<Record<string, string>> {
  const source = Object.hasOwn(sources, from) ? (from as Source) : undefined;
  const {eventType} = templates[like];
  const text = source
    ? domainText(domain, like, source)
    : await domainOfCsv(domain, resolve(cwd, from), join(root, 'config/domains'));
  return {
    'config/platform.yaml': `# The platform. Every section is optional; "millrace explain config" shows the defaults.
platform: ${domain}
defaults: {watermark: 10m}     # how long events may be out of order
`,
    [`config/domains/${domain}.yaml`]: text,
    ...(source === 'sample' ? {[`data/${eventType}s.csv`]: sampleText(like)} : {}),
    '.gitignore': '.millrace/\n.env\n',
  };
}
