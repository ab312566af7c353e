import type {LogReader} from '../../log/types.ts';
import type {LagOf} from './worker-status.ts';

/** How old the records are at which queries stand. */
export class Ages {
  readonly #log: LogReader;
  /** When the record was appended at which some query stood last, by partition. */
  readonly #known = new Map<string, {offset: number; appendTimeMs: number}>();

  constructor(log: LogReader) {
    this.#log = log;
  }

  /** Age at `nowMs`, ms; what queries at one place ask is read once. 0 where the log cannot be read: whoever reads there says why. */
  at(nowMs: number): LagOf {
    const asked = new Map<string, Promise<number>>();
    return (topic, partition, offset) => {
      const key = `${topic}/${partition}/${offset}`;
      let age = asked.get(key);
      if (!age) asked.set(key, (age = this.#ageOf(topic, partition, offset, nowMs)));
      return age;
    };
  }

  async #ageOf(topic: string, partition: number, offset: number, nowMs: number): Promise<number> {
    const place = `${topic}/${partition}`;
    const known = this.#known.get(place);
    if (known?.offset === offset) return Math.max(0, nowMs - known.appendTimeMs);
    try {
      const [batch] = await this.#log.read(topic, partition, offset, 1);
      if (!batch) return 0;
      const {appendTimeMs} = batch;
      this.#known.set(place, {offset, appendTimeMs});
      return Math.max(0, nowMs - appendTimeMs);
    } catch {
      return 0;
    }
  }
}
