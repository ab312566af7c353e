/** What waits in an outbox that nobody has open. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {openForReading, witnessFile} from './database.ts';
import {isOutbox} from './outbox-tables.ts';
import {acknowledgedCommits} from './witness.ts';

/** Topics of which something waits for Kafka in the outbox of `dir`; none when there is no outbox. Throws LOG_IO, LOG_FORMAT, LOG_CORRUPT. */
export function topicsLeft(dir: string): string[] {
  if (!existsSync(join(dir, 'log.db'))) return [];
  const database = openForReading(dir, acknowledgedCommits(witnessFile(dir)));
  try {
    if (!isOutbox(database)) return [];
    const rows = database
      .prepare(
        `SELECT DISTINCT s.topic AS topic FROM streams s LEFT JOIN outbox_streams o ON o.stream = s.id
         WHERE s.partition >= 0 AND s.end_offset > coalesce(o.shipped, s.start_offset) ORDER BY s.topic`,
      )
      .all() as {topic: string}[];
    return rows.map(({topic}) => topic);
  } finally {
    database.close();
  }
}
