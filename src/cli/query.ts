import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import type {Platform} from '../model/types.ts';
import {askOf, forJson} from '../platform/ask.ts';
import type {CommandBody} from './command.ts';
import {openPlatform, unknownName} from './context.ts';
import {formatTable, printJson} from './output.ts';

export const run: CommandBody = async (call) => {
  const {args, options, io} = call;
  const sql = args[0]!;
  if (sql.trim() === '')
    throw new PlatformError('USAGE', 'the query is empty', {hint: 'npx millrace query "select 1"'});
  const {platform, control} = await openPlatform(call);
  const sink = sinkOf(platform, options.sink as string | undefined);
  const result = await askOf(platform, control)(sink, sql).catch((error) => {
    throw withSink(error, platform, sink, sql);
  });
  const names = result.columns.map(({name}) => name);
  if (options.json)
    printJson(
      io,
      forJson(result).rows.map((row) =>
        Object.fromEntries(row.map((value, index) => [names[index]!, value])),
      ),
    );
  else {
    io.stdout.write(formatTable(names, result.rows as Value[][]));
    io.stderr.write(`${result.rows.length} ${result.rows.length === 1 ? 'row' : 'rows'}\n`);
  }
  return 0;
};

function sinkOf({sinks, domains}: Platform, name: string | undefined): string {
  const chosen = name ?? domains[0]?.defaults.aggregates ?? 'analytics';
  if (!Object.hasOwn(sinks, chosen)) throw unknownName('sink', chosen, Object.keys(sinks));
  return chosen;
}

/** The same failure; its hint names the sink that has the table which the SQL names, if that is another one. */
function withSink(error: unknown, {domains}: Platform, asked: string, sql: string): unknown {
  if (!(error instanceof PlatformError) || error.code !== 'SINK_QUERY') return error;
  const named = new Set(
    [...sql.matchAll(/["`]?(\w+)["`]?\s*\.\s*["`]?(\w+)/g)].map(([, domain, table]) => `${domain}.${table}`),
  );
  for (const {name, eventTypes, aggregations, defaults} of domains) {
    const tables = [
      ...eventTypes.map((each) => ({
        table: each.name,
        kind: 'events',
        sinks: defaults.raw ? [defaults.raw] : [],
      })),
      ...aggregations.map((each) => ({table: each.name, kind: 'rows of a query', sinks: each.sinks})),
    ];
    for (const {table, kind, sinks} of tables) {
      if (!named.has(`${name}.${table}`) || sinks.length === 0 || sinks.includes(asked)) continue;
      return new PlatformError('SINK_QUERY', error.message, {
        hint: `${name}.${table} holds ${kind} and is in another sink: --sink ${sinks[0]}`,
        cause: error,
      });
    }
  }
  return error;
}
