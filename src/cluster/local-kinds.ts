import {rmSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {prepareRegistry, startRegistry} from './apicurio.ts';
import type {Progress} from './cache.ts';
import {ask} from './http.ts';
import {startKafka} from './kafka.ts';
import {kafkaProgram} from './kafka-program.ts';
import {fetchVault, startVault} from './openbao.ts';
import {startPostgres, takesPassword, wipePostgres} from './postgres.ts';
import type {ProcessIdentity} from './process.ts';
import {startPrometheus} from './prometheus.ts';
import {fetchObjectStore, startObjectStore} from './seaweedfs.ts';
import {keepSecret, keptSecret, type SingleServer, startSingle, type WantedPorts} from './single.ts';

/** Servers that `millrace up` starts. */
export type LocalName = 'kafka' | 'registry' | 'clickhouse' | 'postgres' | 'vault' | 's3' | 'prometheus';

/** A server that was just started. */
export type StartedServer = {
  processes: ProcessIdentity[];
  logs: string[];
  /** As programs are told it: `host:port`, or a URL. */
  address: string;
  /** Variables that say where it is: for `.env`, scripts and other programs. */
  variables: Record<string, string>;
  /** What it takes to get in, by the names under which `settings` ask for it. */
  secrets: Record<string, string>;
  /** What a configuration that uses it says, as it stands in `config/environments/single.yaml`. */
  settings: Record<string, unknown>;
  /** A command that reaches it. */
  tryIt: string;
  end: {signal: NodeJS.Signals; graceMs: number};
};

export type StartLocal = {
  dir: string;
  brokers: 1 | 3 | undefined;
  progress: Progress;
  /** Where it listens; default: as the last time, else on free ports. */
  wanted: WantedPorts | undefined;
  /** What it took to get in the last time. */
  secrets: Record<string, string>;
};

/** How a server is called, started, and what else goes with its directory. */
export type LocalKind = {
  title: string;
  /** Fetches what it needs that is not there yet; absent where that is installed or comes with us. */
  fetch?(progress: Progress): Promise<unknown>;
  start(options: StartLocal): Promise<StartedServer>;
  /**
   * What lets in now: a password may have been changed in the server since it was started. What is found is kept for the next time.
   * @param others what else may let in, by the same names. @returns undefined when nothing of all that does
   */
  entrance?(
    server: StartedServer & {dir: string},
    others: readonly Record<string, string>[],
  ): Promise<Record<string, string> | undefined>;
  wipe(dir: string): void;
};

const removeDir = (dir: string) => rmSync(dir, {recursive: true, force: true});
const gently = {signal: 'SIGTERM', graceMs: 20_000} as const;
/** A secret by its name, as a configuration refers to it. */
const secret = (name: string) => `\${secret:${name}}`;

/** What a server of one process has in common with the others. */
const single = (server: SingleServer) => ({processes: [server.process], logs: [server.log], end: server.end});

const kafka: LocalKind = {
  title: 'Kafka',
  fetch: kafkaProgram,
  wipe: removeDir,
  async start({dir, brokers, progress, wanted}) {
    const cluster = await startKafka({
      dir,
      wanted,
      detached: true,
      optimised: true,
      progress,
      ...(brokers === undefined ? {} : {brokers}),
    });
    return {
      processes: cluster.processes,
      logs: cluster.logs,
      address: cluster.brokers.join(','),
      variables: {MILLRACE_KAFKA: cluster.brokers.join(',')},
      secrets: {},
      settings: {
        log: {backend: 'kafka', kafka: {brokers: cluster.brokers}},
        // Checkpoints belong to one log: those that were made of the embedded one stay where they are.
        engine: {backend: 'embedded', embedded: {checkpoints: '.millrace/state-kafka'}},
      },
      tryIt: `kcat -b ${cluster.brokers[0]} -L`,
      end: gently,
    };
  },
};

const registry: LocalKind = {
  title: 'Apicurio (schema registry)',
  fetch: prepareRegistry,
  wipe: removeDir,
  async start({dir, progress, wanted}) {
    const server = await startRegistry({dir, wanted, detached: true, progress});
    return {
      ...single(server),
      address: server.url,
      variables: {MILLRACE_REGISTRY: server.url},
      secrets: {},
      settings: {registry: {backend: 'confluent', confluent: {url: server.url}}},
      tryIt: `curl ${server.url}/subjects`,
    };
  },
};

const postgres: LocalKind = {
  title: 'PostgreSQL',
  wipe: wipePostgres,
  async entrance({dir, variables, secrets}, others) {
    for (const {postgres_password: password} of [secrets, ...others]) {
      // What cannot stand in a line of a file is none of ours.
      if (!password || password.trim() !== password || /[\r\n]/.test(password)) continue;
      if (!(await takesPassword(variables.MILLRACE_POSTGRES!, password))) continue;
      if (password !== secrets.postgres_password) keepSecret(dir, 'password', password);
      return {postgres_password: password};
    }
    return undefined;
  },
  async start({dir, wanted, secrets}) {
    const kept = keptSecret(dir, 'password', secrets.postgres_password);
    const server = await startPostgres({dir, wanted, detached: true, password: kept});
    const {user, port, database, password} = server;
    const url = `postgres://${user}@127.0.0.1:${port}/${database}`;
    return {
      ...single(server),
      address: `127.0.0.1:${port}`,
      variables: {MILLRACE_POSTGRES: url},
      secrets: {postgres_password: password},
      settings: {
        sinks: {records: {backend: 'postgres', postgres: {url, password: secret('postgres_password')}}},
      },
      tryIt: `PGPASSWORD=$POSTGRES_PASSWORD psql ${url}`,
    };
  },
};

const vault: LocalKind = {
  title: 'OpenBao (Vault)',
  fetch: fetchVault,
  wipe: removeDir,
  async start({dir, progress, wanted}) {
    const server = await startVault({dir, wanted, detached: true, progress});
    return {
      ...single(server),
      address: server.url,
      variables: {MILLRACE_VAULT: server.url},
      secrets: {vault_token: server.token},
      settings: {secrets: {backend: 'vault', vault: {url: server.url}}},
      tryIt: `curl -H "X-Vault-Token: $VAULT_TOKEN" ${server.url}/v1/secret/metadata?list=true`,
    };
  },
};

const s3: LocalKind = {
  title: 'SeaweedFS (S3)',
  fetch: fetchObjectStore,
  wipe: removeDir,
  async start({dir, progress, wanted, secrets}) {
    const own = {
      accessKey: keptSecret(dir, 'access-key', secrets.s3_access_key),
      secretKey: keptSecret(dir, 'secret-key', secrets.s3_secret_key),
    };
    const server = await startObjectStore({dir, wanted, detached: true, progress, keys: own});
    const {endpoint, bucket, accessKey, secretKey} = server;
    const keys = {access_key: secret('s3_access_key'), secret_key: secret('s3_secret_key')};
    return {
      ...single(server),
      address: endpoint,
      variables: {MILLRACE_S3: endpoint},
      secrets: {s3_access_key: accessKey, s3_secret_key: secretKey},
      settings: {
        engine: {
          backend: 'embedded',
          embedded: {checkpoints: `s3://${bucket}/checkpoints`, s3: {endpoint, ...keys}},
        },
      },
      tryIt: `curl ${endpoint}/${bucket} --user $S3_ACCESS_KEY:$S3_SECRET_KEY --aws-sigv4 aws:amz:${server.region}:s3`,
    };
  },
};

/** ClickHouse's protocol in front of chDB, which is what can be had without a ClickHouse server. */
const clickhouse: LocalKind = {
  title: "ClickHouse's HTTP interface over chDB",
  wipe: removeDir,
  async start({dir: kept, wanted}) {
    const front = fileURLToPath(new URL('clickhouse-front.ts', import.meta.url));
    const server = await startSingle(
      'clickhouse',
      ['http'],
      {dir: kept, wanted, detached: true},
      async ({dir, ports}) => {
        const options = {dir: join(dir, 'data'), host: '127.0.0.1', port: ports.http, users: {default: ''}};
        return {
          title: "ClickHouse's interface",
          command: process.execPath,
          args: [front, JSON.stringify(options)],
          ready: async () =>
            (await ask(`http://127.0.0.1:${ports.http}/?query=SELECT%201`, {method: 'POST'})).status === 200,
          readyMsMax: 30_000,
          end: gently,
        };
      },
    );
    const url = `http://127.0.0.1:${server.ports.http}`;
    return {
      ...single(server),
      address: url,
      variables: {MILLRACE_CLICKHOUSE: url},
      secrets: {},
      settings: {sinks: {analytics: {backend: 'clickhouse', clickhouse: {url}}}},
      tryIt: `curl ${url} -d 'SELECT version()'`,
    };
  },
};

const prometheus: LocalKind = {
  title: 'Prometheus',
  wipe: removeDir,
  async start({dir}) {
    const server = await startPrometheus({dir, detached: true});
    return {
      ...single(server),
      address: server.url,
      variables: {MILLRACE_PROMETHEUS: server.url},
      secrets: {},
      settings: {},
      tryIt: `curl '${server.url}/api/v1/query?query=up'`,
    };
  },
};

/** In the order in which they are shown. */
export const localKinds: Record<LocalName, LocalKind> = {
  kafka,
  registry,
  clickhouse,
  postgres,
  vault,
  s3,
  prometheus,
};
