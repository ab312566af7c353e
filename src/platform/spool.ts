/** What the writer of Kafka tells, as the rest of the platform sees it: for the status, and to slow senders down in time. */
import {PlatformError} from '../errors.ts';
import type {Metrics} from '../observe/metrics.ts';

export type SpoolStatus = {
  bytes: number;
  records: number;
  limitBytes: number;
  /** Appends are acknowledged as durable in the outbox: the brokers are away, or what waited is still being sent. */
  isSpooling: boolean;
  /** Why, when it is known. */
  message?: string;
};

export type Spool = {
  /** Undefined before anything was told, and with a log of our own. */
  status(): SpoolStatus | undefined;
  /** As the platform's status has it; `standby`: which other process appends events, in words, while this one refuses them. */
  shown(): {spool?: SpoolStatus; standby?: string};
  /** Lets a request in: from half of the limit on fewer and fewer. Throws EVENTS_BUSY. */
  admit(): void;
  /** An observer of the metrics. */
  observe: Metrics['observers'][number];
};

/** Share of the limit from which on requests are refused: at it none, at the limit nearly all. */
const slowFrom = 0.5;

export function createSpool(): Spool {
  let told: Omit<SpoolStatus, 'message'> | undefined;
  let message: string | undefined;
  let credit = 1;
  let standby: string | undefined;
  const status = () => told && {...told, ...(told.isSpooling && message !== undefined ? {message} : {})};
  return {
    status,
    shown() {
      const spool = status();
      return {...(spool ? {spool} : {}), ...(standby === undefined ? {} : {standby})};
    },
    admit() {
      const filled = told ? told.bytes / told.limitBytes : 0;
      if (filled <= slowFrom) return;
      // Each request brings a part of a place: those that have one together are let in, evenly and without chance.
      credit = Math.min(1, credit + Math.max(0, (1 - filled) / (1 - slowFrom)));
      if (credit >= 1) {
        credit -= 1;
        return;
      }
      throw new PlatformError(
        'EVENTS_BUSY',
        `Kafka is away or slow, and what waits for it has taken ${Math.floor(filled * 100)}% of its room`,
        {hint: 'wait for the seconds of Retry-After, then send the request again'},
      );
    },
    observe(name, event) {
      if (name === 'SpoolObserved') told = event as Omit<SpoolStatus, 'message'>;
      if (name === 'StandbyObserved') standby = (event as {standby: string | null}).standby ?? undefined;
      if (name === 'ProduceFailed') message = (event as {message: string}).message;
    },
  };
}
