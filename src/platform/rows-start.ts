import {KafkaClient} from '../log/kafka/client.ts';
import {commitOffsets, fetchOffsets} from '../log/kafka/group-offsets.ts';
import {compactedConfigs, ensureTopics} from '../log/kafka/topics.ts';
import {openLog} from '../log/open.ts';
import {tellReread} from '../log/rereads.ts';
import {sinksByQuery} from '../model/roles.ts';
import type {Platform} from '../model/types.ts';
import {bookTopic} from '../sinks/kafka/book.ts';
import {revisionOf} from '../sinks/tables.ts';
import type {Telemetry} from '../telemetry.ts';
import type {Parts} from './parts.ts';
import {type RowsService, startRowsService} from './rows.ts';
import type {RowsPositions} from './rows-feed.ts';
import {refusedTransaction} from './side.ts';
import {appendSide} from './side-append.ts';
import {standsBy} from './sink-guard.ts';

/**
 * Asks for the leases of the sinks, where others may have them, and delivers rows from topics when this process has the role `sinks` without `engine`. Places are the offsets of a consumer group
 * a sink, `<client>.sinks.<sink>`, so that Kafka's own tools show the lag.
 * @param configured the platform with all its queries @throws KAFKA_*
 */
export async function startRows(parts: Parts, configured: Platform): Promise<RowsService | undefined> {
  parts.sinkLeases?.start();
  const {platform, dirs, outputs, metrics, clock, ingest, sinkLeases} = parts;
  const {kafka} = dirs.source;
  if (!kafka || !platform.roles?.includes('sinks') || platform.roles.includes('engine')) return undefined;
  const client = new KafkaClient(kafka);
  await client.refreshMetadata();
  const book = bookTopic(kafka.clientId);
  // Whoever comes first makes it.
  await ensureTopics(client, [
    {name: book, partitions: 1, replication: kafka.topics.replication, configs: compactedConfigs},
  ]);
  const log = await openLog(dirs.source, {reread: (told) => tellReread(metrics, told)});
  const targets = sinksByQuery(configured);
  const service = await startRowsService({
    book,
    log,
    sinksOf: knownSinks(targets, metrics),
    sinks: [...new Set(Object.values(targets).flat())],
    openSink: (name) => outputs.sink(name),
    ...(sinkLeases ? {leases: sinkLeases} : {}),
    positionsOf(sink) {
      const positions = positionsIn(client, `${kafka.clientId}.sinks.${sink}`);
      return {
        ...positions,
        async save(topic, places) {
          if (sinkLeases?.mayWrite(sink) === false) throw standsBy(sink);
          await positions.save(topic, places);
        },
      };
    },
    async refused(table, sink, rows) {
      const domain = table.namespace;
      const id = `${domain}.${revisionOf(table.name)?.query ?? table.name}`;
      const schemaIds = Object.fromEntries([...parts.schemas].map(([topic, schema]) => [topic, schema.id]));
      await appendSide(
        {ingest, clock, telemetry: metrics},
        refusedTransaction({domain, id, table}, sink, rows, schemaIds, clock.now()),
      );
    },
    telemetry: metrics,
    clock,
  });
  parts.figures.deliversRows(() => service.status());
  sinkLeases?.addWriter((sink) => service.isWriting(sink));
  return {
    ...service,
    async close() {
      await service.close();
      log.close();
      client.close();
    },
  };
}

/**
 * The sinks of a query, none for one that this process does not know: the engine's configuration may be another one by now, which is
 * told once.
 */
export function knownSinks(
  targets: Record<string, string[]>,
  telemetry: Telemetry,
): (query: string) => string[] {
  const told = new Set<string>();
  return (query) => {
    const sinks = targets[query];
    if (sinks) return sinks;
    if (!told.has(query))
      telemetry.emit('Log', {
        level: 'warn',
        message: `rows of ${query} go nowhere from here: the configuration that this process was started with has no such query. Where it came since, start this process again with that; where it is gone, npx millrace prune drops what is left of it`,
      });
    told.add(query);
    return [];
  };
}

/** The checkpoint that the sink had marked, the id of the topic, and that of the one that was made for the table, stand beside each offset. */
const positionsIn = (client: KafkaClient, group: string): RowsPositions => ({
  async load(topic) {
    const partitions =
      client.metadata.topics.get(topic) ?? (await client.refreshMetadata()).topics.get(topic);
    const found = await fetchOffsets(client, group, topic, partitions?.length ?? 0);
    if (found.length === 0) return undefined;
    const offsets: number[] = [];
    for (const {partition, offset} of found) offsets[partition] = offset;
    const beside = found.map(({metadata}) => metadata.split(' '));
    const [topicId] = beside.flatMap(([, id = '']) => (id === '' ? [] : [id]));
    const [made] = beside.flatMap(([, , id = '']) => (id === '' ? [] : [id]));
    return {
      offsets: Array.from(offsets, (offset) => offset ?? 0),
      epoch: Math.max(...beside.map(([epoch]) => Number(epoch) || 0)),
      ...(topicId ? {topicId} : {}),
      ...(made ? {made} : {}),
    };
  },
  save: (topic, {offsets, epoch, topicId = '', made = ''}) =>
    commitOffsets(
      client,
      group,
      offsets.map((offset, partition) => ({
        topic,
        partition,
        offset,
        metadata: `${epoch} ${topicId} ${made}`.trim(),
      })),
    ),
});
