/**
 * Which sinks this process writes into. Of several processes with the role `sinks` one has the lease of a sink (log/kafka/lease.ts) and
 * writes into it, others stand by; who has no sink at all asks for one of who has more.
 *
 * What a process still writes that slept past its lease changes nothing: rows have versions, raw events ids, and offsets that it
 * publishes are of what the sink has. What is no function of the log (views, drops) it does not begin: `mayWrite` ends before anybody
 * else can have the lease.
 */
import {hostname} from 'node:os';
import type {PlatformError} from '../errors.ts';
import {KafkaClient} from '../log/kafka/client.ts';
import {Lease} from '../log/kafka/lease.ts';
import {LeaseMember} from '../log/kafka/lease-member.ts';
import type {KafkaSettings} from '../log/kafka/settings.ts';
import type {Telemetry} from '../telemetry.ts';
import type {SinkLeaseStatus} from './status.ts';

export type SinkLeases = {
  /** Joins, so that sinks may come; what wants to write looks whether they have. */
  start(): void;
  /** Whether this process has the lease, as far as it was told. */
  isHeld(sink: string): boolean;
  /** Whether nobody else can have it now. */
  mayWrite(sink: string): boolean;
  /** Tells whether something still writes into a sink; a lease is left to another process when nothing does. */
  addWriter(isWriting: (sink: string) => boolean): void;
  status(): SinkLeaseStatus[];
  /** Gives them back. Nothing may write any more. */
  close(): Promise<void>;
};

export type SinkLeasesOptions = {
  kafka: KafkaSettings;
  sinks: readonly string[];
  telemetry: Telemetry;
  command: string;
  /** Of the outbox, whose lock this process holds. */
  dir: string;
};

/** Trouble that passes by itself is told when it lasts, ms. */
const quietMs = 5_000;
/** What is under way has so long to end when a lease is to be left to another process, ms. */
const endMs = 5_000;
const lookMs = 50;

/** The group of which who leads it has the lease of a sink. */
export const sinkLeaseGroup = (clientId: string, sink: string): string => `${clientId}.sinks.${sink}.lease`;

type Held = {
  lease: Lease;
  client: KafkaClient;
  /** Why it cannot be asked for just now. */
  message: string | undefined;
};

export function createSinkLeases({kafka, sinks, telemetry, command, dir}: SinkLeasesOptions): SinkLeases {
  const writers: ((sink: string) => boolean)[] = [];
  const leases = new Map<string, Held>();
  const who = `${hostname()}, process ${process.pid} (${command})`;
  const isHeld = (sink: string) => leases.get(sink)?.lease.state.kind === 'held';
  const hasAnother = (sink: string) => sinks.some((other) => other !== sink && isHeld(other));
  const isWriting = (sink: string) => writers.some((is) => is(sink));
  /** Resolves when nothing writes into a sink any more. @returns false when that takes too long */
  const ended = async (sink: string): Promise<boolean> => {
    for (const untilMs = performance.now() + endMs; isWriting(sink); ) {
      if (performance.now() > untilMs) return false;
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
    return true;
  };
  const leaseOf = (sink: string): Held => {
    const group = sinkLeaseGroup(kafka.clientId, sink);
    // Its own connections: a broker answers one by one, and who asks to join is answered late.
    const client = new KafkaClient(kafka);
    const log = (level: 'info' | 'warn' | 'error', message: string) =>
      telemetry.emit('Log', {level, message});
    let failedMs: number | undefined;
    const failed = (error: PlatformError) => {
      failedMs ??= performance.now();
      telemetry.emit('SinkLeaseObserved', {sink, isHeld: isHeld(sink)});
      if (error.retry && performance.now() - failedMs < quietMs) return;
      const {code, hint} = error;
      const message = `the lease of group ${group}: ${code} ${error.message}${hint ? `; ${hint}` : ''}; it is tried again`;
      if (message !== held.message) log(error.retry ? 'warn' : 'error', message);
      held.message = message;
    };
    const passed = (isHeld: boolean) => {
      failedMs = undefined;
      held.message = undefined;
      telemetry.emit('SinkLeaseObserved', {sink, isHeld});
    };
    const lease = new Lease(client, group, who, new LeaseMember(dir, group, `lease-${sink}`), {
      taken: async () => {
        passed(true);
        log('info', `this process writes into sink ${sink} now: it holds the lease of group ${group}`);
      },
      lost(holder) {
        passed(false);
        if (holder !== '')
          log('warn', `this process stands by for sink ${sink}: ${holder} holds the lease of group ${group}`);
      },
      failed,
      // Who has no other sink wants this one, and keeps it: so each of several has one, as far as there are as many.
      wants: () => sinks.length > 1 && !hasAnother(sink),
      yields: async () => hasAnother(sink) && (await ended(sink)),
    });
    const held: Held = {lease, client, message: undefined};
    return held;
  };
  for (const sink of sinks) leases.set(sink, leaseOf(sink));
  let isStarted = false;
  return {
    start() {
      if (isStarted) return;
      isStarted = true;
      for (const [sink, {lease}] of leases) {
        telemetry.emit('SinkLeaseObserved', {sink, isHeld: false});
        lease.start();
      }
    },
    isHeld,
    mayWrite: (sink) => isHeld(sink) && leases.get(sink)!.lease.isSure,
    addWriter: (is) => void writers.push(is),
    status: () =>
      [...leases].map(([sink, {lease, message}]): SinkLeaseStatus => {
        const {state} = lease;
        const why = message === undefined ? {} : {message};
        if (state.kind !== 'standby') return {sink, state: state.kind, ...why};
        return {sink, state: 'standby', ...(state.holder === '' ? {} : {holder: state.holder}), ...why};
      }),
    async close() {
      await Promise.all([...leases.values()].map(({lease}) => (isStarted ? lease.close() : undefined)));
      for (const {client} of leases.values()) client.close();
    },
  };
}
