/** What the documents say exists: files, headings, tests by name, commands with their options, and examples that load. */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join, relative, resolve} from 'node:path';
import {type TestContext, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import type {CommandSpec} from '../../src/cli/command.ts';
import {commands} from '../../src/cli/commands.ts';
import {formatDiagnostics} from '../../src/config/diagnostics.ts';
import {loadPlatform} from '../../src/model/load.ts';
import {sinks} from '../../src/sinks/registry.ts';
import type {SinkSpec} from '../../src/sinks/types.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const pages = ['.', 'docs', 'examples', 'data', 'config', 'bench']
  .filter((dir) => existsSync(join(root, dir)))
  .flatMap((dir) =>
    readdirSync(join(root, dir), {recursive: dir !== '.'})
      .map((name) => join(root, dir, String(name)))
      .filter((path) => path.endsWith('.md') && !path.includes('node_modules')),
  )
  .map((path) => ({path, name: relative(root, path), text: readFileSync(path, 'utf8')}));

/** Fenced blocks of a language, with the line where they begin. */
const blocks = (text: string, language: string): {body: string; line: number}[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map((match) => ({
    body: match[1]!,
    line: text.slice(0, match.index).split('\n').length,
  }));

const withoutBlocks = (text: string): string => text.replace(/^```[\s\S]*?^```$/gm, '');

/** Anchors of a page's headings, as GitHub makes them. */
const anchors = (text: string): string[] =>
  [...withoutBlocks(text).matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  );

test('links lead somewhere', () => {
  const broken: string[] = [];
  for (const {path, name, text} of pages)
    for (const [, target] of withoutBlocks(text).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue;
      const [file, anchor] = target!.split('#');
      const to = file === '' ? path : resolve(dirname(path), file!);
      if (!existsSync(to)) broken.push(`${name}: ${target}`);
      else if (anchor && !anchors(readFileSync(to, 'utf8')).includes(anchor))
        broken.push(`${name}: ${target}`);
    }
  assert.deepEqual(broken, []);
});

test('paths of the repository that are mentioned exist', () => {
  const missing: string[] = [];
  for (const {name, text} of pages)
    for (const [path] of text.matchAll(/(?<![\w/.-])(?:src|test|docs|bench|examples)\/[^\s`'",;:()[\]|]*/g)) {
      if (/[*<>]|\.\.\.|NNNN/.test(path)) continue;
      if (!existsSync(join(root, path.replace(/\.$/, '')))) missing.push(`${name}: ${path}`);
    }
  assert.deepEqual(missing, []);
});

test('tests that are named as proofs exist', () => {
  const proofs = pages.flatMap(({name, text}) =>
    // One a line of a list, or cells of a table.
    [...text.matchAll(/(?:^- |\| )`(test\/[^`]+)`: "(.*?)"(?:$| \|)/gm)].map(([, file, title]) => ({
      name,
      file,
      title,
    })),
  );
  assert.ok(proofs.length > 30, `${proofs.length} proofs`);
  const missing = proofs.filter(
    ({file, title}) =>
      !existsSync(join(root, file!)) || !readFileSync(join(root, file!), 'utf8').includes(title!),
  );
  assert.deepEqual(missing, []);
});

const commonOptions = ['--json', '--config <dir>', '--env <name>'];

/** What is wrong with the words after `millrace`; undefined when the command table takes them. */
function mistakeIn(words: string[]): string | undefined {
  const [first, ...others] = words;
  if (first === undefined || first === '--help') return undefined;
  const wanted = first === 'help' ? others : words;
  let spec: CommandSpec | undefined;
  let list = commands;
  let at = 0;
  for (; list.length > 0 && at < wanted.length; at++) {
    const next = list.find(({name}) => name === wanted[at]);
    if (!next) break;
    spec = next;
    list = next.subcommands ?? [];
  }
  if (!spec) return `there is no command ${first}`;
  if (first === 'help') return at === wanted.length ? undefined : `there is no command ${wanted[at]}`;
  if (!spec.load) return `${spec.name} wants a subcommand`;
  const flags = [...(spec.options ?? []).map((option) => option.flags), ...commonOptions];
  let positional = 0;
  for (; at < wanted.length; at++) {
    const word = wanted[at]!;
    if (word === '-' || !word.startsWith('-')) {
      positional += 1;
      continue;
    }
    const flag = flags.find((each) => each.split(' ')[0] === word.split('=')[0]);
    if (!flag) return `${spec.name} has no option ${word}`;
    if (flag.includes('<') && !word.includes('=')) at += 1;
  }
  const args = spec.arguments?.split(' ') ?? [];
  const required = args.filter((arg) => arg.startsWith('<')).length;
  // The last may take any number: `[query...]`.
  const most = args.at(-1)?.includes('...') ? Number.POSITIVE_INFINITY : args.length;
  if (positional < required || positional > most)
    return `${spec.name} takes ${spec.arguments ?? 'nothing'}, not ${positional} arguments`;
  return undefined;
}

/** Words of a shell line up to a comment, a pipe or a redirection. */
function wordsOf(line: string): string[] {
  const words = line.replace(/\s+#.*$/, '').match(/"[^"]*"|'[^']*'|[|>&;]|[^\s|>&;]+/g) ?? [];
  const end = words.findIndex((word) => /^[|>&;]$/.test(word));
  return end < 0 ? words : words.slice(0, end);
}

test('the check of commands sees what is wrong', () => {
  assert.equal(mistakeIn(wordsOf('run --fast --until-idle   # all of it')), undefined);
  assert.equal(mistakeIn(wordsOf('export json-schema domain > domain.schema.json')), undefined);
  assert.match(mistakeIn(['runn'])!, /no command/);
  assert.match(mistakeIn(['run', '--fasst'])!, /no option --fasst/);
  assert.match(mistakeIn(['ingest'])!, /takes <input> \[file\], not 0/);
  assert.match(mistakeIn(['status', 'all'])!, /not 1/);
  assert.equal(mistakeIn(['up', 'kafka', 'postgres', 'vault']), undefined);
  assert.match(mistakeIn(['dlq'])!, /subcommand/);
});

test('commands in the documents exist, with their options and arguments', () => {
  const wrong: string[] = [];
  let seen = 0;
  for (const {name, text} of pages) {
    const lines = blocks(text, 'sh').flatMap(({body}) =>
      body.split('\n').flatMap((line) => /^(?:\$ )?npx millrace\b(.*)$/.exec(line)?.[1] ?? []),
    );
    const inline = [...withoutBlocks(text).matchAll(/`npx millrace( [^`]*)?`/g)].map(
      ([, rest]) => rest ?? '',
    );
    for (const line of [...lines, ...inline]) {
      seen += 1;
      // A placeholder or `...` stands for one argument; a command that is only mentioned may come without its arguments.
      const mistake = mistakeIn(wordsOf(line.replace(/<[^>]*>/g, 'x')));
      const isMention = !lines.includes(line) && /takes|subcommand/.test(mistake ?? '');
      if (mistake && !isMention) wrong.push(`${name}: npx millrace${line}: ${mistake}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(seen > 30, `${seen} commands`);
});

test('scripts that the documents run with npm exist', () => {
  const {scripts} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const {name, text} of pages)
    for (const [, run, short] of text.matchAll(/\bnpm (?:run ([\w-]+)|(start|test))\b/g))
      assert.ok((run ?? short)! in scripts, `${name}: npm ${run ?? short}`);
});

/** Which file of `config/` a YAML block is; undefined for a fragment. */
function fileOf(body: string): string | undefined {
  const named = /^# (config\/[\w/-]+\.yaml)/.exec(body)?.[1];
  // Tests of a domain run in testing.test.ts.
  if (named) return named.startsWith('config/tests/') ? undefined : named;
  if (/^domain:/m.test(body)) return 'config/domains/example.yaml';
  return /^platform:/m.test(body) ? 'config/platform.yaml' : undefined;
}

/** A directory that holds the block and what examples refer to. */
function place(t: TestContext, file: string, body: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-docs-'));
  t.after(() => rmSync(dir, {recursive: true, force: true}));
  const files: Record<string, string> = {
    'config/lookups/products.csv': 'product_id,brand,list_price\n1,acme,9.99\n',
    [file]: body,
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), {recursive: true});
    writeFileSync(join(dir, path), text);
  }
  mkdirSync(join(dir, 'plugins'));
  for (const name of readdirSync(join(root, 'examples/plugins')).filter((each) => each.endsWith('.ts')))
    copyFileSync(join(root, 'examples/plugins', name), join(dir, 'plugins', name));
  return dir;
}

for (const {name, text} of pages)
  for (const {body, line} of blocks(text, 'ya?ml')) {
    const file = fileOf(body);
    if (file === undefined) continue;
    test(`the example at ${name}:${line} loads`, async (t) => {
      const secrets = [...body.matchAll(/\$\{secret:([\w.-]+)\}/g)].map(([, secret]) => [
        secret,
        'x'.repeat(32),
      ]);
      const loaded = await loadPlatform({
        from: place(t, file, body),
        sinkSpecs: sinks as Record<string, SinkSpec>,
        variables: Object.fromEntries(secrets),
      });
      assert.ok(loaded.ok, loaded.ok ? '' : formatDiagnostics(loaded.diagnostics));
    });
  }
