/** Raw delivery where the schema registry is a server: records of other programs, and a registry that is away. */
import assert from 'node:assert/strict';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import avsc from 'avsc';
import {systemClock} from '../../src/clock.ts';
import {openLogWriter} from '../../src/log/embedded.ts';
import {rawTable} from '../../src/model/tables.ts';
import {avroSchema} from '../../src/schema/avro.ts';
import {packRecords} from '../../src/schema/frame.ts';
import type {AvroSchema} from '../../src/schema/types.ts';
import {createRawControl} from '../../src/sinks/raw.ts';
import type {RawBatch, Sink} from '../../src/sinks/types.ts';
import {noTelemetry} from '../../src/telemetry.ts';
import {eventType} from '../process/embedded/kernel-world.ts';
import {ask, startRegistry, token} from '../registry/server.ts';
import {field} from '../support/fields.ts';
import {until} from '../support/until.ts';

const order = eventType('order', [field('amount', 'long', {role: 'metric', required: true})]);
const record = (...fields: object[]): AvroSchema =>
  ({
    type: 'record',
    name: 'Order',
    fields: [
      {name: 'event_id', type: 'string'},
      {name: 'timestamp', type: {type: 'long', logicalType: 'timestamp-millis'}},
      ...fields,
    ],
  }) as AvroSchema;

function frameOf(id: number, schema: AvroSchema, values: object): Uint8Array {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(id, 1);
  return new Uint8Array(Buffer.concat([header, avsc.Type.forSchema(schema as avsc.Schema).toBuffer(values)]));
}

test('records of other writers become rows; where the registry is away their partition waits, the others go on', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-raw-registry-'));
  let server = await startRegistry(join(dir, 'registry'));
  const port = Number(new URL(server.url).port);
  const newer = record({name: 'note', type: 'string', default: ''}, {name: 'amount', type: 'int'});
  const lacking = record({name: 'other', type: 'long', default: 0});
  const register = async (schema: AvroSchema): Promise<number> => {
    const body = {schema: JSON.stringify(schema)};
    const answer = await ask(server, 'POST', `/subjects/s${Math.random()}/versions`, body);
    return (answer.body as {id: number}).id;
  };
  const log = openLogWriter(join(dir, 'log'));
  log.ensureTopic(order.topic, 2);
  const append = (partition: number, ...frames: Uint8Array[]) =>
    log.append({
      appends: [{topic: order.topic, partition, count: frames.length, bytes: packRecords(frames)}],
    });
  const rows: (readonly [number, unknown, unknown])[] = [];
  const sink = {
    ensure: async () => {},
    rawOffsets: async () => new Map<number, number>(),
    async writeRaw(_: unknown, {partition, count, columns}: RawBatch) {
      for (let row = 0; row < count; row++) rows.push([partition, columns[0]![row], columns[2]![row]]);
    },
  } as unknown as Sink;
  const raw = createRawControl({
    sink,
    sinkName: 's',
    clock: systemClock,
    random: Math.random,
    telemetry: noTelemetry,
  });
  try {
    const known = await register(newer);
    const poor = await register(lacking);
    await append(
      0,
      frameOf(known, newer, {event_id: 'a', timestamp: 1, note: 'x', amount: 5}),
      frameOf(poor, lacking, {event_id: 'b', timestamp: 1, other: 1}),
      frameOf(99_999, newer, {event_id: 'c', timestamp: 1, note: '', amount: 1}),
    );
    await raw.start({
      table: rawTable(order),
      topic: order.topic,
      schema: avroSchema(order),
      log: {dir: join(dir, 'log')},
      registry: {
        dir: join(dir, 'cache'),
        server: {urls: [server.url], token, timeoutMs: 2_000, patienceMs: 0},
      },
    });
    await until(() => rows.length === 1, 'the first row');
    assert.deepEqual(rows, [[0, 'a', 5]]);
    const [stats] = await raw.stats();
    assert.equal(stats!.skipped, 2);

    const unseen = record({name: 'amount', type: 'long'});
    const id = await register(unseen);
    await server.close();
    await append(0, frameOf(id, unseen, {event_id: 'd', timestamp: 2, amount: 6}));
    await append(1, frameOf(known, newer, {event_id: 'e', timestamp: 2, note: '', amount: 7}));
    await until(() => rows.length === 2, 'the row of the other partition');
    assert.deepEqual(rows[1], [1, 'e', 7]);
    await until(async () => (await raw.stats())[0]!.state === 'paused', 'the reason');
    const [paused] = await raw.stats();
    assert.deepEqual([paused!.reason?.code, paused!.lagEvents], ['REGISTRY_UNAVAILABLE', 1]);

    server = await startRegistry(join(dir, 'registry'), port);
    await until(() => rows.length === 3, 'the row that waited');
    assert.deepEqual(rows[2], [0, 'd', 6]);
  } finally {
    await raw.stop('shop.order');
    await server.close();
    await log.close();
    rmSync(dir, {recursive: true});
  }
});
