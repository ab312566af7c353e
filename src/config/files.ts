import {existsSync, readdirSync, readFileSync, statSync} from 'node:fs';
import {basename, dirname, join, relative, resolve} from 'node:path';
import type {Diagnostics} from './diagnostics.ts';
import {suggest} from './nearest.ts';
import {type ConfigNode, describeNode} from './nodes.ts';
import {SourceFile} from './source.ts';
import {decodeText, parseYaml} from './yaml.ts';
import {yamlLimits} from './yaml-nodes.ts';

/**
 * The directory that holds `config/`: `from` or the nearest one above it; undefined when there is none. A `config/` counts when
 * it has something of a platform in it: others use the name, too.
 */
export function findRoot(from: string): string | undefined {
  for (let dir = resolve(from); ; dir = dirname(dir)) {
    if (holdsPlatform(join(dir, 'config'))) return dir;
    // Someone who stands in the directory itself, or names it, means the same.
    if (basename(dir) === 'config' && holdsPlatform(dir)) return dirname(dir);
    if (dirname(dir) === dir) return undefined;
  }
}

const holdsPlatform = (dir: string): boolean =>
  existsSync(join(dir, 'platform.yaml')) ||
  isDirectory(join(dir, 'domains')) ||
  isDirectory(join(dir, 'environments'));

const isDirectory = (path: string): boolean =>
  statSync(path, {throwIfNoEntry: false})?.isDirectory() === true;

/** A parsed file; `node` is undefined when it has mistakes as YAML. */
export type ParsedFile = {file: SourceFile; node: ConfigNode | undefined};

export type Layers = {
  platform: ParsedFile | undefined;
  environment: ParsedFile | undefined;
  domains: ParsedFile[];
};

const filesMax = 1000;

/** Reads and parses every file of `<root>/config`. Mistakes go to `diagnostics`; nothing is thrown. */
export function readLayers(root: string, env: string, diagnostics: Diagnostics): Layers {
  const config = join(root, 'config');
  return {
    platform: readOptional(root, join(config, 'platform.yaml'), diagnostics),
    environment: readEnvironment(root, config, env, diagnostics),
    domains: yamlNames(root, join(config, 'domains'), diagnostics).map((name) =>
      readYaml(root, join(config, 'domains', name), diagnostics),
    ),
  };
}

function readEnvironment(
  root: string,
  config: string,
  env: string,
  diagnostics: Diagnostics,
): ParsedFile | undefined {
  const dir = join(config, 'environments');
  const found = /^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$/.test(env)
    ? readOptional(root, join(dir, `${env}.yaml`), diagnostics)
    : undefined;
  if (found || env === 'dev') return found;
  const known = new Set(
    yamlNames(root, dir, diagnostics)
      .map((name) => name.replace(/\.yaml$/, ''))
      .concat('dev'),
  );
  diagnostics.file(
    'config/environments',
    'ENVIRONMENT_NOT_FOUND',
    `there is no environment ${JSON.stringify(env)}`,
    suggest(env, known),
  );
  return undefined;
}

/** Names of the .yaml files of a directory, sorted; none when there is no such directory. */
export function yamlNames(root: string, dir: string, diagnostics: Diagnostics): string[] {
  if (!isDirectory(dir)) return [];
  const names = readdirSync(dir)
    .filter((name) => !name.startsWith('.'))
    .sort();
  for (const name of names.filter((name) => name.endsWith('.yml')))
    diagnostics.file(
      relative(root, join(dir, name)),
      'FILE_UNREADABLE',
      'files of the configuration end with .yaml',
      `rename it to ${name.replace(/yml$/, 'yaml')}`,
    );
  const yaml = names.filter((name) => name.endsWith('.yaml'));
  if (yaml.length > filesMax)
    diagnostics.file(
      relative(root, dir),
      'FILE_UNREADABLE',
      `more than ${filesMax} files; the rest is not read`,
    );
  return yaml.slice(0, filesMax);
}

const readOptional = (root: string, path: string, diagnostics: Diagnostics): ParsedFile | undefined =>
  existsSync(path) ? readYaml(root, path, diagnostics) : undefined;

/** One file, which must be a map at its top. */
export function readYaml(root: string, path: string, diagnostics: Diagnostics): ParsedFile {
  const shown = relative(root, path);
  const bytes = readBytes(path, shown, diagnostics);
  const text = bytes && decodeText(bytes, shown, diagnostics);
  const file = new SourceFile(path, shown, text ?? '');
  const node = text === undefined ? undefined : parseYaml(file, diagnostics);
  if (!node || node.kind === 'map') return {file, node};
  const {start} = node.place;
  diagnostics.error(
    {file, start, end: start + 1},
    'TYPE_WRONG',
    `expected a map of keys, not ${describeNode(node)}`,
  );
  return {file, node: undefined};
}

/** At most one byte more than is allowed, whatever the file is; undefined after a mistake. */
function readBytes(path: string, shown: string, diagnostics: Diagnostics): Uint8Array | undefined {
  try {
    const stats = statSync(path);
    // A pipe or a device may never end.
    if (stats.isFile())
      return stats.size > yamlLimits.bytesMax ? new Uint8Array(stats.size) : readFileSync(path);
    diagnostics.file(
      shown,
      'FILE_UNREADABLE',
      `${stats.isDirectory() ? 'a directory' : 'what has that name'} is no file that can be read`,
    );
  } catch (error) {
    diagnostics.file(
      shown,
      'FILE_UNREADABLE',
      `the file cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`,
    );
  }
  return undefined;
}
