/** Records of other programs: schemas that the engine did not know when it started, and how they are read. */
import assert from 'node:assert/strict';
import {type TestContext, test} from 'node:test';
import avsc from 'avsc';
import {testClock} from '../../../src/clock.ts';
import {WriterSchemas} from '../../../src/process/embedded/worker-schemas.ts';
import {packRecords} from '../../../src/schema/frame.ts';
import type {AvroField, AvroRecord, AvroSchema} from '../../../src/schema/types.ts';
import {field} from '../../support/fields.ts';
import {EngineRig, type EngineRigOptions} from './engine-rig.ts';
import {day, events, purchase, tumbling} from './engine-world.ts';
import {eventType, planOf} from './kernel-world.ts';

const {topic} = purchase;
const required: AvroField[] = [
  {name: 'event_id', type: 'string'},
  {name: 'timestamp', type: {type: 'long', logicalType: 'timestamp-millis'}},
];
const recordOf = (...fields: AvroField[]): AvroRecord => ({type: 'record', name: 'Foreign', fields});

async function started(t: TestContext, options: EngineRigOptions = {}): Promise<EngineRig> {
  const rig = new EngineRig(t, [purchase], [tumbling], options);
  await rig.start();
  return rig;
}

const common = (event_id: string) => ({event_id, timestamp: day});

/** As another program writes it. */
function frameOf(schema: AvroSchema, id: number, values: Record<string, unknown>): Uint8Array {
  const body = avsc.Type.forSchema(schema as avsc.Schema, {registry: {}}).toBuffer(values);
  const header = Buffer.alloc(5);
  header.writeUInt32BE(id, 1);
  return new Uint8Array(Buffer.concat([header, body]));
}

const append = (rig: EngineRig, partition: number, frames: Uint8Array[], into = topic) =>
  rig.log.append({
    appends: [{topic: into, partition, count: frames.length, bytes: packRecords(frames)}],
  });

/** A registry that answers when it is told to. */
function slowRegistry(schemas: Record<number, AvroSchema>) {
  const asked: number[] = [];
  const waiting: (() => void)[] = [];
  return {
    asked,
    schemaOf: (id: number, waits: (why: string) => void): Promise<AvroSchema | null> => {
      asked.push(id);
      waits('the registry is down');
      return new Promise((resolve) => waiting.push(() => resolve(schemas[id] ?? null)));
    },
    answer() {
      for (const each of waiting.splice(0)) each();
    },
  };
}

const newer = recordOf(
  ...required,
  {name: 'amount_cents', type: 'int'},
  {name: 'country', type: ['string', 'null'], default: ''},
  {name: 'channel', type: {type: 'map', values: 'string'}},
  {name: 'user', type: ['null', 'string'], default: null},
);

test('a partition waits where an id is not known yet, the others go on; then everything is counted', async (t) => {
  const registry = slowRegistry({77: newer});
  const rig = await started(t, {partitions: 2, ...registry});
  await append(rig, 0, [
    frameOf(newer, 77, {
      ...common('f1'),
      amount_cents: 150,
      country: 'Atlantis',
      channel: {a: 'b'},
      user: null,
    }),
    frameOf(newer, 77, {...common('f2'), amount_cents: 250, country: 'Atlantis', channel: {}, user: 'u'}),
  ]);
  const others = events(40, 3, 1).filter(({type}) => type === purchase);
  await rig.append(others.map((event) => ({...event, partition: 1})));
  for (let turn = 0; turn < 20; turn++) await rig.engine.turn();
  rig.engine.report();
  await rig.engine.turn();

  const [held] = rig.engine.status();
  assert.equal(held!.state, 'running');
  assert.deepEqual(
    held!.held?.map(({topic, partition, offset, schemaId, message}) => [
      topic,
      partition,
      offset,
      schemaId,
      message,
    ]),
    [[topic, 0, 0, 77, 'the registry is down']],
  );
  assert.deepEqual([held!.lagEvents, held!.settled], [2, false]);
  assert.deepEqual(
    held!.counts.map(({partition, read}) => [partition, read]),
    [
      [0, 0],
      [1, others.length],
    ],
  );
  assert.deepEqual(registry.asked, [77]);

  registry.answer();
  await rig.engine.settle();
  const [status] = rig.engine.status();
  assert.equal(status!.held, undefined);
  assert.equal(status!.lagEvents, 0);
  const table = rig.tables.get(tumbling.id)!;
  const rows = [...table.rows.values()].filter(({country}) => country === 'Atlantis');
  assert.deepEqual(
    rows.map(({window_start, orders, revenue}) => [window_start, orders, revenue]),
    [[day, 2, 400]],
  );
  assert.equal(rig.side.length, 0);
});

test('an id that the registry does not have is a dead letter with its bytes, and is asked for again later', async (t) => {
  const known: Record<number, AvroSchema> = {};
  const asked: number[] = [];
  const schemaOf = async (id: number) => {
    asked.push(id);
    return known[id] ?? null;
  };
  const rig = await started(t, {schemaOf});
  const frames = [1, 2].map((k) =>
    frameOf(newer, 4_000_000_000 + k, {
      ...common(`f${k}`),
      amount_cents: 1,
      country: 'DE',
      channel: {},
      user: null,
    }),
  );
  await append(rig, 0, [...frames, Uint8Array.of(0, 1), frames[0]!]);
  await rig.engine.settle();
  const letters = rig.side.flatMap(({output}) => output.records);
  assert.deepEqual(
    letters.map((letter) => letter.kind === 'dead' && [letter.offset, letter.code]),
    [
      [0, 'UNKNOWN_SCHEMA'],
      [1, 'UNKNOWN_SCHEMA'],
      [2, 'DECODE'],
      [3, 'UNKNOWN_SCHEMA'],
    ],
  );
  assert.deepEqual(
    letters.map(({frame}) => Buffer.from(frame).toString('hex')).slice(0, 2),
    frames.map((frame) => Buffer.from(frame).toString('hex')),
  );
  // All that one batch names are asked for together, each once.
  assert.deepEqual(asked, [4_000_000_001, 4_000_000_002]);

  known[4_000_000_001] = newer;
  await append(rig, 0, [frames[0]!]);
  await rig.engine.settle();
  assert.equal(asked.length, 2);
  await rig.clock.advance(31_000);
  await append(rig, 0, [frames[0]!, frames[1]!]);
  await rig.engine.settle();
  const [status] = rig.engine.status();
  assert.deepEqual(asked.slice(2), [4_000_000_001, 4_000_000_002]);
  assert.deepEqual(
    status!.counts.map(({read, aggregated, dead}) => [read, aggregated, dead]),
    [[7, 1, 6]],
  );
});

test('what cannot be resolved into the event type is a dead letter that says why; what can is counted', async (t) => {
  const state = eventType('state', [
    field('machine', 'string', {role: 'dimension'}),
    field('phase', 'enum', {role: 'dimension', symbols: ['run', 'stop']}),
    field('speed', 'double', {role: 'metric', required: true}),
    field('total', 'long', {role: 'metric', aliases: ['sum_total']}),
  ]);
  const plan = planOf([state], {
    name: 'states',
    groupBy: ['machine', 'phase'],
    measures: {speed: 'sum(speed)', total: 'sum(total)'},
  });
  const phase = (...symbols: string[]): AvroSchema => ({type: 'enum', name: 'Phase', symbols});
  const schemas: Record<number, AvroSchema> = {
    // Fields in another order, numbers to be promoted, an alias, bytes as text, one field that nobody knows.
    1001: recordOf(
      {name: 'sum_total', type: 'int'},
      {name: 'speed', type: 'long'},
      ...required,
      {name: 'extra', type: {type: 'array', items: 'string'}},
      {name: 'machine', type: 'bytes'},
    ),
    1002: recordOf(...required, {name: 'machine', type: 'string'}),
    1003: recordOf(...required, {name: 'speed', type: 'string'}),
    1004: recordOf(...required, {name: 'speed', type: 'float'}, {name: 'phase', type: phase('idle', 'run')}),
    1005: recordOf(...required, {name: 'speed', type: ['null', 'double']}),
    1006: {type: 'array', items: 'string'},
    1007: recordOf(...required, {name: 'speed', type: 'Nowhere'}),
    1008: recordOf({name: 'event_id', type: 'string'}, {name: 'speed', type: 'double'}),
  };
  const asked = new Set<number>();
  const rig = new EngineRig(t, [state], [plan], {
    schemaOf: async (id) => {
      asked.add(id);
      return schemas[id]!;
    },
  });
  await rig.start();
  const frame = (id: number, values: Record<string, unknown>) =>
    frameOf(schemas[id]!, id, {...common('e'), ...values});
  const raw = (id: number) => Uint8Array.of(0, 0, 0, id >> 8, id & 255, 2, 65);
  await append(
    rig,
    0,
    [
      frame(1001, {sum_total: 5, speed: 7, extra: ['x'], machine: Buffer.from('m1')}),
      frame(1002, {machine: 'm1'}),
      frame(1003, {speed: 'fast'}),
      frame(1004, {speed: 0.5, phase: 'run'}),
      frame(1004, {speed: 0.5, phase: 'idle'}),
      frame(1005, {speed: 2.5}),
      frame(1005, {speed: null}),
      raw(1006),
      raw(1007),
      frame(1008, {speed: 1}),
    ],
    state.topic,
  );
  await rig.engine.settle();
  const letters = rig.side.flatMap(({output}) => output.records);
  assert.deepEqual(
    letters.map((letter) => letter.kind === 'dead' && `${letter.offset} ${letter.code} ${letter.message}`),
    [
      '1 DECODE field speed is required, and schema 1002 does not have it',
      '2 DECODE field speed was written as string and cannot be read as double',
      '4 DECODE field phase holds a symbol that its type does not have',
      '6 DECODE field speed is required, and the record has none',
      '7 UNKNOWN_SCHEMA schema 1006 is not known',
      '8 DECODE schema 1007 cannot be read: the schema does not define "Nowhere"',
      '9 DECODE field timestamp is required, and schema 1008 does not have it',
    ],
  );
  const rows = [...rig.tables.get(plan.id)!.rows.values()].map(({machine, phase, speed, total, events}) => [
    machine,
    phase,
    speed,
    total,
    events,
  ]);
  assert.deepEqual(rows, [
    ['m1', null, 7, 5, 1],
    [null, 'run', 0.5, null, 1],
    [null, null, 2.5, null, 1],
  ]);
  assert.equal(asked.size, 8);
});

test('a batch in which every record names another id that nobody knows is read through, and each id asked for once', async (t) => {
  const asked: number[] = [];
  const rig = await started(t, {
    schemaOf: async (id) => {
      asked.push(id);
      return null;
    },
  });
  const count = 3_000;
  await append(
    rig,
    0,
    Array.from({length: count}, (_, index) => Uint8Array.of(0, 9, 9, index >> 8, index & 255, 1)),
  );
  await rig.engine.settle();
  const [status] = rig.engine.status();
  assert.deepEqual(
    status!.counts.map(({read, dead}) => [read, dead]),
    [[count, count]],
  );
  assert.equal(asked.length, count);
  assert.equal(new Set(asked).size, count);
});

test('answers for ids that are not there are kept for more than a batch can name', () => {
  const schemas = new WriterSchemas([], testClock(0), () => {});
  for (let id = 1; id <= 450_000; id++) schemas.answer({id, schema: null});
  for (let id = 450_000 - 200_000; id <= 450_000; id++) assert.ok(!schemas.isWanted(id), String(id));
  assert.ok(schemas.isWanted(1), 'the oldest is forgotten');
});

test('what is no frame says what it seems to be: JSON, a file of Avro, nothing', async (t) => {
  const rig = await started(t, {schemaOf: async () => null});
  const texts = [' {"event_id": "a"}', '', 'Obj\x01', 'amount=1&x=2', 'ab'];
  await append(
    rig,
    0,
    texts.map((text) => Buffer.from(text, 'latin1')),
  );
  await rig.engine.settle();
  const letters = rig.side.flatMap(({output}) => output.records);
  assert.deepEqual(
    letters.map((letter) => letter.kind === 'dead' && `${letter.code} ${letter.message}`),
    [
      'DECODE the record is JSON, and no frame of Avro',
      'DECODE the record has no value',
      'DECODE the record is a file of Avro, and no frame of it',
      'DECODE the record begins with the byte 97, a frame begins with 0 and the id of its schema',
      'DECODE the record has 2 bytes, a frame has at least 5',
    ],
  );
});
