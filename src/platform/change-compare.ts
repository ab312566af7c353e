import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import type {Column, Table} from '../model/types.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import {tableId} from '../sinks/tables.ts';
import type {Outputs} from './outputs.ts';

/** Rows of two revisions of a query in one sink, compared at equal offsets. JSON-serialisable. */
export type Comparison = {
  query: string;
  sink: string;
  /** Physical tables. */
  before: string;
  after: string;
  /** Columns that both have, apart from `closed` and `version`: these are compared. */
  columns: string[];
  rowsBefore: number;
  rowsAfter: number;
  same: number;
  different: number;
  onlyBefore: number;
  onlyAfter: number;
  /** Windows with a row that differs. */
  windows: number;
  /** A few of them, newest first; null: no such row. */
  samples: {
    key: Record<string, Value>;
    before: Record<string, Value> | null;
    after: Record<string, Value> | null;
  }[];
  /** Only the newest rows were compared: more than `comparedMax`. */
  isPart: boolean;
  /** Why the rows were not compared; counts are 0 then. */
  skipped?: string;
};

/** Rows of a table that are compared at most: what runs stands still while they are read. */
export const comparedMax = 200_000;
const samplesMax = 5;

/**
 * Compares the tables of two revisions in every sink of the newer one.
 * @param isLevel whether both stand at the same place of the log; where not, the older one stopped before
 */
export async function compareRevisions(
  outputs: Pick<Outputs, 'rows'>,
  before: QueryPlan,
  after: QueryPlan,
  isLevel: boolean,
  rowsMax = comparedMax,
): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const sink of after.sinks) {
    const empty: Comparison = {
      query: after.id,
      sink,
      before: tableId(before.table),
      after: tableId(after.table),
      columns: [],
      rowsBefore: 0,
      rowsAfter: 0,
      same: 0,
      different: 0,
      onlyBefore: 0,
      onlyAfter: 0,
      windows: 0,
      samples: [],
      isPart: false,
    };
    if (!before.sinks.includes(sink)) {
      comparisons.push({...empty, skipped: 'the old revision has no rows here'});
      continue;
    }
    if (keyOf(before.table) !== keyOf(after.table)) {
      const skipped = `rows have another key: (${keyOf(after.table)}) instead of (${keyOf(before.table)})`;
      comparisons.push({...empty, skipped});
      continue;
    }
    const columns = sharedColumns(before.table, after.table);
    const narrow = (table: Table): Table => ({...table, columns});
    const old = await oldRows(() => outputs.rows(sink, narrow(before.table), rowsMax));
    if (typeof old === 'string') {
      comparisons.push({...empty, skipped: old});
      continue;
    }
    const now = await outputs.rows(sink, narrow(after.table), rowsMax);
    if (!old || !now) {
      comparisons.push({...empty, skipped: 'this sink cannot be asked for its rows'});
      continue;
    }
    const isPart = old.length >= rowsMax || now.length >= rowsMax;
    const start = columns.findIndex(({name}) => name === 'window_start');
    const [was, is] = isLevel ? [old, now] : reached(old, now, start, rowsMax);
    const compared = compareRows({...empty, isPart}, after.table.key, columns, was, is);
    if (isPart && !isLevel) {
      const [first, firstNow] = await Promise.all(
        [before, after].map((plan) => outputs.rows(sink, narrow(plan.table), 1, true)),
      );
      const wasFirst = first?.[0]?.[start];
      const isFirst = firstNow?.[0]?.[start];
      if (wasFirst !== undefined && (isFirst === undefined || isBefore(wasFirst, isFirst)))
        compared.onlyBefore++;
    }
    comparisons.push(compared);
  }
  return comparisons;
}

/** Starts of windows, as one sink tells them. */
const isBefore = (one: Value, other: Value): boolean => (one as string | number) < (other as string | number);

/**
 * Rows of the windows that both lists reach. Each holds the newest rows alone, and that of a revision which stands further on ends at a
 * later window: what lies before that is not missing from it.
 */
function reached(old: Value[][], now: Value[][], start: number, rowsMax: number): [Value[][], Value[][]] {
  const ends = [old, now].filter((rows) => rows.length >= rowsMax).map((rows) => rows.at(-1)![start]!);
  const [end] = ends.sort((a, b) => (isBefore(a, b) ? 1 : -1));
  if (end === undefined) return [old, now];
  const later = (rows: Value[][]) => rows.filter((row) => isBefore(end, row[start]!));
  return [later(old), later(now)];
}

/** An old table may be another one than this directory knows of, after its checkpoints were lost. @returns why it cannot be read */
async function oldRows<T>(read: () => Promise<T>): Promise<T | string> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof PlatformError) || error.retry) throw error;
    return `the old table cannot be read: ${error.code} ${error.message.slice(0, 200)}`;
  }
}

const keyOf = ({key}: Table): string => [...key].sort().join(', ');

/** What says how far a row is, not what it says. */
const masked = new Set(['closed', 'version', 'deleted']);

/** Columns of both tables with one type, in the order of the newer one's key and columns. */
function sharedColumns(before: Table, after: Table): Column[] {
  const old = new Map(before.columns.map(({name, type}) => [name, type]));
  return after.columns.filter(({name, type}) => !masked.has(name) && old.get(name) === type);
}

function compareRows(
  empty: Comparison,
  key: string[],
  columns: Column[],
  old: Value[][],
  now: Value[][],
): Comparison {
  const keyIndexes = key.map((name) => columns.findIndex((column) => column.name === name));
  const keyText = (row: Value[]) => text(keyIndexes.map((index) => row[index]!));
  const before = new Map(old.map((row) => [keyText(row), row]));
  const result: Comparison = {
    ...empty,
    columns: columns.map(({name}) => name),
    rowsBefore: old.length,
    rowsAfter: now.length,
  };
  const windows = new Set<string>();
  const note = (was: Value[] | null, is: Value[] | null) => {
    const row = (is ?? was)!;
    windows.add(text([row[keyIndexes[0]!]!]));
    if (result.samples.length >= samplesMax) return;
    const named = (values: Value[], wanted: (index: number) => boolean) =>
      Object.fromEntries(
        columns.flatMap(({name}, index) => (wanted(index) ? [[name, plain(values[index]!)]] : [])),
      );
    const isKey = (index: number) => keyIndexes.includes(index);
    const isOther = (index: number) =>
      !isKey(index) && (!was || !is || text([was[index]!]) !== text([is[index]!]));
    result.samples.push({
      key: named(row, isKey),
      before: was && named(was, isOther),
      after: is && named(is, isOther),
    });
  };
  for (const row of now) {
    const at = keyText(row);
    const was = before.get(at);
    before.delete(at);
    if (!was) {
      result.onlyAfter++;
      note(null, row);
    } else if (text(was) === text(row)) result.same++;
    else {
      result.different++;
      note(was, row);
    }
  }
  for (const row of before.values()) {
    result.onlyBefore++;
    note(row, null);
  }
  return {...result, windows: windows.size};
}

const plain = (value: Value): Value => (typeof value === 'bigint' ? String(value) : value);
/** A sum of doubles depends on the order in which they were added: compared at 12 digits. */
const text = (values: Value[]): string =>
  JSON.stringify(values, (_key, value: unknown) =>
    typeof value === 'bigint'
      ? String(value)
      : typeof value === 'number' && !Number.isInteger(value)
        ? Number.isFinite(value)
          ? value.toPrecision(12)
          : String(value)
        : value,
  );

/** Whether the newer revision's rows say something else. */
export const differs = ({different, onlyBefore, onlyAfter}: Comparison): boolean =>
  different + onlyBefore + onlyAfter > 0;
