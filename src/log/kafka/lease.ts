/**
 * One process at a time appends events: who it is, is decided by membership in a group. The member that leads the group holds the
 * lease; Kafka keeps the leader while it lives, and names another one when it has left or was not heard of for `sessionMs`.
 *
 * A holder that cannot reach the brokers goes on, since what it appends waits in its outbox and nobody can tell whether another
 * one was named. It finds out with the first answer.
 */
import {PlatformError} from '../../errors.ts';
import type {KafkaClient} from './client.ts';
import {type GroupTimes, heartbeat, joinGroup, leaveGroup, type Membership, syncGroup} from './group.ts';

/** Brokers take no shorter session by default. */
const times: GroupTimes = {sessionMs: 6_000, rebalanceMs: 6_000};
const beatMs = 1_000;
const againMs = 500;

export type LeaseState =
  /** Not known yet, or no broker answers since it was held. */
  | {kind: 'asking'}
  | {kind: 'held'; generation: number}
  /** `holder`: what that process says of itself. */
  | {kind: 'standby'; holder: string};

export type LeaseEvents = {
  /** The lease was given to this process; until this resolves it appends nothing. Throws PlatformError: it is tried again. */
  taken: () => Promise<void>;
  /** Another process has it. */
  lost: (holder: string) => void;
  failed: (error: PlatformError) => void;
};

export class Lease {
  readonly #client: KafkaClient;
  readonly #group: string;
  readonly #told: string;
  readonly #events: LeaseEvents;
  #membership: Membership | undefined;
  #state: LeaseState = {kind: 'asking'};
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;

  /** @param told what others are told about this process */
  constructor(client: KafkaClient, group: string, told: string, events: LeaseEvents) {
    this.#client = client;
    this.#group = group;
    this.#told = told;
    this.#events = events;
  }

  get state(): LeaseState {
    return this.#state;
  }

  /** Joins and stays until `close`. */
  start(): void {
    void this.#run();
  }

  /** Gives the lease back. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#wake?.();
    if (this.#membership) await leaveGroup(this.#client, this.#membership).catch(() => {});
  }

  async #run(): Promise<void> {
    while (!this.#isClosed)
      try {
        await this.#join();
        await this.#stay();
      } catch (error) {
        if (this.#isClosed) return;
        if (!(error instanceof PlatformError)) throw error;
        // Whoever cannot be a member any more begins anew; who only was not answered is one still.
        if (error.code !== 'KAFKA_UNAVAILABLE') this.#membership = undefined;
        this.#events.failed(error);
        await this.#pause(againMs);
        await this.#client.refreshMetadata().catch(() => {});
      }
  }

  async #join(): Promise<void> {
    const joined = await joinGroup(
      this.#client,
      this.#group,
      this.#membership?.member ?? '',
      this.#told,
      times,
    );
    this.#membership = joined;
    const {isLeader, members, generation} = joined;
    const holder = await syncGroup(this.#client, joined, {members, text: this.#told}, times);
    if (!isLeader) {
      this.#lose(holder);
      return;
    }
    if (this.#state.kind !== 'held') await this.#taken(joined);
    this.#state = {kind: 'held', generation};
  }

  /** Reading what the others left may take longer than a session. */
  async #taken(membership: Membership): Promise<void> {
    const beats = setInterval(() => {
      heartbeat(this.#client, membership, beatMs).catch(() => {});
    }, beatMs);
    try {
      await this.#events.taken();
    } finally {
      clearInterval(beats);
    }
  }

  /** Returns when it has to join again. */
  async #stay(): Promise<void> {
    while (!this.#isClosed) {
      await this.#pause(beatMs);
      const membership = this.#membership;
      if (this.#isClosed || !membership) return;
      const answer = await heartbeat(this.#client, membership, 2 * beatMs);
      if (answer === 'NONE') continue;
      if (answer === 'REBALANCE_IN_PROGRESS') return;
      // Another generation began without this process, and may have named another one.
      this.#membership = undefined;
      this.#lose('');
      return;
    }
  }

  #lose(holder: string): void {
    const before = this.#state;
    this.#state = {kind: 'standby', holder};
    if (before.kind !== 'standby' || before.holder !== holder) this.#events.lost(holder);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#timer = setTimeout(resolve, ms);
    });
  }
}
