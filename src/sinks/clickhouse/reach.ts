/** What a query may not do although it only reads: leave the database. */
import {PlatformError} from '../../errors.ts';

/**
 * Functions that read files, ask other servers or start programs. `readonly` stops most of them for a user who was not
 * given them; the embedded database has one user, who may do everything, and lets `file` pass even so.
 */
const functions = [
  'file|fileCluster|filesystem|url|urlCluster|input|executable|eval|arrowstream|catboostEvaluate',
  'remote|remoteSecure|mysql|postgresql|sqlite|mongodb|redis|jdbc|odbc|ytsaurus',
  '(?:s3|gcs|oss|cosn|hdfs|azureBlobStorage|iceberg|deltaLake|hudi|paimon)\\w*',
].join('|');

/** White space as ClickHouse reads it: some of it is none to JavaScript. */
const space = '[\\s\\u180e\\u200b-\\u200d\\u2060\\ufeff]*';
/** A call, or a comment that could stand before one. */
const call = `${space}(?:\\(|/\\*|--|#|//)`;
const closing = '[`"\\u201d]';

/**
 * Looked for in the whole text, in strings and comments as well: whatever ClickHouse takes for a name is then found, also
 * where its rules for quotes and comments are not ours.
 */
const reaching: [pattern: RegExp, what: (name: string) => string][] = [
  [new RegExp(`\\b(${functions})${closing}?${call}`, 'i'), (name) => `the function ${name}`],
  [/\b(outfile)\b/i, () => 'INTO OUTFILE'],
  [/\b(kill)(?:\s+(?:query|mutation)\b|\s*(?:\/\*|--|#|\/\/))/i, () => 'KILL'],
  [
    new RegExp(`(\\\\)[^\\\\\`"\\u201d'\\s(]*${closing}${call}`),
    () => 'a function with a backslash in its name',
  ],
];

/** @throws PlatformError SINK_QUERY for a query that would read or write something else than tables */
export function refuseReaching(sql: string): void {
  for (const [pattern, what] of reaching) {
    const found = pattern.exec(sql);
    if (found)
      throw new PlatformError('SINK_QUERY', `${what(found[1]!)} is not for queries: they read tables`, {
        hint: 'a column or a text of that name: put no bracket, no comment behind it, or give it another name with AS',
      });
  }
}
