/** One event's way: where it lies in the log, what every query made of it, whether it is in the raw table. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {PlatformError} from '../errors.ts';
import {evaluate} from '../expr/evaluate.ts';
import {ExpressionFailure} from '../expr/failure.ts';
import type {Value} from '../expr/types.ts';
import {deadLetterTopic, readDeadLetters, type StoredDeadLetter} from '../ingest/deadletters.ts';
import {domainNamespace} from '../ingest/identity.ts';
import {openLogReader} from '../log/embedded.ts';
import {partitionOfBytes} from '../log/partition.ts';
import type {LogReader} from '../log/types.ts';
import type {Domain, EventType, Platform} from '../model/types.ts';
import {type CheckpointHeader, stateName} from '../process/embedded/checkpoint.ts';
import {openStateReader} from '../process/embedded/statestore.ts';
import {columnsOfEvent, windowsOf} from '../process/naive.ts';
import {buildPlan} from '../process/plan/build.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {LookupSnapshot} from '../process/types.ts';
import {compileDecoder, type Decoder} from '../schema/decode.ts';
import {frameHeaderBytes, schemaIdOf, walkRecords} from '../schema/frame.ts';
import {openEmbeddedRegistry, type SchemaRegistry} from '../schema/registry.ts';
import type {AvroRecord} from '../schema/types.ts';
import {uuid5} from '../schema/uuid5.ts';
import {type Ask, dialectOf, recordsOf} from './ask.ts';
import {createLookupStore} from './lookups.ts';
import type {PlatformDirs} from './places.ts';
import {readRevisions, revisionOf} from './revisions.ts';

/** Where a record lies. */
type Found = {eventType: EventType; partition: number; offset: number};

export type QueryTrace = {
  query: string;
  /**
   * `waiting`: not read yet. `late`, `dead`: in the query's late topic, in the dead letters. `aggregated`: in these windows;
   * of a query with `late: drop` it may have been late, which keeps no list.
   */
  class: 'waiting' | 'aggregated' | 'filtered' | 'late' | 'dead';
  reason: string;
  /** Group by dimension. */
  group: Record<string, Value>;
  windows: {start: string; end: string}[];
};

export type EventTrace = {
  eventId: string;
  topic: string;
  partition: number;
  offset: number;
  appended: string;
  schema: {id: number; subject: string; version: number} | null;
  /** How it was found: by the index of the raw table or of the log, or by reading the topic where neither has it. */
  foundBy: 'raw table' | 'log index' | 'search';
  /** Logged values by column. */
  event: Record<string, Value>;
  raw: {sink: string; table: string; written: boolean} | null;
  queries: QueryTrace[];
};

/** A dead letter or a replayed one that carries the id, for an event that never reached the log or was refused. */
export type TraceResult = {events: EventTrace[]; deadLetters: StoredDeadLetter[]};

export type TraceOptions = {
  platform: Platform;
  dirs: PlatformDirs;
  ask: Ask /** Told before a topic is read from its start. */;
  onSearch(topic: string): void;
};

/** Everything that is known of an id, in all domains. @throws LOG_CORRUPT */
export async function traceEvent(eventId: string, options: TraceOptions): Promise<TraceResult> {
  const {platform, dirs} = options;
  const result: TraceResult = {events: [], deadLetters: []};
  if (!existsSync(join(dirs.log, 'log.db'))) return result;
  const log = openLogReader(dirs.log);
  const registry = openEmbeddedRegistry(dirs.registry, {readOnly: true});
  try {
    const tracer = new Tracer(options, log, registry);
    for (const domain of platform.domains) {
      for (const eventType of domain.eventTypes) {
        const trace = await tracer.find(domain, eventType, eventId);
        if (trace) result.events.push(trace);
      }
      if (log.partitions(deadLetterTopic(domain.name)) > 0)
        for await (const letter of readDeadLetters(log, domain.name))
          if (letter.eventId === eventId) result.deadLetters.push(letter);
    }
    return result;
  } finally {
    registry.close();
    log.close();
  }
}

class Tracer {
  readonly #options: TraceOptions;
  readonly #log: LogReader;
  readonly #registry: SchemaRegistry;
  readonly #decoders = new Map<string, Decoder | undefined>();

  constructor(options: TraceOptions, log: LogReader, registry: SchemaRegistry) {
    this.#options = options;
    this.#log = log;
    this.#registry = registry;
  }

  async find(domain: Domain, eventType: EventType, eventId: string): Promise<EventTrace | undefined> {
    if (this.#log.partitions(eventType.topic) === 0) return undefined;
    const raw = await this.#rawPlace(domain, eventType, eventId);
    if (raw) return this.#trace(domain, {eventType, ...raw}, eventId, 'raw table');
    const indexed = this.#log.placeOf(eventType.topic, eventId);
    if (indexed) return this.#trace(domain, {eventType, ...indexed}, eventId, 'log index');
    // A raw table that has everything answers for good; else the event may still be on its way there.
    const searched = await this.#search(domain, eventType, eventId);
    return searched && this.#trace(domain, {eventType, ...searched}, eventId, 'search');
  }

  async #rawPlace(
    {defaults, name}: Domain,
    eventType: EventType,
    eventId: string,
  ): Promise<{partition: number; offset: number} | undefined> {
    const {platform, ask} = this.#options;
    const dialect = defaults.raw === null ? undefined : dialectOf(platform, defaults.raw);
    if (!dialect || eventId.includes('\0')) return undefined;
    try {
      const result = await ask(
        defaults.raw!,
        `SELECT "_partition", "_offset" FROM "${name}"."${eventType.name}" WHERE event_id = ${dialect.literal(eventId)} LIMIT 1`,
      );
      const [row] = recordsOf(result);
      return row && {partition: Number(row._partition), offset: Number(row._offset)};
    } catch (error) {
      // The database is not there yet, or busy: the log has everything that it has.
      if (error instanceof PlatformError) return undefined;
      throw error;
    }
  }

  /** Reads a topic from its newest records back to its oldest is not possible in a log: from the start on. */
  async #search(
    domain: Domain,
    eventType: EventType,
    eventId: string,
  ): Promise<{partition: number; offset: number} | undefined> {
    const {topic} = eventType;
    const partitions = this.#log.partitions(topic);
    const bytes = Buffer.from(eventId);
    // Without a key the id itself picks the partition.
    const chosen =
      eventType.key === 'event_id'
        ? [partitionOfBytes(bytes, partitions, 0, bytes.length)]
        : [...Array(partitions).keys()];
    const raw = domain.defaults.raw;
    const from = raw === null ? new Map<number, number>() : await this.#rawReach(domain.name, eventType, raw);
    const places = chosen
      .map((partition) => ({
        partition,
        offset: from.get(partition) ?? this.#log.startOffset(topic, partition),
      }))
      .filter(({partition, offset}) => offset < this.#log.endOffset(topic, partition));
    if (places.length === 0) return undefined;
    this.#options.onSearch(topic);
    for (const {partition, offset: start} of places)
      for (let offset = start; ; ) {
        const batches = await this.#log.read(topic, partition, offset, 1 << 20);
        if (batches.length === 0) break;
        for (const batch of batches) {
          offset = batch.baseOffset + batch.count;
          if (batch.kind === 'mark') continue;
          const found: number[] = [];
          const records: {index: number; pos: number; end: number}[] = [];
          walkRecords(batch, (index, pos, end) => void records.push({index, pos, end}));
          for (const {index, pos, end} of records) {
            const decode = await this.#decoder(schemaIdOf(batch.bytes, pos, end), ['event_id']);
            if (decode?.(batch.bytes, pos + frameHeaderBytes, end)[0] === eventId)
              found.push(batch.baseOffset + index);
          }
          if (found.length > 0) return {partition, offset: found[0]!};
        }
      }
    return undefined;
  }

  /** Partition -> offset below which the raw table has everything; empty when that is not known. */
  async #rawReach(domain: string, {name}: EventType, sink: string): Promise<Map<number, number>> {
    if (!dialectOf(this.#options.platform, sink)) return new Map();
    try {
      const result = await this.#options.ask(
        sink,
        `SELECT "_partition", max("_offset") AS last FROM "${domain}"."${name}" GROUP BY "_partition"`,
      );
      return new Map(recordsOf(result).map((row) => [Number(row._partition), Number(row.last) + 1]));
    } catch (error) {
      if (error instanceof PlatformError) return new Map();
      throw error;
    }
  }

  async #decoder(schemaId: number, fields?: string[]): Promise<Decoder | undefined> {
    const key = `${schemaId} ${fields}`;
    if (!this.#decoders.has(key)) {
      const schema = (await this.#registry.byId(schemaId))?.schema as AvroRecord | undefined;
      this.#decoders.set(key, schema && compileDecoder(schema, fields));
    }
    return this.#decoders.get(key);
  }

  async #trace(
    domain: Domain,
    {eventType, partition, offset}: Found,
    eventId: string,
    foundBy: EventTrace['foundBy'],
  ): Promise<EventTrace | undefined> {
    const {topic} = eventType;
    const [batch] = await this.#log.read(topic, partition, offset, 1);
    if (!batch || batch.kind === 'mark') return undefined;
    let place: {pos: number; end: number} | undefined;
    walkRecords(batch, (index, pos, end) => {
      if (batch.baseOffset + index === offset) place = {pos, end};
    });
    if (!place) return undefined;
    const schemaId = schemaIdOf(batch.bytes, place.pos, place.end);
    const registered = await this.#registry.byId(schemaId);
    const decode = await this.#decoder(schemaId);
    const values = decode?.(batch.bytes, place.pos + frameHeaderBytes, place.end) ?? [];
    const names = (registered?.schema as AvroRecord | undefined)?.fields.map(({name}) => name) ?? [];
    const event = Object.fromEntries(names.map((name, index) => [name, values[index] as Value]));
    const {raw} = domain.defaults;
    return {
      eventId,
      topic,
      partition,
      offset,
      appended: new Date(batch.appendTimeMs).toISOString(),
      schema: registered ? {id: schemaId, subject: registered.subject, version: registered.version} : null,
      foundBy,
      event,
      raw:
        raw === null
          ? null
          : {sink: raw, table: `${domain.name}.${eventType.name}`, written: foundBy === 'raw table'},
      queries: await this.#queries(domain, {eventType, partition, offset}, event),
    };
  }

  async #queries(domain: Domain, found: Found, event: Record<string, Value>): Promise<QueryTrace[]> {
    const {dirs} = this.#options;
    const revisions = readRevisions(dirs.revisions);
    const states = openStateReader(dirs.state);
    try {
      const traces: QueryTrace[] = [];
      for (const aggregation of domain.aggregations) {
        if (!aggregation.from.includes(found.eventType.name)) continue;
        const id = `${domain.name}.${aggregation.name}`;
        const plan = buildPlan(domain, aggregation, revisionOf(revisions, id));
        const loaded = states.load(stateName(plan));
        const header = loaded && (JSON.parse(loaded.meta) as CheckpointHeader);
        traces.push(await this.#query(domain, plan, header, found, event));
      }
      return traces;
    } finally {
      states.close();
    }
  }

  async #query(
    domain: Domain,
    plan: QueryPlan,
    header: CheckpointHeader | undefined,
    {eventType, partition, offset}: Found,
    event: Record<string, Value>,
  ): Promise<QueryTrace> {
    const trace = (kind: QueryTrace['class'], reason: string): QueryTrace => ({
      query: plan.id,
      class: kind,
      reason,
      group: {},
      windows: [],
    });
    const {topic} = eventType;
    const cut = header?.cuts.find((each) => each.topic === topic && each.partition === partition);
    if (!cut || cut.offset <= offset)
      return trace(
        'waiting',
        `the query's last checkpoint is at offset ${cut?.offset ?? 0} of partition ${partition}`,
      );
    const place = `${topic}/${partition}/${offset}`;
    const identity = (stage: string) => uuid5(domainNamespace(domain.name), `${place}/${stage}/${plan.id}`);
    const known = (in_: string, id: string) =>
      this.#log.partitions(in_) > 0 && this.#log.knows(in_, [id])[0]!;
    if (known(`late.${plan.id}`, identity('late')))
      return trace('late', `it lies in late.${plan.id}: npx millrace late list ${plan.id}`);
    for (const stage of ['expression', 'decode'])
      if (known(deadLetterTopic(domain.name), identity(stage)))
        return trace(
          'dead',
          `it became a dead letter: npx millrace dlq show ${domain.name} ${identity(stage).slice(0, 8)}`,
        );
    return this.#judged(domain, plan, header!, eventType, event, trace);
  }

  async #judged(
    domain: Domain,
    plan: QueryPlan,
    header: CheckpointHeader,
    eventType: EventType,
    event: Record<string, Value>,
    trace: (kind: QueryTrace['class'], reason: string) => QueryTrace,
  ): Promise<QueryTrace> {
    const source = plan.sources.find((each) => each.topic === eventType.topic)!;
    const values = Object.fromEntries(
      eventType.fields.map(({name, column}) => [name, event[column] ?? null]),
    );
    try {
      const row = columnsOfEvent(source, values, await this.#snapshots(domain, source, header));
      if (plan.where && evaluate(plan.where, (name) => row[name] ?? null) !== true)
        return trace('filtered', 'its where is not true for it');
      const timeMs = Number(values.timestamp);
      const windows = plan.window.type === 'session' ? [] : windowsOf(plan.window, timeMs);
      return {
        ...trace(
          'aggregated',
          plan.window.type === 'session'
            ? `it is in the session of its group that holds ${new Date(timeMs).toISOString()}`
            : plan.late === 'drop'
              ? 'it counts in these windows, unless it was late: `late: drop` keeps no list'
              : 'it counts in these windows',
        ),
        group: Object.fromEntries(plan.groupBy.map(({name}) => [name, row[name] ?? null])),
        windows: windows.map(({startMs, endMs}) => ({
          start: new Date(startMs).toISOString(),
          end: new Date(endMs).toISOString(),
        })),
      };
    } catch (error) {
      if (!(error instanceof ExpressionFailure)) throw error;
      return trace('dead', `an expression of the query cannot be computed for it: ${error.message}`);
    }
  }

  /** The lookups as the query has them now; a switch since it was read can have changed what it took from them. */
  async #snapshots(
    domain: Domain,
    source: QueryPlan['sources'][number],
    {lookups}: CheckpointHeader,
  ): Promise<Map<string, LookupSnapshot>> {
    const store = createLookupStore(join(this.#options.dirs.state, 'lookups'));
    const snapshots = new Map<string, LookupSnapshot>();
    for (const {lookup: name} of source.enrich) {
      const lookup = domain.lookups.find((each) => each.name === name)!;
      const id = lookups[name];
      const snapshot = id === undefined ? undefined : await store.get(lookup, id);
      if (snapshot) snapshots.set(name, snapshot);
    }
    return snapshots;
  }
}
