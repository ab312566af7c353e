import type {ClickHouseClient} from '@clickhouse/client';
import type {Table} from '../../model/types.ts';
import type {RowBatch} from '../types.ts';

/** Servers that hold the same tables. */
export type ClickHouseCluster = {
  /** As `system.clusters` names it. */
  name: string;
  /** Whether tables are made with Replicated engines. */
  replicated: boolean;
};

/** What the ClickHouse sink needs of an embedded engine or a server; only this differs between them. */
export type ClickHouseConnection = {
  /** Statements that change things, and small reads of our own. */
  client: ClickHouseClient;
  /** The same for statements that may take minutes: rewriting a column. */
  patient: ClickHouseClient;
  /** Settings of new tables, beyond those that they need: `name = value`. */
  tableSettings(kind: Table['kind']): string[];
  /** Where tables and views are made, when not on this server alone. */
  cluster?: ClickHouseCluster;
  /** Before the first statement, until it succeeds: whether the server can be what is wanted. @throws what stands in the way */
  check?(): Promise<void>;
  /**
   * Inserts rows, all or none; statements for different tables may run at once.
   * @param token names the rows: an insert with one that was seen lately changes nothing, where the database can tell
   */
  insert(table: Table, batch: RowBatch, token?: string): Promise<void>;
  /** Inserts rows as TabSeparated text. @param table `<database>.<table>`, unquoted, as are the columns */
  insertText(table: string, columns: string[], tsv: string): Promise<void>;
  /** Runs one statement of a user on a session that can only read. Rows as JSONCompactEachRowWithNamesAndTypes text. */
  read(sql: string): Promise<string>;
  close(): Promise<void>;
};
