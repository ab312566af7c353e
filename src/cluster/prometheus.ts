import {existsSync, mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import {ask} from './http.ts';
import {type ServerOptions, type SingleServer, startSingle} from './single.ts';

export type PrometheusOptions = ServerOptions & {
  /** `host:port` of what it asks for metrics at `/metrics`, once in five seconds; default the platform's own, 127.0.0.1:4000. */
  targets?: string[];
};

/** Prometheus, as it is installed. */
export type Prometheus = SingleServer & {port: number; url: string};

const startMsMax = 30_000;

/** Starts Prometheus. @throws SERVER_MISSING, SERVER_FAILED */
export async function startPrometheus(options: PrometheusOptions = {}): Promise<Prometheus> {
  const {targets = ['127.0.0.1:4000']} = options;
  const places = [...(process.env.PATH ?? '').split(':').filter(Boolean), '/opt/homebrew/bin'];
  const command = places.map((dir) => join(dir, 'prometheus')).find((path) => existsSync(path));
  if (!command)
    throw new PlatformError(
      'SERVER_MISSING',
      'Prometheus is not installed: there is no prometheus on the PATH',
      {
        hint: 'install it: apt-get install prometheus (Debian, Ubuntu), brew install prometheus (macOS)',
      },
    );
  const server = await startSingle('prometheus', ['http'] as const, options, async ({dir, ports}) => {
    mkdirSync(join(dir, 'data'), {recursive: true});
    // YAML takes JSON.
    const configuration = {
      global: {scrape_interval: '5s'},
      scrape_configs: [{job_name: 'millrace', static_configs: [{targets}]}],
    };
    const path = join(dir, 'prometheus.yml');
    writeFileSync(path, `${JSON.stringify(configuration, null, 2)}\n`);
    return {
      title: 'Prometheus',
      command,
      args: [
        `--config.file=${path}`,
        `--storage.tsdb.path=${join(dir, 'data')}`,
        `--web.listen-address=127.0.0.1:${ports.http}`,
      ],
      ready: async () => (await ask(`http://127.0.0.1:${ports.http}/-/ready`)).status === 200,
      readyMsMax: startMsMax,
      end: {signal: 'SIGTERM', graceMs: 15_000},
    };
  });
  const port = server.ports.http;
  return Object.assign(server, {port, url: `http://127.0.0.1:${port}`});
}
