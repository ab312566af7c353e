import {PlatformError} from '../../errors.ts';
import type {Sink, SinkContext} from '../types.ts';
import type {PostgresConnection} from './connection.ts';
import {connectionError} from './errors.ts';
import {connectServer} from './server.ts';
import {type ServerSettings, serverName, settingsOf} from './settings.ts';
import {createPostgresSink} from './sink.ts';

/** The first that has UNIQUE NULLS NOT DISTINCT, which a NULL dimension needs. */
const versionMin = 15;

/**
 * A sink on a server, which is connected to when there is something to do. Its methods throw SINK_UNAVAILABLE while the server does
 * not answer, and SINK_REFUSED when it answers no: password, rights, certificate, an old version. Throws SINK_REFUSED for options
 * that cannot be.
 */
export async function openPostgres(options: Record<string, unknown>, context: SinkContext): Promise<Sink> {
  const settings = settingsOf(options);
  const readOnly = context.readOnly === true;
  const connection = await connectServer(settings, {readOnly});
  const {default: pg} = await import('pg');
  const names = new Map(
    Object.entries(pg.types.builtins).map(([name, oid]) => [oid as number, name.toLowerCase()]),
  );
  return createPostgresSink(connection, (oid) => names.get(oid) ?? `oid ${oid}`, {
    readOnly,
    raw: settings.raw,
    damageHint:
      'restore the database, or drop what is damaged: it is filled again from the log, see docs/postgres.md',
    check: () =>
      checkVersion(connection, settings).catch((error) => {
        throw connectionError(error, serverName(settings));
      }),
  });
}

async function checkVersion(connection: PostgresConnection, settings: ServerSettings): Promise<void> {
  const {rows} = await connection.query(
    "SELECT current_setting('server_version'), current_setting('server_version_num')::integer",
  );
  const [version, number] = rows[0]!;
  if (Math.floor(Number(number) / 10_000) >= versionMin) return;
  throw new PlatformError(
    'SINK_REFUSED',
    `the server is PostgreSQL ${version}, and ${versionMin} or newer is needed`,
    {
      place: serverName(settings),
      hint: 'upgrade the server (UNIQUE NULLS NOT DISTINCT is new in 15), or name another one',
    },
  );
}
