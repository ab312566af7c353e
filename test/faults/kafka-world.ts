/** The world of the fault runs with its log in Kafka, which one file of an environment says, and the obvious evaluator as its judge. */
import {mkdirSync, writeFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import type {Value} from '../../src/expr/types.ts';
import {KafkaClient} from '../../src/log/kafka/client.ts';
import {deleteTopics} from '../../src/log/kafka/topics.ts';
import type {LogSource} from '../../src/log/open.ts';
import {type NaiveEvent, naive} from '../../src/process/naive.ts';
import type {NaiveRow} from '../../src/process/naive-rows.ts';
import {buildPlan} from '../../src/process/plan/build.ts';
import type {QueryPlan} from '../../src/process/plan/nodes.ts';
import type {LookupSnapshot} from '../../src/process/types.ts';
import {readLatest} from '../../src/sinks/file/read.ts';
import type {S3Settings} from '../../src/store/s3.ts';
import {compareRows, type Row} from '../support/changelog.ts';
import {plainSettings} from '../support/kafka-mirror.ts';
import {platformOf} from '../support/running.ts';
import type {Outcome} from './outcome.ts';
import {readEvents} from './outcome-log.ts';
import {productsCsv} from './world.ts';

/** The environment that the file is for. */
export const environment = 'single';

/**
 * Writes the file that puts the log of a world into Kafka.
 * @param clientId another one for each start: who begins then does not wait for the lease of a killed one, up to six seconds
 * @param bucket checkpoints go there, too
 */
export function writeEnvironment(
  root: string,
  brokers: readonly string[],
  clientId: string,
  bucket?: S3Settings,
): void {
  const listed = brokers.map((broker) => `"${broker}"`).join(', ');
  const dir = join(root, 'config/environments');
  mkdirSync(dir, {recursive: true});
  const lines = [
    `log: {backend: kafka, kafka: {brokers: [${listed}], client_id: ${clientId}, topics: {partitions: 2, replication: 1}}}`,
  ];
  if (bucket) {
    const access = `endpoint: "${bucket.endpoint}", access_key: "\${secret:key}", secret_key: "\${secret:secret}"`;
    // Of each world its own.
    const place = `s3://${bucket.bucket}/${basename(root)}`;
    lines.push(`engine: {embedded: {checkpoints: "${place}", lease: 1s, s3: {${access}}}}`);
    writeFileSync(join(root, '.env'), `key=${bucket.accessKey}\nsecret=${bucket.secretKey}\n`);
  }
  writeFileSync(join(dir, `${environment}.yaml`), `${lines.join('\n')}\n`);
}

/** Where such a world's log is. */
export const kafkaSource = (root: string, brokers: string[]): LogSource => ({
  dir: join(root, '.millrace/outbox'),
  kafka: plainSettings(brokers),
});

/** Takes all topics away that a world made: the next one begins with none. */
export async function forgetTopics(brokers: string[]): Promise<void> {
  const client = new KafkaClient(plainSettings(brokers));
  try {
    const {topics} = await client.refreshMetadata();
    await deleteTopics(
      client,
      [...topics.keys()].filter((name) => !name.startsWith('__')),
    );
  } finally {
    client.close();
  }
}

/** What differs between what is in the sink and in the books, and what the obvious evaluator says of the topics' events. */
export async function judge(root: string, source: LogSource, outcome: Outcome): Promise<string[]> {
  const [domain] = (await platformOf(root)).domains;
  const events = await readEvents(source, domain!);
  const problems: string[] = [];
  // Its rows depend on when its lookup was switched, and are computed from the journal of that.
  for (const aggregation of domain!.aggregations.filter(({name}) => name !== 'labels')) {
    const plan = buildPlan(domain!, aggregation);
    const said = naive(plan, events, new Map([['products', products()]]));
    const found = await readLatest(join(root, '.millrace/rows'), `shop.${aggregation.name}__r1`);
    const wanted = plan.emit === 'close' ? said.rows.filter(closedBy(plan, events)) : said.rows;
    const differences = compareRows(plan, (found?.rows ?? []) as Row[], wanted);
    for (const {topic, partition, ...counts} of said.counts) {
      const line = outcome.ledger.get(`query ${aggregation.name} ${topic}/${partition}`);
      const books = JSON.parse(line ?? '{}') as Record<string, number>;
      const {lateInPart: late_in_part, ...others} = counts;
      for (const [name, count] of Object.entries({...others, late_in_part}))
        if (books[name] !== count)
          differences.push(`${topic}/${partition}: ${name} is ${books[name]}, wanted ${count}`);
    }
    const about = (keys: Iterable<string>, beginning: string) =>
      [...keys].filter((key) => key.startsWith(beginning)).length;
    const late = about(outcome.late.keys(), `["${aggregation.name}",`);
    const late_wanted = plan.late === 'drop' ? 0 : said.late.length;
    if (late !== late_wanted) differences.push(`${late} late events, wanted ${late_wanted}`);
    const dead = about(outcome.dead.keys(), `["expression","${plan.id.split('/')[0]}",`);
    if (dead !== said.dead.length) differences.push(`${dead} dead letters, wanted ${said.dead.length}`);
    problems.push(...differences.map((difference) => `${aggregation.name}: ${difference}`));
  }
  return problems;
}

/** Windows that every partition of the query is past. */
function closedBy(plan: QueryPlan, events: NaiveEvent[]): (row: NaiveRow) => boolean {
  const newest = new Map<string, number>();
  for (const {topic, partition, values} of events)
    if (plan.sources.some((each) => each.topic === topic)) {
      const place = `${topic}/${partition}`;
      newest.set(place, Math.max(newest.get(place) ?? 0, Number(values.timestamp)));
    }
  const watermarkMs = Math.min(...newest.values()) - plan.watermarkMs;
  return ({window_end}) => Number(window_end) <= watermarkMs;
}

/** The lookup as every version of its file has it, in the column that queries other than `labels` take. */
function products(): LookupSnapshot {
  const [, ...lines] = productsCsv(0).trim().split('\n');
  const rows = new Map<Value, Value[]>(
    lines.map((line) => line.split(',')).map(([id, brand]) => [id!, [brand!]]),
  );
  return {name: 'products', id: '', columns: ['brand'], rows};
}
