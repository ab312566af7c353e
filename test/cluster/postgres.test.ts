/** PostgreSQL as local servers start it. */
import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {existsSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {suite, test} from 'node:test';
import {promisify} from 'node:util';
import {startPostgres, wipePostgres} from '../../src/cluster/postgres.ts';
import {isRunning} from '../../src/cluster/process.ts';
import {skipWithout} from './needs.ts';

const run = promisify(execFile);
/** What psql prints for a statement. */
const psql = async (url: string, sql: string): Promise<string> =>
  (await run('psql', [url, '-qAtc', sql])).stdout.trim();

suite('a PostgreSQL server', skipWithout('psql'), () => {
  test('asks for a password by SCRAM and keeps what was committed through a kill', async () => {
    const server = await startPostgres();
    try {
      assert.equal(await psql(server.url, 'SHOW password_encryption'), 'scram-sha-256');
      await assert.rejects(
        psql(server.url.replace(':millrace@', ':other@'), 'SELECT 1'),
        /password authentication failed/,
      );
      await psql(server.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
      const killed = server.process;
      await server.kill();
      assert.ok(!isRunning(killed));
      await assert.rejects(psql(server.url, 'SELECT 1'), /Connection refused/);
      await server.restart();
      assert.equal(await psql(server.url, 'SELECT answer FROM kept'), '42');
    } finally {
      await server.stop();
    }
    assert.ok(!existsSync(server.dir));
  });

  test('with TLS required lets nobody in without; kept, it is found again at its address', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'millrace-postgres-test-'));
    const ca = join(dir, 'trusted.crt');
    const options = {dir: join(dir, 'server'), tls: 'required'} as const;
    let server = await startPostgres(options);
    try {
      writeFileSync(ca, server.certificates!.ca);
      const withTls = `${server.url}?sslmode=verify-full&sslrootcert=${ca}`;
      const shown = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
      assert.equal(await psql(withTls, shown), 't');
      await assert.rejects(psql(`${server.url}?sslmode=disable`, 'SELECT 1'), /no encryption/);
      await psql(withTls, 'CREATE TABLE kept AS SELECT 42 AS answer');
      await server.stop();
      server = await startPostgres(options);
      assert.equal(await psql(withTls, 'SELECT answer FROM kept'), '42');
    } finally {
      await server.stop();
      wipePostgres(options.dir);
      rmSync(dir, {recursive: true, force: true});
    }
  });
});
