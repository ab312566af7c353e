/** How the incoming records of one event type are read, checked and written. */
import type {Clock} from '../clock.ts';
import type {Domain, EventType, Input} from '../model/types.ts';
import type {RegisteredSchema} from '../schema/types.ts';
import {AvroReader} from './incoming-avro.ts';
import {RecordIds, requestIds, uuid7} from './incoming-ids.ts';
import {type RecordReader, readJson, readNdjson} from './incoming-json.ts';
import type {IncomingBatch} from './incoming-types.ts';
import {JsonScanner} from './jsonl.ts';
import type {RecordScanner} from './records.ts';
import {compileRows, type RowEncoder, wantedColumns} from './validate.ts';

export type IncomingRecords = {
  readonly partitions: number;
  readonly encoder: RowEncoder;
  /** Of the batch that is being read. */
  readonly scanner: RecordScanner;
  /** Latest event time that is accepted, epoch ms, of the batch that is being read. */
  latestMs(): number;
  /** Id of the scanned record: its own, or the one that it gets. */
  idOf(index: number): string;
  /** Begins a batch. @param length of the body in `bytes`, which has room for one byte more. @throws BodyRefused */
  open(batch: IncomingBatch, bytes: Uint8Array, length: number): RecordReader;
};

/** A time without a zone is none: senders sit in all of them. */
const zoneless = {name: 'none', toEpochMs: () => Number.NaN};

/** What a request's record is read as: keys are names of fields. That a record may give its id is said by mapping it. */
export const requestInput = ({domain, name, fields}: EventType): Input => {
  const id = fields.find(({role}) => role === 'id')!.name;
  return {
    domain,
    name: 'request',
    eventType: name,
    from: null,
    format: 'jsonl',
    ratePerSecond: null,
    nulls: [],
    timezone: 'UTC',
    timestampFormat: null,
    orderBy: 'none',
    map: {[id]: id},
  };
};

export function incomingRecords(options: {
  domain: Domain;
  eventType: EventType;
  partitions: number;
  schemaId: number;
  schemaById: (id: number) => RegisteredSchema | undefined;
  clock: Clock;
}): IncomingRecords {
  const {domain, eventType, partitions, schemaId, clock} = options;
  const ids = new RecordIds();
  const input = requestInput(eventType);
  let nowMs = 0;
  const columns = wantedColumns(eventType, input);
  const encoder = compileRows(
    {eventType, input, schemaId, partitions, ids, incoming: {nowMs: () => nowMs, zone: zoneless}},
    columns,
    'a record',
  );
  const json = new JsonScanner(columns);
  const avro = new AvroReader(eventType, columns, options.schemaById);
  let scanner: RecordScanner = json;
  return {
    partitions,
    encoder,
    get scanner() {
      return scanner;
    },
    latestMs: () => nowMs + domain.defaults.futureMaxMs,
    idOf: (index) => encoder.givenId(scanner) ?? ids.of(index),
    open(batch, bytes, length) {
      nowMs = clock.now();
      const given = batch.ids;
      const derived =
        given === 'derived' ? requestIds(domain.name, eventType.name, batch.request) : undefined;
      ids.begin((index) =>
        derived !== undefined
          ? derived.of(index)
          : ((typeof given === 'string' ? undefined : given[index]) ?? uuid7(nowMs)),
      );
      if (batch.format === 'avro' || batch.format === 'avro-frames') {
        scanner = avro.scanner;
        return avro.open(batch.format, bytes, length);
      }
      scanner = json;
      return batch.format === 'json' ? readJson(json, bytes, length) : readNdjson(json, bytes, length);
    },
  };
}
