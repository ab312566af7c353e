import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import type {Table} from '../model/types.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {ReplayOutcome} from '../schema/replay.ts';
import {batchOf, tableId} from '../sinks/tables.ts';
import type {RowBatch} from '../sinks/types.ts';
import type {Letter} from './letters.ts';

/** What became of a row that a sink had refused. */
export type SinkVerdict = {outcome: ReplayOutcome; code: string | null; message: string | null};

/** Sends rows again that a sink refused. */
export type SinkReplay = {send(letter: Letter, dryRun: boolean): Promise<SinkVerdict>};

/** A row as its dead letter keeps it: integers beyond 2^53 and numbers that JSON lacks as text, marked by type. */
export const rowBytes = (row: Value[]): Uint8Array =>
  new TextEncoder().encode(
    JSON.stringify(row, (_key, value) =>
      typeof value === 'bigint'
        ? {long: String(value)}
        : typeof value === 'number' && !Number.isFinite(value)
          ? {double: String(value)}
          : value,
    ),
  );

/** The row of `rowBytes`; undefined when the bytes are none. */
export function rowOf(bytes: Uint8Array): Value[] | undefined {
  try {
    const row = JSON.parse(new TextDecoder().decode(bytes), (_key, value) =>
      value?.long !== undefined
        ? BigInt(value.long)
        : value?.double !== undefined
          ? Number(value.double)
          : value,
    );
    return Array.isArray(row) ? row : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param planOf the query as it runs now
 * @param write one row to the table of a sink; its version decides, so that an old row changes nothing
 */
export function createSinkReplay(
  planOf: (query: string) => QueryPlan | undefined,
  write: (sink: string, table: Table, batch: RowBatch) => Promise<void>,
): SinkReplay {
  return {
    async send(letter, dryRun) {
      const plan = letter.query === null ? undefined : planOf(letter.query);
      const [sink = '', table = ''] = letter.source.split(' ');
      if (!plan?.sinks.includes(sink) || tableId(plan.table) !== table)
        return refused(`${table} in the sink ${sink} is not where ${letter.query} is written to any more`);
      const row = rowOf(letter.original);
      if (row?.length !== plan.table.columns.length)
        return refused(`the table ${table} has other columns now`);
      if (dryRun) return {outcome: 'written', code: null, message: null};
      try {
        await write(sink, plan.table, batchOf(plan.table, [row]));
        return {outcome: 'written', code: null, message: null};
      } catch (error) {
        if (!(error instanceof PlatformError)) throw error;
        return {outcome: 'rejected', code: error.code, message: error.message};
      }
    },
  };
}

const refused = (message: string): SinkVerdict => ({outcome: 'refused', code: null, message});
