import {isUtf8} from 'node:buffer';
import {PlatformError} from '../errors.ts';
import type {Value} from '../expr/types.ts';
import {openLogReader} from '../log/embedded.ts';
import type {LogReader, RecordBatch} from '../log/types.ts';
import type {Platform} from '../model/types.ts';
import {compileDecoder, type Decoder} from '../schema/decode.ts';
import {frameHeaderBytes, schemaIdOf, walkRecords} from '../schema/frame.ts';
import {openEmbeddedRegistry, type SchemaRegistry} from '../schema/registry.ts';
import {deadLetterSchema} from '../schema/side.ts';
import type {AvroRecord} from '../schema/types.ts';
import type {CommandBody} from './command.ts';
import {openLog, openPlatform, unknownName} from './context.ts';
import {countOption} from './dlq.ts';
import {escapeControls} from './output.ts';

/** How records of one schema become readable; `isSide` for dead letters and late events. */
type EventDecoder = {names: string[]; decode: Decoder; isTime: boolean[]; isSide: boolean};

type Shown = {
  topic: string;
  partition: number;
  offset: number;
  appended: string;
  event: Record<string, unknown>;
};

export const run: CommandBody = async (call) => {
  const {args, options, io} = call;
  const {platform, dirs} = await openPlatform(call);
  const topic = args[0]!;
  const limit = options.limit === undefined ? Infinity : countOption(options.limit);
  const fromStart = isFromStart(options.from);
  openLog(dirs).close();
  const log = openLogReader(dirs.log);
  const registry = openEmbeddedRegistry(dirs.registry, {readOnly: true});
  try {
    if (log.partitions(topic) === 0) refuseQueryName(platform, topic);
    if (log.partitions(topic) === 0)
      throw unknownName('topic', topic, [...new Set([...topicsOf(platform), ...log.topics()])]);
    let left = limit;
    for await (const shown of records(log, registry, topic, fromStart, io.stdout)) {
      io.stdout.write(`${options.json ? JSON.stringify(shown) : formatShown(shown)}\n`);
      if (--left <= 0) break;
    }
    return 0;
  } finally {
    registry.close();
    log.close();
  }
};

function isFromStart(where: unknown): boolean {
  if (where === 'start' || where === 'end') return where === 'start';
  throw new PlatformError('USAGE', `"${where}" is no place in a topic`, {hint: '--from start or --from end'});
}

const topicsOf = ({domains}: Platform): string[] =>
  domains.flatMap(({eventTypes}) => eventTypes.map(({topic}) => topic));

/** Its rows are looked at in another way than events. @throws NAME_UNKNOWN when it is the name of a query */
function refuseQueryName({domains}: Platform, name: string): void {
  for (const domain of domains)
    for (const aggregation of domain.aggregations) {
      const id = `${domain.name}.${aggregation.name}`;
      if (name !== id && name !== aggregation.name) continue;
      throw new PlatformError('NAME_UNKNOWN', `${id} is a query, not a topic: its rows are in a sink`, {
        hint: `npx millrace query "select * from ${id} limit 10"; its late events: npx millrace tap late.${id}`,
      });
    }
}

function formatShown({partition, offset, event}: Shown): string {
  const {timestamp, time, event_id: _, ...rest} = event;
  const facts = Object.entries(rest).map(([name, value]) => `${name}=${escapeControls(valueText(value))}`);
  return `${timestamp ?? time}  ${partition}/${offset}  ${facts.join(' ')}`;
}

const valueText = (value: unknown): string =>
  value === null ? 'NULL' : typeof value === 'object' ? JSON.stringify(value) : String(value);

/** Records of every partition as they are, then as they come. Ends when the reader of the output goes away. */
async function* records(
  log: LogReader,
  registry: SchemaRegistry,
  topic: string,
  fromStart: boolean,
  output: NodeJS.WritableStream,
): AsyncGenerator<Shown> {
  const offsets = Array.from({length: log.partitions(topic)}, (_, partition) =>
    fromStart ? log.startOffset(topic, partition) : log.endOffset(topic, partition),
  );
  const show = shower(registry);
  while (output.writable) {
    let found = false;
    for (const [partition, offset] of offsets.entries())
      for (const batch of await log.read(topic, partition, offset, 1 << 20)) {
        found = true;
        for (const shown of await show(batch)) if (shown.offset >= offset) yield shown;
        offsets[partition] = batch.baseOffset + batch.count;
      }
    if (!found) await log.waitForAppend(500);
  }
}

/** Decodes batches whatever schemas they were written with. */
function shower(registry: SchemaRegistry): (batch: RecordBatch) => Promise<Shown[]> {
  const decoders = new Map<number, EventDecoder>();
  const decoderOf = async (id: number) => {
    const known = decoders.get(id);
    if (known) return known;
    const registered = await registry.byId(id);
    if (!registered) return undefined;
    const {fields, namespace} = registered.schema as AvroRecord;
    const isTime = fields.map(({type}) => JSON.stringify(type).includes('timestamp-millis'));
    const made = {
      names: fields.map(({name}) => name),
      decode: compileDecoder(registered.schema as AvroRecord),
      isTime,
      isSide: namespace === deadLetterSchema.namespace,
    };
    decoders.set(id, made);
    return made;
  };
  return async (batch) => {
    if (batch.kind === 'mark') return [];
    const places: {index: number; pos: number; end: number}[] = [];
    walkRecords(batch, (index, pos, end) => void places.push({index, pos, end}));
    const all: Shown[] = [];
    for (const {index, pos, end} of places) {
      const id = schemaIdOf(batch.bytes, pos, end);
      const decoder = await decoderOf(id);
      const event = decoder ? eventOf(decoder, batch.bytes.subarray(pos, end)) : {schema_id: id};
      if (decoder?.isSide) event.original = await originalOf(event, decoderOf);
      const {topic, partition, baseOffset, appendTimeMs} = batch;
      all.push({
        topic,
        partition,
        offset: baseOffset + index,
        appended: new Date(appendTimeMs).toISOString(),
        event,
      });
    }
    return all;
  };
}

function eventOf({names, decode, isTime}: EventDecoder, frame: Uint8Array): Record<string, unknown> {
  const values = decode(frame, frameHeaderBytes, frame.length);
  return Object.fromEntries(
    values.map((value, field) => [names[field]!, shownValue(value as Value, isTime[field]!)]),
  );
}

/** What was set aside, readable: an event decoded with its schema, the line of a file as text, else base64. */
async function originalOf(
  {original}: Record<string, unknown>,
  decoderOf: (id: number) => Promise<EventDecoder | undefined>,
): Promise<unknown> {
  const bytes = Buffer.from(String(original), 'base64');
  if (bytes.length > frameHeaderBytes && bytes[0] === 0) {
    try {
      const decoder = await decoderOf(schemaIdOf(bytes, 0, bytes.length));
      if (decoder) return eventOf(decoder, bytes);
    } catch {
      // It may be here just because it cannot be decoded.
    }
  }
  return isUtf8(bytes) ? bytes.toString() : original;
}

function shownValue(value: unknown, isTime: boolean): unknown {
  if (Array.isArray(value)) return value.map((item) => shownValue(item, isTime));
  if (isTime && typeof value === 'number') return new Date(value).toISOString();
  if (typeof value === 'bigint') return value.toString();
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}
