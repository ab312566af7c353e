/** What the benches of raw events share: a durable log that grows, its rows as a delivery's peer gets them, one round after another. */
import assert from 'node:assert/strict';
import {mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {openLogReader, openLogWriter} from '../src/log/embedded.ts';
import {loadPlatform} from '../src/model/load.ts';
import {rawTable} from '../src/model/tables.ts';
import type {Table} from '../src/model/types.ts';
import {avroSchema} from '../src/schema/avro.ts';
import {compileDecoder} from '../src/schema/decode.ts';
import {frameHeaderBytes, walkRecords} from '../src/schema/frame.ts';
import {openEmbeddedRegistry, subjectOf} from '../src/schema/registry.ts';
import type {HostedSink} from '../src/sinks/host.ts';
import {sinks} from '../src/sinks/registry.ts';
import {tableId} from '../src/sinks/tables.ts';
import type {SinkSpec} from '../src/sinks/types.ts';
import {noTelemetry, type Telemetry, type TelemetryEvents} from '../src/telemetry.ts';
import {createPurchases, median, partitions, purchaseTopic, purchaseYaml, range} from './world.ts';

/** Events of one batch of the log. */
const batchCount = 1_000;
const batchBytes = 256 * batchCount;

/** Count, sums and a hash of every row. */
export const digest = (table: string): string =>
  `SELECT count(*), sum(amount_cents), sum(_offset), sum(hashtextextended(t::text, 0)::numeric) FROM ${table} t`;

/** Definition of the columns of `ecommerce.purchase`, as the sink makes them. */
export const purchaseColumns = `event_id text NOT NULL, timestamp timestamptz(3) NOT NULL, user_id text, product_id text,
      category text NOT NULL, country text NOT NULL, device text NOT NULL, amount_cents bigint NOT NULL,
      _partition integer NOT NULL, _offset bigint NOT NULL, _appended_at timestamptz(3) NOT NULL`;

async function purchaseType(root: string) {
  mkdirSync(join(root, 'config/domains'), {recursive: true});
  writeFileSync(join(root, 'config/platform.yaml'), 'platform: bench\n');
  writeFileSync(join(root, 'config/domains/ecommerce.yaml'), purchaseYaml);
  const sinkSpecs: Record<string, SinkSpec> = sinks;
  const loaded = await loadPlatform({from: root, env: 'dev', variables: {}, sinkSpecs});
  assert.ok(loaded.ok);
  return loaded.platform.domains[0]!.eventTypes[0]!;
}

export async function openRawWorld(root: string) {
  const logDir = join(root, 'log');
  const eventType = await purchaseType(root);
  const table: Table = rawTable(eventType);
  const schema = avroSchema(eventType);
  const writer = openLogWriter(logDir);
  writer.ensureTopic(purchaseTopic, partitions);
  const registry = openEmbeddedRegistry(logDir);
  const {id} = await registry.register(subjectOf(purchaseTopic), schema, 'none');
  const reader = openLogReader(logDir);
  const purchases = createPurchases({id, schema});
  const startMs = Date.UTC(2026, 0, 1);
  const decode = compileDecoder(schema);
  const from = Array.from({length: partitions}, () => 0);
  let events = 0;

  return {
    table,
    /** Appends events, each partition's in batches. */
    async append(count: number): Promise<void> {
      const scratch = Array.from({length: partitions}, () => ({
        bytes: new Uint8Array(batchBytes),
        at: 0,
        count: 0,
      }));
      const flush = async (partition: number) => {
        const {bytes, at, count} = scratch[partition]!;
        if (count > 0)
          await writer.append({
            appends: [{topic: purchaseTopic, partition, count, bytes: bytes.slice(0, at)}],
          });
        scratch[partition] = {bytes, at: 0, count: 0};
      };
      for (let event = 0; event < count; event++) {
        const purchase = purchases.next(startMs + events++);
        const partition = purchases.partitionOf(purchase);
        const to = scratch[partition]!;
        to.at = purchases.write(purchase, to.bytes, to.at);
        assert.ok(to.at > 0);
        if (++to.count === batchCount) await flush(partition);
      }
      for (let partition = 0; partition < partitions; partition++) await flush(partition);
    },
    /** Rows that were not prepared yet, as COPY reads them: values between tabs; none of these texts needs an escape. */
    async prepare(): Promise<Buffer<ArrayBuffer>> {
      let text = '';
      const time = (ms: unknown) => new Date(Number(ms)).toISOString();
      for (let partition = 0; partition < partitions; partition++) {
        for (;;) {
          const batches = await reader.read(purchaseTopic, partition, from[partition]!, 8 * 1024 * 1024);
          if (batches.length === 0) break;
          for (const batch of batches) {
            walkRecords(batch, (index, pos, end) => {
              const [id, ms, ...rest] = decode(batch.bytes, pos + frameHeaderBytes, end);
              const books = [partition, batch.baseOffset + index, time(batch.appendTimeMs)];
              text += `${[id, time(ms), ...rest, ...books].join('\t')}\n`;
            });
            from[partition] = batch.baseOffset + batch.count;
          }
        }
      }
      return Buffer.from(text);
    },
    job: {table, topic: purchaseTopic, schema, log: {dir: logDir}, registry: {dir: logDir}},
    async close(): Promise<void> {
      reader.close();
      registry.close();
      await writer.close();
    },
  };
}

/** Runs the raw delivery of a sink until so many events are written. */
export function rawMeter() {
  let written = 0;
  let wanted = 0;
  let reached = () => {};
  const telemetry: Telemetry = {
    emit(name, payload) {
      if (name === 'SinkFailed') console.error(payload);
      if (name !== 'RowsWritten') return noTelemetry.emit(name, payload);
      written += (payload as TelemetryEvents['RowsWritten']).rows;
      if (written >= wanted) reached();
    },
  };
  return {
    telemetry,
    /** ms from the start of the delivery until every event is committed. */
    async deliver(
      sink: HostedSink,
      job: Parameters<NonNullable<HostedSink['raw']>['start']>[0],
      count: number,
    ) {
      written = 0;
      wanted = count;
      const all = new Promise<void>((resolve) => {
        reached = resolve;
      });
      const begin = performance.now();
      await sink.raw!.start(job);
      await all;
      const ms = performance.now() - begin;
      await sink.raw!.stop(tableId(job.table));
      return ms;
    },
  };
}

/** `123k rows/s (range)`. */
export function speed(times: number[], count: number): string {
  const rates = times.map((ms) => count / ms);
  return `${median(rates).toFixed(0)}k rows/s (${range(rates)})`;
}
