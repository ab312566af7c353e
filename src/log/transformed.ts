/** The ledger of transforms: one row a (domain, event type, source), in the log's database. */
import type {DatabaseSync} from 'node:sqlite';
import {corrupt, rowCrc} from './chain.ts';
import type {TransformCounts} from './types.ts';

/** Creates the table where a log is older than it. */
export const transformedSchema = `
  CREATE TABLE IF NOT EXISTS transformed (domain TEXT NOT NULL, event_type TEXT NOT NULL, source TEXT NOT NULL,
    taken INTEGER NOT NULL, made INTEGER NOT NULL, rejected INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (domain, event_type, source)) STRICT, WITHOUT ROWID;
`;

type Row = {
  domain: string;
  event_type: string;
  source: string;
  taken: number;
  made: number;
  rejected: number;
  crc: number;
};

const crcOf = ({domain, eventType, source, in: taken, out, rejected}: TransformCounts): number =>
  rowCrc(domain, eventType, source, taken, out, rejected);

function countsOf({domain, event_type: eventType, source, taken, made, rejected, crc}: Row): TransformCounts {
  const counts = {domain, eventType, source, in: taken, out: made, rejected};
  if (crcOf(counts) !== crc)
    throw corrupt(`ledger of the transform of ${domain}.${eventType}`, 0, 0, 'the checksum differs');
  return counts;
}

/** All rows; none in a log that no writer of this release has opened yet. Throws LOG_CORRUPT when a checksum differs. */
export function transformedRows(database: DatabaseSync): TransformCounts[] {
  const known = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'transformed'").get();
  if (known === undefined) return [];
  return database
    .prepare('SELECT * FROM transformed ORDER BY domain, event_type, source')
    .all()
    .map((row) => countsOf(row as Row));
}

/** Adds to a row, inside the caller's transaction. */
export function transformedStatements(database: DatabaseSync): (counts: TransformCounts) => void {
  const get = database.prepare(
    'SELECT * FROM transformed WHERE domain = ? AND event_type = ? AND source = ?',
  );
  const set = database.prepare('INSERT OR REPLACE INTO transformed VALUES (?, ?, ?, ?, ?, ?, ?)');
  return (counts) => {
    const {domain, eventType, source} = counts;
    const row = get.get(domain, eventType, source) as Row | undefined;
    const old = row && countsOf(row);
    const sum: TransformCounts = {
      domain,
      eventType,
      source,
      in: (old?.in ?? 0) + counts.in,
      out: (old?.out ?? 0) + counts.out,
      rejected: (old?.rejected ?? 0) + counts.rejected,
    };
    set.run(domain, eventType, source, sum.in, sum.out, sum.rejected, crcOf(sum));
  };
}
