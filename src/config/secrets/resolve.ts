import {withoutSecrets} from '../../errors.ts';
import type {ConfigNode} from '../nodes.ts';
import {Secret} from './secret.ts';
import type {SecretBackend} from './types.ts';

/** What a backend said of a name. */
export type SecretAnswer =
  | {kind: 'found'; secret: Secret}
  | {kind: 'missing'; hint?: string}
  | {kind: 'failed'; message: string};

/** A reference in a text, or what looks like one but is not: `name` is undefined then. Offsets in UTF-16 units of the text. */
export type SecretReference = {name: string | undefined; offset: number; length: number; written: string};

/**
 * A name, after a path where the backend has such: `password`, `teams/data#password`. No part begins with a dot, so that no
 * backend can be led out of its place.
 */
const namePattern =
  /^(?=.{1,256}$)(?:[A-Za-z0-9_][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*#)?[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

export function secretReferences(text: string): SecretReference[] {
  return [...text.matchAll(/\$\{([^{}]*)(\}?)/g)].map((match) => {
    const name = match[2] ? /^secret:(.*)$/.exec(match[1]!)?.[1] : undefined;
    const isName = name !== undefined && namePattern.test(name);
    return {name: isName ? name : undefined, offset: match.index, length: match[0].length, written: match[0]};
  });
}

/** Every name that a string value of the tree refers to. */
export function secretNames(node: ConfigNode | undefined, names = new Set<string>()): Set<string> {
  if (node?.kind === 'map') for (const {value} of node.entries.values()) secretNames(value, names);
  else if (node?.kind === 'list') for (const item of node.items) secretNames(item, names);
  else if (typeof node?.value === 'string')
    for (const {name} of secretReferences(node.value)) if (name !== undefined) names.add(name);
  return names;
}

/** Asks the backend once for each name. A failure is an answer, without the secret and without a stack. */
export async function askSecrets(
  names: Iterable<string>,
  backend: SecretBackend,
): Promise<Map<string, SecretAnswer>> {
  const answers = new Map<string, SecretAnswer>();
  await Promise.all(
    [...names].map(async (name) => {
      try {
        const text = await backend.read(name);
        if (typeof text === 'string') answers.set(name, {kind: 'found', secret: new Secret(text)});
        else {
          const hint = await backend.hint?.(name);
          answers.set(name, {kind: 'missing', ...(hint === undefined ? {} : {hint})});
        }
      } catch (error) {
        answers.set(name, {
          kind: 'failed',
          message: withoutSecrets(error instanceof Error ? error.message : 'unknown failure'),
        });
      }
    }),
  );
  return answers;
}

/** The text with every reference replaced; what a secret holds is not looked at again. */
export function fillSecrets(text: string, answers: Map<string, SecretAnswer>): Secret {
  return new Secret(
    text.replace(/\$\{secret:([^{}]*)\}/g, (whole, name: string) => {
      const answer = answers.get(name);
      return answer?.kind === 'found' ? answer.secret.reveal() : whole;
    }),
  );
}
