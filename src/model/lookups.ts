import {existsSync} from 'node:fs';
import type {Path} from '../config/diagnostics.ts';
import {quote} from '../config/nodes.ts';
import type {LookupConfig} from './config.ts';
import type {Reporter} from './reporter.ts';
import type {SinkNames} from './sinks.ts';
import type {Lookup} from './types.ts';

/** Stands for NULL where rows of a database are kept as text: no text of PostgreSQL can hold it. */
export const nullOfRows = '\0';

/** @returns undefined when something it needs is missing or wrong. */
export function buildLookup(
  config: LookupConfig,
  domain: string,
  path: Path,
  sinks: SinkNames,
  reporter: Reporter,
): Lookup | undefined {
  const {name, key, columns, from} = config;
  const source = from && sourceOf(from, [...path, 'from'], sinks, reporter);
  if (from?.csv !== undefined && !existsSync(from.csv))
    // The last good snapshot stands in for a file that vanished; a platform that never saw one says so at its start.
    reporter.warn([...path, 'from', 'csv'], 'FILE_NOT_FOUND', `there is no file ${from.csv}`, {
      hint: 'a path is relative to the file it stands in; until the file is there, the last good snapshot is used',
    });
  if (key?.name !== undefined && columns && key.name in columns)
    reporter.error(
      [...path, 'columns', key.name],
      'NAME_DUPLICATE',
      `${quote(key.name)} is already the key of this lookup`,
      {
        onKey: true,
        hint: `its type stands with the key: {name: ${key.name}, type: ${columns[key.name]}}`,
      },
    );
  if (config.refresh !== undefined && config.refresh < 1000)
    reporter.error([...path, 'refresh'], 'VALUE_RANGE', 'a lookup is refreshed at most once a second', {
      hint: 'use 1s or more',
    });
  if (name === undefined || key?.name === undefined || key.type === undefined || !columns || !source)
    return undefined;
  if (source.csv === null && reporter.has([...path, 'null']))
    reporter.error([...path, 'null'], 'VALUE_INVALID', '`null` is about texts in a file, and this is none', {
      hint: 'take it out: what is NULL in the table is NULL here',
      onKey: true,
    });
  return {
    domain,
    name,
    key: key.name,
    keyType: key.type,
    columns: Object.entries(columns).map(([column, type]) => ({name: column, type})),
    ...source,
    nulls: source.csv === null ? [nullOfRows] : (config.null ?? ['']).filter((text) => text !== undefined),
    refreshMs: config.refresh ?? null,
  };
}

/** A file, or a table or query of a sink; reports what is missing or too much. */
function sourceOf(
  {csv, sink, table, query}: NonNullable<LookupConfig['from']>,
  path: Path,
  sinks: SinkNames,
  reporter: Reporter,
): Pick<Lookup, 'csv' | 'sink' | 'table' | 'query'> | undefined {
  const wrong = (key: string, message: string, hint: string): undefined =>
    reporter.error(reporter.has([...path, key]) ? [...path, key] : path, 'VALUE_INVALID', message, {
      hint,
    }) as undefined;
  const fromSink =
    reporter.has([...path, 'sink']) || reporter.has([...path, 'table']) || reporter.has([...path, 'query']);
  if (reporter.has([...path, 'csv'])) {
    if (fromSink)
      return wrong('csv', 'a lookup comes from a file or from a sink, not from both', 'take one of them out');
    return csv === undefined ? undefined : {csv};
  }
  if (!fromSink)
    return wrong(
      'csv',
      'it is not said where the rows come from',
      'write csv: ../lookups/products.csv, or sink: and table:',
    );
  if (!reporter.has([...path, 'sink']))
    return wrong(
      table === undefined ? 'query' : 'table',
      'it is not said which database has the rows',
      'add sink: with the name of a sink',
    );
  if (sink === undefined) return undefined;
  sinks.use(sink, [...path, 'sink'], reporter, 'lookup');
  if (reporter.has([...path, 'table']) === reporter.has([...path, 'query']))
    return wrong(
      'query',
      table === undefined
        ? 'it is not said which rows'
        : 'rows come from a table or from a query, not from both',
      'write table: <schema>.<table>, or query: with one statement',
    );
  if (table !== undefined) return {csv: null, sink, table};
  return query === undefined ? undefined : {csv: null, sink, query: query.trim().replace(/;$/, '')};
}
