/** What docs/local-servers.md says of each server is what `up` starts, and `up` prints what the page shows. */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {localTable} from '../../src/cli/local.ts';
import {kafkaVersion} from '../../src/cluster/kafka-jars.ts';
import {localNames} from '../../src/cluster/local.ts';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/local-servers.md'), 'utf8');
const source = (name: string) => readFileSync(join(root, 'src/cluster', name), 'utf8');

test('every server has a row, with the version that is fetched', () => {
  const rows = [...page.matchAll(/^\| `([a-z0-9]+)` \| ([^|]*) \|/gm)];
  assert.deepEqual(
    rows.map(([, name]) => name),
    localNames,
  );
  const textOf = (name: string) => rows.find(([, found]) => found === name)![2]!;
  const version = (file: string) => /version(?: =|:) '([^']+)'/.exec(source(file))![1]!;
  assert.ok(textOf('kafka').includes(`Kafka ${kafkaVersion},`));
  for (const [name, file] of [
    ['registry', 'apicurio.ts'],
    ['vault', 'openbao.ts'],
    ['s3', 'seaweedfs.ts'],
  ] as const)
    assert.ok(textOf(name).endsWith(` ${version(file)}`), name);
});

test('the table of the page is what up prints', () => {
  const [, shown = ''] = /^kafka: Kafka runs\n(SERVER[^`]*)```/m.exec(page) ?? [];
  const server = {
    title: '',
    logs: [],
    variables: {},
    secrets: {},
    settings: {},
    tryIt: '',
    end: {signal: 'SIGTERM', graceMs: 0},
    dir: '',
    phase: 'running',
  } as const;
  const one = (
    name: 'kafka' | 'postgres',
    pid: number,
    address: string,
    since: string,
    memoryMib: number,
  ) => {
    const processes = [{pid, start: null}];
    const memoryBytes = memoryMib * 2 ** 20;
    return {
      ...server,
      logs: [],
      name,
      address,
      sinceMs: Date.parse(since),
      processes,
      running: processes,
      memoryBytes,
    };
  };
  const printed = localTable([
    one('kafka', 1410, '127.0.0.1:24985', '2026-11-23T03:42:10Z', 334.8),
    one('postgres', 1536, '127.0.0.1:29885', '2026-11-23T03:42:07Z', 28.3),
  ]);
  assert.equal(shown, printed);
});
