/** Where in the files a change stands. */
import type {LoadedConfig} from '../config/load.ts';
import {type ConfigNode, child} from '../config/nodes.ts';
import type {Change} from './plan-types.ts';

/** The line of what changed; of what is gone, the line of the list that held it. Undefined when no file says it. */
export function placeOfChange(
  config: LoadedConfig,
  change: Change,
): {file: string; line: number} | undefined {
  const [domain = '', name = ''] = change.name.split('.');
  const tree = config.domains.find(({values}) => values.domain === domain)?.node;
  switch (change.kind) {
    case 'query':
      return placeIn(tree, 'aggregations', name, change);
    case 'event type':
      return placeIn(tree, 'event_types', name, change);
    case 'lookup':
      return placeIn(tree, 'lookups', name, change);
    case 'input':
      return placeIn(tree, 'inputs', name, change);
    case 'domain':
      return positionOf(child(tree, 'defaults') ?? tree ?? config.platform.node, false);
    case 'sink':
      return positionOf(
        child(child(config.platform.node, 'sinks'), change.name) ?? config.platform.node,
        false,
      );
    case 'platform':
      return positionOf(config.platform.node, false);
    default:
      return positionOf(child(config.platform.node, change.kind) ?? config.platform.node, false);
  }
}

function placeIn(
  tree: ConfigNode | undefined,
  section: string,
  name: string,
  {details}: Change,
): {file: string; line: number} | undefined {
  const list = child(tree, section);
  if (list?.kind !== 'list') return tree && positionOf(tree, false);
  const item = list.items.find((each) => nameOf(each) === name);
  if (!item) return positionOf(list, false);
  const [detail] = details;
  return positionOf((detail && inner(item, detail.what)) ?? item, true);
}

const nameOf = (node: ConfigNode): unknown => {
  const name = child(node, 'name');
  return name?.kind === 'scalar' ? name.value : node.kind === 'scalar' ? node.value : undefined;
};

/** The node of `measures.revenue`, `attributes.coupon`, `window` below an item, as deep as it exists. */
function inner(item: ConfigNode, what: string): ConfigNode | undefined {
  let node: ConfigNode | undefined;
  let at: ConfigNode | undefined = item;
  for (const part of what.split('.')) {
    const next: ConfigNode | undefined =
      at?.kind === 'list' ? at.items.find((each) => nameOf(each) === part) : child(at, part);
    if (!next) break;
    node = next;
    at = next;
  }
  return node;
}

function positionOf(
  {place: {file, start}}: ConfigNode,
  isExact: boolean,
): {file: string; line: number} | undefined {
  if (file.text === '' && !isExact) return {file: file.shown, line: 1};
  return {file: file.shown, line: file.position(start).line};
}
