/** The positions at which partitions are being read. */
import {Stream} from './stream.ts';

/** Positions of one partition that are read ahead of at once. */
const streamsOfPartition = 4;
/** A stream that holds records and was not read for so long is dropped, ms. */
const staleMs = 30_000;

export class StreamTable {
  readonly #byPlace = new Map<string, Stream[]>();
  readonly #all: Set<Stream>;

  /** @param all is kept up to date: what is to be kept filled */
  constructor(all: Set<Stream>) {
    this.#all = all;
  }

  /** The stream that goes on at `offset`, or that handed it out last. */
  at(topic: string, partition: number, offset: number): Stream | undefined {
    const streams = this.#byPlace.get(`${topic}/${partition}`) ?? [];
    return streams.find((stream) => stream.head === offset || stream.again(offset) !== undefined);
  }

  /** A new stream; the one of the partition that was unused longest may go for it. */
  add(topic: string, partition: number, offset: number, topicId?: string): Stream {
    const key = `${topic}/${partition}`;
    const stream = new Stream(topic, partition, offset, topicId);
    const streams = [...(this.#byPlace.get(key) ?? []), stream];
    this.#byPlace.set(key, streams);
    this.#all.add(stream);
    if (streams.length > streamsOfPartition) {
      const idle = streams.filter((other) => other !== stream && other.waiting === 0);
      const [oldest] = idle.toSorted((a, b) => a.usedAt - b.usedAt);
      if (oldest) this.drop(oldest);
    }
    return stream;
  }

  drop(stream: Stream): void {
    const key = `${stream.topic}/${stream.partition}`;
    const rest = (this.#byPlace.get(key) ?? []).filter((other) => other !== stream);
    if (rest.length > 0) this.#byPlace.set(key, rest);
    else this.#byPlace.delete(key);
    this.#all.delete(stream);
  }

  /** Whoever waits in a stream of the topic is told why it ends; what comes next begins anew. */
  end(topic: string, why: (stream: Stream) => unknown): void {
    for (const stream of [...this.#all]) {
      if (stream.topic !== topic) continue;
      stream.fail(why(stream));
      this.drop(stream);
    }
  }

  /** Drops what holds records that nobody comes for. */
  expire(now: number): void {
    for (const stream of [...this.#all])
      if (stream.hasRecords && stream.waiting === 0 && now - stream.usedAt > staleMs) this.drop(stream);
  }

  /** Whether a request is under way that tells where the partition ends. */
  isAsked(place: string): boolean {
    return this.#byPlace.get(place)?.some(({isAsked}) => isAsked) ?? false;
  }
}
