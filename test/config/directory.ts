import {mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import type {TestContext} from 'node:test';
import type {FieldSpec} from '../../src/config/fields.ts';
import {type LoadedPlatform, loadPlatform} from '../../src/model/load.ts';

const dir = (initial: string): FieldSpec => ({type: 'dir', doc: 'Directory.', default: initial});

/** Sink backends as far as the configuration knows them. */
export const sinkSpecs = {
  chdb: {
    summary: 'ClickHouse, embedded.',
    fields: {dir: dir('.millrace/clickhouse')},
    capabilities: {raw: true},
  },
  pglite: {
    summary: 'PostgreSQL, embedded.',
    fields: {dir: dir('.millrace/postgres')},
    capabilities: {raw: true},
  },
  stdout: {summary: 'Prints.', fields: {}, capabilities: {raw: false}},
  remote: {
    summary: 'A sink with a password.',
    fields: {
      url: {type: 'string', required: true, doc: 'Address.'},
      password: {type: 'string', secret: true, doc: 'Password.'},
      tags: {type: 'list', of: {type: 'string', doc: 'A tag.'}, doc: 'Tags.', default: []},
    } satisfies Record<string, FieldSpec>,
    capabilities: {raw: true, rawRead: false},
  },
};

/** A directory with these files (path -> text or bytes), removed after the test. */
export function directory(t: TestContext, files: Record<string, string | Uint8Array>): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'millrace-config-')));
  t.after(() => rmSync(root, {recursive: true, force: true}));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), {recursive: true});
    writeFileSync(join(root, path), content);
  }
  return root;
}

/** Loads the platform of a new directory with these files. */
export function load(
  t: TestContext,
  files: Record<string, string | Uint8Array>,
  options: {env?: string; variables?: Record<string, string>} = {},
): Promise<LoadedPlatform<(typeof sinkSpecs)[keyof typeof sinkSpecs]>> {
  return loadPlatform({
    from: directory(t, files),
    sinkSpecs: sinkSpecs as Record<string, (typeof sinkSpecs)[keyof typeof sinkSpecs]>,
    variables: options.variables ?? {},
    ...(options.env === undefined ? {} : {env: options.env}),
  });
}
