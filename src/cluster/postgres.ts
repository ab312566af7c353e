import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {createHash} from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import {connect} from 'node:net';
import {dirname, join} from 'node:path';
import {PlatformError} from '../errors.ts';
import {type Certificates, keptCertificates} from './certificates.ts';
import {type ServerOptions, type SingleServer, startSingle} from './single.ts';

export type PostgresOptions = ServerOptions & {
  /** Who owns the database; default `millrace`. */
  user?: string;
  /** Asked for with SCRAM-SHA-256; default `millrace`. */
  password?: string;
  /** Default `millrace`. */
  database?: string;
  /** `offered`: with TLS or without; `required`: nobody without. Default: none. */
  tls?: 'offered' | 'required';
  /** As in postgresql.conf; they win. */
  settings?: Record<string, string>;
};

/** A PostgreSQL server that runs. */
export type Postgres = SingleServer & {
  host: string;
  port: number;
  user: string;
  password: string;
  database: string;
  /** With user and password. */
  url: string;
  /** With `tls`. */
  certificates?: Certificates;
};

type Account = {uid: number; gid: number};

const startMsMax = 30_000;
const stopMsMax = 15_000;
const answerMsMax = 5_000;
/** SQLSTATE invalid_password. */
const wrongPassword = '28P01';

/**
 * Starts the PostgreSQL server that is installed, on a free port of the loopback interface, as somebody else than root.
 * @throws SERVER_MISSING, SERVER_FAILED
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const {user = 'millrace', password = 'millrace', database = 'millrace', tls, settings = {}} = options;
  for (const text of [user, database])
    assert.match(text, /^[A-Za-z0-9_.~-]+$/, 'goes into a command and an address as it is');
  const bin = programs();
  const account = process.getuid?.() === 0 ? unprivileged() : undefined;
  let certificates: Certificates | undefined;
  const server = await startSingle('postgres', ['sql'] as const, options, async ({dir, ports}) => {
    const data = dataDirOf(dir, account);
    if (!existsSync(join(data, 'PG_VERSION')))
      await initialise({bin, data, account, user, password, database});
    if (tls) certificates = keepKeys(dir, data, account);
    writeFileSync(join(data, 'pg_hba.conf'), accessRules(tls));
    const all: Record<string, string> = {
      listen_addresses: '127.0.0.1',
      port: String(ports.sql),
      unix_socket_directories: '',
      ...(tls ? {ssl: 'on', ssl_ca_file: 'ca.crt'} : {}),
      ...settings,
    };
    return {
      title: 'PostgreSQL',
      command: join(bin, 'postgres'),
      args: ['-D', data, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      cwd: data,
      ...(account ? {user: account} : {}),
      ready: () => asksForPassword(ports.sql, user, database),
      readyMsMax: startMsMax,
      // SIGINT ends sessions and writes everything; SIGQUIT leaves that to the next start.
      end: {signal: 'SIGINT', graceMs: stopMsMax},
      quickEnd: 'SIGQUIT',
    };
  });
  const port = server.ports.sql;
  return Object.assign(server, {
    host: '127.0.0.1',
    port,
    user,
    password,
    database,
    url: `postgres://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`,
    ...(certificates ? {certificates} : {}),
  });
}

/** Whether a server lets its user in with that password. @param url without one. Rejects when it does not say */
export async function takesPassword(url: string, password: string): Promise<boolean> {
  const {default: pg} = await import('pg');
  const {hostname: host, port, username: user, pathname} = new URL(url);
  const database = pathname.slice(1);
  const client = new pg.Client({
    host,
    port: Number(port),
    user,
    database,
    password,
    connectionTimeoutMillis: answerMsMax,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    return true;
  } catch (error) {
    if ((error as {code?: string}).code === wrongPassword) return false;
    throw error;
  } finally {
    await client.end().catch(() => {});
  }
}

/** Removes what a server kept, which need not be in its directory. */
export function wipePostgres(dir: string): void {
  for (const place of [elsewhere(dir), dir]) rmSync(place, {recursive: true, force: true});
}

/** Where systems put the server's programs, which are seldom on the PATH: Debian, Red Hat, Homebrew, Postgres.app. */
function programs(): string {
  const onPath = (process.env.PATH ?? '').split(':').filter(Boolean);
  const versions = (parent: string, below: string) => {
    try {
      return readdirSync(parent)
        .sort((a, b) => b.localeCompare(a, 'en', {numeric: true}))
        .map((name) => join(parent, name, below));
    } catch {
      return [];
    }
  };
  const places = [
    ...versions('/usr/lib/postgresql', 'bin'),
    ...versions('/usr', 'bin').filter((path) => path.includes('/pgsql-')),
    ...versions('/opt/homebrew/opt', 'bin').filter((path) => path.includes('/postgresql')),
    ...versions('/Applications/Postgres.app/Contents/Versions', 'bin'),
    ...onPath,
  ];
  const found = places.find((dir) => existsSync(join(dir, 'postgres')) && existsSync(join(dir, 'initdb')));
  if (found) return found;
  throw new PlatformError(
    'SERVER_MISSING',
    'the PostgreSQL server is not installed: there is no postgres with initdb',
    {
      hint: 'install it: apt-get install postgresql (Debian, Ubuntu), brew install postgresql (macOS)',
    },
  );
}

/** PostgreSQL refuses to run as root. */
function unprivileged(): Account {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const fields = lines.find((line) => line.startsWith(`${name}:`))?.split(':');
    if (fields) return {uid: Number(fields[2]), gid: Number(fields[3])};
  }
  throw new PlatformError(
    'SERVER_MISSING',
    'PostgreSQL does not run as root, and there is no user postgres or nobody',
    {
      hint: 'run millrace as another user',
    },
  );
}

/** Somebody else may not enter every directory of root: then the data lie where temporary files outlive a restart. */
function dataDirOf(dir: string, account: Account | undefined): string {
  if (!account) return join(dir, 'data');
  const mayEnter = (path: string) => {
    const {mode, uid} = statSync(path);
    return uid === account.uid || (mode & 0o001) !== 0;
  };
  for (let parent = dirname(dir); dirname(parent) !== parent; parent = dirname(parent))
    if (!mayEnter(parent)) return elsewhere(dir);
  // The server's own directory is ours to give away.
  if (!mayEnter(dir)) chownSync(dir, account.uid, account.gid);
  return join(dir, 'data');
}

const elsewhere = (dir: string): string =>
  join('/var/tmp', `millrace-postgres-${createHash('sha256').update(dir).digest('hex').slice(0, 16)}`);

type Initial = {
  bin: string;
  data: string;
  account: Account | undefined;
  user: string;
  password: string;
  database: string;
};

async function initialise({bin, data, account, user, password, database}: Initial): Promise<void> {
  mkdirSync(data, {recursive: true, mode: 0o700});
  const secret = `${data}.password`;
  writeFileSync(secret, `${password}\n`, {mode: 0o600});
  try {
    if (account) for (const path of [data, secret]) chownSync(path, account.uid, account.gid);
    const options = [
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--no-sync',
      '--no-instructions',
    ];
    await run(join(bin, 'initdb'), ['-D', data, '-U', user, `--pwfile=${secret}`, ...options], data, account);
    // Before it ever listens, by the server itself.
    const create = `CREATE DATABASE "${database}"\n`;
    await run(join(bin, 'postgres'), ['--single', '-D', data, 'postgres'], data, account, create);
  } catch (error) {
    rmSync(data, {recursive: true, force: true});
    throw error;
  } finally {
    rmSync(secret, {force: true});
  }
}

function run(
  command: string,
  args: string[],
  cwd: string,
  account: Account | undefined,
  input = '',
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, {cwd, timeout: startMsMax, ...account}, (error, _, stderr) => {
      if (!error) return resolve();
      const last = stderr.trim().split('\n').at(-1);
      reject(
        new PlatformError('SERVER_FAILED', `PostgreSQL's data cannot be made: ${last}`, {
          place: cwd,
          cause: error,
        }),
      );
    });
    child.stdin!.on('error', () => {});
    child.stdin!.end(input);
  });
}

/** Who may come in: all with their password, with `required` only by TLS. */
function accessRules(tls: PostgresOptions['tls']): string {
  const kinds = tls === 'required' ? ['hostssl'] : ['host'];
  return kinds.map((kind) => `${kind} all all 127.0.0.1/32 scram-sha-256\n`).join('');
}

/** The server reads keys of its own user alone. */
function keepKeys(dir: string, data: string, account: Account | undefined): Certificates {
  const certificates = keptCertificates(join(dir, 'certificates'));
  const {ca, server} = certificates;
  for (const [name, text] of [
    ['ca.crt', ca],
    ['server.crt', server.cert],
    ['server.key', server.key],
  ] as const) {
    writeFileSync(join(data, name), text, {mode: 0o600});
    if (account) chownSync(join(data, name), account.uid, account.gid);
  }
  return certificates;
}

/**
 * Whether the server takes sessions: it answers a start-up message with `R` (a password, please) or with `E`, an error; that it
 * is still starting, or that it wants TLS. https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
function asksForPassword(port: number, user: string, database: string): Promise<boolean> {
  const text = Buffer.from(`user\0${user}\0database\0${database}\0\0`);
  const message = Buffer.alloc(8 + text.length);
  message.writeInt32BE(message.length, 0);
  message.writeInt32BE(3 << 16, 4);
  text.copy(message, 8);
  return new Promise((resolve, reject) => {
    const socket = connect({port, host: '127.0.0.1'}, () => socket.write(message));
    socket.setTimeout(2_000, () => socket.destroy(new Error('no answer')));
    socket.once('error', reject);
    socket.once('close', () => resolve(false));
    socket.once('data', (answer) => {
      const isStarting = answer.includes('57P03');
      resolve(answer[0] === 0x52 || (answer[0] === 0x45 && !isStarting));
      socket.destroy();
    });
  });
}
