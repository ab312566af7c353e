import {existsSync} from 'node:fs';
import type {Path} from '../config/diagnostics.ts';
import {quote} from '../config/nodes.ts';
import type {LookupConfig} from './config.ts';
import type {Reporter} from './reporter.ts';
import type {Lookup} from './types.ts';

/** @returns undefined when something it needs is missing or wrong. */
export function buildLookup(
  config: LookupConfig,
  domain: string,
  path: Path,
  reporter: Reporter,
): Lookup | undefined {
  const {name, key, columns, from} = config;
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
  if (
    name === undefined ||
    key?.name === undefined ||
    key.type === undefined ||
    !columns ||
    from?.csv === undefined
  )
    return undefined;
  return {
    domain,
    name,
    key: key.name,
    keyType: key.type,
    columns: Object.entries(columns).map(([column, type]) => ({name: column, type})),
    csv: from.csv,
    nulls: (config.null ?? ['']).filter((text) => text !== undefined),
    refreshMs: config.refresh ?? null,
  };
}
