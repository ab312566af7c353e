/** Where partitions begin and end, as of the last look, and who wants to know. */
import type {Partition} from './offsets.ts';

/** An end is wanted by who asked for it within this time, ms. */
const interestMs = 5_000;

/** An end that all answers of so long say less than was told wrong, ms: a new leader does not lag behind the old one for so long. */
const fewerMs = 30_000;

/** `fewer`: since when all answers say less than `end`, and the most that they said. */
type Ends = {start: number; end: number; askedAt: number; fewer: {sinceMs: number; end: number} | undefined};

export class EndTable {
  readonly #places = new Map<string, Ends>();
  /** Grows when some partition does. */
  news = 0;
  /** Who waits for news. Not one promise for all: in silence each wait would leave something with it. */
  readonly #waiting = new Set<() => void>();

  readonly #now: () => number;

  /** @param now ms that only grow */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Resolves when `news` grows, at `wake`, or after so long. */
  nextNews(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, withinMs);
      this.#waiting.add(end);
    });
  }

  /** Nobody waits any more. */
  wake(): void {
    for (const end of [...this.#waiting]) end();
  }

  start(topic: string, partition: number): number {
    return this.#places.get(`${topic}/${partition}`)?.start ?? 0;
  }

  end(topic: string, partition: number): number {
    return this.#places.get(`${topic}/${partition}`)?.end ?? 0;
  }

  /** The end, for somebody who wants to know it from now on. */
  ask(topic: string, partition: number): number {
    const ends = this.#at(topic, partition);
    ends.askedAt = performance.now();
    return ends.end;
  }

  /**
   * Neither goes back, for a new leader may not know yet how far the old one was; an end does when it was contradicted for long.
   * @param end 0: it is not told
   */
  told({topic, partition}: Partition, start: number, end: number): void {
    const ends = this.#at(topic, partition);
    ends.start = Math.max(ends.start, start);
    if (end === 0) return;
    if (end < ends.end) {
      const nowMs = this.#now();
      const fewer = (ends.fewer ??= {sinceMs: nowMs, end});
      fewer.end = Math.max(fewer.end, end);
      if (nowMs - fewer.sinceMs < fewerMs) return;
      end = fewer.end;
    }
    ends.fewer = undefined;
    if (end === ends.end) return;
    ends.end = end;
    this.#isNew();
  }

  /** The start, whatever was told before. */
  startsAt({topic, partition}: Partition, start: number): void {
    this.#at(topic, partition).start = start;
  }

  /** What is known of a topic is of another one: a look tells. */
  forget(topic: string): void {
    for (const [key, ends] of this.#places)
      if (key.slice(0, key.lastIndexOf('/')) === topic) ends.start = ends.end = 0;
    this.#isNew();
  }

  #isNew(): void {
    this.news++;
    this.wake();
  }

  /** Partitions whose ends somebody wants to know. */
  wanted(isWanted: (place: string) => boolean = () => true): Partition[] {
    const now = performance.now();
    const wanted: Partition[] = [];
    for (const [key, {askedAt}] of this.#places) {
      if (askedAt === 0 || now - askedAt > interestMs || !isWanted(key)) continue;
      const slash = key.lastIndexOf('/');
      wanted.push({topic: key.slice(0, slash), partition: Number(key.slice(slash + 1))});
    }
    return wanted;
  }

  #at(topic: string, partition: number): Ends {
    const key = `${topic}/${partition}`;
    let ends = this.#places.get(key);
    if (!ends) this.#places.set(key, (ends = {start: 0, end: 0, askedAt: 0, fewer: undefined}));
    return ends;
  }
}
