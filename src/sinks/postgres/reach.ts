/** What a user's statement may do: read tables, and nothing else of the server. */
import {PlatformError} from '../../errors.ts';
import type {PostgresTransaction} from './connection.ts';

const reading = new Set(['select', 'with', 'values', 'table', 'show', 'explain']);
/**
 * Names that give a superuser its rights back, run text as a statement, hold passwords, end the work of others, or take locks that
 * outlive the transaction and could be ours, wherever they stand; and names that are written so that they are not seen.
 */
const never =
  /\b(?:set_config|pg_authid|pg_shadow|(?:query|cursor|table|schema|database)_to_xml\w*|ts_stat|pg_(?:try_)?advisory_\w+|pg_(?:cancel|terminate)_backend)\b|\bu&"/i;

/**
 * A read-only transaction still lets through COPY to a file or a program, DO, and functions of a superuser that read files.
 * @throws PlatformError SINK_QUERY for a statement that is of another kind than those that read
 */
export function refuseReaching(sql: string): void {
  const word = firstWord(sql);
  // An error of syntax is the server's to tell; it knows where.
  const isKnown = word === '' || reading.has(word);
  const name = never.exec(sql)?.[0];
  if (isKnown && name === undefined) return;
  throw new PlatformError('SINK_QUERY', `${(name ?? word).slice(0, 50)} is not for queries: they only read`, {
    hint: 'one statement that begins with SELECT, WITH, VALUES, TABLE, SHOW or EXPLAIN',
  });
}

/** Of a statement, in small letters: behind white space, brackets and comments, which PostgreSQL nests. */
function firstWord(sql: string): string {
  let at = 0;
  for (;;) {
    while (at < sql.length && /[\s(;]/.test(sql[at]!)) at++;
    if (sql.startsWith('--', at)) {
      const end = sql.slice(at).search(/[\r\n]/);
      if (end < 0) return '';
      at += end;
    } else if (sql.startsWith('/*', at)) {
      let depth = 0;
      do {
        const [mark] = /\/\*|\*\//.exec(sql.slice(at, at + 2)) ?? [];
        if (mark !== undefined) depth += mark === '/*' ? 1 : -1;
        at += mark === undefined ? 1 : 2;
      } while (depth > 0 && at < sql.length);
    } else return (/^[^\s(;'"]*/.exec(sql.slice(at, at + 100))?.[0] ?? '').toLowerCase();
  }
}

/**
 * Takes from a superuser what readers do not need, until the transaction ends: without it `pg_read_file` and the like read the
 * server's files.
 */
export const asReader = (transaction: PostgresTransaction): Promise<unknown> =>
  transaction.query(
    "SELECT set_config('role', 'pg_read_all_data', true) WHERE current_setting('is_superuser') = 'on'",
  );
