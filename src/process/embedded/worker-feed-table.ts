import type {LookupSnapshot} from '../types.ts';
import {createTopicDecoder, type TopicDecoder} from './decode.ts';
import type {Reader} from './reader.ts';
import {topicsOf} from './topics-read.ts';
import {failureOf} from './worker-failure.ts';
import {Feed} from './worker-feed.ts';
import type {DomainSnapshot, PeerMessage, WorkerSetup} from './worker-messages.ts';
import type {WriterSchemas} from './worker-schemas.ts';

/** Dictionaries and columns of one topic beyond this are forgotten at the next turn. */
const decoderBytesMax = 128 * 2 ** 20;

/** A decoder for every topic, shared by all queries over it. */
export function decodersOf(
  {queries}: WorkerSetup,
  {schemaOf}: Pick<WriterSchemas, 'schemaOf'>,
): Map<string, TopicDecoder> {
  const plans = queries.map(({plan}) => plan);
  const topics = new Set(plans.flatMap(topicsOf));
  return new Map(
    [...topics].map((topic) => {
      const readers = plans.filter(({sources}) => sources.some((source) => source.topic === topic));
      return [topic, createTopicDecoder(topic, readers, schemaOf)];
    }),
  );
}

/** The feeds of one worker, by query, and the lookup snapshots that they may be told to use. */
export class FeedTable {
  #feeds = new Map<string, Feed>();
  #snapshots = new Map<string, LookupSnapshot>();
  #setup: WorkerSetup;
  #decoders: Map<string, TopicDecoder>;
  #reader: Reader;
  #paces: Int32Array;
  #post: (to: number, message: PeerMessage) => void;

  constructor(
    setup: WorkerSetup,
    decoders: Map<string, TopicDecoder>,
    reader: Reader,
    paces: Int32Array,
    post: (to: number, message: PeerMessage) => void,
  ) {
    this.#setup = setup;
    this.#decoders = decoders;
    this.#reader = reader;
    this.#paces = paces;
    this.#post = post;
    for (const snapshot of setup.snapshots) this.keep(snapshot);
  }

  keep({domain, snapshot}: DomainSnapshot): void {
    this.#snapshots.set(`${domain} ${snapshot.name} ${snapshot.id}`, snapshot);
  }

  snapshotOf(domain: string, lookup: string, id: string): LookupSnapshot {
    const snapshot = this.#snapshots.get(`${domain} ${lookup} ${id}`);
    if (!snapshot) throw new Error(`a snapshot that this worker was not given: ${lookup} ${id}`);
    return snapshot;
  }

  /** Hands over what is due. @returns ms until something is due again */
  pump(nowMs: number): number {
    for (const [topic, decoder] of this.#decoders)
      if (decoder.bytes() > decoderBytesMax) this.#endGeneration(topic, decoder, nowMs);
    let dueMs = Infinity;
    for (const feed of this.#feeds.values()) {
      feed.pump(nowMs);
      dueMs = Math.min(dueMs, feed.dueInMs(nowMs));
    }
    return dueMs;
  }

  /** Whether a feed has something that did not leave yet. */
  isWaiting(): boolean {
    for (const feed of this.#feeds.values()) if (feed.dueInMs(Infinity) === 0) return true;
    return false;
  }

  /** What an owner says. */
  receive(message: Exclude<PeerMessage, {kind: 'delta' | 'held' | 'feedFailed'}>): void {
    if (message.kind === 'open') {
      this.#open(message);
      return;
    }
    const feed = this.#feeds.get(message.query);
    if (!feed || feed.run !== message.run) return;
    switch (message.kind) {
      case 'close':
        feed.close();
        this.#feeds.delete(message.query);
        break;
      case 'hold':
        feed.hold();
        break;
      case 'release':
        feed.release(message.lookups);
        break;
      case 'pause':
        feed.pause(message.paused);
        break;
      case 'until':
        feed.until(message.places);
        break;
      case 'merged':
        feed.merged();
    }
  }

  #open(message: Extract<PeerMessage, {kind: 'open'}>): void {
    const {queries, worker} = this.#setup;
    const index = queries.findIndex(({plan}) => plan.id === message.query);
    const {plan} = queries[index]!;
    this.#feeds.get(message.query)?.close();
    try {
      const feed = new Feed({
        ...message,
        plan,
        worker,
        decoders: this.#decoders,
        reader: this.#reader,
        snapshotOf: (lookup, id) => this.snapshotOf(plan.domain, lookup, id),
        post: this.#post,
        paceMs: () => Atomics.load(this.#paces, index),
      });
      this.#feeds.set(message.query, feed);
    } catch (error) {
      const {query, run, owner} = message;
      this.#post(owner, {kind: 'feedFailed', query, run, failure: failureOf(error)});
    }
  }

  /** Codes are about to mean something else: every kernel over the topic hands over what it has in the old ones. */
  #endGeneration(topic: string, decoder: TopicDecoder, nowMs: number): void {
    for (const feed of this.#feeds.values()) if (feed.topics.has(topic)) feed.send(nowMs, true);
    decoder.endGeneration();
  }
}
