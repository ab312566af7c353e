/** Kafka's own Java clients, as a process that is told what to do: the reference for what a reader has to see. */
import {spawn} from 'node:child_process';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {findJava} from '../../src/cluster/java.ts';
import {kafkaClassPath} from '../../src/cluster/kafka-jars.ts';

const program = join(import.meta.dirname, 'kafka', 'Clients.java');

export type JavaClients = {
  /** Carries out a command of Clients.java. @returns the lines that it wrote. Throws what Java threw. */
  tell(command: string): Promise<string[]>;
  stop(): void;
};

/** Starts the clients for a cluster. @throws SERVER_MISSING, SERVER_FETCH */
export async function startJavaClients(brokers: readonly string[]): Promise<JavaClients> {
  const {command} = await findJava('Kafka', 17);
  const classPath = await kafkaClassPath(() => {});
  const flags = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
  const child = spawn(command, [...flags, '-cp', classPath, program, brokers.join(',')], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4_000);
  });
  const waiting: {lines: string[]; resolve(lines: string[]): void; reject(error: Error): void}[] = [];
  createInterface({input: child.stdout}).on('line', (line) => {
    const [first] = waiting;
    if (!first) return;
    if (line !== '.') {
      first.lines.push(line);
      return;
    }
    waiting.shift();
    const failure = first.lines.find((text) => text.startsWith('! '));
    if (failure) first.reject(new Error(failure.slice(2)));
    else first.resolve(first.lines);
  });
  child.on('exit', () => {
    for (const {reject} of waiting.splice(0)) reject(new Error(`Java ended: ${errors}`));
  });
  return {
    tell: (line) =>
      new Promise((resolve, reject) => {
        waiting.push({lines: [], resolve, reject});
        child.stdin.write(`${line}\n`);
      }),
    stop: () => void child.kill('SIGKILL'),
  };
}
