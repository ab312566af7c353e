import type {ClickHouseClient} from '@clickhouse/client';

/** What the ClickHouse sink needs of an embedded engine or a server; only this differs between them. */
export type ClickHouseConnection = {
  /** Statements that change things, and small reads of our own. */
  client: ClickHouseClient;
  /** Settings of new tables, beyond those that they need: `name = value`. */
  tableSettings: string[];
  /**
   * Inserts rows as TabSeparated text; statements for different tables may run at once.
   * @param table `<database>.<table>`, unquoted, as are the columns.
   */
  insert(table: string, columns: string[], tsv: string): Promise<void>;
  /** Runs one statement of a user on a session that can only read. Rows as JSONCompactEachRowWithNamesAndTypes text. */
  read(sql: string): Promise<string>;
  close(): Promise<void>;
};
