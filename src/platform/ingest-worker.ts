/** The thread that holds the log's only writer and runs the inputs. */
import assert from 'node:assert/strict';
import {parentPort, workerData} from 'node:worker_threads';
import {systemClock} from '../clock.ts';
import {ingestFile} from '../ingest/file.ts';
import {Incoming} from '../ingest/incoming.ts';
import {schemaIdsOf} from '../ingest/incoming-avro.ts';
import type {IncomingBatch} from '../ingest/incoming-types.ts';
import type {LogWriter} from '../log/types.ts';
import {packError} from '../sinks/remote.ts';
import type {Telemetry} from '../telemetry.ts';
import {openTransforms} from '../transforms/open.ts';
import {createGenerators} from './generate-thread.ts';
import {type IngestLog, openIngestLog} from './ingest-log.ts';
import {createSenderSchemas} from './ingest-schemas.ts';
import type {IngestJob, IngestReply, IngestRequest, IngestStart, RecordsRequest} from './ingest-types.ts';

assert(parentPort, 'this module runs in a worker thread');
const port = parentPort;
const start = workerData as IngestStart;
let outbox: IngestReply[] = [];
/** What is told in one turn crosses together: answers of a transaction, its telemetry. */
function send(reply: IngestReply): void {
  if (outbox.push(reply) === 1) queueMicrotask(post);
}

function post(): void {
  port.postMessage(outbox);
  outbox = [];
}
const telemetry: Telemetry = {emit: (event, payload) => send({event, payload})};
const stopping = new AbortController();
/** A progress message more often than this would only be drawn over. */
const progressMs = 100;

async function open(): Promise<Partial<IngestLog>> {
  try {
    return await openIngestLog(start, telemetry);
  } catch (error) {
    send({failed: packError(error)});
    post();
    port.close();
    return {};
  }
}

function ingest(log: LogWriter, id: number, job: IngestJob) {
  const domain = start.domains.find(({name}) => name === job.domain);
  const input = domain?.inputs.find(({name}) => name === job.input);
  const eventType = domain?.eventTypes.find(({name}) => name === input?.eventType);
  assert(domain && input && eventType, `unknown input ${job.domain}.${job.input}`);
  const transform = transforms.of(eventType);
  let toldMs = 0;
  return ingestFile({
    domain,
    eventType,
    input,
    path: job.path,
    ...(job.as === null ? {} : {as: job.as}),
    log,
    partitions: start.partitions,
    schemaId: start.schemaIds[eventType.topic]!,
    deadLetterSchemaId: start.schemaIds[`dlq.${domain.name}`]!,
    ...(transform && {transform}),
    clock: systemClock,
    telemetry,
    signal: stopping.signal,
    rate: job.fast ? null : input.ratePerSecond,
    tempDir: start.tempDir,
    maxima: () => job.maxima,
    late: job.late,
    final: job.final,
    onProgress(progress) {
      const nowMs = performance.now();
      if (nowMs - toldMs < progressMs) return;
      toldMs = nowMs;
      send({progress, job: id});
    },
  });
}

async function handle(log: LogWriter, request: IngestRequest) {
  switch (request.kind) {
    case 'ingest':
      return ingest(log, request.id, request.job);
    case 'append':
      return log.append(request.transaction);
    case 'trim':
      return log.trim(request.topic, request.partition, request);
    case 'generate':
      return generators.order(request.domain, request.order);
    case 'generators':
      return generators.status();
    case 'forget': {
      assert(protector, 'nothing is protected');
      const destroyed = protector.keys.destroy(request.names.map((name) => Buffer.from(name)));
      protector.clear();
      return destroyed;
    }
    case 'forgot':
      protector?.keys.record(request.entry);
      return null;
    case 'stop':
      stopping.abort(new Error('the platform is draining'));
      await generators.settled();
      return null;
    case 'close':
      await transforms.close();
      schemas.close();
      await log.close();
      return null;
  }
}

async function read(incoming: Incoming, id: number, batch: IncomingBatch): Promise<void> {
  const reject = (error: unknown) => send({id, error: packError(error)});
  try {
    // Frames of schemas that were not seen yet wait for the registry; everything else is read in this turn.
    await schemas.load(schemaIdsOf(batch));
    incoming.read(batch, (value) => send({id, value}), reject);
  } catch (error) {
    reject(error);
  }
}

const transforms = openTransforms(start.domains, {telemetry, develop: start.develop});
const schemas = createSenderSchemas(start.registry);
const {log, protector} = await open();
const generators = createGenerators((name) => ({
  domain: start.domains.find((each) => each.name === name)!,
  log: log!,
  partitions: start.partitions,
  schemaIds: start.schemaIds,
  transforms,
  clock: systemClock,
  telemetry,
  signal: stopping.signal,
}));
if (log) {
  const incoming = new Incoming({
    domains: start.domains,
    log,
    clock: systemClock,
    telemetry,
    schemaIds: start.schemaIds,
    schemaById: schemas.get,
    transforms,
  });
  port.on('message', (request: IngestRequest | RecordsRequest) => {
    if ('records' in request) {
      let at = 0;
      for (const {id, batch, size} of request.records) {
        const isSmall = batch.bytes.length < size;
        void read(incoming, id, isSmall ? {...batch, bytes: request.small.subarray(at, at + size)} : batch);
        if (isSmall) at += size;
      }
      return;
    }
    handle(log, request)
      .then((value) => send({id: request.id, value}))
      .catch((error) => send({id: request.id, error: packError(error)}))
      .finally(() => {
        if (request.kind === 'close') port.close();
      });
  });
  send({ready: true});
}
