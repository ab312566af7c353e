/** Runs one scenario: the real ingestion, log and engine, in this thread, with a clock that the scenario moves. No database. */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type TestClock, testClock} from '../clock.ts';
import {PlatformError} from '../errors.ts';
import {Incoming} from '../ingest/incoming.ts';
import {openLogReader} from '../log/embedded.ts';
import type {LogReader, LogWriter} from '../log/types.ts';
import {openLogWriter} from '../log/writer.ts';
import type {Domain} from '../model/types.ts';
import {openPrivacy} from '../privacy/opener.ts';
import {protectLog} from '../privacy/protected-log.ts';
import {createProtector, hasPii} from '../privacy/protector.ts';
import {createInlineEngine, type InlineEngine} from '../process/embedded/engine.ts';
import {type CheckpointWriter, startCheckpointWriter} from '../process/embedded/statestore.ts';
import type {QueryPlan} from '../process/plan/nodes.ts';
import type {EmittedRows, LookupSnapshot, QueryStatus} from '../process/types.ts';
import {avroSchema} from '../schema/avro.ts';
import {subjectOf} from '../schema/registry.ts';
import {deadLetterSchema, lateSchema} from '../schema/side.ts';
import type {AvroRecord, RegisteredSchema} from '../schema/types.ts';
import {noTelemetry} from '../telemetry.ts';
import {openTransforms, type Transforms} from '../transforms/open.ts';
import {parseSnapshot} from './lookups.ts';
import {keyOf, type Row, type Rows, readOutcome} from './scenario-outcome.ts';
import type {Outcome, Scenario, ScenarioStep, Suite} from './scenario-types.ts';
import {fileOfLookup} from './scenario-values.ts';
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
/** Key of personal data in tests. */
const testKey = 'the key that tests of domains use';

type EventStep = ScenarioStep & {kind: 'event'};

class World {
  readonly #domain: Domain;
  readonly #plans: QueryPlan[];
  readonly #scenario: Scenario;
  readonly #home: Home;
  readonly #clock: TestClock;
  readonly #schemas: RegisteredSchema[];
  readonly #schemaIds: Record<string, number>;
  #log: LogWriter;
  readonly #reader: LogReader;
  readonly #incoming: Incoming;
  #engine: InlineEngine | undefined;
  #status: QueryStatus[] = [];
  #lookups: LookupSnapshot[] = [];
  /** What was sent and is not yet known to be durable. */
  #sent: Promise<unknown>[] = [];
  /** By query, by key: the newest version. */
  readonly #rows: Rows = new Map();
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
    if (domain.eventTypes.some(hasPii)) {
      // A key of its own: what a test expects of a hash does not depend on the platform's secret.
      const privacy = {dir: join(home.dir, 'log'), key: testKey};
      openPrivacy(privacy);
      this.#log = protectLog(this.#log, createProtector([domain], privacy));
    }
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
        parseSnapshot(lookup, Buffer.from(this.#scenario.lookups.get(lookup.name) ?? fileOfLookup(lookup))),
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
    return readOutcome({
      domain: this.#domain,
      plans: this.#plans,
      schemas: this.#schemas,
      reader: this.#reader,
      rows: this.#rows,
      status: this.#status,
    });
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
