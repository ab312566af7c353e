import type {Table} from '../../model/types.ts';
import type {PostgresConnection, PostgresTransaction} from './connection.ts';
import {stateOf} from './errors.ts';
import {physical, quote, quoteTable} from './names.ts';
import {inOneAtATime} from './order.ts';

const createView = (table: Table, verb: string): string => {
  const {name, columns} = table.view!;
  return `${verb} ${quoteTable(table.namespace, name)} AS
    SELECT ${columns.map(quote).join(', ')} FROM ${physical(table)} WHERE NOT deleted`;
};

/** Whether there is a table or view of this name. */
export async function exists(
  connection: PostgresTransaction,
  namespace: string,
  name: string,
): Promise<boolean> {
  const {rows} = await connection.query(
    'SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2',
    [namespace, name],
  );
  return rows.length > 0;
}

/** Makes the view of a table where there is none. */
export async function ensureView(connection: PostgresConnection, table: Table): Promise<void> {
  const name = table.view!.name;
  if (await exists(connection, table.namespace, name)) return;
  await connection.transaction(async (transaction) => {
    await inOneAtATime(transaction);
    if (!(await exists(transaction, table.namespace, name)))
      await transaction.query(createView(table, 'CREATE VIEW'));
  });
}

/**
 * Points the view at the table in one transaction; a view whose columns changed is dropped and made anew in it, with the rights
 * that were given on it.
 */
export async function switchView(connection: PostgresConnection, table: Table): Promise<void> {
  try {
    await connection.query(createView(table, 'CREATE OR REPLACE VIEW'));
  } catch (error) {
    const columnsChanged = stateOf(error) === '42P16';
    if (!columnsChanged) throw error;
    await connection.transaction(async (transaction) => {
      const grants = await grantsOf(transaction, table);
      await transaction.query(`DROP VIEW ${quoteTable(table.namespace, table.view!.name)}`);
      await transaction.query(createView(table, 'CREATE VIEW'));
      for (const grant of grants) await transaction.query(grant);
    });
  }
}

/** Statements that give again what others may do with the view. */
async function grantsOf(transaction: PostgresTransaction, {namespace, view}: Table): Promise<string[]> {
  const {rows} = await transaction.query(
    `SELECT a.privilege_type, a.is_grantable, coalesce(quote_ident(r.rolname), 'PUBLIC')
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL aclexplode(c.relacl) a
     LEFT JOIN pg_roles r ON r.oid = a.grantee
     WHERE n.nspname = $1 AND c.relname = $2 AND a.grantee <> c.relowner`,
    [namespace, view!.name],
  );
  return rows.map(
    ([privilege, grantable, to]) =>
      `GRANT ${privilege} ON ${quoteTable(namespace, view!.name)} TO ${to}${grantable ? ' WITH GRANT OPTION' : ''}`,
  );
}
