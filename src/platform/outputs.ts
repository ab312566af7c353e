import type {Clock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import {rawTable} from '../model/tables.ts';
import type {Platform, Table} from '../model/types.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {RegisteredSchema} from '../schema/types.ts';
import {createDelivery, type Delivery} from '../sinks/delivery.ts';
import {type HostedSink, openSink} from '../sinks/host.ts';
import {createMarker, type Marker} from '../sinks/marker.ts';
import type {RawStats} from '../sinks/raw.ts';
import {tableId} from '../sinks/tables.ts';
import type {QueryResult, RowBatch} from '../sinks/types.ts';
import type {Telemetry} from '../telemetry.ts';
import type {DeliveryStatus, RawStatus} from './status.ts';

/** Everything behind the engine: open sinks, a delivery for each (query, sink), raw deliveries, delivery marks. */
export type Outputs = {
  /** Prepares the tables of a query. @throws SINK_TABLE_DIFFERS and other errors of its sinks. */
  addQuery(plan: QueryPlan, callbacks: OutputCallbacks): Promise<void>;
  removeQuery(query: string): void;
  /** Resolves when every sink of the query has the rows. */
  write(query: string, batch: Omit<RowBatch, 'table'>): Promise<void>;
  /** Resolves when every sink of the query has marked the epoch. */
  mark(query: string, epoch: number): Promise<void>;
  /** The lowest epoch that the query's sinks have marked; undefined when one of them has none. */
  marked(plan: QueryPlan): Promise<number | undefined>;
  switchView(plan: QueryPlan): Promise<void>;
  /** Empties the query's tables: drops and makes them again. */
  empty(plan: QueryPlan): Promise<void>;
  /** Revisions of the query whose tables exist in some sink. */
  revisions(plan: QueryPlan): Promise<number[]>;
  /** Per topic, partition -> next offset that the raw sink wants. */
  rawOffsets(): Promise<{topic: string; offsets: Record<number, number>}[]>;
  /** Starts raw deliveries of every event type whose domain names a raw sink. */
  startRaw(schemas: Map<string, RegisteredSchema>, dirs: {log: string; registry: string}): Promise<void>;
  /** Starts again what stopped for good; true when there was something of that name. */
  resume(name: string): Promise<boolean>;
  sql(sink: string, text: string): Promise<QueryResult>;
  /** Written, pending and state of every delivery. */
  deliveries(): DeliveryStatus[];
  /** Refreshes and gives the figures of the raw deliveries. */
  raw(): Promise<RawStatus[]>;
  /** Resolves when no row is pending and raw deliveries have reached the log's end, or after `ms`. */
  drained(ms: number): Promise<boolean>;
  close(): Promise<void>;
};

export type OutputCallbacks = {
  onPaused(error: PlatformError): void;
  onResumed(): void;
  onStopped(error: PlatformError): void;
};

type Open = {sink: HostedSink; marker: Marker};
type QueryOutput = {table: Table; deliveries: {sinkName: string; delivery: Delivery}[]};

/** Opens every sink that something is written to. @throws the error of a sink that does not open, naming the sink. */
export async function openOutputs(
  platform: Platform,
  {clock, telemetry}: {clock: Clock; telemetry: Telemetry},
): Promise<Outputs> {
  const open = new Map<string, Open>();
  const queries = new Map<string, QueryOutput>();
  const rawTables: {sinkName: string; table: Table}[] = [];
  let rawSeen: RawStatus[] = [];

  try {
    await Promise.all(
      sinksInUse(platform).map(async (name) => {
        const choice = platform.sinks[name]!;
        const sink = await openSink({
          name,
          choice,
          root: platform.root,
          plugins: platform.plugins,
          telemetry,
          clock,
        });
        open.set(name, {
          sink,
          marker: createMarker({sink, sinkName: name, clock, random: Math.random, telemetry}),
        });
      }),
    );
  } catch (error) {
    await Promise.allSettled([...open.values()].map(({sink}) => sink.close()));
    throw error;
  }
  const opened = (name: string): Open => {
    const found = open.get(name);
    if (!found)
      throw new PlatformError('NAME_UNKNOWN', `there is no sink "${name}" in use`, {
        hint: `sinks in use: ${[...open.keys()].join(', ')}`,
      });
    return found;
  };
  const outputOf = (query: string): QueryOutput => {
    const found = queries.get(query);
    if (!found) throw new Error(`rows of a query without outputs: ${query}`);
    return found;
  };

  const readRaw = async (): Promise<RawStatus[]> => {
    const names = [...new Set(rawTables.map(({sinkName}) => sinkName))];
    const read = async (name: string) => {
      const stats = await opened(name).sink.raw!.stats();
      return stats.map((each) => rawStatus(name, each));
    };
    rawSeen = (
      await Promise.all(
        names.map((name) => read(name).catch(() => rawSeen.filter(({sink}) => sink === name))),
      )
    ).flat();
    return rawSeen;
  };

  return {
    async addQuery(plan, callbacks) {
      const deliveries = await Promise.all(
        plan.sinks.map(async (sinkName) => {
          const {sink} = opened(sinkName);
          await sink.ensure(plan.table);
          const options = {
            sink,
            sinkName,
            table: plan.table,
            clock,
            random: Math.random,
            telemetry,
            callbacks,
          };
          return {sinkName, delivery: createDelivery(options)};
        }),
      );
      queries.set(plan.id, {table: plan.table, deliveries});
    },
    removeQuery(query) {
      for (const {delivery} of queries.get(query)?.deliveries ?? []) delivery.close();
      queries.delete(query);
    },
    async write(query, batch) {
      const {table, deliveries} = outputOf(query);
      const rows = {...batch, table: tableId(table)};
      await Promise.all(deliveries.map(({delivery}) => delivery.push(rows)));
    },
    async mark(query, epoch) {
      const {table, deliveries} = outputOf(query);
      await Promise.all(deliveries.map(({sinkName}) => opened(sinkName).marker.mark(tableId(table), epoch)));
    },
    async marked(plan) {
      const epochs = await Promise.all(
        plan.sinks.map((name) => opened(name).sink.marked(tableId(plan.table))),
      );
      return epochs.some((epoch) => epoch === undefined) ? undefined : Math.min(...(epochs as number[]));
    },
    async switchView(plan) {
      for (const name of plan.sinks) await opened(name).sink.switchView?.(plan.table);
    },
    async empty(plan) {
      for (const name of plan.sinks) {
        const {sink} = opened(name);
        await sink.drop?.(tableId(plan.table));
        await sink.ensure(plan.table);
      }
    },
    async revisions(plan) {
      const found = await Promise.all(
        plan.sinks.map((name) => opened(name).sink.revisions?.(plan.table.namespace, plan.query) ?? []),
      );
      return found.flat();
    },
    async rawOffsets() {
      const names = [...new Set(rawTables.map(({sinkName}) => sinkName))];
      const stats = await Promise.all(names.map((name) => opened(name).sink.raw!.stats()));
      return stats.flat().map(({table, offsets}) => ({topic: table, offsets}));
    },
    async startRaw(schemas, dirs) {
      for (const domain of platform.domains) {
        const sinkName = domain.defaults.raw;
        if (sinkName === null) continue;
        const {sink} = opened(sinkName);
        if (!sink.raw) continue;
        for (const eventType of domain.eventTypes) {
          const table = rawTable(eventType);
          const {schema} = schemas.get(eventType.topic)!;
          await sink.ensure(table);
          await sink.raw.start({
            table,
            topic: eventType.topic,
            schema: schema as Parameters<typeof sink.raw.start>[0]['schema'],
            logDir: dirs.log,
            registryDir: dirs.registry,
          });
          rawTables.push({sinkName, table});
        }
      }
    },
    async resume(name) {
      let found = false;
      for (const {deliveries} of queries.has(name) ? [queries.get(name)!] : []) {
        for (const {sinkName, delivery} of deliveries) {
          delivery.resume();
          opened(sinkName).marker.resume();
          found = true;
        }
      }
      for (const {sinkName, table} of rawTables)
        if (tableId(table) === name) {
          await opened(sinkName).sink.raw!.resume(name);
          found = true;
        }
      return found;
    },
    async sql(name, text) {
      const {sink} = opened(name);
      if (!sink.query)
        throw new PlatformError('NAME_UNKNOWN', `sink "${name}" cannot be asked with SQL`, {
          hint: `sinks that can: ${[...open].flatMap(([other, {sink: each}]) => (each.query ? [other] : [])).join(', ')}`,
        });
      return sink.query(text);
    },
    deliveries: () =>
      [...queries.values()].flatMap(({table, deliveries}) =>
        deliveries.map(({sinkName, delivery}): DeliveryStatus => {
          const state = delivery.state();
          const reason = delivery.reason();
          return {
            sink: sinkName,
            table: tableId(table),
            state: state === 'closed' ? 'stopped' : state,
            ...delivery.counts(),
            ...(reason ? {message: `${reason.code} ${reason.message}`} : {}),
          };
        }),
      ),
    raw: readRaw,
    async drained(ms) {
      const untilMs = performance.now() + ms;
      for (;;) {
        const pending = [...queries.values()].some(({deliveries}) =>
          deliveries.some(({delivery}) => delivery.counts().pending > 0),
        );
        const lagging = (await readRaw()).some(({lagEvents, state}) => state === 'running' && lagEvents > 0);
        if (!pending && !lagging) return true;
        if (performance.now() > untilMs) return false;
        await clock.sleep(50);
      }
    },
    async close() {
      for (const {deliveries} of queries.values()) for (const {delivery} of deliveries) delivery.close();
      for (const {marker} of open.values()) marker.close();
      await Promise.all([...open.values()].map(({sink}) => sink.close()));
    },
  };
}

function sinksInUse({domains}: Platform): string[] {
  const names = new Set<string>();
  for (const domain of domains) {
    for (const {sinks} of domain.aggregations) for (const name of sinks) names.add(name);
    if (domain.defaults.raw !== null && domain.eventTypes.length > 0) names.add(domain.defaults.raw);
  }
  return [...names];
}

const rawStatus = (sink: string, {table, state, reason, written, lagEvents}: RawStats): RawStatus => ({
  sink,
  table,
  state: state === 'held' ? 'paused' : state,
  written,
  lagEvents,
  ...(reason ? {message: `${reason.code} ${reason.message}`} : {}),
});
