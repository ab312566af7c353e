import {mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {connect} from 'node:net';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import type {Progress} from './cache.ts';
import {findJava} from './java.ts';
import {classOptions, keepClasses} from './java-classes.ts';
import {kafkaClassPath, kafkaVersion} from './kafka-jars.ts';
import {brokerProperties, kafkaLayout, logProperties, metaProperties} from './kafka-properties.ts';
import {awaitReady, startProcess, stopProcess} from './process.ts';

/** How a broker is started, besides its own files. */
export type KafkaProgram = {
  java: string;
  /** Before the class to run: class path, class archive. */
  args: string[];
};

/** Of a broker of tests and laptops: small, and ready soon. */
export const smallJvm: readonly string[] = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

/** What Kafka's own scripts tell Java. With the collector of the small ones the broker stands still for 12 to 35 ms each few seconds. */
export const fastJvm = (heap: string): string[] => [
  `-Xms${heap}`,
  '-XX:+UseG1GC',
  '-XX:MaxGCPauseMillis=20',
  '-XX:InitiatingHeapOccupancyPercent=35',
];

const trialStartMsMax = 60_000;
const dumpMsMax = 60_000;

/** Finds Java and fetches Kafka. @throws SERVER_MISSING, SERVER_FETCH */
export async function kafkaProgram(progress: Progress): Promise<KafkaProgram> {
  const java = await findJava('Kafka', 17);
  const classPath = await kafkaClassPath(progress);
  const jars = dirname(classPath.split(':')[0]!);
  const plain = {java: java.command, args: ['-cp', classPath]};
  const classes = {
    title: 'Kafka',
    program: 'kafka',
    version: kafkaVersion,
    of: [java.version, java.command, classPath, String(statSync(jars).mtimeMs)],
  };
  await keepClasses(classes, progress, (option) => trialRun(plain, option));
  return {...plain, args: [...classOptions(classes), ...plain.args]};
}

async function trialRun(program: KafkaProgram, option: string): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-kafka-trial-'));
  try {
    await startAndEnd(dir, program, option);
  } finally {
    rmSync(dir, {recursive: true, force: true});
  }
}

async function startAndEnd(dir: string, {java, args}: KafkaProgram, option: string): Promise<void> {
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
      ...smallJvm,
      option,
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
