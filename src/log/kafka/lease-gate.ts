/** Whether this process may append events: it holds the lease of its topics (lease.ts), or nobody can tell. */
import {hostname} from 'node:os';
import {PlatformError} from '../../errors.ts';
import type {Telemetry} from '../../telemetry.ts';
import type {AppendTransaction} from '../types.ts';
import type {KafkaClient} from './client.ts';
import {Lease, type LeaseEvents} from './lease.ts';
import {LeaseMember} from './lease-member.ts';

export type LeaseOptions = {
  /** Name of the group whose leader holds the lease. */
  group: string;
  /** Whether to stand by while another process holds it; else opening fails with LOG_STANDBY. */
  canWait: boolean;
};

export type LeaseGateEvents = Pick<LeaseEvents, 'wants' | 'yields'> & {
  /** Reads what the holder before brought into the topics; events are appended after it. */
  learn: () => Promise<unknown>;
  /** Another process has the lease, or may have it. */
  lost: () => void;
  telemetry: Telemetry;
  command: string;
  /** Of the outbox. */
  dir: string;
};

/** Trouble that passes by itself is told when it lasts, as that of a new cluster which has no coordinator yet does not, ms. */
const quietMs = 5_000;
/** So long the first decision is waited for. */
const decisionMs = 20_000;

export class LeaseGate {
  readonly #lease: Lease;
  readonly #canWait: boolean;
  readonly #decided = Promise.withResolvers<void>();
  /** Why it cannot have a lease at all, such as a right that is missing. */
  #refused: PlatformError | undefined;

  constructor(
    client: KafkaClient,
    {group, canWait}: LeaseOptions,
    {learn, wants, yields, lost, telemetry, command, dir}: LeaseGateEvents,
  ) {
    this.#canWait = canWait;
    const log = (level: 'info' | 'warn' | 'error', message: string) =>
      telemetry.emit('Log', {level, message});
    const observed = (standby: string | null) => telemetry.emit('StandbyObserved', {standby});
    let told = '';
    let failedMs: number | undefined;
    const who = `${hostname()}, process ${process.pid} (${command})`;
    this.#lease = new Lease(client, group, who, new LeaseMember(dir, group), {
      taken: async () => {
        await learn();
        told = '';
        failedMs = undefined;
        this.#refused = undefined;
        observed(null);
        log('info', `this process appends events now: it holds the lease of group ${group}`);
        this.#decided.resolve();
      },
      lost: (holder) => {
        lost();
        failedMs = undefined;
        observed(this.refusal()!.message);
        if (holder !== '')
          log(
            'warn',
            `this process stands by: ${holder} appends events and holds the lease of group ${group}`,
          );
        this.#decided.resolve();
      },
      failed: (error) => {
        // It is tried again every second: what lasts is told once.
        failedMs ??= performance.now();
        if (error.retry && performance.now() - failedMs < quietMs) return;
        const message = `the lease of group ${group}: ${error.message}; it is tried again`;
        if (message !== told) log(error.retry ? 'warn' : 'error', message);
        told = message;
        if (error.code !== 'KAFKA_ACCESS') return;
        this.#refused = error;
        this.#decided.resolve();
      },
      wants,
      yields,
    });
    this.#lease.start();
  }

  /** Whether nobody else can hold the lease now: what may write to the topics. */
  get isSure(): boolean {
    return this.#lease.isSure;
  }

  /** Resolves when it is known who holds the lease, or when that takes too long. Throws LOG_STANDBY when nobody wants to wait, KAFKA_ACCESS. */
  async decided(): Promise<void> {
    const timer = setTimeout(() => this.#decided.resolve(), decisionMs);
    await this.#decided.promise;
    clearTimeout(timer);
    if (this.#refused) throw this.#refused;
    const refusal = this.refusal();
    if (refusal && !this.#canWait) throw refusal;
  }

  /** LOG_STANDBY while another process holds the lease. */
  refusal(): PlatformError | undefined {
    const {state} = this.#lease;
    if (state.kind !== 'standby') return undefined;
    return new PlatformError(
      'LOG_STANDBY',
      state.holder === ''
        ? 'another process may append events to these topics now; it is being asked who'
        : `${state.holder} appends events to these topics`,
      {hint: 'send them there; this process takes over by itself when that one has ended'},
    );
  }

  /**
   * LOG_STANDBY for a transaction that is committed here and was not shipped, where it is better to send it to the holder: what is sent
   * again is known by its ids wherever it is taken first. Undefined for the others: records without ids, and what moves the position of
   * its source, would be there twice. They are taken, and wait here for the lease.
   */
  lateRefusal({appends, progress = []}: AppendTransaction): PlatformError | undefined {
    const isKnownAgain = progress.length === 0 && appends.every(({ids}) => ids !== undefined);
    return isKnownAgain ? this.refusal() : undefined;
  }

  close(): Promise<void> {
    return this.#lease.close();
  }
}
