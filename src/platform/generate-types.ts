import type {Change, Saved} from '../generate/generator.ts';
import type {LookupRows} from '../generate/types.ts';
import type {Generate, GenerateFaults} from '../model/types.ts';

/**
 * How far the generator of a domain is; stored in the log in the transaction of its events, under `generate:<domain>`. With the
 * configuration it says everything about the events that were made: `n` of them, from `first` on, with `changes` on the way.
 */
export type GeneratorPosition = {
  version: 1;
  /** Grows when the configuration makes other events; numbers begin again then. */
  run: number;
  /** Of what decides the events, see `generatorFingerprint`. */
  fingerprint: string;
  seed: number;
  first: Saved;
  changes: Change[];
  n: number;
  /** Rate and faults as the configuration had them. */
  configured: {perSecond: number; faults: GenerateFaults};
  /** Events of earlier runs: what they were cannot be said any more. */
  earlier: number;
  /** Somebody paused it, and nobody let it go on since. */
  paused?: boolean;
};

/** A state to go on from without making everything again; under `generate:<domain>/state`. */
export type GeneratorCheckpoint = {run: number; saved: Saved};

export const positionKey = (domain: string): string => `generate:${domain}`;
export const checkpointKey = (domain: string): string => `generate:${domain}/state`;

/** Source of generated events, in ledger, metrics and dead letters. */
export const generatorSource = 'generator';

/** How a generator is to run. */
export type GenerateStart = {
  generate: Generate;
  lookups: LookupRows[];
  /** Do not wait for the time of events, as long as it is not ahead of the clock. */
  fast: boolean;
  /** Ends when there are so many events in all; null: never. */
  untilN: number | null;
  /** So many more events; null: no end. */
  count: number | null;
  /** Ends after so much event time; null: never. */
  forMs: number | null;
  /** Event time of the first event of all where the configuration has none, epoch ms; null: now, and time that was missed is left out. */
  startMs: number | null;
  /** Holds from the first event that it makes. */
  change: GenerateChange;
};

/** What may be changed while it runs. */
export type GenerateChange = {
  perSecond?: number;
  faults?: string;
  paused?: boolean;
  /** A pause of the platform's own, which a restart ends. */
  passing?: boolean;
};

export type GenerateOrder =
  | {kind: 'start'; start: GenerateStart}
  | {kind: 'change'; change: GenerateChange}
  | {kind: 'stop'};

/** A generator, as `status` and the live view show it; JSON-serialisable. */
export type GeneratorStatus = {
  domain: string;
  state: 'running' | 'paused' | 'done' | 'stopped';
  run: number;
  seed: number;
  /** Events made since the run began. */
  events: number;
  /** Events per second that are wanted now, the shape of the rate included. */
  ratePerSecond: number;
  faults: GenerateFaults;
  openSessions: number;
  /** Event time that it has reached, epoch ms. */
  eventTimeMs: number;
  /** How far it is behind its rate, ms; 0 when it does not wait for time. */
  behindMs: number;
  code?: string;
  message?: string;
};
