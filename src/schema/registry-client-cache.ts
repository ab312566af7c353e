/**
 * What is remembered of a registry that is a server, so that a platform starts and goes on without it: what an id means never
 * changes. A file for each, written beside its place and renamed; one that is damaged counts as absent.
 *   ids/<id>.json        the schema of an id
 *   own/<subject>.json   what this platform registered under a subject, oldest first
 */
import {createHash, randomBytes} from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import type {RegisteredSchema} from './types.ts';

export type RegistryCache = {
  byId(id: number): RegisteredSchema | undefined;
  keep(schema: RegisteredSchema): void;
  /** Registrations of a subject, oldest first. */
  own(subject: string): RegisteredSchema[];
  /** Remembers one as the newest of its subject. */
  keepOwn(schema: RegisteredSchema): void;
  /** The registration with the highest id. */
  lastOwn(): RegisteredSchema | undefined;
  /** Every schema that is kept: what records of the log can name, as far as it was met. By id. */
  all(): RegisteredSchema[];
};

export function openRegistryCache(dir: string): RegistryCache {
  const ids = join(dir, 'ids');
  const own = join(dir, 'own');
  // Subjects may have any characters; names of files may not.
  const ownPath = (subject: string) =>
    join(own, `${encodeURIComponent(subject).replaceAll('*', '%2A')}.json`);
  const idPath = (id: number) => join(ids, `${id}.json`);
  const ownOf = (path: string) => (read(path) ?? []) as RegisteredSchema[];
  return {
    byId: (id) => read(idPath(id)) as RegisteredSchema | undefined,
    keep: (schema) => write(ids, idPath(schema.id), schema),
    own: (subject) => ownOf(ownPath(subject)),
    keepOwn(schema) {
      const path = ownPath(schema.subject);
      write(own, path, [...ownOf(path).filter(({id}) => id !== schema.id), schema]);
    },
    lastOwn: () => byId(filesOf(own).flatMap(ownOf)).at(-1),
    all: () => byId(filesOf(ids).flatMap((path) => (read(path) as RegisteredSchema | undefined) ?? [])),
  };
}

const byId = (schemas: RegisteredSchema[]) => schemas.sort((a, b) => a.id - b.id);

function filesOf(dir: string): string[] {
  try {
    return readdirSync(dir)
      .filter((name) => name.endsWith('.json'))
      .map((name) => join(dir, name));
  } catch {
    // Nothing is kept yet.
    return [];
  }
}

const sumOf = (text: string): string => createHash('sha256').update(text).digest('hex');

function read(path: string): unknown {
  try {
    const {sha256, value} = JSON.parse(readFileSync(path, 'utf8')) as {sha256: string; value: unknown};
    return sumOf(JSON.stringify(value)) === sha256 ? value : undefined;
  } catch {
    return undefined;
  }
}

function write(dir: string, path: string, value: unknown): void {
  const besides = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    mkdirSync(dir, {recursive: true});
    const file = openSync(besides, 'w');
    try {
      writeSync(file, JSON.stringify({sha256: sumOf(JSON.stringify(value)), value}));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(besides, path);
  } catch (cause) {
    rmSync(besides, {force: true});
    throw new PlatformError(
      'FILE_ACCESS',
      `what the schema registry said cannot be kept: ${(cause as Error).message}`,
      {
        place: path,
        hint: 'free space or give rights in the directory registry.confluent.cache',
        cause,
      },
    );
  }
}
