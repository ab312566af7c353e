import {Composer, CST, type Document, Lexer, Parser} from 'yaml';
import type {Diagnostics} from './diagnostics.ts';
import {type ConfigNode, quote} from './nodes.ts';
import {placeAt, type SourceFile} from './source.ts';
import {commaInCall, isCommaInCall} from './yaml-flow.ts';
import {convertDocument, yamlLimits} from './yaml-nodes.ts';

/** Bytes -> text; undefined and a mistake when too large or not UTF-8. The place of the first bad byte is named in the message. */
export function decodeText(bytes: Uint8Array, shown: string, diagnostics: Diagnostics): string | undefined {
  if (bytes.length > yamlLimits.bytesMax) {
    const hint = 'split it: every file in config/domains/ is a domain of its own';
    diagnostics.file(
      shown,
      'YAML_TOO_LARGE',
      `the file has ${bytes.length} bytes, at most ${yamlLimits.bytesMax} are read`,
      hint,
    );
    return undefined;
  }
  try {
    return new TextDecoder('utf-8', {fatal: true}).decode(bytes);
  } catch {
    const lenient = new TextDecoder('utf-8').decode(bytes);
    const line = lenient.slice(0, lenient.indexOf('\ufffd')).split('\n').length;
    diagnostics.file(shown, 'YAML_ENCODING', `the file is not UTF-8 (line ${line})`, 'save it as UTF-8');
    return undefined;
  }
}

/**
 * YAML text -> tree with places. Hostile text is refused before anything is composed: depth, aliases, tags. Never throws;
 * undefined when there was a mistake. An empty file is an empty map.
 */
export function parseYaml(file: SourceFile, diagnostics: Diagnostics): ConfigNode | undefined {
  const tokens = tokenize(file, diagnostics);
  if (!tokens) return undefined;
  const documents: Document.Parsed[] = [];
  const composer = new Composer({
    version: '1.2',
    schema: 'core',
    merge: false,
    resolveKnownTags: false,
    uniqueKeys: false,
    prettyErrors: false,
    keepSourceTokens: false,
    logLevel: 'silent',
  });
  try {
    for (const document of composer.compose(tokens, true, file.text.length))
      documents.push(document as Document.Parsed);
  } catch (error) {
    diagnostics.error(
      placeAt(file, 0, 0),
      'YAML_SYNTAX',
      `the text is not YAML: ${(error as Error).message}`,
    );
    return undefined;
  }
  const problems = reportSyntax(file, documents, diagnostics);
  const [first, second] = documents;
  if (second) {
    const hint = 'one file, one document: remove the `---` between them';
    diagnostics.error(
      placeAt(file, second.range[0], second.range[0] + 3),
      'YAML_DOCUMENTS',
      'a second document begins here',
      {hint},
    );
  }
  if (problems > 0 || second) return undefined;
  return convertDocument(file, first, diagnostics);
}

const syntaxHints: Record<string, string | undefined> = {
  MULTILINE_IMPLICIT_KEY: 'is a `:` missing?',
  TAB_AS_INDENT: 'indent with spaces',
  BAD_INDENT: 'close what is open; lines of one map or list begin in one column',
  BAD_SCALAR_START: 'put quotes around the value',
};

/** One mistake makes the parser stumble for a while: of each run of lines with errors the first is told. */
function reportSyntax(file: SourceFile, documents: Document.Parsed[], diagnostics: Diagnostics): number {
  const errors = documents.flatMap(({errors}) => errors).sort((a, b) => a.pos[0] - b.pos[0]);
  let told = 0;
  let lastLine = -1;
  for (const {pos, message, code} of errors) {
    const {line} = file.position(pos[0]);
    if (line > lastLine + 1 && told < yamlLimits.errorsMax) {
      told++;
      if (isCommaInCall(file.line(line))) {
        const {message, hint} = commaInCall;
        diagnostics.error(placeAt(file, pos[0], pos[1]), 'YAML_COMMA', message, {hint});
        lastLine = line;
        continue;
      }
      const isHalfQuoted = /:\s+(['"]).*\1\s*[^\s,}\]#]/.test(file.line(line));
      const hint = isHalfQuoted
        ? 'a value that begins with a quote ends with it: put other quotes around all of it'
        : syntaxHints[code];
      diagnostics.error(
        placeAt(file, pos[0], pos[1]),
        'YAML_SYNTAX',
        message.replace(/\s+/g, ' '),
        hint ? {hint} : {},
      );
    }
    lastLine = line;
  }
  return told;
}

/** Lexes and parses to syntax tokens, counting depth, aliases and tags on the way; both are loops, not recursion. */
function tokenize(file: SourceFile, diagnostics: Diagnostics): CST.Token[] | undefined {
  const parser = new Parser();
  const tokens: CST.Token[] = [];
  let aliases = 0;
  let isContent = false;
  let refused = 0;
  const refuse = (
    code: Parameters<Diagnostics['error']>[1],
    message: string,
    length: number,
    hint?: string,
  ) => {
    diagnostics.error(
      placeAt(file, parser.offset, parser.offset + length),
      code,
      message,
      hint ? {hint} : {},
    );
    refused++;
  };
  try {
    for (const lexeme of new Lexer().lex(file.text)) {
      const type = isContent ? 'scalar' : CST.tokenType(lexeme);
      isContent = lexeme === CST.SCALAR;
      if (type === 'tag')
        refuse(
          'YAML_TAG',
          `tags are not allowed: ${quote(lexeme)}`,
          lexeme.length,
          'remove it: the types come from the keys',
        );
      if (type === 'directive-line')
        refuse('YAML_DIRECTIVE', `directives are not allowed: ${quote(lexeme)}`, lexeme.length);
      if (type === 'alias' && ++aliases > yamlLimits.aliasesMax) {
        refuse('YAML_ALIASES', `more than ${yamlLimits.aliasesMax} aliases`, lexeme.length);
        return undefined;
      }
      if (refused >= yamlLimits.errorsMax) return undefined;
      for (const token of parser.next(lexeme)) tokens.push(token);
      if (parser.stack.length > yamlLimits.depthMax) {
        refuse('YAML_TOO_DEEP', `more than ${yamlLimits.depthMax} levels of maps and lists`, 1);
        return undefined;
      }
    }
    for (const token of parser.end()) tokens.push(token);
  } catch (error) {
    refuse('YAML_SYNTAX', `the text is not YAML: ${(error as Error).message}`, 1);
  }
  return refused === 0 ? tokens : undefined;
}
