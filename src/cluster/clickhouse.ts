/** Starts ClickHouse's HTTP protocol in front of chDB: for tests and local clusters. It is no ClickHouse server. */
import {type ChildProcess, fork} from 'node:child_process';
import {mkdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import type {FrontOptions} from './clickhouse-front.ts';

export type ClickHouseFront = {
  url: string;
  port: number;
  pid: number;
  /** Ends it as `kill -9` does; resolves when the process is gone. What it acknowledged is in its directory. */
  kill(): Promise<void>;
};

/** @throws Error when it does not start: the port is taken, or another process has the directory. */
export async function startClickHouse(
  options: Partial<FrontOptions> & Pick<FrontOptions, 'dir'>,
): Promise<ClickHouseFront> {
  const whole: FrontOptions = {host: '127.0.0.1', port: 0, users: {default: ''}, ...options};
  mkdirSync(whole.dir, {recursive: true});
  const script = fileURLToPath(new URL('./clickhouse-front.ts', import.meta.url));
  const child: ChildProcess = fork(script, [JSON.stringify(whole)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    execArgv: [],
  });
  let said = '';
  child.stderr!.on('data', (chunk) => (said = `${said}${chunk}`.slice(-2_000)));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message: {port: number}) => resolve(message.port));
    child.once('exit', (code) => reject(new Error(`the front of chDB ended with ${code}: ${said}`)));
  });
  return {
    url: `${whole.tls ? 'https' : 'http'}://${whole.host}:${port}`,
    port,
    pid: child.pid!,
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
