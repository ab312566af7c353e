/** Where the rows of a drain go: nowhere, into a topic of the same Kafka, or into ClickHouse over HTTP. */
import {systemClock} from '../src/clock.ts';
import type {Value} from '../src/expr/types.ts';
import type {KafkaSettings} from '../src/log/kafka/settings.ts';
import type {Table} from '../src/model/types.ts';
import {createDelivery} from '../src/sinks/delivery.ts';
import {openSink} from '../src/sinks/host.ts';
import {openKafkaSink} from '../src/sinks/kafka/open.ts';
import {tableId} from '../src/sinks/tables.ts';
import type {Sink} from '../src/sinks/types.ts';
import {noTelemetry} from '../src/telemetry.ts';

export type DrainSink = {
  /** Resolves when the rows are durable. */
  write(batch: {count: number; columns: Value[][]}): Promise<void>;
  /** Window, dimensions and measures of the newest version of every row, in the table's order of columns, as texts. */
  rows(): Promise<string[][]>;
  close(): Promise<void>;
};

const none: DrainSink = {write: async () => {}, rows: async () => [], close: async () => {}};

/** @param target `none`, `topic`, or the URL of a ClickHouse, whose table is made anew */
export async function openDrainSink(target: string, table: Table, kafka: KafkaSettings): Promise<DrainSink> {
  if (target === 'none') return none;
  const context = {name: 'rows', root: '/nowhere'};
  const topics = {source: {dir: '/nowhere', kafka}, registerSchema: async () => 7};
  const sink: Sink =
    target === 'topic'
      ? await openKafkaSink({}, {...context, topics})
      : await openSink({...context, choice: {backend: 'clickhouse', options: {url: target}}});
  await sink.drop?.(tableId(table));
  await sink.ensure(table);
  const delivery = createDelivery({
    sink,
    sinkName: 'rows',
    table,
    clock: systemClock,
    random: Math.random,
    telemetry: noTelemetry,
    distinct: true,
  });
  const wanted = table.columns.filter(
    ({name}) => !['window_end', 'events', 'closed', 'deleted', 'version'].includes(name),
  );
  return {
    write: (batch) => delivery.push({...batch, table: tableId(table)}),
    async rows() {
      if (sink.latest) {
        const at = wanted.map((column) => table.columns.indexOf(column));
        return (await sink.latest(table)).map((row) => at.map((index) => String(row[index] ?? '')));
      }
      const names = wanted.map(({name, type}) =>
        type === 'timestamp' ? `toUnixTimestamp64Milli("${name}")` : `"${name}"`,
      );
      const {rows} = await sink.query!(
        `SELECT ${names.join(', ')} FROM "${table.namespace}"."${table.name}" FINAL WHERE deleted = 0`,
      );
      return rows.map((row) => row.map((value) => String(value ?? '')));
    },
    async close() {
      delivery.close();
      await sink.close();
    },
  };
}
