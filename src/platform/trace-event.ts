/** One event's way: where it lies in the log, what every query made of it, whether it is in the raw table. */
import {join} from 'node:path';
import {evaluate} from '../expr/evaluate.ts';
import {ExpressionFailure} from '../expr/failure.ts';
import type {Value} from '../expr/types.ts';
import {deadLetterTopic, readDeadLetters, type StoredDeadLetter} from '../ingest/deadletters.ts';
import {domainNamespace} from '../ingest/identity.ts';
import {hasLog, openLog} from '../log/open.ts';
import type {LogReader} from '../log/types.ts';
import type {Domain, EventType} from '../model/types.ts';
import {hasPii} from '../privacy/protector.ts';
import {type CheckpointHeader, stateName} from '../process/embedded/checkpoint.ts';
import {openStateReader} from '../process/embedded/statestore.ts';
import {columnsOfEvent, windowsOf} from '../process/naive.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {LookupSnapshot} from '../process/types.ts';
import {frameIdOf, recordOf} from '../schema/columns.ts';
import {walkRecords} from '../schema/frame.ts';
import type {SchemaRegistry} from '../schema/registry.ts';
import {openRegistry} from '../schema/registry-open.ts';
import {uuid5} from '../schema/uuid5.ts';
import {plansToRun} from './apply-plans.ts';
import {statusOf} from './letters.ts';
import {LetterHistory} from './letters-history.ts';
import {createLookupStore} from './lookups.ts';
import type {PlatformDirs} from './places.ts';
import {readRevisions} from './revisions.ts';
import {Finder, type FinderOptions, type FoundBy} from './trace-find.ts';

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
  foundBy: FoundBy;
  /** Logged values by column. */
  event: Record<string, Value>;
  raw: {sink: string; table: string; written: boolean} | null;
  queries: QueryTrace[];
};

/** A dead letter or a replayed one that carries the id, for an event that never reached the log or was refused. */
export type TraceResult = {events: EventTrace[]; deadLetters: StoredDeadLetter[]};

export type TraceOptions = FinderOptions & {dirs: PlatformDirs};

/** Everything that is known of an id, in all domains. @throws LOG_CORRUPT */
export async function traceEvent(eventId: string, options: TraceOptions): Promise<TraceResult> {
  const {platform, dirs} = options;
  const result: TraceResult = {events: [], deadLetters: []};
  if (!hasLog(dirs.source)) return result;
  const log = await openLog(dirs.source);
  const registry = await openRegistry(dirs.registry, {readOnly: true});
  const tracer = new Tracer(options, log, registry);
  try {
    for (const domain of platform.domains) {
      for (const eventType of domain.eventTypes) {
        const trace = await tracer.find(domain, eventType, eventId);
        if (trace) result.events.push(trace);
      }
      if (log.partitions(deadLetterTopic(domain.name)) > 0)
        for await (const letter of readDeadLetters(log, domain.name))
          if (letter.eventId === eventId)
            result.deadLetters.push(
              domain.eventTypes.some(hasPii)
                ? {...letter, original: Buffer.from('(not shown: the domain has personal data)')}
                : letter,
            );
    }
    return result;
  } finally {
    tracer.close();
    registry.close();
    log.close();
  }
}

class Tracer {
  readonly #options: TraceOptions;
  readonly #log: LogReader;
  readonly #registry: SchemaRegistry;
  readonly #finder: Finder;
  readonly #replays = new Map<string, LetterHistory>();

  constructor(options: TraceOptions, log: LogReader, registry: SchemaRegistry) {
    this.#options = options;
    this.#log = log;
    this.#registry = registry;
    this.#finder = new Finder(options, log, registry);
  }

  close(): void {
    for (const history of this.#replays.values()) history.close();
  }

  async find(domain: Domain, eventType: EventType, eventId: string): Promise<EventTrace | undefined> {
    const place = await this.#finder.find(domain, eventType, eventId);
    return place && this.#trace(domain, {eventType, ...place}, eventId, place.foundBy);
  }

  async #trace(
    domain: Domain,
    {eventType, partition, offset}: Found,
    eventId: string,
    foundBy: FoundBy,
  ): Promise<EventTrace | undefined> {
    const {topic} = eventType;
    const [batch] = await this.#log.read(topic, partition, offset, 1);
    if (batch?.kind !== 'data') return undefined;
    let place: {pos: number; end: number} | undefined;
    walkRecords(batch, (index, pos, end) => {
      if (batch.baseOffset + index === offset) place = {pos, end};
    });
    if (!place) return undefined;
    const schemaId = frameIdOf(batch.bytes, place.pos, place.end);
    if (schemaId === undefined) return undefined;
    const registered = await this.#registry.byId(schemaId);
    const read = await this.#finder.reader(schemaId);
    const values = read?.(batch.bytes, place.pos, place.end) ?? [];
    const names = recordOf(registered?.schema)?.fields.map(({name}) => name) ?? [];
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
      for (const plan of plansToRun([domain], revisions, dirs)) {
        if (!plan.sources.some(({topic}) => topic === found.eventType.topic)) continue;
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
    for (const stage of ['late', 'expression', 'decode', 'check']) {
      const letter = identity(stage);
      const isLate = stage === 'late';
      if (!known(isLate ? `late.${plan.id}` : deadLetterTopic(domain.name), letter)) continue;
      const status = statusOf((await this.#replaysOf(domain.name)).of(letter));
      const was = isLate ? 'late' : 'dead';
      if (status === 'replayed') {
        const now = await this.#judged(domain, plan, header!, eventType, event, trace);
        // What was mended is not in the log as it was counted.
        const isMended = now.class === 'dead';
        const reason = isMended ? 'what was mended of it counts' : now.reason;
        const since = `it was ${was} at first and was replayed since; ${reason}`;
        return {...now, class: isMended ? 'aggregated' : now.class, reason: since};
      }
      const waits = status === 'queued' ? '; a replay of it waits for the query' : '';
      return trace(
        was,
        isLate
          ? `it lies in late.${plan.id}: npx millrace late list ${plan.id}${waits}`
          : `it became a dead letter: npx millrace dlq show ${domain.name} ${letter.slice(0, 8)}${waits}`,
      );
    }
    return this.#judged(domain, plan, header!, eventType, event, trace);
  }

  /** What the journal of a domain's replays says; read when something of it was set aside. */
  async #replaysOf(domain: string): Promise<LetterHistory> {
    let history = this.#replays.get(domain);
    if (history) return history;
    this.#replays.set(domain, (history = new LetterHistory()));
    await history.read(this.#log, domain);
    return history;
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
