/**
 * What happens to the topics while this process writes to them: they get more partitions, to which events go once it is known what
 * is there already; others write between own records.
 */
import {PlatformError} from '../../errors.ts';
import {learn, learnMore, type Parts, partitionsOf} from './connect.ts';
import {clientDefaults} from './settings.ts';

/** A look that failed is tried again after so long, ms. */
const againMs = 1_000;
/** What others bring between own records is read every so many looks: a start has only the last of it to read. */
const learnLooks = 2;

export class Growth {
  readonly #parts: () => Parts;
  readonly #opened: () => void;
  /** Topic -> partitions over which its events are spread; until it was asked for, all that the outbox knows. */
  readonly #spread = new Map<string, number>();
  /** Topics whose new partitions were not looked at to the end. */
  readonly #pending = new Set<string>();
  #nextMs: number;
  #learnedMs = performance.now();
  #looking: Promise<void> | undefined;

  /** @param opened called when the outbox has new partitions, before anything is appended to them */
  constructor({parts, opened}: {parts: () => Parts; opened: () => void}) {
    this.#parts = parts;
    this.#opened = opened;
    this.#nextMs = performance.now() + this.#intervalMs;
  }

  get #intervalMs(): number {
    return this.#parts().client.settings.client?.metadataMs ?? clientDefaults.metadataMs;
  }

  /** Number of partitions over which events of a topic are to be spread now. @throws KAFKA_UNAVAILABLE: the topic is not known */
  partitions(topic: string): number {
    let spread = this.#spread.get(topic);
    if (spread === undefined) {
      spread = partitionsOf(this.#parts().log, topic);
      if (spread === 0)
        throw new PlatformError('KAFKA_UNAVAILABLE', `topic ${topic} is not known`, {
          hint: 'bring the brokers back and try again',
        });
      this.#spread.set(topic, spread);
    }
    return spread;
  }

  /** All partitions that the outbox knows were looked at just now. */
  connected(): void {
    this.#spread.clear();
    this.#pending.clear();
  }

  /** Looks now and then; called regularly. What fails is tried again. */
  look(): void {
    if (this.#looking) return;
    const nowMs = performance.now();
    if (nowMs < this.#nextMs) {
      if (nowMs - this.#learnedMs < learnLooks * this.#intervalMs) return;
      this.#looking = learnMore(this.#parts()).finally(() => {
        this.#looking = undefined;
        this.#learnedMs = performance.now();
      });
      return;
    }
    this.now().catch((error: unknown) => {
      if (!(error instanceof PlatformError)) throw error;
      this.#nextMs = performance.now() + againMs;
    });
  }

  /** Resolves when what grew can be written to. Who takes over from another process needs to: that one may have known it. @throws KAFKA_* */
  now(): Promise<void> {
    // What is under way may have looked before it was asked.
    const looking = (this.#looking ?? Promise.resolve())
      .catch(() => {})
      .then(() => this.#look())
      .finally(() => {
        if (this.#looking === looking) this.#looking = undefined;
        this.#nextMs = performance.now() + this.#intervalMs;
      });
    this.#looking = looking;
    return looking;
  }

  async #look(): Promise<void> {
    const parts = this.#parts();
    const {topics: found} = await parts.client.refreshMetadata();
    for (const {name} of parts.topics) {
      // One that is not known at all is made when the process connects.
      if (partitionsOf(parts.log, name) === 0) continue;
      const now = found.get(name)?.length ?? 0;
      if (now <= this.partitions(name)) continue;
      parts.log.ensureTopic(name, now);
      this.#pending.add(name);
    }
    if (this.#pending.size === 0) return;
    this.#opened();
    await learn(parts);
    await parts.write();
    for (const name of this.#pending) {
      const before = this.#spread.get(name);
      this.#spread.delete(name);
      parts.telemetry.emit('Log', {
        level: 'info',
        message: `topic ${name} has ${this.partitions(name)} partitions now, not ${before}: events go to all of them from here on`,
      });
    }
    this.#pending.clear();
  }
}
