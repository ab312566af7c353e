import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import {failpoint} from '../failpoint.ts';
import {does} from '../model/roles.ts';
import {placeOfSink} from '../model/sinks.ts';
import type {Platform, Table} from '../model/types.ts';
import {emitsDistinct} from '../process/embedded/emit.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {EmittedRows, QueryStatus} from '../process/types.ts';
import {createDelivery} from '../sinks/delivery.ts';
import {type HostedSink, openSink} from '../sinks/host.ts';
import {createMarker, type Marker} from '../sinks/marker.ts';
import {whoIs} from '../sinks/named.ts';
import type {RawBooks} from '../sinks/raw-apart.ts';
import type {RefusedRow} from '../sinks/refused.ts';
import {tableId} from '../sinks/tables.ts';
import type {QueryResult, RawBatch, RawRange, RowBatch, RowTopics} from '../sinks/types.ts';
import type {Telemetry} from '../telemetry.ts';
import {explainDifference} from './aside.ts';
import {newestRows} from './change-rows.ts';
import {createOpenings} from './open-sinks.ts';
import {pushAll, Way} from './outputs-way.ts';
import {Pauses} from './pauses.ts';
import {createRaw, type RawOutputs} from './raw.ts';
import {noArchive, refuseQuery} from './refuse-query.ts';
import {guardSink} from './sink-guard.ts';
import type {SinkLeases} from './sink-leases.ts';
import type {DeliveryStatus} from './status.ts';

/** Everything behind the engine: open sinks, a delivery for each (query, sink), raw deliveries, delivery marks. */
export type Outputs = {
  /** Prepares the tables of a query. @param key its name here, when not the query's own. @throws SINK_TABLE_DIFFERS and other errors of its sinks. */
  addQuery(plan: QueryPlan, callbacks: OutputCallbacks, key?: string): Promise<void>;
  removeQuery(query: string): void;
  /**
   * `written` resolves when every sink of the query has the rows, and rejects as a delivery does. `taken` may resolve before: when
   * one sink has them, and no slower one has too many waiting. Marks are made behind the rows all the same.
   */
  write(
    query: string,
    rows: Omit<EmittedRows, 'query' | 'sequence'>,
  ): Record<'taken' | 'written', Promise<void>>;
  /** Whether some sink of the query lacks rows that were taken. */
  owes(query: string): boolean;
  /** Gives up what is pending for a query that stopped: its rows come again from its checkpoint. */
  abandon(query: string): void;
  /** Resolves when every sink of the query has marked the epoch; rejects with the error of one that refuses for good. */
  mark(query: string, epoch: number): Promise<void>;
  /** The lowest epoch that the query's sinks have marked; undefined when one of them has none, null when none keeps marks. */
  marked(plan: QueryPlan): Promise<number | undefined | null>;
  switchView(plan: QueryPlan): Promise<void>;
  /**
   * The rows of a revision's table in a sink, newest windows first (or `oldest`), up to a number of them; undefined when the sink
   * cannot be asked. @param table its columns are those that are read
   */
  rows(sink: string, table: Table, rowsMax: number, oldest?: boolean): Promise<Value[][] | undefined>;
  /** Drops a table with all it holds. */
  dropTable(sink: string, table: string): Promise<void>;
  /** Drops the view of a query that is gone. */
  dropView(sink: string, query: string): Promise<void>;
  /** Empties the query's tables: drops and makes them again. */
  empty(plan: QueryPlan): Promise<void>;
  /** Revisions of the query whose tables exist in some sink. */
  revisions(plan: QueryPlan): Promise<number[]>;
  /** Writes a row once more that the sink had refused. @throws the sink's error, when it refuses it again */
  resend(sink: string, table: Table, batch: RowBatch): Promise<void>;
  /** Writes raw events `again`, one that the sink had refused say. @throws the sink's error */
  resendRaw(sink: string, table: Table, batch: RawBatch): Promise<void>;
  /** Raw events that a sink keeps, by offset. @throws ARCHIVE_MISSING when it cannot be asked for them */
  rawEvents(sink: string, table: Table, range: RawRange, columns: string[]): Promise<RowBatch>;
  /** Partition -> next offset that the raw table of a sink wants. @throws ARCHIVE_MISSING */
  rawOffsets(sink: string, table: Table): Promise<Map<number, number>>;
  raw: RawOutputs;
  /** A sink, opened when it is not yet. */
  sink(name: string): Promise<HostedSink>;
  /** Starts again what stopped for good; true when there was something of that name. */
  resume(name: string): Promise<boolean>;
  sql(sink: string, text: string): Promise<QueryResult>;
  /** Written, pending and state of every delivery. @param queries what the engine says of them: for the lag */
  deliveries(queries?: readonly QueryStatus[]): DeliveryStatus[];
  close(): Promise<void>;
};

export type OutputCallbacks = {
  onPaused(error: PlatformError): void;
  onResumed(): void;
  /** Rows that a sink refuses; resolves when they are durable as dead letters. */
  onRefused(sink: string, rows: RefusedRow[]): Promise<void>;
};

/** `booksOf`: where the raw events of a sink go that it refuses. `leases`: which sinks this process writes into; undefined: all. */
export type OutputsOptions = {
  clock: Clock;
  telemetry: Telemetry;
  booksOf(sink: string): RawBooks;
  topics: RowTopics;
  leases?: SinkLeases | undefined;
};

type Open = {sink: HostedSink; marker: Marker};
type QueryOutput = {
  table: Table;
  ways: Way[];
  pauses: Pauses;
  /** Its rows are taken only when all sinks have them. */
  isStrict: boolean;
};

/**
 * Opens the sinks of queries; those of raw events when they are first wanted.
 * @throws the error of a sink that does not open, naming the sink
 */
export async function openOutputs(
  platform: Platform,
  {clock, telemetry, booksOf, topics, leases}: OutputsOptions,
): Promise<Outputs> {
  const queries = new Map<string, QueryOutput>();
  const openNow = async (name: string, signal: AbortSignal): Promise<Open> => {
    const {root, plugins, sinks} = platform;
    const options = {root, plugins, telemetry, clock, books: booksOf(name), topics, signal};
    const whole = await openSink({name, choice: sinks[name]!, ...options});
    const sink = guardSink(whole, name, does(platform, 'engine') ? undefined : leases);
    const marker = createMarker({sink, sinkName: name, clock, random: Math.random, telemetry});
    return {sink, marker};
  };
  const who = (name: string) => whoIs(name, placeOfSink(platform.sinks[name]!));
  const openings = createOpenings(openNow, ({sink}) => sink.close(), clock, who);
  const openOnce = openings.open;
  try {
    await Promise.all(
      sinksOfQueries(platform).map((name) =>
        openOnce(name).catch((error) => {
          // Its queries wait for it, those of other sinks need not.
          if (!openings.isSlow(name)) throw error;
        }),
      ),
    );
  } catch (error) {
    await openings.close().catch(() => {});
    throw error;
  }
  const raw = createRaw(platform, async (name) => (await openOnce(name)).sink, telemetry, leases);
  const opened = (name: string): Open => {
    const found = openings.opened(name);
    if (!found) throw new Error(`a query of a sink that was not opened: ${name}`);
    return found;
  };
  const outputOf = (query: string): QueryOutput => {
    const found = queries.get(query);
    if (!found) throw new Error(`rows of a query without outputs: ${query}`);
    return found;
  };

  return {
    raw,
    sink: async (name) => (await openOnce(name)).sink,
    async addQuery(plan, callbacks, key = plan.id) {
      const pauses = new Pauses(callbacks);
      const ways = await Promise.all(
        plan.sinks.map(async (sinkName) => {
          const {sink} = await openOnce(sinkName);
          await sink.ensure(plan.table).catch((error) => {
            const command = `npx millrace rebuild ${plan.id}`;
            throw explainDifference(error, platform, sinkName, {command, isOfQuery: true});
          });
          const {onRefused} = callbacks;
          const health = pauses.of(`rows of ${sinkName}`);
          const options = {
            sink,
            sinkName,
            table: plan.table,
            clock,
            random: Math.random,
            telemetry,
            distinct: emitsDistinct(plan),
            writesMax: sink.spec.capabilities.writes ?? 1,
            callbacks: {...health, onRefused: (rows: RefusedRow[]) => onRefused(sinkName, rows)},
          };
          const marks = pauses.of(`marks of ${sinkName}`);
          return new Way(sinkName, createDelivery(options), marks);
        }),
      );
      // What is being filled is compared by what its sinks have.
      queries.set(key, {table: plan.table, ways, pauses, isStrict: key !== plan.id});
    },
    removeQuery(query) {
      for (const {delivery} of queries.get(query)?.ways ?? []) delivery.close();
      queries.delete(query);
    },
    write(query, {through, ...batch}) {
      const {table, ways, isStrict} = outputOf(query);
      return pushAll(ways, {...batch, table: tableId(table)}, through, isStrict);
    },
    owes: (query) => (queries.get(query)?.ways ?? []).some(({delivery}) => delivery.counts().pending > 0),
    abandon(query) {
      const output = queries.get(query);
      output?.pauses.forget();
      for (const way of output?.ways ?? []) way.abandon();
    },
    async mark(query, epoch) {
      const {table, ways} = outputOf(query);
      const id = tableId(table);
      await Promise.all(
        ways.map(async (way) => {
          await way.settled;
          await opened(way.sinkName).marker.mark(id, epoch, way.marks);
        }),
      );
    },
    async marked(plan) {
      const durable = (await Promise.all(plan.sinks.map(openOnce)))
        .map(({sink}) => sink)
        .filter(({spec}) => spec.capabilities.durable);
      if (durable.length === 0) return null;
      const epochs = await Promise.all(durable.map((sink) => sink.marked(tableId(plan.table))));
      return epochs.some((epoch) => epoch === undefined) ? undefined : Math.min(...(epochs as number[]));
    },
    async switchView(plan) {
      for (const name of plan.sinks) {
        failpoint('change.before-view');
        await (await openOnce(name)).sink.switchView?.(plan.table);
        failpoint('change.after-view');
      }
    },
    async rows(name, table, rowsMax, oldest) {
      const {sink} = await openOnce(name);
      const all = await sink.latest?.(table);
      if (all) return (oldest ? all.reverse() : all).slice(0, rowsMax);
      return sink.query ? (await sink.query(newestRows(table, rowsMax, oldest))).rows : undefined;
    },
    async dropTable(name, table) {
      await (await openOnce(name)).sink.drop?.(table);
    },
    async dropView(name, query) {
      await (await openOnce(name)).sink.dropView?.(query);
    },
    async empty(plan) {
      for (const name of plan.sinks) {
        const {sink} = await openOnce(name);
        await sink.drop?.(tableId(plan.table));
        await sink.ensure(plan.table);
      }
    },
    async revisions({sinks, table: {namespace}, query}) {
      const of = async (name: string) => (await openOnce(name)).sink.revisions?.(namespace, query) ?? [];
      return (await Promise.all(sinks.map(of))).flat();
    },
    async resend(name, table, batch) {
      const delivery = [...queries.values()]
        .filter((query) => tableId(query.table) === tableId(table))
        .flatMap(({ways}) => ways)
        .find(({sinkName}) => sinkName === name)?.delivery;
      if (!delivery)
        throw new PlatformError('SINK_UNAVAILABLE', `nothing is delivered to ${tableId(table)} just now`);
      await delivery.resend(batch);
    },
    async resendRaw(name, table, batch) {
      const {sink} = await openOnce(name);
      if (!sink.writeRaw) throw new PlatformError('SINK_REFUSED', `sink "${name}" takes no raw events`);
      await sink.writeRaw(table, batch);
    },
    async rawEvents(name, table, range, columns) {
      const {sink} = await openOnce(name);
      if (!sink.readRaw) throw noArchive(name);
      return sink.readRaw(table, range, columns);
    },
    async rawOffsets(name, table) {
      const {sink} = await openOnce(name);
      if (!sink.rawOffsets) throw noArchive(name);
      return sink.rawOffsets(table);
    },
    async resume(name) {
      let found = false;
      for (const {ways} of queries.has(name) ? [queries.get(name)!] : []) {
        for (const {delivery} of ways) {
          delivery.resume();
          found = true;
        }
      }
      return (await raw.resume(name)) || found;
    },
    async sql(name, text) {
      if (!Object.hasOwn(platform.sinks, name))
        throw new PlatformError('NAME_UNKNOWN', `there is no sink "${name}"`, {
          hint: `sinks: ${Object.keys(platform.sinks).join(', ')}`,
        });
      const {sink} = await openOnce(name);
      if (!sink.query)
        throw new PlatformError(
          'NAME_UNKNOWN',
          `sink "${name}" (${sink.spec.name}) cannot be asked with SQL`,
          {
            hint: 'chdb, clickhouse, pglite and postgres can',
          },
        );
      return sink.query(text).catch(refuseQuery);
    },
    deliveries: (statuses = []) =>
      [...queries].flatMap(([key, {table, ways}]) =>
        ways.map((way) =>
          way.status(
            tableId(table),
            statuses.find(({query}) => query === key),
          ),
        ),
      ),
    async close() {
      raw.close();
      for (const {ways} of queries.values()) for (const {delivery} of ways) delivery.close();
      for (const {marker} of openings.all()) marker.close();
      await openings.close();
    },
  };
}

function sinksOfQueries({domains}: Platform): string[] {
  return [...new Set(domains.flatMap(({aggregations}) => aggregations.flatMap(({sinks}) => sinks)))];
}
