/** Runs one scenario: the real ingestion, log and engine, in this thread, with a clock that the scenario moves. No database. */
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type TestClock, testClock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import {readDeadLetters} from '../ingest/deadletters.ts';
import {Incoming} from '../ingest/incoming.ts';
import {openLogReader} from '../log/embedded.ts';
import type {LogReader, LogWriter} from '../log/types.ts';
import {openLogWriter} from '../log/writer.ts';
import type {Domain} from '../model/types.ts';
import {buildLedger} from '../observe/ledger.ts';
import {createInlineEngine, type InlineEngine} from '../process/embedded/engine.ts';
import {type CheckpointWriter, startCheckpointWriter} from '../process/embedded/statestore.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {EmittedRows, LookupSnapshot, QueryStatus} from '../process/types.ts';
import {avroSchema} from '../schema/avro.ts';
import {compileDecoder, type Decoder} from '../schema/decode.ts';
import {frameHeaderBytes, schemaIdOf, walkRecords} from '../schema/frame.ts';
import {subjectOf} from '../schema/registry.ts';
import {deadLetterSchema, lateOf, lateSchema} from '../schema/side.ts';
import type {AvroRecord, RegisteredSchema} from '../schema/types.ts';
import {noTelemetry} from '../telemetry.ts';
import {openTransforms, type Transforms} from '../transforms/open.ts';
import {parseSnapshot} from './lookups.ts';
import type {Outcome, Scenario, ScenarioStep, Suite} from './scenario-types.ts';
import {sideTransaction} from './side.ts';

/** Where scenarios run, one after another. */
export type Stage = {
  /** @throws PlatformError when a lookup cannot be read or a query stops. */
  run(suite: Suite, scenario: Scenario): Promise<Outcome>;
  close(): Promise<void>;
};

type Home = {dir: string; writer: CheckpointWriter};

/** A directory of its own with the thread that writes its checkpoints. */
async function openHome(): Promise<Home> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-test-'));
  return {dir, writer: await startCheckpointWriter(join(dir, 'state'), {command: 'millrace test'})};
}

async function closeHome({dir, writer}: Home): Promise<void> {
  await writer.close();
  rmSync(dir, {recursive: true, force: true});
}

/** A thread takes longer to start than most scenarios take: the next one's starts while one runs. */
export function openStage(): Stage {
  let next = openHome();
  const closing: Promise<void>[] = [];
  /** By domain: their threads, too, take longer to start than a scenario takes. */
  const transforms = new Map<Domain, Transforms>();
  const transformsOf = ({domain}: Suite): Transforms => {
    const known = transforms.get(domain);
    if (known) return known;
    const opened = openTransforms([domain], {telemetry: noTelemetry, develop: false});
    transforms.set(domain, opened);
    return opened;
  };
  return {
    async run(suite, scenario) {
      const home = await next;
      next = openHome();
      const world = new World(suite, scenario, home, transformsOf(suite));
      try {
        await world.start();
        for (const [index, step] of scenario.steps.entries()) await world.step(step, index);
        return await world.outcome();
      } finally {
        await world.close();
        closing.push(closeHome(home));
      }
    },
    async close() {
      closing.push(next.then(closeHome), ...[...transforms.values()].map((each) => each.close()));
      await Promise.all(closing);
    },
  };
}
type Row = Record<string, Value>;
type EventStep = ScenarioStep & {kind: 'event'};

class World {
  readonly #domain: Domain;
  readonly #plans: QueryPlan[];
  readonly #scenario: Scenario;
  readonly #home: Home;
  readonly #clock: TestClock;
  readonly #schemas: RegisteredSchema[];
  readonly #schemaIds: Record<string, number>;
  readonly #log: LogWriter;
  readonly #reader: LogReader;
  readonly #incoming: Incoming;
  #engine: InlineEngine | undefined;
  #status: QueryStatus[] = [];
  #lookups: LookupSnapshot[] = [];
  /** What was sent and is not yet known to be durable. */
  #sent: Promise<unknown>[] = [];
  /** By query, by key: the newest version. */
  readonly #rows = new Map<string, Map<string, Row>>();
  readonly #epochs = new Map<string, number>();

  constructor({domain, plans}: Suite, scenario: Scenario, home: Home, transforms: Transforms) {
    this.#domain = domain;
    this.#plans = plans;
    this.#scenario = scenario;
    this.#home = home;
    this.#clock = testClock(startOf(scenario));
    this.#schemas = schemasOf(domain);
    this.#schemaIds = Object.fromEntries(
      this.#schemas.map(({id, subject}) => [subject.slice(0, -subjectOf('').length), id]),
    );
    this.#log = openLogWriter(join(home.dir, 'log'), {clock: this.#clock, command: 'millrace test'});
    const isEvents = (topic: string) => domain.eventTypes.some((eventType) => eventType.topic === topic);
    for (const topic of Object.keys(this.#schemaIds))
      this.#log.ensureTopic(topic, isEvents(topic) ? scenario.partitions : 1);
    this.#reader = openLogReader(join(home.dir, 'log'));
    this.#incoming = new Incoming({
      domains: [domain],
      log: this.#log,
      clock: this.#clock,
      telemetry: noTelemetry,
      schemaIds: this.#schemaIds,
      schemaById: (id) => this.#schemas.find((schema) => schema.id === id),
      transforms,
    });
  }

  async start(): Promise<void> {
    this.#lookups = await Promise.all(
      this.#domain.lookups.map((lookup) =>
        parseSnapshot(lookup, Buffer.from(this.#scenario.lookups.get(lookup.name) ?? readLookup(lookup.csv))),
      ),
    );
    await this.#startEngine();
  }

  async #startEngine(): Promise<void> {
    const engine: InlineEngine = createInlineEngine({
      log: {dir: join(this.#home.dir, 'log')},
      stateDir: join(this.#home.dir, 'state'),
      writer: this.#home.writer,
      schemas: this.#schemas,
      workers: 1,
      flushMs: 1,
      checkpointIntervalMs: 1,
      clock: this.#clock,
      lookup: async (_, name) => this.#lookups.find((snapshot) => snapshot.name === name),
      marked: async ({id}) => this.#epochs.get(id),
      onRows: (rows) => {
        this.#keep(rows);
        engine.acknowledge(rows.query, rows.sequence);
      },
      onMark: (query, epoch) => {
        this.#epochs.set(query, epoch);
        engine.marked(query, epoch);
      },
      onSide: (plan, side, durable) => {
        const transaction = sideTransaction(plan, side, this.#schemaIds, this.#clock.now());
        if (!transaction) return durable();
        this.#sent.push(this.#log.append(transaction).then(durable));
      },
      onStatus: (status) => {
        this.#status = status;
      },
    });
    this.#engine = engine;
    await engine.start(this.#plans);
  }

  async step(step: ScenarioStep, index: number): Promise<void> {
    if (step.kind === 'event') return this.#send(step, index);
    await this.#settle();
    switch (step.kind) {
      case 'advance':
        await this.#log.append({
          appends: [],
          marks: this.#domain.eventTypes.flatMap(({topic}) =>
            Array.from({length: this.#scenario.partitions}, (_, partition) => ({
              topic,
              partition,
              timeMs: step.toMs,
            })),
          ),
        });
        await this.#forward(step.toMs - this.#clock.now());
        break;
      case 'wait':
        await this.#forward(step.ms);
        break;
      case 'restart':
        await this.#engine?.stop();
        await this.#startEngine();
        break;
    }
    await this.#settle();
  }

  async #send({eventType, text, timeMs, atMs}: EventStep, index: number): Promise<void> {
    // It arrives when the test says so, else when it happened, or now if that is over.
    await this.#forward((atMs ?? timeMs ?? 0) - this.#clock.now());
    this.#sent.push(
      this.#incoming.take({
        domain: this.#domain.name,
        eventType: eventType.name,
        source: 'test',
        format: 'ndjson',
        bytes: Buffer.from(text.replaceAll('\n', ' ')),
        request: `e${index + 1}`,
        ids: [`e${index + 1}`],
        deadLetters: true,
        recordsMax: 1,
      }),
    );
  }

  async #forward(ms: number): Promise<void> {
    if (ms > 0) await this.#clock.advance(ms);
  }

  /** Everything that was sent is durable and read, and what that led to is out. */
  async #settle(): Promise<void> {
    do {
      await Promise.all(this.#sent.splice(0));
      await this.#engine?.settle();
    } while (this.#sent.length > 0);
    for (const {query, state, reason} of this.#engine?.status() ?? [])
      if (state !== 'running')
        throw new PlatformError(
          'TEST_STOPPED',
          `the query ${query} stopped: ${reason?.code} ${reason?.message}`,
          {
            ...(reason?.hint ? {hint: reason.hint} : {}),
          },
        );
  }

  #keep({query, count, columns}: EmittedRows): void {
    const plan = this.#plans.find(({id}) => id === query)!;
    const rows = this.#rows.get(plan.query) ?? new Map<string, Row>();
    this.#rows.set(plan.query, rows);
    const names = plan.table.columns.map(({name}) => name);
    for (let index = 0; index < count; index++) {
      const row: Row = Object.fromEntries(names.map((name, column) => [name, columns[column]![index]!]));
      const key = keyOf(plan, row);
      const known = rows.get(key);
      if (!known || row.version! > known.version!) rows.set(key, row);
    }
  }

  async outcome(): Promise<Outcome> {
    await this.#settle();
    const rows = new Map(
      this.#plans.map((plan) => [
        plan.query,
        [...(this.#rows.get(plan.query) ?? [])]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([, row]) => row)
          .filter(({deleted}) => !deleted),
      ]),
    );
    const idOf = eventIds(this.#schemas);
    const deadLetters: Outcome['deadLetters'] = [];
    for await (const letter of readDeadLetters(this.#reader, this.#domain.name)) {
      const {eventType, stage, code, message, query, original} = letter;
      deadLetters.push({
        event_type: eventType ?? '',
        stage,
        code,
        message,
        query: query?.slice(this.#domain.name.length + 1) ?? '',
        event_id: letter.eventId ?? idOf(original),
      });
    }
    const late: Outcome['late'] = [];
    for (const {query, id} of this.#plans)
      for (const {original, missed} of await lateEvents(this.#reader, `late.${id}`))
        late.push({
          query,
          event_id: idOf(original),
          missed: missed.map((ms) => new Date(ms).toISOString()).join(' '),
        });
    const ledger = buildLedger({
      ingest: this.#log.ledger(),
      queries: this.#status.map(({query, counts}) => ({
        domain: this.#domain.name,
        query: query.slice(this.#domain.name.length + 1),
        counts,
      })),
      delivery: [],
    });
    return {rows, deadLetters, late, ledger};
  }

  async close(): Promise<void> {
    await this.#engine?.stop();
    this.#reader.close();
    await this.#log.close();
  }
}

/** The clock begins when the first thing happens. */
function startOf({steps}: Scenario): number {
  for (const step of steps) {
    if (step.kind === 'event') return step.atMs ?? step.timeMs ?? Date.UTC(2026, 0, 5);
    if (step.kind === 'advance') return step.toMs;
  }
  return Date.UTC(2026, 0, 5);
}

function readLookup(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new PlatformError(
      'LOOKUP_INVALID',
      `the lookup's file cannot be read: ${(cause as Error).message}`,
      {
        place: path,
        hint: 'give its rows in the test: lookups: {<name>: [{...}]}',
        cause,
      },
    );
  }
}

/** Ids as a registry would give them. */
function schemasOf({name, eventTypes, aggregations}: Domain): RegisteredSchema[] {
  const schemas: [string, AvroRecord][] = [
    ...eventTypes.map((eventType): [string, AvroRecord] => [eventType.topic, avroSchema(eventType)]),
    [`dlq.${name}`, deadLetterSchema],
    ...aggregations.map((query): [string, AvroRecord] => [`late.${name}.${query.name}`, lateSchema]),
  ];
  return schemas.map(([topic, schema], index) => ({
    id: index + 1,
    subject: subjectOf(topic),
    version: 1,
    schema,
  }));
}

/** In the order of keys: times and numbers by value, text by its units. */
const keyOf = ({table}: QueryPlan, row: Row): string =>
  table.key
    .map((name) => {
      const value = row[name]!;
      const padded =
        typeof value === 'number' || typeof value === 'bigint' ? String(value).padStart(20) : value;
      return value === null ? '' : `=${padded}`;
    })
    .join('\0');

/** Id of the event in a frame; '' when it cannot be read. */
function eventIds(schemas: RegisteredSchema[]): (frame: Uint8Array) => string {
  const decoders = new Map<number, Decoder>();
  for (const {id, schema} of schemas)
    if ((schema as AvroRecord).fields[0]?.name === 'event_id')
      decoders.set(id, compileDecoder(schema as AvroRecord, ['event_id']));
  return (frame) => {
    if (frame.length <= frameHeaderBytes || frame[0] !== 0) return '';
    const decode = decoders.get(schemaIdOf(frame, 0, frame.length));
    return decode ? String(decode(frame, frameHeaderBytes, frame.length)[0]) : '';
  };
}

async function lateEvents(reader: LogReader, topic: string): Promise<ReturnType<typeof lateOf>[]> {
  const decode = compileDecoder(lateSchema);
  const found: ReturnType<typeof lateOf>[] = [];
  for (let partition = 0; partition < reader.partitions(topic); partition++)
    for (let offset = reader.startOffset(topic, partition); ; ) {
      const batches = await reader.read(topic, partition, offset, 1 << 20);
      if (batches.length === 0) break;
      for (const batch of batches) {
        walkRecords(batch, (_, position, end) => {
          found.push(lateOf(decode(batch.bytes, position + frameHeaderBytes, end)));
        });
        offset = batch.baseOffset + batch.count;
      }
    }
  return found;
}
