/** How far queries and sinks are, by what they publish in Kafka, against the ends of topics. */
import {PlatformError} from '../errors.ts';
import type {KafkaClient} from '../log/kafka/client.ts';
import {fetchAllOffsets, type GroupOffset} from '../log/kafka/group-offsets.ts';
import {readOnce} from '../log/kafka/read-once.ts';
import {saidOfHidden} from '../log/kafka/rights.ts';
import type {Reread} from '../log/rereads.ts';
import type {SeenGroup, SeenTopicLag} from './types.ts';

/** `<topic>/<partition>` -> offset. */
export type Offsets = ReadonlyMap<string, number>;

/** So many groups are asked for at a time. */
const askedAtOnce = 8;
/** So many records are read at most in one look to learn when they were appended; of the rest the age is not known. */
const readsMax = 64;
/** The least that a broker gives: one batch. */
const readBytes = 1_024;

/**
 * When records were appended that somebody wants next, epoch ms. What was read once is kept as long as somebody wants it: while
 * somebody stands still nothing is read again.
 */
export class AppendTimes {
  readonly #client: KafkaClient;
  readonly #reread: (told: Reread) => void;
  #known = new Map<string, number>();
  #next = new Map<string, number>();
  #reads = 0;

  /** @param reread told of what came damaged and is asked for again */
  constructor(client: KafkaClient, reread: (told: Reread) => void) {
    this.#client = client;
    this.#reread = reread;
  }

  /** A look begins: what nobody asks for during it is forgotten. */
  begin(): void {
    this.#known = this.#next;
    this.#next = new Map();
    this.#reads = 0;
  }

  /** @returns undefined when it is not known @throws KAFKA_*, LOG_TRIMMED, LOG_CORRUPT */
  async of(topic: string, partition: number, offset: number): Promise<number | undefined> {
    const key = `${topic}/${partition}/${offset}`;
    const known = this.#next.get(key) ?? this.#known.get(key) ?? (await this.#read(topic, partition, offset));
    if (known !== undefined) this.#next.set(key, known);
    return known;
  }

  async #read(topic: string, partition: number, offset: number): Promise<number | undefined> {
    if (this.#reads++ >= readsMax) return undefined;
    const batches = await readOnce(
      this.#client,
      {topic, partition, offset, bytesMax: readBytes},
      this.#reread,
    );
    return batches.find(({kind}) => kind === 'data')?.appendTimeMs;
  }
}

export type GroupLook = {
  client: KafkaClient;
  starts: Offsets;
  ends: Offsets;
  times: AppendTimes;
  nowMs: number;
  /** Topics that may not be described. */
  hidden: ReadonlySet<string>;
};

/** A query or a sink, its group, and the topics that it reads. */
export type AskedGroup = {name: string; group: string; reads: readonly string[]};

/** @throws KAFKA_UNAVAILABLE when no broker answers */
export async function lookAtGroups(look: GroupLook, groups: readonly AskedGroup[]): Promise<SeenGroup[]> {
  const seen: SeenGroup[] = [];
  let next = 0;
  const work = async () => {
    while (next < groups.length) {
      const index = next++;
      seen[index] = await lookAtGroup(look, groups[index]!);
    }
  };
  await Promise.all(Array.from({length: askedAtOnce}, work));
  return seen;
}

async function lookAtGroup(look: GroupLook, {name, group, reads}: AskedGroup): Promise<SeenGroup> {
  const nothing = {name, group, lag: null, lagMs: null, topics: []};
  let offsets: GroupOffset[];
  try {
    offsets = await fetchAllOffsets(look.client, group);
  } catch (error) {
    // One that may not be asked for does not hide the others; without brokers there is nothing to look at.
    if (!(error instanceof PlatformError) || error.code === 'KAFKA_UNAVAILABLE') throw error;
    return {...nothing, state: 'unknown', message: `${error.code} ${error.message}`};
  }
  // Of topics that may not be described brokers leave the offsets out: what is left would be too little.
  const hidden = reads.filter((topic) => look.hidden.has(topic));
  if (hidden.length > 0)
    return {...nothing, state: 'unknown', message: `KAFKA_ACCESS ${saidOfHidden(hidden)}`};
  const byTopic = Map.groupBy(offsets, ({topic}) => topic);
  const topics: SeenTopicLag[] = [];
  const troubles: string[] = [];
  for (const [topic, places] of byTopic) {
    // Offsets outlive their topic.
    const count = look.client.metadata.topics.get(topic)?.length ?? 0;
    if (count > 0) topics.push(await lagOf(look, topic, count, places, troubles));
  }
  if (topics.length === 0) return {...nothing, state: 'unpublished'};
  return {
    name,
    group,
    state: 'known',
    lag: sumOf(topics.map(({lag}) => lag)),
    lagMs: mostOf(topics.map(({lagMs}) => lagMs)),
    topics: topics.sort((a, b) => (a.topic < b.topic ? -1 : 1)),
    ...(troubles.length === 0 ? {} : {message: troubles[0]!}),
  };
}

async function lagOf(
  {starts, ends, times, nowMs}: GroupLook,
  topic: string,
  count: number,
  places: readonly GroupOffset[],
  troubles: string[],
): Promise<SeenTopicLag> {
  const partitions = Array.from({length: count}, (_, partition) => {
    const offset = places.find((place) => place.partition === partition)?.offset ?? null;
    const [start, end] = [starts.get(`${topic}/${partition}`), ends.get(`${topic}/${partition}`)];
    const isKnown = end !== undefined && start !== undefined;
    if (!isKnown) troubles.push(`nobody tells just now where ${topic}/${partition} begins and ends`);
    const from = Math.max(offset ?? 0, start ?? 0);
    return {partition, offset, end: end ?? null, lag: isKnown ? Math.max(0, end - from) : null, from};
  });
  const ages = partitions.map(async ({partition, lag, from}) => {
    if (lag === 0) return 0;
    if (lag === null) return null;
    try {
      const ms = await times.of(topic, partition, from);
      return ms === undefined ? null : Math.max(0, nowMs - ms);
    } catch (error) {
      if (!(error instanceof PlatformError)) throw error;
      troubles.push(`the age of the lag of ${topic}/${partition}: ${error.code} ${error.message}`);
      return null;
    }
  });
  return {
    topic,
    lag: sumOf(partitions.map(({lag}) => lag)),
    lagMs: mostOf(await Promise.all(ages)),
    partitions: partitions.map(({from: _, ...partition}) => partition),
  };
}

const sumOf = (values: readonly (number | null)[]): number | null =>
  values.includes(null) ? null : values.reduce<number>((sum, value) => sum + value!, 0);
const mostOf = (values: readonly (number | null)[]): number | null =>
  values.includes(null) ? null : Math.max(0, ...values.map((value) => value!));
