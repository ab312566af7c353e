import type {PostgresTransaction} from './connection.ts';

/** Any number, the same for every process of every Millrace. */
const lockKey = 7_245_913_860;

/** Until its end no other transaction of ours makes something in this database: `IF NOT EXISTS` alone fails when two come at once. */
export async function inOneAtATime(transaction: PostgresTransaction): Promise<void> {
  await transaction.query('SELECT 1 FROM pg_advisory_xact_lock($1::text::bigint)', [String(lockKey)]);
}
