/** Where an event lies in the log: by an index where one has it, else by reading. */
import {PlatformError} from '../errors.ts';
import {partitionOfBytes} from '../log/partition.ts';
import {batchesFrom} from '../log/scan.ts';
import type {LogReader} from '../log/types.ts';
import type {Domain, EventType, Platform} from '../model/types.ts';
import {type ColumnsReader, columnsReader, frameIdOf} from '../schema/columns.ts';
import {walkRecords} from '../schema/frame.ts';
import type {SchemaRegistry} from '../schema/registry.ts';
import {type Ask, dialectOf, recordsOf} from './ask.ts';

export type Place = {partition: number; offset: number};
/** By the index of the raw table or of the log, or by reading the topic where neither has it. */
export type FoundBy = 'raw table' | 'log index' | 'search';

export type FinderOptions = {
  platform: Platform;
  ask: Ask;
  /** Told before a topic is read. */
  onSearch(topic: string): void;
};

export class Finder {
  readonly #options: FinderOptions;
  readonly #log: LogReader;
  readonly #registry: SchemaRegistry;
  readonly #readers = new Map<string, ColumnsReader | undefined>();

  constructor(options: FinderOptions, log: LogReader, registry: SchemaRegistry) {
    this.#options = options;
    this.#log = log;
    this.#registry = registry;
  }

  /** @returns undefined when the topic does not have it. @throws LOG_CORRUPT */
  async find(
    domain: Domain,
    eventType: EventType,
    eventId: string,
  ): Promise<(Place & {foundBy: FoundBy}) | undefined> {
    if (this.#log.partitions(eventType.topic) === 0) return undefined;
    const raw = await this.#rawPlace(domain, eventType, eventId);
    if (raw) return {...raw, foundBy: 'raw table'};
    const indexed = this.#log.placeOf(eventType.topic, eventId);
    if (indexed) return {...indexed, foundBy: 'log index'};
    const searched = await this.#search(domain, eventType, eventId);
    return searched && {...searched, foundBy: 'search'};
  }

  /** Decoder of a schema's records, of the given columns or all; undefined for an id that the registry does not have. */
  async reader(schemaId: number, fields?: string[]): Promise<ColumnsReader | undefined> {
    const key = `${schemaId} ${fields}`;
    if (!this.#readers.has(key))
      this.#readers.set(key, columnsReader((await this.#registry.byId(schemaId))?.schema, fields));
    return this.#readers.get(key);
  }

  async #rawPlace(
    {defaults, name}: Domain,
    eventType: EventType,
    eventId: string,
  ): Promise<Place | undefined> {
    const {platform, ask} = this.#options;
    const dialect = defaults.raw === null ? undefined : dialectOf(platform, defaults.raw);
    if (!dialect || eventId.includes('\0')) return undefined;
    try {
      const result = await ask(
        defaults.raw!,
        `SELECT "_partition", "_offset" FROM "${name}"."${eventType.name}" WHERE event_id = ${dialect.literal(eventId)} LIMIT 1`,
      );
      const [row] = recordsOf(result);
      return row && {partition: Number(row._partition), offset: Number(row._offset)};
    } catch (error) {
      // The database is not there yet, or busy: the log has everything that it has.
      if (error instanceof PlatformError) return undefined;
      throw error;
    }
  }

  /** Reads what the raw table does not have yet; the whole topic where there is none. */
  async #search(domain: Domain, eventType: EventType, eventId: string): Promise<Place | undefined> {
    const {topic} = eventType;
    const partitions = this.#log.partitions(topic);
    const bytes = Buffer.from(eventId);
    // Without a key the id itself picks the partition.
    const chosen =
      eventType.key === 'event_id'
        ? [partitionOfBytes(bytes, partitions, 0, bytes.length)]
        : [...Array(partitions).keys()];
    const raw = domain.defaults.raw;
    const from = raw === null ? new Map<number, number>() : await this.#rawReach(domain.name, eventType, raw);
    const places = chosen
      .map((partition) => ({
        partition,
        offset: from.get(partition) ?? this.#log.startOffset(topic, partition),
      }))
      .filter(({partition, offset}) => offset < this.#log.endOffset(topic, partition));
    if (places.length === 0) return undefined;
    this.#options.onSearch(topic);
    for (const {partition, offset} of places)
      for await (const batch of batchesFrom(this.#log, topic, partition, offset)) {
        if (batch.kind !== 'data') continue;
        const records: {index: number; pos: number; end: number}[] = [];
        walkRecords(batch, (index, pos, end) => void records.push({index, pos, end}));
        for (const {index, pos, end} of records) {
          const id = frameIdOf(batch.bytes, pos, end);
          const read = id === undefined ? undefined : await this.reader(id, ['event_id']);
          if (read?.(batch.bytes, pos, end)?.[0] === eventId)
            return {partition, offset: batch.baseOffset + index};
        }
      }
    return undefined;
  }

  /** Partition -> offset below which the raw table has everything; empty when that is not known. */
  async #rawReach(domain: string, {name}: EventType, sink: string): Promise<Map<number, number>> {
    if (!dialectOf(this.#options.platform, sink)) return new Map();
    try {
      const result = await this.#options.ask(
        sink,
        `SELECT "_partition", max("_offset") AS last FROM "${domain}"."${name}" GROUP BY "_partition"`,
      );
      return new Map(recordsOf(result).map((row) => [Number(row._partition), Number(row.last) + 1]));
    } catch (error) {
      if (error instanceof PlatformError) return new Map();
      throw error;
    }
  }
}
