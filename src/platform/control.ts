import {existsSync} from 'node:fs';
import {request} from 'node:http';
import {createInterface} from 'node:readline';
import {type ErrorCode, errors, PlatformError} from '../errors.ts';
import {consoleRole, partsOfRoles} from '../model/roles.ts';
import {controlOfRoles} from './control-roles.ts';
import {placesOf} from './places.ts';

/** A running platform, as seen from another process. Failures arrive as the PlatformError that the platform threw. */
export type Control = {
  get<T>(
    path: string,
    params?: Record<string, string | number | undefined>,
    signal?: AbortSignal,
  ): Promise<T>;
  post<T>(path: string, body: Record<string, unknown>): Promise<T>;
  /** Lines as they come, until the platform ends them or the signal aborts. */
  lines<T>(
    path: string,
    params: Record<string, string | number | undefined>,
    signal?: AbortSignal,
    body?: Record<string, unknown>,
  ): AsyncGenerator<T>;
};

/** A connection to the console of `root`; undefined when none runs there. */
export const connectConsole = (root: string): Promise<Control | undefined> =>
  connectTo(placesOf({root, roles: [consoleRole]}).controlSocket);

/** @returns undefined when no platform runs in `root`; processes of several roles are one. A console is none of them. */
export async function connectControl(root: string): Promise<Control | undefined> {
  const whole = await connectTo(placesOf({root}).controlSocket);
  if (whole) return whole;
  const found = await Promise.all(
    partsOfRoles.map(async (roles) => ({
      roles,
      control: await connectTo(placesOf({root, roles}).controlSocket),
    })),
  );
  const running = found.flatMap(({roles, control}) => (control ? [{roles, control}] : []));
  return running.length === 0 ? undefined : controlOfRoles(running);
}

/** How long a process may take to say that it is there: one that starts reads its log and answers then. */
const silentMsMax = 30_000;

/**
 * A platform or one of its processes; undefined when it does not run.
 * @throws PLATFORM_SILENT when one runs that does not answer within `silentMs`
 */
export async function connectTo(socketPath: string, silentMs = silentMsMax): Promise<Control | undefined> {
  if (!existsSync(socketPath)) return undefined;
  const control = controlOver(socketPath);
  const silence = AbortSignal.timeout(silentMs);
  try {
    await control.get('/v1/ping', {}, silence);
    return control;
  } catch (error) {
    if (silence.aborted)
      throw new PlatformError(
        'PLATFORM_SILENT',
        `a platform runs here and has not answered for ${silentMs / 1000} s`,
        {
          place: socketPath,
          hint: 'see in its output what it does; one that was suspended goes on with: kill -CONT <pid>; one that hangs loses nothing by kill -9 and a new start',
          cause: error,
        },
      );
    if (error instanceof PlatformError && error.code === 'NOT_RUNNING') return undefined;
    throw error;
  }
}

/** A platform that was killed leaves its socket behind; one that ends just now, or only starts, drops the connection. */
function whyGone(error: unknown): unknown {
  const {code, message} = error as NodeJS.ErrnoException;
  return ['ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'EPIPE'].includes(code ?? '') ||
    message === 'socket hang up'
    ? new PlatformError('NOT_RUNNING', 'the platform ended before it answered', {
        hint: 'look at what it said last, then start it again: npx millrace run',
        cause: error,
      })
    : error;
}

function controlOver(socketPath: string): Control {
  const open = (
    method: 'GET' | 'POST',
    path: string,
    params: Record<string, string | number | undefined>,
    body?: Record<string, unknown>,
    signal?: AbortSignal,
  ) =>
    new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
      const search = new URLSearchParams();
      for (const [name, value] of Object.entries(params))
        if (value !== undefined) search.set(name, String(value));
      const call = request(
        {
          socketPath,
          method,
          path: search.size > 0 ? `${path}?${search}` : path,
          headers: {host: 'localhost', 'content-type': 'application/json'},
          ...(signal ? {signal} : {}),
        },
        resolve,
      );
      call.on('error', (error) => reject(whyGone(error)));
      call.end(body ? JSON.stringify(body) : undefined);
    });
  const whole = async <T>(response: import('node:http').IncomingMessage): Promise<T> => {
    let text = '';
    response.setEncoding('utf8');
    try {
      for await (const chunk of response) text += chunk;
    } catch (error) {
      throw whyGone(error);
    }
    const value = JSON.parse(text) as T & {
      error?: {code: string; message: string; hint?: string; place?: string};
    };
    if ((response.statusCode ?? 500) >= 400 && value.error) throw failureOf(value.error);
    return value;
  };
  return {
    get: async (path, params = {}, signal) => whole(await open('GET', path, params, undefined, signal)),
    post: async (path, body) => whole(await open('POST', path, {}, body)),
    async *lines<T>(
      path: string,
      params: Record<string, string | number | undefined>,
      signal?: AbortSignal,
      body?: Record<string, unknown>,
    ) {
      const response = await open(body ? 'POST' : 'GET', path, params, body, signal);
      if ((response.statusCode ?? 500) >= 400) await whole(response);
      try {
        for await (const line of createInterface({input: response})) {
          const value = JSON.parse(line) as T & {error?: {code: string; message: string}};
          if (value && typeof value === 'object' && value.error) throw failureOf(value.error);
          yield value;
        }
      } catch (error) {
        throw whyGone(error);
      } finally {
        response.destroy();
      }
    },
  };
}

function failureOf(error: {code: string; message: string; hint?: string; place?: string}): Error {
  if (!Object.hasOwn(errors, error.code)) return new Error(`${error.code}: ${error.message}`);
  return new PlatformError(error.code as ErrorCode, error.message, {
    ...(error.hint === undefined ? {} : {hint: error.hint}),
    ...(error.place === undefined ? {} : {place: error.place}),
  });
}
