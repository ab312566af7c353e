/** Asking the sinks of a platform, whether it runs or not. */
import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import type {Platform} from '../model/types.ts';
import {openSink} from '../sinks/host.ts';
import type {QueryResult} from '../sinks/types.ts';
import type {Control} from './control.ts';
import {refuseQuery} from './refuse-query.ts';

/** Read-only SQL to a sink. @throws NAME_UNKNOWN for one that cannot be asked, SINK_QUERY, LOCKED. */
export type Ask = (sink: string, sql: string) => Promise<QueryResult>;

/** Embedded databases have one owner: the platform if it runs, else this process, reading only. */
export const askOf =
  (platform: Platform, control: Control | undefined): Ask =>
  (sink, sql) =>
    control ? control.post<QueryResult>('/v1/query', {sink, sql}) : askDirectly(platform, sink, sql);

async function askDirectly(platform: Platform, name: string, sql: string): Promise<QueryResult> {
  const {root, plugins, sinks} = platform;
  const sink = await openSink({name, choice: sinks[name]!, root, plugins, readOnly: true});
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
