import {dirname, resolve} from 'node:path';
import {hideSecret, withoutSecrets} from '../errors.ts';
import {parseBytes, parseCount, parseDuration, parseRate, parseShare} from '../quantity.ts';
import type {DiagnosticCode} from './codes.ts';
import type {FieldSpec} from './fields.ts';
import {nameHint, nameProblem} from './names.ts';
import {nearest, suggest} from './nearest.ts';
import {describeNode, quote, type ScalarNode} from './nodes.ts';

export type ScalarResult =
  | {ok: true; value: unknown}
  | {ok: false; code: DiagnosticCode; message: string; hint?: string};

const wrong = (code: DiagnosticCode, message: string, hint?: string): ScalarResult => ({
  ok: false,
  code,
  message,
  ...(hint === undefined ? {} : {hint}),
});

/** What a type is called in a message, with an example of it. */
const kinds: Partial<Record<FieldSpec['type'], [string, string]>> = {
  string: ['text', ''],
  identifier: ['a name', ''],
  integer: ['a whole number', ''],
  number: ['a number', ''],
  boolean: ['true or false', ''],
  duration: ['a duration', 'write a number with ms, s, m, h, d or w: 10m'],
  bytes: ['a size', 'write a number with B, KiB, MiB, GiB or TiB: 64MiB'],
  count: ['a count', 'write a whole number, or one with k, M or G: 5M'],
  rate: ['a rate', 'write a count with /s, /m or /h: 10000/s'],
  share: ['a share', 'write per cent: 5%'],
  expression: ['an expression', ''],
  path: ['a path', ''],
  dir: ['a directory', ''],
  enum: ['one of a few words', ''],
};

/** "text", "a duration", ...: for messages. */
export function describeSpec(spec: FieldSpec): string {
  if (spec.type === 'list') return 'a list';
  if (spec.type === 'map' || spec.type === 'object') return 'a map';
  if (spec.type === 'oneOf') return spec.describe;
  if (spec.type === 'enum') return spec.values.join(', ').replace(/, ([^,]*)$/, ' or $1');
  return kinds[spec.type]?.[0] ?? 'a value';
}

/**
 * The typed value of a scalar: ms, bytes, counts, events per second, shares of 1, absolute paths. Secrets are the reader's
 * business.
 */
export function readScalar(node: ScalarNode, spec: FieldSpec, root: string): ScalarResult {
  const {value, text} = node;
  switch (spec.type) {
    case 'string':
      return readText(node, spec);
    case 'identifier': {
      if (typeof value !== 'string') return mismatch(node, spec);
      const problem = nameProblem(value);
      return problem
        ? wrong('NAME_INVALID', `${quote(value)} ${problem}`, nameHint(value))
        : {ok: true, value};
    }
    case 'integer':
    case 'number':
      return readNumber(node, spec);
    case 'boolean':
      return typeof value === 'boolean' ? {ok: true, value} : mismatch(node, spec);
    case 'duration':
      return readQuantity(node, spec, parseDuration);
    case 'bytes':
      return readQuantity(node, spec, parseBytes);
    case 'count':
      return readQuantity(node, spec, parseCount);
    case 'rate':
      return readQuantity(node, spec, parseRate);
    case 'share':
      return readQuantity(node, spec, parseShare);
    case 'expression':
      return value === null
        ? mismatch(node, spec)
        : {ok: true, value: typeof value === 'string' ? value : text};
    case 'path':
    case 'dir':
      if (typeof value !== 'string' || value === '' || value.includes('\0')) return mismatch(node, spec);
      return {ok: true, value: resolve(spec.type === 'dir' ? root : dirname(node.place.file.path), value)};
    case 'enum':
      return readEnum(node, spec);
    case 'any':
      return {ok: true, value};
    default:
      return mismatch(node, spec);
  }
}

function mismatch(node: ScalarNode, spec: FieldSpec): ScalarResult {
  const hint =
    (spec.type === 'string' || spec.type === 'identifier') &&
    (typeof node.value === 'number' || typeof node.value === 'boolean')
      ? `put it in quotes: "${node.text}"`
      : kinds[spec.type]?.[1] || undefined;
  return wrong('TYPE_WRONG', `expected ${describeSpec(spec)}, not ${describeNode(node)}`, hint);
}

function readText(node: ScalarNode, spec: FieldSpec & {type: 'string'}): ScalarResult {
  const {value} = node;
  if (typeof value !== 'string') return mismatch(node, spec);
  if (spec.url) return readUrl(value, spec.url, spec.examples);
  if (spec.pattern && !spec.pattern.test(value)) {
    const hint = spec.examples?.length ? `for example ${spec.examples.join(', ')}` : undefined;
    // Of an address with a password where none is expected: `user:password@host`.
    const [, password = ''] = /^[^\s:@/]+:(?!\/\/)(\S+)@\S+$/.exec(value) ?? [];
    hideSecret(password);
    return wrong('VALUE_INVALID', `${withoutSecrets(quote(value))} does not have the right form`, hint);
  }
  return {ok: true, value};
}

/** Never quotes the text: it may hold a password. */
function readUrl(text: string, schemes: readonly string[], examples: string[] = []): ScalarResult {
  const hint = examples.length > 0 ? `for example ${examples.join(', ')}` : undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !schemes.some((scheme) => url.protocol === `${scheme}:`))
    return wrong(
      'VALUE_INVALID',
      `this is no URL that begins with ${schemes.map((each) => `${each}://`).join(' or ')}`,
      hint,
    );
  hideSecret(url.password);
  if (url.password !== '')
    return wrong(
      'VALUE_INVALID',
      'a URL holds no password',
      'write password: "${secret:name}" beside it, and take it out of the URL',
    );
  return {ok: true, value: text};
}

function readNumber(node: ScalarNode, spec: FieldSpec & {type: 'integer' | 'number'}): ScalarResult {
  const {value} = node;
  if (typeof value !== 'number' || !Number.isFinite(value)) return mismatch(node, spec);
  if (spec.type === 'integer' && !Number.isSafeInteger(value)) return mismatch(node, spec);
  const {min = -Infinity, max = Infinity} = spec;
  if (value < min || value > max) {
    const range =
      max === Infinity ? `at least ${min}` : min === -Infinity ? `at most ${max}` : `${min} to ${max}`;
    return wrong('VALUE_RANGE', `${node.text} is outside what is allowed: ${range}`);
  }
  return {ok: true, value};
}

function readQuantity(
  node: ScalarNode,
  spec: FieldSpec,
  parse: (text: string) => number | undefined,
): ScalarResult {
  const {value, text} = node;
  if (typeof value !== 'string' && typeof value !== 'number') return mismatch(node, spec);
  const written = typeof value === 'string' ? value : text;
  const parsed = parse(written);
  if (parsed !== undefined) return {ok: true, value: parsed};
  const [name, hint] = kinds[spec.type]!;
  return wrong('VALUE_INVALID', `${quote(written)} is not ${name}`, hint);
}

function readEnum(node: ScalarNode, spec: FieldSpec & {type: 'enum'}): ScalarResult {
  const word = typeof node.value === 'string' ? node.value : node.text;
  if (spec.values.includes(word)) return {ok: true, value: word};
  if (spec.later?.includes(word))
    return wrong(
      'NOT_AVAILABLE',
      `${quote(word)} is not part of this version of Millrace yet`,
      `use ${describeSpec(spec)}`,
    );
  const meant = (spec.synonyms?.[word.toLowerCase()] ?? []).filter((value) => spec.values.includes(value));
  const later = nearest(word, [...spec.values, ...(spec.later ?? [])]);
  const close =
    meant.length > 0
      ? `did you mean ${meant.join(' or ')}?`
      : later !== undefined && spec.later?.includes(later)
        ? `${later} is not part of this version of Millrace yet: use ${describeSpec(spec)}`
        : suggest(word, spec.values);
  return wrong(
    'VALUE_UNKNOWN',
    `${quote(word)} is not one of ${spec.values.join(', ')}`,
    close?.startsWith('known here') ? undefined : close,
  );
}
