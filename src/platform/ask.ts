/** Asking the sinks of a platform, whether it runs or not. */
import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import type {Platform} from '../model/types.ts';
import {openSink} from '../sinks/host.ts';
import type {QueryResult} from '../sinks/types.ts';
import type {Control} from './control.ts';
import {refuseQuery} from './refuse-query.ts';

/**
 * Read-only SQL to a sink. @param gone ends what is under way in this process: nobody waits for the answer any more
 * @throws NAME_UNKNOWN for one that cannot be asked, SINK_QUERY, LOCKED; SINK_LOST after `gone`
 */
export type Ask = (sink: string, sql: string, gone?: AbortSignal) => Promise<QueryResult>;

/** The same rows with numbers that JSON has not as texts: NaN, Infinity, -Infinity. */
export const forJson = ({columns, rows}: QueryResult): QueryResult => ({
  columns,
  rows: rows.map((row) =>
    row.map((value) => (typeof value === 'number' && !Number.isFinite(value) ? String(value) : value)),
  ),
});

/** Embedded databases have one owner: the platform if it runs, else this process, reading only. */
export const askOf =
  (platform: Platform, control: Control | undefined): Ask =>
  (sink, sql, gone) =>
    control ? control.post<QueryResult>('/v1/query', {sink, sql}) : askDirectly(platform, sink, sql, gone);

async function askDirectly(
  platform: Platform,
  name: string,
  sql: string,
  gone?: AbortSignal,
): Promise<QueryResult> {
  const {root, plugins, sinks} = platform;
  const choice = sinks[name]!;
  const sink = await openSink({name, choice, root, plugins, readOnly: true, ...(gone ? {gone} : {})});
  try {
    if (!sink.query)
      throw new PlatformError(
        'NAME_UNKNOWN',
        `sink "${name}" (${sinks[name]!.backend}) cannot be asked with SQL`,
        {
          hint: `--sink with one of: ${Object.keys(sinks)
            .filter((other) => other !== name)
            .join(', ')}`,
        },
      );
    return await sink.query(sql).catch(refuseQuery);
  } finally {
    await sink.close();
  }
}

type Dialect = {
  literal(text: string): string /** Epoch ms of a timestamp column. */;
  millis(column: string): string;
};

const clickhouse: Dialect = {
  literal: (text) => `'${text.replace(/[\\']/g, (char) => `\\${char}`)}'`,
  millis: (column) => `toUnixTimestamp64Milli("${column}")`,
};
const postgres: Dialect = {
  literal: (text) => `'${text.replaceAll("'", "''")}'`,
  millis: (column) => `(extract(epoch from "${column}") * 1000)::bigint`,
};

/** How SQL is written for a sink; undefined for one that has none that we know. */
export const dialectOf = ({sinks}: Platform, sink: string): Dialect | undefined =>
  ({chdb: clickhouse, clickhouse, pglite: postgres, postgres})[sinks[sink]!.backend];

export type Row = Record<string, Value>;

/** Rows as records, by column. */
export const recordsOf = ({columns, rows}: QueryResult): Row[] =>
  rows.map((row) => Object.fromEntries(row.map((value, index) => [columns[index]!.name, value])));
