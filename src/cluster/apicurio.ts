import {execFile} from 'node:child_process';
import {mkdirSync, rmSync, statSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {promisify} from 'node:util';
import {cached, type Progress} from './cache.ts';
import {type Certificates, keptCertificates} from './certificates.ts';
import {ask} from './http.ts';
import {findJava, type Java} from './java.ts';
import {type Classes, classOptions, keepClasses} from './java-classes.ts';
import {fetchAloneWithMaven} from './maven.ts';
import {stopProcess} from './process.ts';
import {type ServerOptions, type SingleServer, startSingle} from './single.ts';

export type RegistryOptions = ServerOptions & {
  /** Serve with TLS alone. */
  tls?: boolean;
  /** What subjects without a rule of their own have; default BACKWARD, as Confluent's registry. */
  compatibility?: string;
};

/** Apicurio, a schema registry that has Confluent's API. */
export type Registry = SingleServer & {
  port: number;
  /** Of Confluent's API, without a slash at its end. */
  url: string;
  /** With `tls`. */
  certificates?: Certificates;
};

/** The last that runs with Java 17. */
const version = '2.6.13.Final';
/** SHA-256 of the list of its files. */
const tree = '7aa4f6a1990eee32d46ecc0cb5178ad58ea844ab641a15fc8893b036fb3a8482';
const api = '/apis/ccompat/v7';
const startMsMax = 90_000;

const dumpMsMax = 60_000;

/** Starts Apicurio. @throws SERVER_MISSING, SERVER_FETCH, SERVER_FAILED */
export async function startRegistry(options: RegistryOptions = {}): Promise<Registry> {
  const java = await findJava('Apicurio', 17);
  const program = await fetchRegistry(options.progress ?? (() => {}));
  return launch(java, program, options, classOptions(classesOf(java, program)));
}

/** Fetches Apicurio, and keeps its classes for quick starts. @throws SERVER_MISSING, SERVER_FETCH */
export async function prepareRegistry(progress: Progress): Promise<void> {
  const java = await findJava('Apicurio', 17);
  const program = await fetchRegistry(progress);
  await keepClasses(classesOf(java, program), progress, async (option) => {
    const server = await launch(java, program, {}, [option]);
    try {
      await stopProcess(server.process, {signal: 'SIGTERM', graceMs: dumpMsMax});
    } finally {
      await server.stop();
    }
  });
}

const classesOf = (java: Java, program: string): Classes => ({
  title: 'Apicurio',
  program: 'apicurio',
  version,
  of: [java.version, java.command, program, String(statSync(join(dirname(program), 'lib')).mtimeMs)],
});

async function launch(
  java: Java,
  program: string,
  options: RegistryOptions,
  javaOptions: string[],
): Promise<Registry> {
  let certificates: Certificates | undefined;
  let base = '';
  const server = await startSingle('apicurio', ['http'] as const, options, async ({dir, ports}) => {
    if (options.tls) certificates = keptCertificates(join(dir, 'certificates'));
    base = `http${options.tls ? 's' : ''}://127.0.0.1:${ports.http}${api}`;
    mkdirSync(join(dir, 'data'), {recursive: true});
    return {
      title: 'Apicurio',
      command: java.command,
      args: [
        '-Xmx512m',
        '-XX:+UseSerialGC',
        '-XX:TieredStopAtLevel=1',
        ...javaOptions,
        ...Object.entries(properties(dir, ports.http, options)).map(([name, value]) => `-D${name}=${value}`),
        '-jar',
        program,
      ],
      cwd: dir,
      ready: () => hasRule(base, options.compatibility ?? 'BACKWARD', certificates?.ca),
      readyMsMax: startMsMax,
      end: {signal: 'SIGTERM', graceMs: 15_000},
    };
  });
  return Object.assign(server, {port: server.ports.http, url: base, ...(certificates ? {certificates} : {})});
}

/** Fetches Apicurio if it is not there. @returns the path of its program. @throws SERVER_MISSING, SERVER_FETCH */
export async function fetchRegistry(progress: Progress): Promise<string> {
  const name = `apicurio-registry-app-${version}`;
  const dir = await cached(
    {
      name: `apicurio-${version}`,
      files: {tree},
      fetch: async (fresh, tell) => {
        const artifact = `io.apicurio:apicurio-registry-app:${version}:tar.gz:all`;
        await fetchAloneWithMaven(`Apicurio ${version} (142 MB)`, artifact, fresh, tell);
        const archive = join(fresh, `${name}-all.tar.gz`);
        tell(`unpacking Apicurio ${version}`);
        await promisify(execFile)('tar', ['-xzf', archive, '-C', fresh]);
        rmSync(archive);
      },
    },
    progress,
  );
  return join(dir, `${name}-runner.jar`);
}

function properties(dir: string, port: number, {tls}: RegistryOptions): Record<string, string> {
  const own = (name: string) => join(dir, 'certificates', name);
  return {
    'quarkus.http.host': '127.0.0.1',
    // Without a delay what was answered survives a kill.
    'quarkus.datasource.jdbc.url': `jdbc:h2:file:${join(dir, 'data', 'registry')};WRITE_DELAY=0`,
    'quarkus.datasource.jdbc.initial-size': '1',
    'quarkus.datasource.jdbc.min-size': '1',
    'quarkus.datasource.jdbc.max-size': '8',
    ...(tls
      ? {
          'quarkus.http.insecure-requests': 'disabled',
          'quarkus.http.ssl-port': String(port),
          'quarkus.http.ssl.certificate.files': own('server.crt'),
          'quarkus.http.ssl.certificate.key-files': own('server.key'),
        }
      : {'quarkus.http.port': String(port)}),
  };
}

/** Whether it answers; a new one is given its rule, since its own is NONE. */
async function hasRule(base: string, rule: string, ca: string | undefined): Promise<boolean> {
  const found = await ask(`${base}/config`, {ca});
  if (found.status !== 200) return false;
  if ((JSON.parse(found.text) as {compatibilityLevel?: string}).compatibilityLevel === rule) return true;
  return (await ask(`${base}/config`, {method: 'PUT', body: {compatibility: rule}, ca})).status === 200;
}
