import {isWeakSecret} from '../errors.ts';
import type {DiagnosticCode} from './codes.ts';
import type {Diagnostics, Path} from './diagnostics.ts';
import type {FieldSpec} from './fields.ts';
import {type ConfigNode, describeNode, placeInside, quote, type ScalarNode} from './nodes.ts';
import {describeSpec, readScalar} from './scalars.ts';
import {fillSecrets, type SecretAnswer, secretReferences} from './secrets/resolve.ts';
import {Secret} from './secrets/secret.ts';
import type {Place} from './source.ts';

export type ReadContext = {
  diagnostics: Diagnostics;
  /** Directory that holds `config/`. */
  root: string;
  /** Answers of the secret backend; `none` where no secret may stand, `unused` in options of a backend that is not chosen. */
  secrets: Map<string, SecretAnswer> | 'none' | 'unused';
  /** Where a key that is unknown at the top of this file belongs, as a hint. */
  elsewhere?: (key: string) => string | undefined;
};

/** @returns undefined, the value of what is mistaken. */
export function report(
  context: ReadContext,
  place: Place,
  code: DiagnosticCode,
  message: string,
  path: Path,
  hint?: string,
): undefined {
  context.diagnostics.error(place, code, message, {path, ...(hint === undefined ? {} : {hint})});
  return undefined;
}

/** A list where text is wanted, and the like. */
export function mismatch(node: ConfigNode, spec: FieldSpec, path: Path, context: ReadContext): undefined {
  // A list or map spans lines; its first character is mark enough.
  const {file, start, end} = node.place;
  const place = node.kind === 'scalar' ? {file, start, end} : {file, start, end: start + 1};
  return report(
    context,
    place,
    'TYPE_WRONG',
    `expected ${describeSpec(spec)}, not ${describeNode(node)}`,
    path,
    shapeHint(node, spec),
  );
}

function shapeHint(node: ConfigNode, spec: FieldSpec): string | undefined {
  const isMap = spec.type === 'map' || spec.type === 'object';
  if (isMap && node.kind === 'scalar' && /^[A-Za-z]\w*:\S/.test(node.text))
    return 'write a blank after the colon';
  if (spec.type === 'list') {
    if (node.kind === 'map') return 'begin each item with a dash: "- ..."';
    return node.kind === 'scalar' && typeof node.value === 'string' ? `write [${node.value}]` : undefined;
  }
  if (spec.type === 'map') return 'write key: value';
  if (spec.type !== 'object') return undefined;
  if (spec.example !== undefined && node.kind === 'scalar') return `write ${spec.example}`;
  const fields = Object.entries(spec.fields);
  const [key] = fields.find(([, field]) => field.required) ?? fields[0] ?? [];
  return key === undefined ? undefined : `write ${key}: ...`;
}

/** The value of a scalar, its secrets filled in; undefined after a mistake. */
export function readLeaf(node: ConfigNode, spec: FieldSpec, path: Path, context: ReadContext): unknown {
  if (node.kind !== 'scalar') return mismatch(node, spec, path, context);
  if (typeof node.value === 'string' && node.value.includes('${')) {
    const allowed =
      spec.type === 'string' && context.secrets !== 'none' && (spec.secret || path[0] === 'sinks');
    // The key of `pii:` must be longer, and is refused where it is not.
    if (allowed) return readSecret(node, path, context, spec.secret === true && path[0] !== 'pii');
    if (node.value.includes('${secret:'))
      return report(
        context,
        node.place,
        'SECRET_NOT_HERE',
        'a secret cannot stand here',
        path,
        'secrets stand in text options of sinks, and in options that are secrets (server, pii, registry, log)',
      );
  }
  const result = readScalar(node, spec, context.root);
  if (result.ok) {
    if (!spec.secret || typeof result.value !== 'string') return result.value;
    if (context.secrets !== 'unused')
      context.diagnostics.warn(node.place, 'SECRET_LITERAL', 'a secret is written in the file', {
        path,
        hint: 'write ${secret:name} and put it where `secrets:` says',
      });
    return new Secret(result.value);
  }
  return report(context, node.place, result.code, result.message, path, result.hint);
}

/** @param isSecret the option is one; a user's name or an address may be short */
function readSecret(node: ScalarNode, path: Path, context: ReadContext, isSecret: boolean): unknown {
  const text = node.value as string;
  let ok = true;
  for (const {name, offset, length, written} of secretReferences(text)) {
    const place = placeInside(node, offset, length);
    if (name === undefined) {
      const hint = 'write ${secret:name}; a name has letters, digits, _ . and -';
      report(context, place, 'SECRET_SYNTAX', `${quote(written)} is no reference to a secret`, path, hint);
      ok = false;
    } else if (context.secrets instanceof Map) {
      const answer = context.secrets.get(name);
      if (answer?.kind === 'found') {
        if (isSecret && isWeakSecret(answer.secret.reveal()))
          context.diagnostics.warn(
            place,
            'SECRET_WEAK',
            `the secret ${quote(name)} is short or an ordinary word: messages hide it beside a word for it and in URLs, not wherever it stands`,
            {path, hint: 'choose another: 8 characters that are no single word, or more'},
          );
        continue;
      }
      ok = false;
      if (answer?.kind === 'failed')
        report(
          context,
          place,
          'SECRET_UNREADABLE',
          `the secret ${quote(name)} cannot be read: ${answer.message}`,
          path,
        );
      else
        report(
          context,
          place,
          'SECRET_UNKNOWN',
          `there is no secret ${quote(name)}`,
          path,
          answer?.hint ?? 'put it where `secrets:` says (default: the .env file or the environment)',
        );
    }
  }
  return ok && context.secrets instanceof Map ? fillSecrets(text, context.secrets) : undefined;
}

/** Whatever a plugin's own option holds; secrets are filled in at every depth. */
export function readAny(node: ConfigNode, path: Path, context: ReadContext): unknown {
  if (node.kind === 'list') return node.items.map((item, index) => readAny(item, [...path, index], context));
  if (node.kind === 'map')
    return Object.fromEntries(
      [...node.entries].map(([key, {value}]) => [key, readAny(value, [...path, key], context)]),
    );
  const isReference = typeof node.value === 'string' && node.value.includes('${secret:');
  return isReference ? readLeaf(node, {type: 'string', doc: ''}, path, context) : node.value;
}
