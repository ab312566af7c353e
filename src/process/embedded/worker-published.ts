import type {LogReader} from '../../log/types.ts';
import type {WorkerEvent} from './worker-messages.ts';
import type {QueryOwner} from './worker-owner.ts';

/** A query's offsets are published at most so often, ms. */
const publishMs = 5_000;

/** Shows others how far queries are, where the log has a place for that. Queries go on from their checkpoints, never from there. */
export class PublishedOffsets {
  readonly #log: LogReader;
  readonly #toMain: (event: WorkerEvent) => void;
  readonly #published = new Map<string, {places: QueryOwner['committedPlaces']; at: number}>();
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
      if (!committedPlaces || committedPlaces === last?.places || now - (last?.at ?? -publishMs) < publishMs)
        continue;
      this.#published.set(plan.id, {places: committedPlaces, at: now});
      this.#log.publish!(plan.id, committedPlaces).catch((error: Error) => {
        if (this.#told === error.message) return;
        this.#told = error.message;
        this.#toMain({kind: 'log', told: {about: 'unpublished', message: error.message}});
      });
    }
  }
}
