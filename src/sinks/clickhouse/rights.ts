/** What the user of the sink may do, before anything is made: `doctor` asks. */
import {text} from 'node:stream/consumers';
import type {ClickHouseClient} from '@clickhouse/client';
import type {WantedTables} from '../types.ts';
import {codeOf} from './errors.ts';
import {quote} from './names.ts';

/** A privilege, and on what: `<database>.*` or a table, quoted. */
export type Grant = {privilege: string; on: string};

const ofBooks = [
  'CREATE DATABASE',
  'CREATE TABLE',
  'CREATE VIEW',
  'DROP TABLE',
  'DROP VIEW',
  'SELECT',
  'INSERT',
];
const ofTables = [...ofBooks, 'ALTER COLUMN', 'ALTER UPDATE'];
/** Servers before 24.10 do not know CHECK GRANT: a syntax error. */
const unknownStatement = 62;

/** What `docs/clickhouse.md` says that the user needs. @param isClustered tables are made on a cluster */
export const grantsOf = (wanted: readonly WantedTables[], isClustered: boolean): Grant[] => [
  ...ofBooks.map((privilege) => ({privilege, on: `${quote('millrace')}.*`})),
  ...wanted.flatMap(({namespace}) => ofTables.map((privilege) => ({privilege, on: `${quote(namespace)}.*`}))),
  ...(isClustered
    ? [
        {privilege: 'CLUSTER', on: '*.*'},
        {privilege: 'SELECT', on: 'system.clusters'},
      ]
    : []),
];

/** Statements that give the user what is missing; none when nothing is, and undefined when the server cannot be asked. */
export async function missingGrants(
  client: ClickHouseClient,
  grants: readonly Grant[],
): Promise<string[] | undefined> {
  // CHECK takes no FORMAT, which a query of the client has.
  const ask = async (query: string): Promise<string> =>
    (await text((await client.exec({query})).stream)).trim();
  const missing = new Map<string, string[]>();
  try {
    for (const {privilege, on} of grants)
      if ((await ask(`CHECK GRANT ${privilege} ON ${on}`)) === '0')
        missing.set(on, [...(missing.get(on) ?? []), privilege]);
  } catch (error) {
    if (codeOf(error) === unknownStatement) return undefined;
    throw error;
  }
  if (missing.size === 0) return [];
  const user = quote(await ask('SELECT currentUser()'));
  return [...missing].map(([on, privileges]) => `GRANT ${privileges.join(', ')} ON ${on} TO ${user}`);
}
