import {
  Composer,
  CST,
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  Lexer,
  Parser,
  Scalar,
} from 'yaml';
import type {Diagnostics} from './diagnostics.ts';
import {type ConfigNode, type MapNode, quote} from './nodes.ts';
import type {Place, SourceFile} from './source.ts';

/** Limits on one file: size in bytes, nested collections, aliases, nodes after aliases are followed, mistakes told. */
export const yamlLimits = {
  bytesMax: 1 << 20,
  depthMax: 64,
  aliasesMax: 1000,
  nodesMax: 200_000,
  errorsMax: 20,
} as const;

/** Never keys: they would reach the prototype of an object somewhere down the way. */
const forbiddenKeys = new Set(['__proto__', 'constructor', 'prototype']);

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
    diagnostics.error(at(file, 0, 0), 'YAML_SYNTAX', `the text is not YAML: ${(error as Error).message}`);
    return undefined;
  }
  const problems = reportSyntax(file, documents, diagnostics);
  const [first, second] = documents;
  if (second) {
    const hint = 'one file, one document: remove the `---` between them';
    diagnostics.error(
      at(file, second.range[0], second.range[0] + 3),
      'YAML_DOCUMENTS',
      'a second document begins here',
      {hint},
    );
  }
  if (problems > 0 || second) return undefined;
  return convertDocument(file, first, diagnostics);
}

/** One mistake makes the parser stumble for a while: of each run of lines with errors the first is told. */
function reportSyntax(file: SourceFile, documents: Document.Parsed[], diagnostics: Diagnostics): number {
  const errors = documents.flatMap(({errors}) => errors).sort((a, b) => a.pos[0] - b.pos[0]);
  let told = 0;
  let lastLine = -1;
  for (const {pos, message} of errors) {
    const {line} = file.position(pos[0]);
    if (line > lastLine + 1 && told < yamlLimits.errorsMax) {
      told++;
      const isHalfQuoted = /:\s+(['"]).*\1\s*[^\s,}\]#]/.test(file.line(line));
      const hint = isHalfQuoted
        ? 'a value that begins with a quote ends with it: put other quotes around all of it'
        : undefined;
      diagnostics.error(
        at(file, pos[0], pos[1]),
        'YAML_SYNTAX',
        message.replace(/\s+/g, ' '),
        hint ? {hint} : {},
      );
    }
    lastLine = line;
  }
  return told;
}

const at = (file: SourceFile, start: number, end: number): Place => ({
  file,
  start,
  end: Math.max(end, start),
});

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
    diagnostics.error(at(file, parser.offset, parser.offset + length), code, message, hint ? {hint} : {});
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

/** What converting keeps: anchors in the order of the text, and how many nodes each stands for once aliases are followed. */
type Conversion = {
  file: SourceFile;
  diagnostics: Diagnostics;
  anchors: Map<string, ConfigNode | 'open'>;
  sizes: Map<ConfigNode, {nodes: number; depth: number}>;
  ok: boolean;
};

function convertDocument(
  file: SourceFile,
  document: Document.Parsed | undefined,
  diagnostics: Diagnostics,
): ConfigNode | undefined {
  const conversion: Conversion = {file, diagnostics, anchors: new Map(), sizes: new Map(), ok: true};
  const contents = document?.contents;
  const isEmpty = !contents || (isScalar(contents) && contents.value === null);
  if (isEmpty) return {kind: 'map', entries: new Map(), place: at(file, 0, 0)};
  const node = convert(conversion, contents);
  const {nodes, depth} = conversion.sizes.get(node) ?? {nodes: 1, depth: 1};
  if (nodes > yamlLimits.nodesMax)
    fail(
      conversion,
      node.place,
      'YAML_ALIASES',
      `followed to the end, the aliases make more than ${yamlLimits.nodesMax} values`,
    );
  if (depth > yamlLimits.depthMax)
    fail(
      conversion,
      node.place,
      'YAML_TOO_DEEP',
      `followed to the end, the aliases nest more than ${yamlLimits.depthMax} levels`,
    );
  return conversion.ok ? node : undefined;
}

function fail(
  conversion: Conversion,
  place: Place,
  code: Parameters<Diagnostics['error']>[1],
  message: string,
  hint?: string,
): void {
  conversion.ok = false;
  conversion.diagnostics.error(place, code, message, hint ? {hint} : {});
}

function placeOf(conversion: Conversion, node: unknown): Place {
  const range = (node as {range?: [number, number, number] | null} | null)?.range;
  return at(conversion.file, range?.[0] ?? 0, range?.[1] ?? 0);
}

/** Depth is bounded by the tokens' depth, so that recursion is safe. */
function convert(conversion: Conversion, source: unknown): ConfigNode {
  const place = placeOf(conversion, source);
  if (isAlias(source)) return convertAlias(conversion, source.source, place);
  const anchor = (source as {anchor?: string} | null)?.anchor;
  if (anchor) conversion.anchors.set(anchor, 'open');
  const node = isMap(source)
    ? convertMap(conversion, source.items, place)
    : isSeq(source)
      ? convertList(conversion, source.items, place)
      : convertScalar(conversion, source, place);
  if (anchor) conversion.anchors.set(anchor, node);
  return node;
}

function convertAlias(conversion: Conversion, name: string, place: Place): ConfigNode {
  const target = conversion.anchors.get(name);
  if (target !== undefined && target !== 'open') return target;
  const message =
    target === 'open' ? `*${name} refers to what it stands in` : `no anchor &${name} stands before this`;
  fail(conversion, place, 'YAML_ALIASES', message);
  return {kind: 'scalar', value: null, text: '', style: 'plain', place};
}

function convertList(conversion: Conversion, items: unknown[], place: Place): ConfigNode {
  const children = items.map((item) => {
    // `[a: 1]` is a pair in a list: a map of one key.
    if (isPair(item)) return convertMap(conversion, [item], placeOf(conversion, item.key));
    return convert(conversion, item);
  });
  const node: ConfigNode = {kind: 'list', items: children, place};
  measure(conversion, node, children);
  return node;
}

function convertMap(
  conversion: Conversion,
  items: {key: unknown; value: unknown}[],
  place: Place,
): ConfigNode {
  const entries: MapNode['entries'] = new Map();
  const children: ConfigNode[] = [];
  for (const {key, value} of items) {
    const keyPlace = placeOf(conversion, key);
    const node = value === null ? nothing(keyPlace) : convert(conversion, value);
    children.push(node);
    const name = keyText(conversion, key, keyPlace);
    if (name === undefined) continue;
    const known = entries.get(name);
    if (known) {
      const {line} = known.key.file.position(known.key.start);
      fail(
        conversion,
        keyPlace,
        'YAML_DUPLICATE_KEY',
        `${quote(name)} stands here a second time`,
        `the first is on line ${line}; keep one`,
      );
    } else entries.set(name, {key: keyPlace, value: node});
  }
  const node: ConfigNode = {kind: 'map', entries, place};
  measure(conversion, node, children);
  return node;
}

function measure(conversion: Conversion, node: ConfigNode, children: ConfigNode[]): void {
  const total = {nodes: 1, depth: 1};
  for (const item of children) {
    const {nodes, depth} = conversion.sizes.get(item) ?? {nodes: 1, depth: 1};
    total.nodes += nodes;
    total.depth = Math.max(total.depth, depth + 1);
  }
  conversion.sizes.set(node, total);
}

const nothing = (place: Place): ConfigNode => ({
  kind: 'scalar',
  value: null,
  text: '',
  style: 'plain',
  place,
});

/** A key as it is written: `null:` and `true:` are the words, not the values. */
function keyText(conversion: Conversion, key: unknown, place: Place): string | undefined {
  if (!isScalar(key)) {
    fail(conversion, place, 'YAML_KEY', 'a key must be plain text');
    return undefined;
  }
  const plain = key.type === Scalar.PLAIN ? (key.source ?? '') : String(key.value);
  if (plain === '<<')
    fail(
      conversion,
      place,
      'YAML_MERGE_KEY',
      'merge keys (<<) are not allowed',
      'write the keys out, or refer to the whole value with an alias',
    );
  else if (forbiddenKeys.has(plain))
    fail(conversion, place, 'YAML_KEY', `${quote(plain)} is never allowed as a key`);
  else if (plain === '') fail(conversion, place, 'YAML_KEY', 'a key is empty');
  else if (plain.includes('${secret:'))
    fail(conversion, place, 'SECRET_NOT_HERE', 'a secret cannot stand in a key');
  else return plain;
  return undefined;
}

function convertScalar(conversion: Conversion, source: unknown, place: Place): ConfigNode {
  if (!isScalar(source)) return nothing(place);
  const {value, type, source: text} = source;
  const known = value === null || ['string', 'number', 'boolean'].includes(typeof value);
  if (!known) fail(conversion, place, 'TYPE_WRONG', 'a value that is no text, number, true, false or null');
  const style =
    type === Scalar.QUOTE_SINGLE
      ? 'single'
      : type === Scalar.QUOTE_DOUBLE
        ? 'double'
        : type === Scalar.PLAIN
          ? 'plain'
          : 'block';
  return {
    kind: 'scalar',
    value: known ? (value as string | number | boolean | null) : null,
    text: text ?? '',
    style,
    place,
  };
}
