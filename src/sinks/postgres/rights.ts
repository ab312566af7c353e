/** What the user of the sink may do, before anything is made: `doctor` asks. */
import type {WantedTables} from '../types.ts';
import type {PostgresConnection} from './connection.ts';
import {quote} from './names.ts';

/** Where marks and offsets are. */
const books: WantedTables = {namespace: 'millrace', tables: ['delivered', 'raw_offsets']};

const ofSchemas = `SELECT s.name, n.oid IS NOT NULL, coalesce(has_schema_privilege(n.oid, 'USAGE'), false),
    coalesce(has_schema_privilege(n.oid, 'CREATE'), false)
  FROM jsonb_array_elements_text($1::text::jsonb) AS s(name) LEFT JOIN pg_namespace AS n ON n.nspname = s.name`;

const ofTables = `SELECT n.nspname::text, c.relname::text, has_table_privilege(c.oid, 'SELECT') AND
    has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND n.nspname IN (SELECT jsonb_array_elements_text($1::text::jsonb))`;

/**
 * Statements that give the user what is missing for these tables; none when nothing is. A schema and tables that somebody made for
 * the user need no right to create.
 */
export async function missingRights(
  connection: PostgresConnection,
  wanted: readonly WantedTables[],
): Promise<string[]> {
  const {rows: own} = await connection.query(
    `SELECT current_user::text, current_database()::text, has_database_privilege(current_database(), 'CREATE'),
       has_database_privilege(current_database(), 'TEMPORARY')`,
  );
  const [user, database, mayCreate, mayKeep] = own[0]!;
  const to = `TO ${quote(String(user))}`;
  const missing = new Set<string>();
  if (mayKeep !== true) missing.add(`GRANT TEMPORARY ON DATABASE ${quote(String(database))} ${to}`);
  const all = [...wanted, books];
  const names = JSON.stringify(all.map(({namespace}) => namespace));
  const schemas = new Map((await connection.query(ofSchemas, [names])).rows.map((row) => [row[0], row]));
  const tables = (await connection.query(ofTables, [names])).rows;
  for (const {namespace, tables: names} of all) {
    const [, isThere, mayUse, mayMake] = schemas.get(namespace)!;
    if (isThere !== true) {
      if (mayCreate !== true) missing.add(`GRANT CREATE ON DATABASE ${quote(String(database))} ${to}`);
      continue;
    }
    const known = tables.filter(([schema]) => schema === namespace);
    const found = names.map((name) => known.filter(([, table]) => isOf(String(table), name)));
    const mustMake = found.some((of) => of.length === 0);
    if (mayUse !== true || (mustMake && mayMake !== true))
      missing.add(`GRANT USAGE${mustMake ? ', CREATE' : ''} ON SCHEMA ${quote(namespace)} ${to}`);
    if (found.flat().some(([, , mayWrite]) => mayWrite !== true))
      missing.add(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${quote(namespace)} ${to}`);
  }
  return [...missing];
}

/** Whether a table is that of the name: itself, or a revision of it. */
const isOf = (table: string, name: string): boolean =>
  table === name || (table.startsWith(`${name}__r`) && /^\d+$/.test(table.slice(name.length + 3)));
