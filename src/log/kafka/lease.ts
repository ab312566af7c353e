/**
 * One process at a time appends events: who it is, is decided by membership in a group. The member that leads the group holds the
 * lease; Kafka keeps the leader while it lives, and names another one when it has left or was not heard of for `sessionMs`.
 *
 * A holder that cannot reach the brokers goes on taking events, since they wait in its outbox and nobody can tell whether another
 * one was named. It ships nothing until it is sure again: `isSure` ends before anybody else can lead the group, so that a process
 * that slept, or was cut off, writes nothing beside the next one.
 *
 * A member that has something to ship says so when it joins. The one that leads then ships what it has, and leaves the lease to it.
 */
import {setTimeout as wait} from 'node:timers/promises';
import {PlatformError} from '../../errors.ts';
import type {KafkaClient} from './client.ts';
import {type GroupTimes, heartbeat, joinGroup, leaveGroup, type Membership, syncGroup} from './group.ts';
import type {LeaseMember} from './lease-member.ts';

/** Brokers take no shorter session by default. */
const times: GroupTimes = {sessionMs: 6_000, rebalanceMs: 6_000};
const beatMs = 1_000;
const againMs = 500;
/** A holder is sure for so long after it asked: the session, less the time between two beats and some for what is under way. */
const sureMs = times.sessionMs - beatMs - 500;
/** A member that stands by asks for the lease so often. */
const claimMs = 10_000;
/** So long the answer to a request to join is waited for at the end. */
const joinEndMs = 1_000;
/** Time for another one to take what was given up. */
const giveMs = 2_500;

export type LeaseState =
  /** Not known yet, or no broker answers since it was held. */
  | {kind: 'asking'}
  | {kind: 'held'}
  /** `holder`: what that process says of itself. */
  | {kind: 'standby'; holder: string};

export type LeaseEvents = {
  /** The lease was given to this process; until this resolves it appends nothing. Throws PlatformError: it is tried again. */
  taken: () => Promise<void>;
  /** Another process has it. */
  lost: (holder: string) => void;
  failed: (error: PlatformError) => void;
  /** Whether something waits here that only a holder ships. */
  wants: () => boolean;
  /** Another process has something to ship: appends nothing any more. @returns whether nothing waits here; else it goes on */
  yields: () => Promise<boolean>;
};

/** What members tell each other. */
type Told = {text: string; wants: boolean};

export class Lease {
  readonly #client: KafkaClient;
  readonly #group: string;
  readonly #told: string;
  readonly #events: LeaseEvents;
  readonly #kept: LeaseMember;
  #membership: Membership | undefined;
  /** As whom the group may know it, such as a process before or while it joins; empty: as nobody. */
  #member: string;
  #isJoining = false;
  #running: Promise<void> = Promise.resolve();
  /** It leads the group, as far as it was told. */
  #isLeader = false;
  /** When it asked for what was answered last, performance.now(). */
  #heardMs = 0;
  #claimedMs = 0;
  #state: LeaseState = {kind: 'asking'};
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;

  /** @param told what others are told about this process @param kept as which member it goes on */
  constructor(client: KafkaClient, group: string, told: string, kept: LeaseMember, events: LeaseEvents) {
    this.#client = client;
    this.#group = group;
    this.#told = told;
    this.#kept = kept;
    this.#member = kept.before();
    this.#events = events;
  }

  get state(): LeaseState {
    return this.#state;
  }

  /** Nobody else leads the group now. */
  get isSure(): boolean {
    return this.#isLeader && performance.now() - this.#heardMs < sureMs;
  }

  /** Joins and stays until `close`. */
  start(): void {
    this.#running = this.#run();
  }

  /** Gives the lease back. A request to join that is under way makes nobody a member who stays; it is waited for a second at most. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#wake?.();
    const first = this.#member;
    if (first !== '' && !(await this.#leave(first))) return;
    if (this.#isJoining) {
      const waiting = new AbortController();
      const over = wait(joinEndMs, undefined, {signal: waiting.signal}).catch(() => {});
      await Promise.race([this.#running, over]);
      waiting.abort();
    }
    if (this.#member !== '' && this.#member !== first) await this.#leave(this.#member);
  }

  /** @returns whether the group knows that it left */
  #leave(member: string): Promise<boolean> {
    return leaveGroup(this.#client, {group: this.#group, member}).then(
      () => {
        this.#kept.left();
        return true;
      },
      () => false,
    );
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
        if (error.code !== 'KAFKA_UNAVAILABLE') this.#forget();
        this.#events.failed(error);
        await this.#pause(againMs);
        await this.#client.refreshMetadata().catch(() => {});
      }
  }

  /** It is no member any more, and does not know who holds the lease. */
  #forget(): void {
    this.#membership = undefined;
    this.#member = '';
    this.#isLeader = false;
    this.#state = {kind: 'asking'};
  }

  async #join(): Promise<void> {
    const wants = this.#events.wants();
    const told: Told = {text: this.#told, wants};
    this.#claimedMs = performance.now();
    const named = (member: string) => {
      this.#member = member;
      if (this.#isClosed) throw new PlatformError('KAFKA_UNAVAILABLE', 'the lease was given up');
    };
    this.#isJoining = true;
    const joined = await joinGroup(
      this.#client,
      this.#group,
      {member: this.#member, orNew: this.#membership === undefined, named},
      JSON.stringify(told),
      times,
    ).finally(() => {
      this.#isJoining = false;
    });
    this.#member = joined.member;
    if (this.#isClosed) return;
    this.#membership = joined;
    this.#kept.note(joined.member);
    const {isLeader, members} = joined;
    const askedMs = performance.now();
    const names = members.map(({member}) => member);
    const holder = await syncGroup(this.#client, joined, {members: names, text: this.#told}, times);
    if (this.#isClosed) return;
    this.#isLeader = isLeader;
    this.#heardMs = askedMs;
    if (!isLeader) {
      this.#lose(holder);
      return;
    }
    const isClaimed = members.some(({member, told: text}) => member !== joined.member && wantsOf(text));
    if (isClaimed && !wants && (await this.#give(joined))) return;
    if (this.#state.kind !== 'held') await this.#taken(joined);
    this.#state = {kind: 'held'};
  }

  /** Leaves the lease to another one. @returns false when that is not possible now */
  async #give(membership: Membership): Promise<boolean> {
    const before = this.#state;
    this.#state = {kind: 'standby', holder: ''};
    if (!(await this.#beating(membership, () => this.#events.yields()))) {
      this.#state = before;
      return false;
    }
    this.#isLeader = false;
    await leaveGroup(this.#client, membership);
    this.#membership = undefined;
    this.#member = '';
    this.#events.lost('');
    await this.#pause(giveMs);
    return true;
  }

  /** Reading what the others left may take longer than a session. */
  #taken(membership: Membership): Promise<void> {
    return this.#beating(membership, () => this.#events.taken());
  }

  async #beating<T>(membership: Membership, work: () => Promise<T>): Promise<T> {
    const beats = setInterval(() => {
      const askedMs = performance.now();
      heartbeat(this.#client, membership, beatMs).then(
        (answer) => {
          if (isMember(answer)) this.#heardMs = Math.max(this.#heardMs, askedMs);
        },
        () => {},
      );
    }, beatMs);
    try {
      return await work();
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
      if (!this.#isLeader && this.#events.wants() && performance.now() - this.#claimedMs > claimMs) return;
      const askedMs = performance.now();
      const answer = await heartbeat(this.#client, membership, 2 * beatMs);
      if (isMember(answer)) this.#heardMs = askedMs;
      if (answer === 'NONE') continue;
      if (answer === 'REBALANCE_IN_PROGRESS') return;
      // Another generation began without this process, and may have named another one.
      this.#forget();
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

/** Whether a heartbeat with this answer came from a member of the present generation. */
const isMember = (answer: string): boolean => answer === 'NONE' || answer === 'REBALANCE_IN_PROGRESS';

/** Whether a member that told this has something to ship. */
function wantsOf(text: string): boolean {
  try {
    return (JSON.parse(text) as Told).wants === true;
  } catch {
    return false;
  }
}
