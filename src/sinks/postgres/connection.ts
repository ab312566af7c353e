import type {Value} from '../../expr/types.ts';

/** Statements of one transaction. */
export type PostgresTransaction = {
  /** One statement. int8 comes as a number while it is exact, else as a bigint; times, numerics and the rest as text. */
  query(sql: string, params?: unknown[]): Promise<{rows: Value[][]; fields: {name: string; type: number}[]}>;
  /**
   * COPY FROM in text format, UTF-8. @param target table and columns, quoted: `"a"."b" ("x", "y")`
   * @param chunks the rows' bytes; each is used before the next is asked for
   */
  copy(target: string, chunks: Iterable<Uint8Array>): Promise<void>;
};

/** What the PostgreSQL sink needs of an embedded engine or a server; only this differs between them. */
export type PostgresConnection = PostgresTransaction & {
  /** Commits when `work` resolves, else rolls back. `patient`: its statements may take any time. */
  transaction<T>(
    work: (transaction: PostgresTransaction) => Promise<T>,
    options?: {patient?: boolean},
  ): Promise<T>;
  close(): Promise<void>;
};
