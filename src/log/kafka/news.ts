/** What a Kafka writer tells of itself: counters, what waits, and messages that do not repeat themselves. */
import type {PlatformError} from '../../errors.ts';
import type {Telemetry} from '../../telemetry.ts';
import type {StoredBatch} from '../outbox-tables.ts';
import type {KafkaClient} from './client.ts';
import {overQuota} from './codes.ts';
import type {Forwarder} from './forwarder.ts';
import type {ForwarderNews} from './forwarder-types.ts';
import type {Lane} from './lane.ts';

/** What waits is told at most so often, and only when it changed, ms. */
const observeMs = 250;
/** The same trouble is told again after this time, ms. */
const repeatMs = 30_000;

export class SpoolNews {
  readonly #telemetry: Telemetry;
  readonly #limitBytes: number;
  readonly #forwarder: Forwarder;
  #observedMs = 0;
  #observed = '';
  #sum = {requests: 0, records: 0, bytes: 0, seconds: 0};
  readonly #toldMs = new Map<string, number>();
  #awaySince: number | undefined;

  constructor(telemetry: Telemetry, limitBytes: number, forwarder: Forwarder, client: KafkaClient) {
    client.throttled = (broker, ms) => this.#throttled(broker, ms);
    this.#telemetry = telemetry;
    this.#limitBytes = limitBytes;
    this.#forwarder = forwarder;
  }

  told(what: ForwarderNews): void {
    if (what.kind === 'acknowledged') {
      this.#sum.requests++;
      this.#sum.records += what.records;
      this.#sum.bytes += what.bytes;
      this.#sum.seconds += what.seconds;
      return;
    }
    const {error} = what;
    this.#telemetry.emit('ProduceFailed', {
      code: error.code,
      message: error.message,
      retry: what.kind === 'failed' && !what.isFinal,
    });
    const isLoud = what.kind === 'fatal' || what.isFinal;
    this.#tell(isLoud ? 'error' : 'warn', error);
  }

  /** A broker makes this process wait before it takes more. */
  #throttled(broker: number, ms: number): void {
    this.#telemetry.emit('KafkaThrottled', {seconds: ms / 1000});
    this.#tell('warn', overQuota(broker, ms));
  }

  away(error: PlatformError): void {
    this.#tell('warn', error);
  }

  /** A record became a dead letter. */
  refused({stream}: Lane, {baseOffset}: StoredBatch, error: PlatformError): void {
    this.#telemetry.emit('Log', {
      level: 'error',
      message: `${stream.topic} partition ${stream.partition}: the broker refuses record ${baseOffset} of the outbox for good, it is a dead letter now: ${error.message}`,
    });
  }

  /** Records that waited were brought to Kafka by another process. */
  withdrawn({stream}: Lane, records: number): void {
    this.#telemetry.emit('RecordsWithdrawn', {topic: stream.topic, records});
    this.#telemetry.emit('Log', {
      level: 'warn',
      message: `${stream.topic} partition ${stream.partition}: ${records} records that waited in the outbox are not sent: another process took them from their senders and brought them to Kafka`,
    });
  }

  /** Records were acknowledged before Kafka had them. */
  spooled(batches: readonly StoredBatch[]): void {
    let records = 0;
    for (const {count} of batches) records += count;
    this.#telemetry.emit('RecordsSpooled', {records});
  }

  #tell(level: 'warn' | 'error', error: PlatformError): void {
    const nowMs = performance.now();
    const key = `${error.code} ${error.place ?? ''}`;
    if (nowMs - (this.#toldMs.get(key) ?? -Infinity) < repeatMs) return;
    this.#toldMs.set(key, nowMs);
    const hint = error.hint === undefined ? '' : ` (${error.hint})`;
    this.#telemetry.emit('Log', {level, message: `Kafka: ${error.message}${hint}`});
  }

  /** Called regularly: tells counters, and what waits. */
  look(): void {
    const nowMs = performance.now();
    if (nowMs - this.#observedMs < observeMs) return;
    this.#observedMs = nowMs;
    if (this.#sum.requests > 0) {
      this.#telemetry.emit('RecordsProduced', this.#sum);
      this.#sum = {requests: 0, records: 0, bytes: 0, seconds: 0};
    }
    let bytes = 0;
    let records = 0;
    let isSpooling = false;
    for (const lane of this.#forwarder.lanes) {
      bytes += lane.bytes;
      records += lane.end - lane.acknowledged;
      isSpooling ||= lane.isSpooling;
    }
    if (isSpooling) this.#awaySince ??= nowMs;
    else if (this.#awaySince !== undefined) {
      const seconds = ((nowMs - this.#awaySince) / 1000).toFixed(1);
      this.#telemetry.emit('Log', {
        level: 'info',
        message: `Kafka: everything that waited was sent; appends wait for the brokers again after ${seconds} s`,
      });
      this.#awaySince = undefined;
      this.#toldMs.clear();
    }
    const observed = `${bytes}/${records}/${isSpooling}`;
    if (observed === this.#observed) return;
    this.#observed = observed;
    this.#telemetry.emit('SpoolObserved', {bytes, records, limitBytes: this.#limitBytes, isSpooling});
  }

  close(): void {
    this.#observedMs = 0;
    this.look();
  }
}
