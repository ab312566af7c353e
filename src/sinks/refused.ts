import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import {slice} from './tables.ts';
import type {RowBatch} from './types.ts';

/** A row that a sink refused for good, with what the sink said. */
export type RefusedRow = {row: Value[]; code: string; message: string};

/** Whether the sink refuses a row of what was written, and not the table. */
export const isRowError = (error: unknown): error is PlatformError =>
  error instanceof PlatformError && error.code === 'SINK_ROW';

/** So many rows refused and none taken: it is not about single rows. */
const refusedMax = 64;

/**
 * Finds the rows of a batch that a sink refuses by halving it, so that all others are written: with k bad rows of n about
 * 2 k log2(n) writes.
 * @param first what the sink said of the whole batch
 * @param write one write; @returns the failure when the sink refuses a row of it; throws every other failure
 * @param before rows of earlier batches that were refused since one was taken
 * @throws PlatformError SINK_REFUSED when the sink takes none of many rows
 */
export async function writeApart(
  batch: RowBatch,
  first: PlatformError,
  write: (batch: RowBatch) => Promise<PlatformError | undefined>,
  before = 0,
): Promise<RefusedRow[]> {
  const refused: RefusedRow[] = [];
  let taken = 0;
  const part = async (rows: RowBatch, known?: PlatformError): Promise<void> => {
    const error = known ?? (await write(rows));
    if (!error) {
      taken += rows.count;
      return;
    }
    if (rows.count === 1) {
      const {code, message} = error;
      refused.push({row: rows.columns.map((values) => values[0]!), code, message});
      if (taken === 0 && before + refused.length >= refusedMax) throw noRow(error, before + refused.length);
      return;
    }
    const half = rows.count >> 1;
    await part(slice(rows, 0, half));
    await part(slice(rows, half, rows.count));
  };
  await part(batch, first);
  return refused;
}

const noRow = (error: PlatformError, count: number) =>
  new PlatformError('SINK_REFUSED', `none of ${count} rows is taken: ${error.message}`, {
    cause: error,
    ...(error.place === undefined ? {} : {place: error.place}),
    hint: 'mend it in the database, then: npx millrace resume',
  });
