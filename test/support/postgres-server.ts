/** A PostgreSQL server of a test's own. */
import {execFileSync, spawn} from 'node:child_process';
import {chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

export type TestServer = {
  port: number;
  password: string;
  dir: string;
  pid(): number;
  start(): Promise<void>;
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Runs SQL as the superuser over the socket. */
  sql(text: string, database?: string): string;
  stop(): Promise<void>;
};

const home = '/usr/lib/postgresql';

/** The newest installed server's programs; undefined without one. */
export function postgresPrograms(): string | undefined {
  if (!existsSync(home)) return undefined;
  const version = readdirSync(home).sort((a, b) => Number(b) - Number(a))[0];
  return version === undefined ? undefined : join(home, version, 'bin');
}

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const {port} = server.address() as {port: number};
      server.close(() => resolve(port));
    });
  });

export async function startPostgres(settings = ''): Promise<TestServer> {
  const bin = postgresPrograms()!;
  const root = mkdtempSync(join(tmpdir(), 'millrace-pg-'));
  const ids = process.getuid!() === 0 ? {uid: idOf('-u'), gid: idOf('-g')} : {};
  if (ids.uid !== undefined) chownSync(root, ids.uid, ids.gid!);
  const password = 'sesame-6f1c';
  const dir = join(root, 'data');
  const secret = join(root, 'password');
  writeFileSync(secret, password, {mode: 0o644});
  execFileSync(
    join(bin, 'initdb'),
    ['-D', dir, '-U', 'app', '-A', 'scram-sha-256', `--pwfile=${secret}`, '-E', 'UTF8', '--no-sync'],
    {...ids, stdio: 'pipe', cwd: root},
  );
  const port = await freePort();
  writeFileSync(
    join(dir, 'postgresql.auto.conf'),
    `port = ${port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '${root}'\nshared_buffers = 64MB\n${settings}\n`,
    {flag: 'a'},
  );
  let child: ReturnType<typeof spawn> | undefined;
  const sql = (text: string, database = 'postgres') =>
    execFileSync(
      join(bin, 'psql'),
      [
        '-h',
        '127.0.0.1',
        '-p',
        String(port),
        '-U',
        'app',
        '-At',
        '-v',
        'ON_ERROR_STOP=1',
        '-c',
        text,
        database,
      ],
      {
        env: {...process.env, PGPASSWORD: password},
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    ).trim();
  const server: TestServer = {
    port,
    password,
    dir,
    pid: () => child!.pid!,
    sql,
    async start() {
      child = spawn(join(bin, 'postgres'), ['-D', dir], {...ids, stdio: 'ignore', cwd: root});
      for (let attempt = 0; ; attempt++) {
        try {
          sql('SELECT 1');
          return;
        } catch (error) {
          if (attempt > 100) throw error;
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      }
    },
    async kill(signal) {
      const gone = new Promise((resolve) => child!.once('exit', resolve));
      child!.kill(signal);
      await gone;
    },
    async stop() {
      if (child?.exitCode === null && child.signalCode === null) await server.kill('SIGINT');
      rmSync(root, {recursive: true, force: true});
    },
  };
  await server.start();
  return server;
}

const idOf = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], {encoding: 'utf8'}));
