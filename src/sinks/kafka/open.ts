import {PlatformError} from '../../errors.ts';
import type {Value} from '../../expr/types.ts';
import {KafkaClient} from '../../log/kafka/client.ts';
import {writeKeyed} from '../../log/kafka/keyed.ts';
import {compactedConfigs, deleteTopics, ensureTopics} from '../../log/kafka/topics.ts';
import {openLog} from '../../log/open.ts';
import {batchesOf} from '../../log/scan.ts';
import {remade} from '../../log/topic-ids.ts';
import type {LogReader} from '../../log/types.ts';
import type {Table} from '../../model/types.ts';
import {walkRecords} from '../../schema/frame.ts';
import {DecodeFailure} from '../../schema/read.ts';
import {columnIndex, revisionOf, tableId} from '../tables.ts';
import type {RowTopics, Sink, SinkContext} from '../types.ts';
import {Book, type BookEntry, bookEntryOf, bookKey, bookTopic, tableEntry} from './book.ts';
import {type RowEncoder, rowEncoder, rowReader, rowSchema, rowsTopic} from './rows.ts';

/**
 * Rows of queries into topics of the cluster that holds the log. A write resolves when every replica in sync has the rows; one
 * that comes twice changes nothing, since rows carry versions and readers take the highest.
 * @throws SINK_REFUSED for a platform whose log is not Kafka; KAFKA_*
 */
export async function openKafkaSink(_options: Record<string, unknown>, context: SinkContext): Promise<Sink> {
  const {source, registerSchema} = context.topics ?? {};
  if (!source?.kafka || !registerSchema)
    throw new PlatformError('SINK_REFUSED', 'rows can go to topics only when the log is Kafka', {
      hint: 'set log.backend: kafka, or choose another backend for the sink',
    });
  const client = new KafkaClient(source.kafka);
  let log: LogReader | undefined;
  try {
    await client.refreshMetadata();
    const topic = bookTopic(source.kafka.clientId);
    const {partitions, replication} = source.kafka.topics;
    const configs = compactedConfigs;
    await ensureTopics(client, [{name: topic, partitions: 1, replication, configs}]);
    log = await openLog({dir: source.dir, kafka: source.kafka});
    const sink = new KafkaSink({client, log, topic, partitions, replication, registerSchema});
    await sink.readBook();
    return sink;
  } catch (error) {
    log?.close();
    client.close();
    throw error;
  }
}

type Parts = {
  client: KafkaClient;
  log: LogReader;
  /** Of the book. */
  topic: string;
  /** Of a new topic of rows. */
  partitions: number;
  replication: number;
  registerSchema: RowTopics['registerSchema'];
};

class KafkaSink implements Sink {
  readonly #parts: Parts;
  readonly #book = new Book();
  readonly #encoders = new Map<string, RowEncoder>();
  /** Table -> next offset by partition, as far as it was written here. */
  readonly #ends = new Map<string, number[]>();
  /** Topic -> its id when it was opened; none where topics have no ids. */
  readonly #topicIds = new Map<string, string>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async readBook(): Promise<void> {
    this.#opened(this.#parts.topic);
    for await (const {kind, bytes, count} of batchesOf(this.#parts.log, this.#parts.topic))
      if (kind === 'data')
        walkRecords({bytes, count}, (_, pos, end) => this.#book.take(bookEntryOf(bytes.subarray(pos, end))));
  }

  async #note(...entries: BookEntry[]): Promise<void> {
    const {client, topic} = this.#parts;
    const records = entries.map((entry) => ({
      key: Buffer.from(bookKey(entry)),
      value: Buffer.from(JSON.stringify(entry)),
      partition: 0,
    }));
    if (records.length > 0) await writeKeyed(client, topic, records);
    for (const entry of entries) this.#book.take(entry);
  }

  #opened(topic: string): void {
    const id = this.#parts.client.metadata.topicIds.get(topic);
    if (id !== undefined) this.#topicIds.set(topic, id);
  }

  /** Id of the topic of that name now, when it is another one; the reader looks now and then, the client when something fails. */
  #otherThan(topic: string, was: string | undefined): string | undefined {
    const {client, log} = this.#parts;
    return [log.topicId?.(topic), client.metadata.topicIds.get(topic)].find(
      (is) => is !== undefined && is !== was,
    );
  }

  /** @throws TOPIC_OTHER when the topic is not the one that was opened: rows that it had are gone */
  #check(id: string): void {
    const topic = topicOf(id);
    const was = this.#topicIds.get(topic);
    const is = this.#otherThan(topic, was);
    if (was === undefined || is === undefined) return;
    const [namespace = '', name = ''] = id.split('.');
    throw remade(topic, {
      was,
      is,
      place: topic,
      hint: `look who deleted it, and why; its rows are made again from the log by: npx millrace resume ${namespace}.${revisionOf(name)?.query ?? name}`,
    });
  }

  /** A book that was deleted and made anew is written again. */
  async #keepBook(): Promise<void> {
    const {topic} = this.#parts;
    const is = this.#otherThan(topic, this.#topicIds.get(topic));
    if (is === undefined) return;
    await this.#note(...this.#book.entries());
    this.#topicIds.set(topic, is);
  }

  async ensure(table: Table): Promise<void> {
    const id = tableId(table);
    const known = this.#book.tables.get(id);
    const differences = known ? differencesOf(known, table) : [];
    if (differences.length > 0)
      throw new PlatformError('SINK_TABLE_DIFFERS', `${rowsTopic(table)}: ${differences.join('; ')}`, {
        place: rowsTopic(table),
        hint: 'give the query a new revision: npx millrace apply, or npx millrace rebuild',
      });
    const {client, log, partitions, replication, registerSchema} = this.#parts;
    const configs = compactedConfigs;
    const name = rowsTopic(table);
    await ensureTopics(client, [{name, partitions, replication, configs}]);
    this.#opened(name);
    const schemaId = await registerSchema(`${name}-value`, rowSchema(table));
    this.#encoders.set(id, rowEncoder(table, schemaId));
    await log.refresh([name]);
    this.#ends.set(
      id,
      Array.from({length: log.partitions(name)}, (_, partition) => log.endOffset(name, partition)),
    );
    if (!known) await this.#note(tableEntry(table, this.#topicIds.get(name)));
  }

  async write(table: Table, batch: Parameters<Sink['write']>[1]): Promise<void> {
    const id = tableId(table);
    const encode = this.#encoders.get(id);
    if (!encode) throw new PlatformError('SINK_REFUSED', `${id} was not made yet`);
    this.#check(id);
    const written = await writeKeyed(this.#parts.client, rowsTopic(table), encode(batch));
    const ends = this.#ends.get(id)!;
    for (const [partition, end] of written) ends[partition] = Math.max(ends[partition] ?? 0, end);
  }

  async mark(marks: Parameters<Sink['mark']>[0]): Promise<void> {
    const higher = marks.filter(({table, epoch}) => epoch > (this.#book.marks.get(table)?.epoch ?? -1));
    for (const {table} of higher) this.#check(table);
    await this.#keepBook();
    await this.#note(
      ...higher.map(({table, epoch}): BookEntry => {
        const topicId = this.#topicIds.get(topicOf(table));
        return {kind: 'mark', table, epoch, ends: this.#endsOf(table), ...(topicId ? {topicId} : {})};
      }),
    );
  }

  #endsOf(table: string): number[] {
    return Array.from(this.#ends.get(table) ?? [], (end) => end ?? 0);
  }

  async marked(table: string): Promise<number | undefined> {
    const mark = this.#book.marks.get(table);
    const is = this.#parts.log.topicId?.(topicOf(table));
    // Rows in a topic that is gone are in no topic.
    const isGone = mark?.topicId !== undefined && is !== undefined && mark.topicId !== is;
    return isGone ? undefined : mark?.epoch;
  }

  async switchView(table: Table): Promise<void> {
    if (!table.view) return;
    const id = tableId(table);
    await this.#note({
      kind: 'view',
      view: `${table.namespace}.${table.view.name}`,
      table: id,
      ends: this.#endsOf(id),
    });
  }

  async dropView(view: string): Promise<void> {
    await this.#note({kind: 'dropView', view});
  }

  async revisions(namespace: string, query: string): Promise<number[]> {
    return [...this.#book.tables.values()]
      .filter((table) => table.namespace === namespace)
      .flatMap(({name}) => {
        const found = revisionOf(name);
        return found?.query === query ? [found.revision] : [];
      });
  }

  async drop(id: string): Promise<void> {
    const table = this.#book.tables.get(id);
    if (!table) return;
    await this.#note({kind: 'drop', table: id});
    await deleteTopics(this.#parts.client, [rowsTopic(table)]);
    this.#encoders.delete(id);
    this.#ends.delete(id);
  }

  /** Reads the whole topic. @param wanted with all of the table's columns, or some */
  async latest(wanted: Table): Promise<Value[][]> {
    const {log} = this.#parts;
    // Its rows have all of its columns, and these say which row is the latest.
    const table = this.#book.tables.get(tableId(wanted)) ?? wanted;
    const reader = rowReader(table);
    await log.refresh([rowsTopic(table)]);
    for await (const {kind, bytes, count} of batchesOf(log, rowsTopic(table)))
      if (kind === 'data')
        walkRecords({bytes, count}, (_, pos, end) => {
          try {
            reader.add(bytes, pos, end);
          } catch (error) {
            // What another program wrote there is no row.
            if (!(error instanceof DecodeFailure)) throw error;
          }
        });
    const {count, columns} = reader.take();
    const [version, deleted, start] = ['version', 'deleted', 'window_start'].map((name) =>
      columnIndex(table, name),
    ) as [number, number, number];
    const keys = table.key.map((name) => columnIndex(table, name));
    const rows = new Map<string, Value[]>();
    for (let at = 0; at < count; at++) {
      const row = columns.map((column) => column[at]!);
      const key = JSON.stringify(keys.map((index) => (row[index] === null ? null : String(row[index]))));
      const before = rows.get(key);
      if (!before || BigInt(before[version] as number) <= BigInt(row[version] as number)) rows.set(key, row);
    }
    const chosen = wanted.columns.map(({name}) => columnIndex(table, name));
    return [...rows.values()]
      .filter((row) => row[deleted] !== true)
      .sort((a, b) => Number(b[start]) - Number(a[start]))
      .map((row) => chosen.map((index) => row[index] ?? null));
  }

  async close(): Promise<void> {
    this.#parts.log.close();
    this.#parts.client.close();
  }
}

/** Topic of a table `<namespace>.<name>`. */
function topicOf(id: string): string {
  const [namespace = '', name = ''] = id.split('.');
  return rowsTopic({namespace, name});
}

/** What the columns of a table are that its topic does not expect. */
function differencesOf(is: Table, wanted: Table): string[] {
  const textOf = ({name, type, nullable}: Table['columns'][number]) =>
    `${name} ${type}${nullable ? '' : ' not null'}`;
  const before = is.columns.map(textOf);
  const now = wanted.columns.map(textOf);
  return [
    ...before.filter((text) => !now.includes(text)).map((text) => `it has ${text}`),
    ...now.filter((text) => !before.includes(text)).map((text) => `${text} is wanted`),
    ...(is.key.join() === wanted.key.join()
      ? []
      : [`its key is ${is.key.join(', ')}, not ${wanted.key.join(', ')}`]),
  ];
}
