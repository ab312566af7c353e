/**
 * Keeps streams filled: one request to a broker asks for all its partitions that want something. Streams that are behind are
 * asked for without waiting; those at the end of their partitions by a long poll, on a connection of its own, so that neither
 * holds the other up. While a request is under way, what came before it is being worked on.
 */
import {PlatformError} from '../../errors.ts';
import type {Reread} from '../rereads.ts';
import {BatchFailure} from './batch-header.ts';
import {type Chunk, chunkOf, type SharedAnswer} from './chunk.ts';
import type {KafkaClient} from './client.ts';
import {isMoved, isTransient, kafkaError, overQuota} from './codes.ts';
import {isDoubted, rereadPauseMs, rereadsMax} from './doubt.ts';
import {type FetchAnswer, type FetchPlace, fetchRecords} from './fetch.ts';
import {AnswerMemory} from './memory.ts';
import {listOffsets} from './offsets.ts';
import {lostBeyond, trimmed, unreadable} from './reader-errors.ts';
import {clientDefaults, type KafkaClientSettings} from './settings.ts';
import type {Stream} from './stream.ts';
import {anyBroker, Trouble} from './trouble.ts';

/** Memory of all that is fetched and not handed out; a stream's share is never less than the second. A larger batch passes it alone. */
export const budgetBytes = 64 * 1024 * 1024;
const streamBytesLeast = 64 * 1024;
/** Streams buffer so many requests' worth. */
const ahead = 2;
/** An answer of the broker has at most so much. */
const answerBytes = 16 * 1024 * 1024;
/** A batch beyond this is not asked for. */
const batchBytesMax = 200 * 1024 * 1024;
/** Pauses after an answer that did not help, and after a failure, ms. */
const pause = {moved: 50, failed: 200};
/** Connections to a broker for requests that wait: who comes to the end of a partition need not wait for a poll to end. */
const lanes = {behind: ['read', 'read2'], live: ['poll', 'poll2', 'poll3']} as const;

export type FetcherEvents = {
  /** Offsets that an answer told. */
  offsets(stream: Stream, start: number, end: number): void;
  /** End of a partition at the last look. */
  endOf(topic: string, partition: number): number;
  /** What came is damaged, and is asked for again. */
  reread(told: Reread): void;
};

export type FetcherOptions = {
  /** The memory of what a stream handed out is used again at its next take. */
  reuse: boolean;
  /** Long polls rest for so long after one that found something, ms: whoever works in beats needs no answer in between. */
  gapMs?: number;
};

export class Fetcher {
  readonly #client: KafkaClient;
  readonly #events: FetcherEvents;
  readonly #settings: KafkaClientSettings;
  readonly #memory: AnswerMemory | undefined;
  readonly streams = new Set<Stream>();
  readonly #busy = new Set<string>();
  /** Connections that something damaged came over: the next request gets a new one. */
  readonly #worn = new Set<string>();
  readonly #gapMs: number;
  /** No long poll goes out before this time, `performance.now()`. */
  #pollAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  readonly trouble = new Trouble();

  constructor(client: KafkaClient, events: FetcherEvents, {reuse, gapMs = 0}: FetcherOptions) {
    this.#memory = reuse ? new AnswerMemory() : undefined;
    this.#gapMs = gapMs;
    this.#client = client;
    this.#events = events;
    this.#settings = {...clientDefaults, ...client.settings.client};
    client.throttled = (to, ms) => this.trouble.note(to, overQuota(to, ms));
  }

  /** Sends what can be sent. */
  pump(): void {
    if (this.#isClosed) return;
    const now = performance.now();
    const share = Math.floor(budgetBytes / Math.max(1, this.streams.size * (ahead + 1)));
    const bytesMax = Math.min(this.#settings.fetchBytesMax, Math.max(streamBytesLeast, share));
    const groups = new Map<string, {broker: number; isBehind: boolean; streams: Stream[]}>();
    let nextMs = Number.POSITIVE_INFINITY;
    let isStale = false;
    const leaders = new Set<number>();
    for (const stream of this.streams) {
      const broker = this.#client.partition(stream.topic, stream.partition)?.leader ?? -1;
      leaders.add(broker);
      if (stream.isAsked || stream.failure !== undefined) continue;
      if (stream.buffered >= bytesMax * ahead) continue;
      if (stream.notBefore > now) {
        nextMs = Math.min(nextMs, stream.notBefore - now);
        continue;
      }
      if (broker < 0) {
        isStale = true;
        stream.notBefore = now + pause.failed;
        nextMs = Math.min(nextMs, pause.failed);
        continue;
      }
      if (stream.wanted < bytesMax) stream.wanted = bytesMax;
      const isBehind = stream.position < this.#events.endOf(stream.topic, stream.partition);
      if (!isBehind && this.#pollAt > now) {
        nextMs = Math.min(nextMs, this.#pollAt - now);
        continue;
      }
      // A request names a partition once: its answer says the partition, not the position.
      let key = `${broker}/${isBehind}`;
      while (groups.get(key)?.streams.some((other) => isOfOnePartition(stream, other))) key += '/again';
      const group = groups.get(key) ?? {broker, isBehind, streams: []};
      group.streams.push(stream);
      groups.set(key, group);
    }
    for (const {broker, isBehind, streams} of groups.values()) this.#ask(broker, isBehind, streams);
    this.trouble.keep(leaders);
    if (isStale) this.#refresh();
    this.#wakeIn(nextMs);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.streams.clear();
  }

  #wakeIn(ms: number): void {
    clearTimeout(this.#timer);
    if (ms < Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.pump(), ms);
  }

  #ask(broker: number, isBehind: boolean, streams: Stream[]): void {
    const lane = lanes[isBehind ? 'behind' : 'live'].find((name) => !this.#busy.has(`${broker}/${name}`));
    if (!lane) return;
    const key = `${broker}/${lane}`;
    this.#busy.add(key);
    if (this.#worn.delete(key)) this.#client.renew(broker, lane);
    for (const stream of streams) {
      stream.isAsked = true;
      stream.asked = {position: stream.position, line: key};
    }
    const places: FetchPlace[] = streams.map(({topic, topicId, partition, position, lastEpoch, wanted}) => ({
      topic,
      topicId,
      partition,
      offset: position,
      leaderEpoch: this.#client.partition(topic, partition)?.leaderEpoch ?? -1,
      lastEpoch,
      bytesMax: wanted,
    }));
    const bytesMax = Math.max(answerBytes, ...places.map((place) => place.bytesMax));
    const memory = this.#memory;
    const waitMs = isBehind ? 0 : this.#settings.pollMs;
    fetchRecords(this.#client, places, {broker, lane, waitMs, bytesMax, ...(memory ? {memory} : {})})
      .then(
        (answers) => {
          const nowMs = performance.now();
          // Answers of other brokers within the rest do not make it longer.
          if (!isBehind && this.#pollAt <= nowMs && answers.some(({bytes}) => bytes.length > 0))
            this.#pollAt = nowMs + this.#gapMs;
          this.#answered(broker, streams, answers);
        },
        (error: unknown) => this.#failed(broker, streams, error),
      )
      .finally(() => {
        this.#busy.delete(key);
        for (const stream of streams) stream.isAsked = false;
        this.pump();
      });
  }

  #answered(broker: number, streams: Stream[], answers: FetchAnswer[]): void {
    const byPlace = new Map(answers.map((answer) => [`${answer.topic}/${answer.partition}`, answer]));
    let isStale = false;
    let failure: unknown;
    const shared = this.#share(answers);
    for (const stream of streams) {
      const answer = byPlace.get(`${stream.topic}/${stream.partition}`);
      // A broker that says nothing of what it was asked is not asked without end.
      if (!answer) stream.notBefore = performance.now() + pause.failed;
      if (!answer || !this.streams.has(stream) || stream.asked.position !== stream.position) continue;
      if (answer.code === 0) this.#take(stream, answer, shared);
      else if (answer.code === 1) void this.#outOfRange(stream);
      else if (isTransient(answer.code)) {
        stream.notBefore = performance.now() + pause.moved;
        isStale ||= isMoved(answer.code);
        failure = kafkaError(answer.code, `reading ${stream.topic}/${stream.partition}`);
      } else {
        const place = `${stream.topic}/${stream.partition}`;
        this.again(stream, kafkaError(answer.code, `reading ${place}`, `${place}@${stream.position}`));
      }
    }
    if (failure === undefined) this.trouble.clear(broker);
    else this.trouble.note(broker, failure);
    if (isStale) this.#refresh();
  }

  /** What counts the chunks of an answer; undefined when its memory is not used again. */
  #share([first]: FetchAnswer[]): SharedAnswer | undefined {
    const memory = this.#memory;
    return memory && first && {chunks: 0, free: () => memory.give(first.bytes)};
  }

  #take(stream: Stream, answer: FetchAnswer, shared: SharedAnswer | undefined): void {
    if (answer.diverged) {
      const {endOffset} = answer.diverged;
      this.again(stream, lostBeyond(stream.topic, stream.partition, stream.position, endOffset));
      return;
    }
    let chunk: Chunk | undefined;
    try {
      chunk = chunkOf(answer, stream.position);
    } catch (error) {
      if (!(error instanceof BatchFailure)) throw error;
      this.again(stream, unreadable(stream.topic, stream.partition, stream.position, error.message));
      return;
    }
    this.#events.offsets(stream, answer.startOffset, answer.stableOffset);
    const leaderEpoch = this.#client.partition(stream.topic, stream.partition)?.leaderEpoch ?? -1;
    if (chunk && isDoubted(stream, chunk, leaderEpoch)) return;
    if (chunk) {
      stream.wanted = 0;
      if (shared) {
        chunk.answer = shared;
        shared.chunks++;
      }
      stream.add(chunk);
      return;
    }
    if (answer.bytes.length > 0) this.#askForMore(stream);
    // The broker has not got so far as another one told us.
    else if (stream.position < this.#events.endOf(stream.topic, stream.partition))
      stream.notBefore = performance.now() + pause.moved;
  }

  /** A batch did not fit in the answer. */
  #askForMore(stream: Stream): void {
    if (stream.wanted >= batchBytesMax)
      this.again(
        stream,
        unreadable(
          stream.topic,
          stream.partition,
          stream.position,
          `the batch is larger than ${batchBytesMax} bytes`,
        ),
      );
    else stream.wanted = Math.min(batchBytesMax, stream.wanted * 4);
  }

  /** What came for the stream is damaged, or says that something is wrong: it is asked for again, and fails when that stays so. */
  again(stream: Stream, error: PlatformError): void {
    if (stream.damaged >= rereadsMax) {
      stream.fail(error);
      return;
    }
    stream.damaged++;
    stream.wanted = 0;
    stream.notBefore = performance.now() + rereadPauseMs(stream.damaged);
    this.#worn.add(stream.asked.line);
    const {topic, partition, position: offset} = stream;
    // A right that is missing is no damage.
    if (error.code !== 'KAFKA_ACCESS')
      this.#events.reread({topic, partition, offset, message: error.message});
  }

  async #outOfRange(stream: Stream): Promise<void> {
    const {topic, partition, position} = stream;
    stream.notBefore = performance.now() + pause.failed;
    try {
      // Nothing is gone that nobody says is gone: while leaders change they may not tell.
      let start = -Infinity;
      let end = Infinity;
      await listOffsets(this.#client, [{topic, partition}], 'start', (_, offset) => (start = offset));
      await listOffsets(this.#client, [{topic, partition}], 'end', (_, offset) => (end = offset));
      if (position < start) stream.fail(trimmed(topic, partition, position, start));
      else if (position > end) stream.fail(lostBeyond(topic, partition, position, end));
    } catch (error) {
      this.trouble.note(anyBroker, error);
    }
  }

  #failed(broker: number, streams: Stream[], error: unknown): void {
    const isFinal = !(error instanceof PlatformError) || error.code === 'KAFKA_ACCESS';
    for (const stream of streams) {
      if (isFinal) stream.fail(error);
      stream.notBefore = performance.now() + pause.failed;
    }
    this.trouble.note(broker, error);
    this.#refresh();
  }

  #refresh(): void {
    this.#client.refreshMetadata().then(
      () => {
        this.trouble.clear(anyBroker);
        this.pump();
      },
      (error: unknown) => this.trouble.note(anyBroker, error),
    );
  }
}

const isOfOnePartition = (a: Stream, b: Stream): boolean =>
  a.topic === b.topic && a.partition === b.partition;
