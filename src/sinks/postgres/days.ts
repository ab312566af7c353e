import {failpoint} from '../../failpoint.ts';
import type {Table} from '../../model/types.ts';
import {reduceToHighest} from '../reduce.ts';
import {columnIndex, dateText, pick, tableId} from '../tables.ts';
import type {RawBatch} from '../types.ts';
import type {PostgresConnection, PostgresTransaction} from './connection.ts';
import {stateOf} from './errors.ts';
import {physical, quote, quoteTable} from './names.ts';
import {inOneAtATime} from './order.ts';

const dayMs = 86_400_000;
const hourMs = 3_600_000;
/** Events may be that far ahead of the time at which they are appended: the default of `future_max`. */
const aheadMs = hourMs;
const lockNotAvailable = '55P03';

/** The column that decides the day. */
export const dayColumn = '_appended_at';

/** Tables of raw events that have a partition a day, by the time of appending, UTC; see docs/decisions/0075-postgres-days.md. */
export type Days = {
  /** Makes the partitions of today and tomorrow, and drops those that are past their time. */
  ensure(table: Table): Promise<void>;
  /** Without rows that are past their time; the partitions of the others are there. */
  admit(table: Table, batch: RawBatch): Promise<RawBatch>;
  /** Without events that an earlier day has already. In the transaction that writes them. */
  withoutRepeated(transaction: PostgresTransaction, table: Table, batch: RawBatch): Promise<RawBatch>;
  /** Partitions are looked at again: somebody else dropped or made one. */
  forget(table: Table): void;
  close(): void;
};

export function createDays(
  connection: PostgresConnection,
  {retentionMs, now}: {retentionMs: number | null; now: () => number},
): Days {
  /** By table: its partitions. */
  const known = new Map<string, {table: Table; days: Set<number>; lookedMs: number}>();
  const isPast = (day: number): boolean => retentionMs !== null && (day + 1) * dayMs + retentionMs <= now();

  const look = async (table: Table): Promise<Set<number>> => {
    const days = await daysOf(connection, table);
    known.set(tableId(table), {table, days, lookedMs: now()});
    return days;
  };
  const tidy = async (table: Table): Promise<void> => {
    const days = await look(table);
    const today = Math.floor(now() / dayMs);
    for (const day of [today, today + 1]) if (!days.has(day)) await make(table, day, days);
    for (const day of [...days].filter(isPast)) if (await drop(connection, table, day)) days.delete(day);
  };
  const make = async (table: Table, day: number, days: Set<number>): Promise<void> => {
    failpoint('table.before-day');
    await makeDay(connection, table, day);
    days.add(day);
  };
  // A topic that is silent has its old days dropped, too; what fails here fails, and is told, with the next write.
  const timer = setInterval(() => {
    for (const {table} of known.values()) tidy(table).catch(() => {});
  }, hourMs);
  timer.unref();

  return {
    ensure: tidy,
    async admit(table, batch) {
      const entry = known.get(tableId(table));
      if (!entry || now() - entry.lookedMs >= hourMs) await tidy(table);
      const {days} = known.get(tableId(table))!;
      const appended = batch.columns[columnIndex(table, dayColumn)] as number[];
      const rows: number[] = [];
      for (let row = 0; row < batch.count; row++) if (!isPast(dayOf(appended[row]!))) rows.push(row);
      const kept = rows.length === batch.count ? batch : {...batch, ...pick(batch, rows)};
      for (const day of daysIn(table, kept)) if (!days.has(day)) await make(table, day, days);
      return kept;
    },
    async withoutRepeated(transaction, table, batch) {
      const first = onePerId(table, batch);
      const range = earlierDays(table, first, known.get(tableId(table))?.days ?? new Set());
      if (!range) return first;
      const repeated = await idsBetween(transaction, table, range);
      if (repeated.size === 0) return first;
      const ids = first.columns[columnIndex(table, 'event_id')] as string[];
      const rows = Array.from({length: first.count}, (_, row) => row).filter(
        (row) => !repeated.has(stored(ids[row]!)),
      );
      return {...first, ...pick(first, rows)};
    },
    forget: (table) => void known.delete(tableId(table)),
    close: () => clearInterval(timer),
  };
}

const dayOf = (ms: number): number => Math.floor(ms / dayMs);
/** U+0000 is stored as U+FFFD. */
const stored = (id: string): string => id.replaceAll('\0', '\uFFFD');

/** Days of appending in a batch, ascending. */
function daysIn(table: Table, batch: RawBatch): number[] {
  const days = new Set<number>();
  for (const ms of batch.columns[columnIndex(table, dayColumn)] as number[]) days.add(dayOf(ms));
  return [...days].sort((a, b) => a - b);
}

/** Of events of one id in a batch that spans days, the first: within a day the index sees to it. */
const onePerId = (table: Table, batch: RawBatch): RawBatch =>
  daysIn(table, batch).length < 2 ? batch : {...batch, ...reduceToHighest(table, batch)};

type Range = {ids: string[]; fromMs: number; toMs: number};

/**
 * Events that an earlier day can have already: an event that is sent again has its own event time again, and a copy of it was
 * not appended before that. Events of today, all but the first hour's, cannot be there. Undefined when no event can, or no such
 * day is kept.
 */
function earlierDays(table: Table, batch: RawBatch, days: ReadonlySet<number>): Range | undefined {
  const ids = batch.columns[columnIndex(table, 'event_id')] as string[];
  const times = batch.columns[columnIndex(table, 'timestamp')] as number[];
  const appended = batch.columns[columnIndex(table, dayColumn)] as number[];
  const oldest = Math.min(...days);
  const suspects: string[] = [];
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (let row = 0; row < batch.count; row++) {
    const day = dayOf(appended[row]!);
    const earliest = Math.max(oldest, dayOf(times[row]! - aheadMs));
    if (earliest >= day) continue;
    suspects.push(stored(ids[row]!));
    from = Math.min(from, earliest);
    to = Math.max(to, day);
  }
  const isKept = [...days].some((day) => day >= from && day < to);
  return isKept ? {ids: suspects, fromMs: from * dayMs, toMs: to * dayMs} : undefined;
}

async function idsBetween(
  transaction: PostgresTransaction,
  table: Table,
  {ids, fromMs, toMs}: Range,
): Promise<Set<string>> {
  const id = quote('event_id');
  const {rows} = await transaction.query(
    `SELECT ${id} FROM ${physical(table)} WHERE ${id} = ANY (ARRAY(SELECT jsonb_array_elements_text($1::text::jsonb)))
     AND ${quote(dayColumn)} >= $2::text::timestamptz AND ${quote(dayColumn)} < $3::text::timestamptz`,
    [JSON.stringify(ids), new Date(fromMs).toISOString(), new Date(toMs).toISOString()],
  );
  return new Set(rows.map(([value]) => String(value)));
}

const partitionName = (table: Table, day: number): string =>
  `${table.name}__d${dateText(day).replaceAll('-', '')}`;

/** Days of the partitions that a table has. */
async function daysOf(connection: PostgresTransaction, table: Table): Promise<Set<number>> {
  const {rows} = await connection.query(
    `SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
     JOIN pg_namespace n ON n.oid = p.relnamespace WHERE n.nspname = $1 AND p.relname = $2`,
    [table.namespace, table.name],
  );
  const days = rows.map(([name]) => /__d(\d{4})(\d\d)(\d\d)$/.exec(String(name)));
  return new Set(
    days
      .filter((found) => found !== null)
      .map(([, year, month, day]) => Date.parse(`${year}-${month}-${day}`) / dayMs),
  );
}

/** Attached, not created in place: readers are not in the way of that, nor it in theirs. */
async function makeDay(connection: PostgresConnection, table: Table, day: number): Promise<void> {
  const name = quoteTable(table.namespace, partitionName(table, day));
  await connection.transaction(async (transaction) => {
    await inOneAtATime(transaction);
    if ((await daysOf(transaction, table)).has(day)) return;
    await transaction.query(
      `CREATE TABLE ${name} (LIKE ${physical(table)} INCLUDING ALL, UNIQUE NULLS NOT DISTINCT (${table.key.map(quote).join(', ')}))`,
    );
    await transaction.query(
      `ALTER TABLE ${physical(table)} ATTACH PARTITION ${name}
       FOR VALUES FROM ('${dateText(day)} 00:00:00+00') TO ('${dateText(day + 1)} 00:00:00+00')`,
    );
  });
}

/** @returns false when readers are in the way: it is tried again an hour later */
async function drop(connection: PostgresConnection, table: Table, day: number): Promise<boolean> {
  try {
    await connection.transaction(async (transaction) => {
      await transaction.query("SET LOCAL lock_timeout = '2s'");
      await transaction.query(
        `DROP TABLE IF EXISTS ${quoteTable(table.namespace, partitionName(table, day))}`,
      );
    });
    return true;
  } catch (error) {
    if (stateOf(error) === lockNotAvailable) return false;
    throw error;
  }
}
