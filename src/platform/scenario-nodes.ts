/** How parts of a test file are checked, and how what is wrong with them is said. */
import type {Diagnostics, Path} from '../config/diagnostics.ts';
import {suggest} from '../config/nearest.ts';
import {type ConfigNode, describeNode, type MapNode, quote} from '../config/nodes.ts';
import type {Place} from '../config/source.ts';
import type {Domain} from '../model/types.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';

/** What a part of a test file is read against. */
export type ScenarioContext = {
  domain: Domain;
  plans: QueryPlan[];
  /** The scenario's day, for times without one. */
  date: string;
  diagnostics: Diagnostics;
};

/** A map spans lines; its first character is mark enough. */
export const firstLine = ({place: {file, start}}: ConfigNode): Place => ({file, start, end: start + 1});

/** Reports keys that do not exist here. */
export function checkKeys(node: MapNode, known: string[], path: Path, diagnostics: Diagnostics): void {
  for (const [key, {key: place}] of node.entries)
    if (!known.includes(key))
      diagnostics.error(place, 'KEY_UNKNOWN', `unknown key ${quote(key)}`, {
        path: [...path, key],
        hint: suggest(key, known) ?? `known here: ${known.join(', ')}`,
      });
}

/** Reports a value of a wrong kind. */
export function wrongType(
  node: ConfigNode,
  expected: string,
  path: Path,
  diagnostics: Diagnostics,
  hint?: string,
): undefined {
  diagnostics.error(
    node.kind === 'scalar' ? node.place : firstLine(node),
    'TYPE_WRONG',
    `expected ${expected}, not ${describeNode(node)}`,
    {path, ...(hint ? {hint} : {})},
  );
  return undefined;
}
