import type {LogReader} from '../../log/types.ts';
import type {WorkerEvent} from './worker-messages.ts';
import type {QueryOwner} from './worker-owner.ts';

/** A query's offsets are published at most so often, ms. */
const publishMs = 5_000;
/** A drain waits so long for the last of them at most, ms: they are for others to see. */
const lastMs = 5_000;

/** Shows others how far queries are, where the log has a place for that. Queries go on from their checkpoints, never from there. */
export class PublishedOffsets {
  readonly #log: LogReader;
  readonly #toMain: (event: WorkerEvent) => void;
  readonly #published = new Map<string, {places: QueryOwner['committedPlaces']; at: number}>();
  readonly #underway = new Map<string, Promise<void>>();
  #told: string | undefined;

  constructor(log: LogReader, toMain: (event: WorkerEvent) => void) {
    this.#log = log;
    this.#toMain = toMain;
  }

  /** Publishes what has a new checkpoint, unless it was just done. */
  look(owners: Iterable<QueryOwner>): void {
    const now = performance.now();
    for (const {plan, committedPlaces} of owners) {
      const last = this.#published.get(plan.id);
      if (committedPlaces && committedPlaces !== last?.places && now - (last?.at ?? -publishMs) >= publishMs)
        this.#publish(plan.id, committedPlaces);
    }
  }

  /** Publishes the last checkpoints, so that no lag is shown of what was read: resolves when that is done or takes too long. */
  async last(owners: Iterable<QueryOwner>): Promise<void> {
    // An older one must not come after the last.
    const shown = Promise.all(this.#underway.values()).then(() => {
      for (const {plan, committedPlaces} of owners)
        if (committedPlaces && committedPlaces !== this.#published.get(plan.id)?.places)
          this.#publish(plan.id, committedPlaces);
      return Promise.all(this.#underway.values());
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, lastMs);
    });
    await Promise.race([shown, late]);
    clearTimeout(timer);
  }

  #publish(id: string, places: NonNullable<QueryOwner['committedPlaces']>): void {
    this.#published.set(id, {places, at: performance.now()});
    const published = this.#log.publish!(id, places)
      .catch((error: Error) => {
        if (this.#told === error.message) return;
        this.#told = error.message;
        this.#toMain({kind: 'log', told: {about: 'unpublished', message: error.message}});
      })
      .finally(() => {
        if (this.#underway.get(id) === published) this.#underway.delete(id);
      });
    this.#underway.set(id, published);
  }
}
