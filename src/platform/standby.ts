import type {Server} from 'node:http';
import {PlatformError} from '../errors.ts';
import type {Platform} from '../model/types.ts';
import type {Metrics} from '../observe/metrics.ts';
import {describeHolder, type Holder} from '../process/embedded/state-lease.ts';
import {answerFailure} from './events-answer.ts';
import {accessText, createToken, type Places} from './places.ts';
import {closeServer, listenControl, listenTcp, type ServerOptions} from './server.ts';

/** What a process that waits for the checkpoints' lease says of itself. */
export type Standby = {
  /** Who holds the lease; the first time opens the servers. */
  onWaiting(holder: Holder | null): void;
  /** It waits no more: its port and its socket are free. @throws PORT_BUSY when they could not be opened */
  end(): Promise<void>;
};

/**
 * Answers while it waits: alive, but not ready (503). @param say told in words what it waits for
 */
export function standBy(
  platform: Platform,
  {places, port, metrics, say}: {places: Places; port: number; metrics: Metrics; say(text: string): void},
): Standby {
  let opening: Promise<Server[]> | undefined;
  let text = 'standby';
  const options = (): ServerOptions => ({
    token: platform.server.token?.reveal() ?? createToken(places.token),
    access: accessText(platform),
    open: {
      'GET /livez': async () => plain('ok'),
      'GET /readyz': async () => plain(text, 503),
      'GET /metrics': async () => ({contentType: metrics.contentType, text: await metrics.render()}),
    },
    routes: {
      'GET /v1/ping': async () => ({name: platform.name, pid: process.pid, phase: 'standby'}),
      'GET /v1/status': async () => ({
        name: platform.name,
        env: platform.env,
        pid: process.pid,
        phase: 'standby',
        text,
      }),
    },
    mounts: {
      '/v1/events': {
        async answer({request, response}) {
          request.resume();
          answerFailure(
            response,
            new PlatformError('LOG_STANDBY', text, {
              hint: 'send it to the process that holds them, or try again',
            }),
          );
        },
      },
    },
    limits: platform.server,
  });
  const open = async (): Promise<Server[]> => {
    const own = options();
    const tcp = await listenTcp(own, platform.server.host, port);
    try {
      return [tcp, await listenControl(own, places.controlSocket)];
    } catch (error) {
      tcp.close();
      throw error;
    }
  };
  return {
    onWaiting(holder) {
      text = `standby: ${holder ? `${describeHolder(holder)} holds the checkpoints` : 'another process is just starting'}`;
      say(text);
      opening ??= open();
      opening.catch(() => {});
    },
    async end() {
      await Promise.all(((await opening) ?? []).map(closeServer));
    },
  };
}

const plain = (text: string, status = 200) => ({
  contentType: 'text/plain; charset=utf-8',
  text: `${text}\n`,
  status,
});
