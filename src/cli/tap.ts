import {isUtf8} from 'node:buffer';
import {PlatformError} from '../errors.ts';
import type {Get} from '../expr/evaluate.ts';
import type {Value} from '../expr/types.ts';
import type {LogReader, RecordBatch} from '../log/types.ts';
import type {EventType, Platform} from '../model/types.ts';
import {recordKeyName} from '../privacy/tokens.ts';
import {recordOf} from '../schema/columns.ts';
import {compileResolvingDecoder, type Decoder} from '../schema/decode.ts';
import {describeNoFrame, frameHeaderBytes, isFrame, schemaIdOf, walkRecords} from '../schema/frame.ts';
import {DecodeFailure} from '../schema/read.ts';
import {type SchemaRegistry, subjectOf} from '../schema/registry.ts';
import {openRegistry} from '../schema/registry-open.ts';
import {deadLetterSchema} from '../schema/side.ts';
import type {AvroRecord, AvroSchema, AvroValue} from '../schema/types.ts';
import type {CommandBody} from './command.ts';
import {compileCondition, eventScope, recordScope} from './condition.ts';
import {existingLog, openPlatform, unknownName} from './context.ts';
import {countOption} from './letters-options.ts';
import {escapeControls} from './output.ts';

/** How records of one schema become readable; `isSide` for dead letters and late events. */
type EventDecoder = {names: string[]; decode: Decoder; isTime: boolean[]; isSide: boolean};

/** What is shown of a topic's records. */
type Choice = {
  /** Whether a record is shown, by its logged values. */
  keeps?: (logged: Get) => boolean;
  /** Columns that are shown, in this order. */
  fields?: string[];
  /** Schema of now, whose names a condition and columns are in: older records are read as it sees them. */
  reader?: AvroRecord;
};

/** What a record holds; `unread`: what is known of one that is no event. */
type Read = {decoder?: EventDecoder; values?: AvroValue[]; unread?: Record<string, unknown>};

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
  const log = await existingLog(dirs);
  const registry = await openRegistry(dirs.registry, {readOnly: true});
  try {
    if (log.partitions(topic) === 0) refuseQueryName(platform, topic);
    if (log.partitions(topic) === 0)
      throw unknownName('topic', topic, [...new Set([...topicsOf(platform), ...log.topics()])]);
    let left = limit;
    const choice = await choiceOf(platform, registry, topic, options);
    for await (const shown of records(log, registry, topic, fromStart, choice, io.stdout)) {
      io.stdout.write(`${options.json ? JSON.stringify(shown) : formatShown(shown)}\n`);
      if (--left <= 0) break;
    }
    return 0;
  } finally {
    registry.close();
    log.close();
  }
};

/** @throws USAGE for a condition that is none, NAME_UNKNOWN for a column that the topic does not have */
async function choiceOf(
  {domains}: Platform,
  registry: SchemaRegistry,
  topic: string,
  {where, fields}: Record<string, unknown>,
): Promise<Choice> {
  if (where === undefined && fields === undefined) return {};
  const eventType = domains.flatMap(({eventTypes}) => eventTypes).find((each) => each.topic === topic);
  const newest = (await registry.versions(subjectOf(topic))).at(-1)?.schema as AvroRecord | undefined;
  const columns = newest?.fields.map(({name}) => name) ?? [];
  const chosen =
    fields === undefined
      ? undefined
      : String(fields)
          .split(',')
          .map((name) => columnOf(name.trim(), columns, eventType));
  const reader = eventType && newest ? {reader: newest} : {};
  if (where === undefined) return {...reader, ...(chosen ? {fields: chosen} : {})};
  const scope = eventType
    ? eventScope(eventType)
    : recordScope(newest ?? {type: 'record', name: 'none', fields: []});
  return {
    ...reader,
    keeps: compileCondition('--where', String(where), scope),
    ...(chosen ? {fields: chosen} : {}),
  };
}

/** The logged column of a name of the configuration: money is logged in cents. */
function columnOf(name: string, columns: string[], eventType: EventType | undefined): string {
  const column = eventType?.fields.find((field) => field.name === name)?.column ?? name;
  if (columns.includes(column)) return column;
  throw unknownName('column', name, columns);
}

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
  return [timestamp ?? time, `${partition}/${offset}`, facts.join(' ')].filter((part) => part).join('  ');
}

const valueText = (value: unknown): string =>
  value === null ? 'NULL' : typeof value === 'object' ? JSON.stringify(value) : String(value);

/** Records of every partition as they are, then as they come. Ends when the reader of the output goes away. */
async function* records(
  log: LogReader,
  registry: SchemaRegistry,
  topic: string,
  fromStart: boolean,
  choice: Choice,
  output: NodeJS.WritableStream,
): AsyncGenerator<Shown> {
  const offsets = Array.from({length: log.partitions(topic)}, (_, partition) =>
    fromStart ? log.startOffset(topic, partition) : log.endOffset(topic, partition),
  );
  const show = shower(registry, choice);
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

/** As the schema of now sees it, or as it was written when the one of now cannot read it; undefined for what has no columns. */
function readAs(
  schema: AvroSchema,
  reader: AvroRecord | undefined,
): {decode: Decoder; seen: AvroRecord} | undefined {
  const writer = recordOf(schema);
  if (!writer) return undefined;
  for (const seen of reader ? [reader, writer] : [writer])
    try {
      return {decode: compileResolvingDecoder(writer, seen), seen};
    } catch (error) {
      if (!(error instanceof PlatformError)) throw error;
    }
  return undefined;
}

/** Decodes batches whatever schemas they were written with. */
function shower(
  registry: SchemaRegistry,
  {keeps, fields, reader}: Choice,
): (batch: RecordBatch) => Promise<Shown[]> {
  const decoders = new Map<number, EventDecoder>();
  const decoderOf = async (id: number) => {
    const known = decoders.get(id);
    if (known) return known;
    const registered = await registry.byId(id);
    const read = registered && readAs(registered.schema, reader);
    if (!read) return undefined;
    const {decode, seen} = read;
    const {fields, namespace} = seen;
    const isTime = fields.map(({type}) => JSON.stringify(type).includes('timestamp-millis'));
    const made = {
      names: fields.map(({name}) => name),
      decode,
      isTime,
      isSide: namespace === deadLetterSchema.namespace && fields.some(({name}) => name === 'original'),
    };
    decoders.set(id, made);
    return made;
  };
  /** What other programs wrote may be no event: then it is shown as what it is. */
  const valuesOf = async (bytes: Uint8Array, pos: number, end: number): Promise<Read> => {
    const original = () => Buffer.from(bytes.subarray(pos, end)).toString('base64');
    if (!isFrame(bytes, pos, end))
      return {unread: {unread: describeNoFrame(bytes, pos, end), original: original()}};
    const id = schemaIdOf(bytes, pos, end);
    const decoder = await decoderOf(id);
    if (!decoder) return {unread: {schema_id: id}};
    try {
      return {decoder, values: decoder.decode(bytes, pos + frameHeaderBytes, end)};
    } catch (error) {
      if (!(error instanceof DecodeFailure)) throw error;
      return {unread: {schema_id: id, unread: error.message, original: original()}};
    }
  };
  return async (batch) => {
    if (batch.kind !== 'data') return [];
    const places: {index: number; pos: number; end: number}[] = [];
    walkRecords(batch, (index, pos, end) => void places.push({index, pos, end}));
    const all: Shown[] = [];
    for (const {index, pos, end} of places) {
      const {decoder, values, unread} = await valuesOf(batch.bytes, pos, end);
      if (keeps && !(decoder && values && keeps(loggedOf(decoder, values)))) continue;
      const event = decoder && values ? eventOf(decoder, values) : (unread ?? {});
      if (decoder?.isSide && fields === undefined) event.original = await originalOf(event, decoderOf);
      const {topic, partition, baseOffset, appendTimeMs} = batch;
      all.push({
        topic,
        partition,
        offset: baseOffset + index,
        appended: new Date(appendTimeMs).toISOString(),
        event: fields ? Object.fromEntries(fields.map((name) => [name, event[name] ?? null])) : event,
      });
    }
    return all;
  };
}

/** Values by column; NULL for one that the record's schema does not have. */
const loggedOf =
  ({names}: EventDecoder, values: AvroValue[]): Get =>
  (name) => {
    const index = names.indexOf(name);
    return index < 0 ? null : (values[index] as Value);
  };

function eventOf({names, isTime}: EventDecoder, values: AvroValue[]): Record<string, unknown> {
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
  if (recordKeyName(bytes)) return `(${bytes.length} bytes, sealed: the domain has personal data)`;
  if (bytes.length > frameHeaderBytes && bytes[0] === 0) {
    try {
      const decoder = await decoderOf(schemaIdOf(bytes, 0, bytes.length));
      if (decoder) return eventOf(decoder, decoder.decode(bytes, frameHeaderBytes, bytes.length));
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
