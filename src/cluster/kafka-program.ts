import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import {connect} from 'node:net';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {acquireLock} from '../log/lock.ts';
import {cacheDir, type Progress} from './cache.ts';
import {findJava} from './java.ts';
import {kafkaClassPath, kafkaVersion} from './kafka-jars.ts';
import {
  brokerProperties,
  fingerprint,
  kafkaLayout,
  logProperties,
  metaProperties,
} from './kafka-properties.ts';
import {awaitReady, startProcess, stopProcess} from './process.ts';

/** How a broker is started, besides its own files. */
export type KafkaProgram = {
  java: string;
  /** Before the class to run: class path, class archive. */
  args: string[];
};

const trialStartMsMax = 60_000;
const dumpMsMax = 60_000;

/** Finds Java and fetches Kafka. @throws SERVER_MISSING, SERVER_FETCH */
export async function kafkaProgram(progress: Progress): Promise<KafkaProgram> {
  const java = await findJava('Kafka', 17);
  const classPath = await kafkaClassPath(progress);
  const jars = dirname(classPath.split(':')[0]!);
  const plain = {java: java.command, args: ['-cp', classPath]};
  const key = fingerprint(java.version, java.command, classPath, String(statSync(jars).mtimeMs));
  const archive = join(cacheDir(), 'classes', `kafka-${kafkaVersion}-${key}.jsa`);
  if (!existsSync(archive)) await makeArchive(plain, archive, progress);
  // Without it Java only takes longer.
  return existsSync(archive)
    ? {...plain, args: [`-XX:SharedArchiveFile=${archive}`, '-Xlog:cds=off', ...plain.args]}
    : plain;
}

/**
 * Java can keep the classes of a program as they are after loading: a broker then starts in 0.9 s instead of 2.3 s and with half
 * the CPU time. A broker that is started and ended for that alone leaves them. Who finds another at it goes on without.
 */
async function makeArchive(plain: KafkaProgram, archive: string, progress: Progress): Promise<void> {
  mkdirSync(dirname(archive), {recursive: true});
  let lock: {release(): void};
  try {
    lock = acquireLock(join(cacheDir(), 'locks', 'kafka-classes'), {command: 'preparing Kafka'});
  } catch {
    return;
  }
  const dir = mkdtempSync(join(tmpdir(), 'millrace-kafka-trial-'));
  try {
    progress(`preparing Kafka ${kafkaVersion} for quick starts (once)`);
    const fresh = `${archive}.new`;
    rmSync(fresh, {force: true});
    await trialRun(dir, plain, fresh);
    for (const old of readdirSync(dirname(archive)))
      if (old.startsWith('kafka-') && old.endsWith('.jsa')) rmSync(join(dirname(archive), old));
    renameSync(fresh, archive);
  } catch {
    progress('Kafka starts as Java starts it: its classes could not be kept');
  } finally {
    rmSync(dir, {recursive: true, force: true});
    lock.release();
  }
}

async function trialRun(dir: string, {java, args}: KafkaProgram, archive: string): Promise<void> {
  const layout = await kafkaLayout(dir, {brokers: 1, listeners: ['plain']});
  const dataDir = join(dir, 'data');
  mkdirSync(dataDir);
  writeFileSync(join(dataDir, 'meta.properties'), metaProperties(layout, 0));
  writeFileSync(join(dir, 'log4j2.properties'), logProperties);
  const settings = {
    layout,
    index: 0,
    dataDir,
    users: {},
    certificates: undefined,
    proxiedPorts: [],
    properties: {},
  };
  writeFileSync(join(dir, 'server.properties'), brokerProperties(settings));
  const log = join(dir, 'log');
  const server = await startProcess({
    title: 'Kafka',
    command: java,
    args: [
      '-Xmx512m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      `-XX:ArchiveClassesAtExit=${archive}`,
      ...args,
      `-Dlog4j2.configurationFile=${join(dir, 'log4j2.properties')}`,
      'kafka.Kafka',
      join(dir, 'server.properties'),
    ],
    log,
  });
  try {
    await awaitReady(
      {title: 'Kafka', log, processes: [server]},
      () => answers(layout.brokers[0]!.ports.plain!),
      trialStartMsMax,
    );
  } finally {
    await stopProcess(server, {signal: 'SIGTERM', graceMs: dumpMsMax});
  }
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({port, host: '127.0.0.1'});
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
