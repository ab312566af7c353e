/** What `doctor` asks of servers: each answers in time, or the check says that it does not. */
import {PlatformError} from '../errors.ts';
import {openLog} from '../log/open.ts';
import {placeOfSink} from '../model/sinks.ts';
import {rawTable} from '../model/tables.ts';
import type {Platform} from '../model/types.ts';
import {checkpointsOf, followCheckpoints} from '../platform/ownership.ts';
import type {PlatformDirs} from '../platform/places.ts';
import {counted} from '../quantity.ts';
import {openRegistry} from '../schema/registry-open.ts';
import {openSink} from '../sinks/host.ts';
import {whoIs} from '../sinks/named.ts';
import type {WantedTables} from '../sinks/types.ts';

/** A check of a server takes no longer, ms. */
const checkMs = 10_000;
/** Brokers that do not answer are tried again for so long, ms: then their own words are told. */
const brokersMs = 3_000;

/** @throws SERVER_SILENT when nothing was answered in time; what is under way is not waited for */
export async function inTime<T>(work: Promise<T>, ms = checkMs): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  work.catch(() => {});
  const late = new Promise<never>((_, reject) => {
    const fail = () =>
      reject(
        new PlatformError('SERVER_SILENT', `no answer within ${ms / 1000} s`, {
          hint: 'see whether it runs, and whether the address, the port and what stands between are right',
        }),
      );
    timer = setTimeout(fail, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Cluster and topics of a log in Kafka, and the time of its newest record, epoch ms; 0: there is none. @throws KAFKA_* */
export async function lookAtKafka(
  source: PlatformDirs['source'],
  topics: ReadonlySet<string>,
): Promise<{message: string; newestMs: number}> {
  const log = await openLog(source, {patienceMs: brokersMs});
  try {
    let newestMs = 0;
    let found = 0;
    for (const topic of log.topics()) {
      if (!topics.has(topic)) continue;
      found++;
      for (let partition = 0; partition < log.partitions(topic); partition++) {
        const end = log.endOffset(topic, partition);
        if (end === log.startOffset(topic, partition)) continue;
        const [batch] = await log.read(topic, partition, end - 1, 1).catch(unlessDenied);
        newestMs = Math.max(newestMs, batch?.appendTimeMs ?? 0);
      }
    }
    const there = `${found} of ${counted(topics.size, 'topic')} of events`;
    return {message: `${log.identity?.()}, ${there}`, newestMs};
  } finally {
    log.close();
  }
}

/** Which rights are missing is looked at by itself. */
function unlessDenied(error: unknown): [] {
  if (error instanceof PlatformError && error.code === 'KAFKA_ACCESS') return [];
  throw error;
}

/** Whether the bucket of checkpoints can be read, and keeps the conditions of puts. @throws STORE_*, CHECKPOINT_* */
export async function checkBucket(platform: Platform, dirs: PlatformDirs): Promise<string> {
  const {remote} = checkpointsOf(platform, dirs);
  if (!remote) return dirs.state;
  const {showRemote} = await import('../process/embedded/state-bucket.ts');
  const {probeConditions} = await import('../process/embedded/state-head.ts');
  const {createS3Client} = await import('../store/s3.ts');
  const place = showRemote(remote);
  const client = createS3Client({...remote.s3, timeoutMs: brokersMs});
  try {
    await client.get(`${remote.prefix}head.json`);
    await probeConditions(client, remote.prefix, place);
  } finally {
    client.close();
  }
  await followCheckpoints(platform, dirs);
  return `${place} answers and keeps conditions`;
}

/** @throws REGISTRY_* */
export async function checkRegistry({registry: source}: PlatformDirs): Promise<string> {
  const registry = await openRegistry(source, {readOnly: true});
  try {
    return counted((await registry.subjects()).length, 'subject');
  } finally {
    registry.close();
  }
}

/** Those that are no server start when they are asked, which takes the time that it takes. */
const embedded = new Set(['file', 'stdout', 'chdb', 'pglite']);

/** What the sink is to hold: rows of queries, raw events. */
function tablesIn({domains}: Platform, name: string): WantedTables[] {
  return domains.flatMap(({name: namespace, aggregations, eventTypes, defaults}) => {
    const queries = aggregations.filter(({sinks}) => sinks.includes(name)).map((query) => query.name);
    const raw = defaults.raw === name ? eventTypes.map((eventType) => rawTable(eventType).name) : [];
    return queries.length + raw.length > 0 ? [{namespace, tables: [...queries, ...raw]}] : [];
  });
}

/** @param isWritten whether the process writes into it: then its user has to have the rights @throws SINK_*, SERVER_SILENT */
export async function checkSink(platform: Platform, name: string, isWritten: boolean): Promise<string> {
  const {root, plugins, sinks} = platform;
  const choice = sinks[name]!;
  const ask = async () => {
    const sink = await openSink({name, choice, root, plugins, readOnly: true});
    try {
      await sink.query?.('select 1');
      const wanted = tablesIn(platform, name);
      if (embedded.has(choice.backend) || wanted.length === 0 || !isWritten) return `${choice.backend} opens`;
      const missing = await sink.missingRights?.(wanted);
      if (!missing) return `${choice.backend} opens`;
      if (missing.length === 0) return `${choice.backend} opens, its user has the rights that it needs`;
      throw new PlatformError('SINK_REFUSED', `its user lacks rights: ${missing.join('; ')}`, {
        hint: `run these statements as an administrator: docs/${choice.backend}.md`,
        place: whoIs(name, placeOfSink(choice)),
      });
    } finally {
      const closing = sink.close();
      // A server may have to be waited for.
      if (embedded.has(choice.backend)) await closing;
      else closing.catch(() => {});
    }
  };
  return embedded.has(choice.backend) ? ask() : inTime(ask());
}
